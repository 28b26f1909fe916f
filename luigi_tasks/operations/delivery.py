"""Who hears of alarms: what Apprise can reach, and a command. A dead receiver costs seconds.

Receivers are told apart by a digest; no message and no log has a URL, for it may be a secret as a
whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import re
import shlex
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from luigi_tasks import config
from luigi_tasks.config.templates import lines_of
from luigi_tasks.operations.law import Change
from luigi_tasks.operations.messages import Message

logger = logging.getLogger("luigi-interface.alarms")

#: Seconds that a receiver may take for one message, before it is given up until the next run.
PATIENCE = 20.0
#: Seconds that all messages may take together.
LONGEST = 60.0
#: Seconds until a command is killed.
COMMAND_LIMIT = 15.0
#: Rounds of the digest: a URL with a short password can't be guessed from it quickly.
ROUNDS = 20_000
#: The threads that deliver, by name: what libraries log in them may have a URL in it.
THREAD = "alarm"

Key = TypeVar("Key", bound=Hashable)


class DeliveryError(Exception):
    """A receiver didn't take a message; says why, and nothing of where it is."""


@dataclass(frozen=True)
class Receiver:
    """Who gets messages: a digest that tells it apart, its place in the settings, and how."""

    digest: str
    label: str
    send: Callable[[Message], None]


def receivers() -> list[Receiver]:
    """The receivers that ``[alarms]`` names."""
    settings = config.alarms()
    found = {}
    for number, url in enumerate(filter(None, lines_of(settings.urls)), 1):
        label = f"[alarms] urls, number {number}"
        found[url] = Receiver(_digest(url), label, _AppriseReceiver(url))
    if settings.command:
        command = str(settings.command)
        send = _CommandReceiver(shlex.split(command))
        found[f"command {command}"] = Receiver(
            _digest(f"command {command}"), "[alarms] command", send
        )
    return list(found.values())


def deliver(
    waiting: Mapping[Receiver, Sequence[tuple[Key, Message]]],
) -> Iterator[tuple[Receiver, Key]]:
    """Send each receiver its messages, in order, and return each that was taken as soon as it was.

    A receiver that doesn't take a message gets no further ones, so that their order stays; why is
    logged, on one line. All receivers are served at once.
    """
    answers: queue.Queue[tuple[Receiver, Key | None, str | None]] = queue.Queue()
    given_up = {receiver: threading.Event() for receiver in waiting}

    def serve(receiver: Receiver, messages: Sequence[tuple[Key, Message]]) -> None:
        reason = None
        try:
            for key, message in messages:
                if given_up[receiver].is_set():
                    return
                receiver.send(message)
                answers.put((receiver, key, None))
        except DeliveryError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - of a library; it may quote the URL
            reason = type(error).__name__
        answers.put((receiver, None, reason))

    for receiver in waiting:
        if isinstance(receiver.send, _AppriseReceiver):
            receiver.send.prepare()
    began = time.monotonic()
    progress = dict.fromkeys(waiting, began)
    for receiver, messages in waiting.items():
        threading.Thread(target=serve, args=(receiver, messages), name=THREAD, daemon=True).start()
    while progress:
        next_deadline = min(*progress.values(), began + LONGEST - PATIENCE) + PATIENCE
        with suppress(queue.Empty):
            left = max(0.0, next_deadline - time.monotonic())
            receiver, key, reason = answers.get(timeout=left)
            if receiver not in progress:
                continue
            if key is not None:
                progress[receiver] = time.monotonic()
                yield receiver, key
                continue
            del progress[receiver]
            if reason:
                _warn(receiver, reason)
        now = time.monotonic()
        for receiver, since in list(progress.items()):
            if now >= min(since + PATIENCE, began + LONGEST):
                given_up[receiver].set()
                del progress[receiver]
                is_slow = now < since + PATIENCE
                _warn(receiver, "it takes too long" if is_slow else "no answer in time")


def _warn(receiver: Receiver, reason: str) -> None:
    logger.warning("%s didn't take an alarm: %s; the next run tries again", receiver.label, reason)


@lru_cache
def _digest(text: str) -> str:
    """A digest of a receiver, from which it can't be guessed quickly."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"receiver of alarms", ROUNDS)[:8].hex()


class _CommandReceiver:
    """A command that gets the title and, after an empty line, the body on its standard input."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def __call__(self, message: Message) -> None:
        text = f"{message.title}\n\n{message.body}\n".encode()
        nowhere = subprocess.DEVNULL
        try:
            process = subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE,
                stdout=nowhere,
                stderr=nowhere,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"it can't be run: {error.strerror}") from None
        try:
            process.communicate(text, timeout=COMMAND_LIMIT)
        except subprocess.TimeoutExpired:
            raise DeliveryError(f"it was killed after {COMMAND_LIMIT:g} s") from None
        finally:
            with suppress(OSError):  # what it has left running, too
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode:
            raise DeliveryError(f"it ended with code {process.returncode}")


class _AppriseReceiver:
    """What Apprise can reach by a URL.

    A service's own method is called, not ``Apprise.notify``: that one waits for its threads when
    Python ends, however long a receiver hangs.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._service: Any = None
        self._reason = ""

    def prepare(self) -> None:
        """Load Apprise's service, before threads are at work: Python's warnings are for all."""
        _listen()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Apprise imports
            try:
                import apprise
            except ImportError:
                self._reason = "Apprise isn't installed: pip install 'luigi-tasks[alarms]'"
                return
            self._service = apprise.Apprise.instantiate(str(self._url))
        if self._service is None:
            self._reason = "Apprise can't read the URL; see https://appriseit.com"
        elif str(self._service.protocol) == "mailto":
            self._service.request_rate_per_sec = 0  # seconds between two messages, which are few

    def __call__(self, message: Message) -> None:
        if self._reason:
            raise DeliveryError(self._reason)
        import apprise

        types = {
            Change.FAILED: apprise.NotifyType.FAILURE,
            Change.OVERDUE: apprise.NotifyType.WARNING,
        }
        is_sent = self._service.notify(
            title=message.title,
            body=message.body,
            notify_type=types.get(message.change, apprise.NotifyType.SUCCESS),
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not is_sent:
            code = re.search(r"\berror=(\d{3})\b", _listener.last())
            answer = f"it answered {code[1]}" if code else "it can't be reached, or refused it"
            raise DeliveryError(answer)


class _Listener(logging.Filter):
    """Keeps what Apprise last warned of in this thread, and has none of it logged: it may have a
    URL in it."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            with suppress(Exception):
                self._local.last = record.getMessage()
        return False

    def last(self) -> str:
        return str(getattr(self._local, "last", ""))


_listener = _Listener()


def _listen() -> _Listener:
    """Keep what Apprise logs to ourselves, and what urllib3 logs of its requests."""
    apprises = logging.getLogger("apprise")
    if _listener not in apprises.filters:
        apprises.addFilter(_listener)
    silence_requests()
    return _listener


def silence_requests() -> None:
    """Have nothing logged of the requests of threads named ``THREAD``: a path may be a secret."""
    requests_logger = logging.getLogger("urllib3.connectionpool")
    if _is_of_others not in requests_logger.filters:
        requests_logger.addFilter(_is_of_others)


def _is_of_others(record: logging.LogRecord) -> bool:
    return record.threadName != THREAD
