"""Pings for a dead man's switch in the manner of healthchecks.io: start, success, exit code.

Whoever gets them hears also of what can't speak any more: a machine that is off, or a cron daemon
that isn't running.
"""

from __future__ import annotations

import logging
import threading
import time
from urllib.parse import urlencode, urlsplit, urlunsplit

from luigi_tasks import config
from luigi_tasks.operations import delivery
from luigi_tasks.operations.outcome import Outcome
from luigi_tasks.texts import printable
from luigi_tasks.urls import redacted

logger = logging.getLogger("luigi-interface.alarms")

#: Seconds to connect, and between two bytes.
TIMEOUTS = (3.0, 4.0)
#: How often a ping is tried, and the seconds between two attempts: a lost one is a false alarm.
ATTEMPTS, PAUSE = 3, 1.0
#: Seconds that a ping may take in all.
LONGEST = 10.0
#: Characters of a ping's body.
LONGEST_BODY = 10_000


def start(outcome: Outcome) -> None:
    """Send the ping of a run that begins."""
    _send(outcome, "/start", outcome.command)


def end(outcome: Outcome) -> None:
    """Send the ping of a run that ended: success, or its exit code.

    A run that gave way to another one sends a success as well. It has to close its start, which
    nothing but its own id and a failure does; and whether the other one ends well is that one's to
    say.
    """
    if outcome.has_ended_well or outcome.has_given_way:
        signal = ""
    elif outcome.exit_code is not None and 0 < outcome.exit_code < 256:
        signal = f"/{outcome.exit_code}"
    else:
        signal = "/fail"
    _send(outcome, signal, outcome.summary or outcome.error or outcome.state)


def _send(outcome: Outcome, signal: str, text: str) -> None:
    """Send a ping, and wait for it no longer than ``LONGEST``."""
    try:
        url = str(config.alarms().ping_url)
        if not url:
            return
        failures: list[str] = []
        body = printable(redacted(text))[:LONGEST_BODY].encode()
        address = _address(url, signal, outcome.ping_id)
        thread = threading.Thread(
            target=_post, args=(address, body, failures), name=delivery.THREAD, daemon=True
        )
        delivery.silence_requests()
        thread.start()
        thread.join(LONGEST)
        if thread.is_alive():
            failures.append("no answer in time")
        if failures:
            what = signal.strip("/") or "success"
            logger.warning("[alarms] ping_url didn't take the ping %s: %s", what, failures[-1])
    except Exception as error:  # noqa: BLE001 - a ping never changes the result of a run
        logger.warning("[alarms] ping_url wasn't pinged: %s", type(error).__name__)


def _address(url: str, signal: str, ping_id: str) -> str:
    """The URL of a signal; what the query has stays."""
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, urlencode({"rid": ping_id})]))
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + signal, query=query))


def _post(url: str, body: bytes, failures: list[str]) -> None:
    """Send a request until it is taken; says in ``failures`` why it wasn't, without the URL."""
    import requests

    deadline, reason = time.monotonic() + LONGEST, ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        if time.monotonic() > deadline:
            break
        try:
            with requests.post(url, data=body, timeout=TIMEOUTS, stream=True) as response:
                code = response.status_code
        except requests.RequestException as error:
            is_late = isinstance(error, requests.Timeout)
            reason = "no answer in time" if is_late else "it can't be reached"
            continue
        if code < 400:
            return
        reason = f"it answered {code}"
        if code < 500 and code != 429:
            break
    failures.append(reason)
