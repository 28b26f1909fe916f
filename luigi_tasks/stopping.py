"""How Ctrl-C, SIGTERM and SIGHUP end a run: soon, on one line, with nothing left at work.

A signal raises ``Stopped`` wherever the main thread is, and what unwinds from there rolls back,
ends child processes and removes containers. Two things can't be left to that. A wait inside libpq
isn't interrupted by a signal, so a thread has the server cancel what it works on. And what can't
be interrupted at all, such as a host name that is looked up, or a thread that waits for the
network, is left: after ``GRACE`` the process ends where it is.
"""

import logging
import multiprocessing
import os
import select
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import connection

logger = logging.getLogger("luigi-interface.stopping")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds from the signal until the process ends, wherever it is.
GRACE = 1.5
#: Seconds that it has if it's in the midst of what must come to its end.
LONGEST_GRACE = 15.0
#: Seconds that a job has to end by itself.
JOB_GRACE = 0.5
#: Seconds within which a second Ctrl-C is taken for the first one: a terminal sends it to all
#: processes, and some of them pass it on.
REPEATED = 0.3
#: Seconds between two requests to cancel a statement, which may begin after the first one.
CANCEL_INTERVAL = 0.1


class Stopped(SystemExit, KeyboardInterrupt):
    """A signal ended the run.

    As a KeyboardInterrupt it passes Luigi, which takes anything else for a task's failure; as a
    SystemExit it ends Python with a code and without a traceback.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@dataclass
class _State:
    """The signal that came; whether the main thread has seen it; how much is under way that must
    come to its end, and whether the signal waits for that."""

    number: int = 0
    is_unwinding: bool = False
    undisturbed: int = 0
    is_deferred: bool = False


_state = _State()
_sessions: "weakref.WeakSet[connection]" = weakref.WeakSet()
_last_acts: list[Callable[[], None]] = []
_pipe: list[int] = []


def install() -> None:
    """Let signals stop this process and those it forks, but for signals that it handles or ignores
    already, as ``nohup`` makes it do."""
    if _pipe or threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)
    _watch()
    os.register_at_fork(after_in_child=_begin_anew)


def came() -> bool:
    """Whether a signal came, so that the run is about to end."""
    return _state.number > 0


def exit_code() -> int:
    """What the process ends with, if a signal came."""
    return 128 + _state.number


def check() -> None:
    """Raise Stopped if a signal came, where another exception may have taken its place."""
    if came():
        raise Stopped(_state.number)


def cancel_with(session: "connection") -> None:
    """Have the server cancel a session's statement when a signal comes."""
    _sessions.add(session)


def at_last(act: Callable[[], None]) -> None:
    """Have something done if the process ends without Python's ``atexit``; it may be done twice."""
    _last_acts.append(act)


def shortened(grace: float) -> float:
    """The seconds that a job has to end by itself: fewer when the run is being stopped."""
    return min(grace, JOB_GRACE) if came() else grace


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let something come to its end, such as the removal of what wouldn't end with this process.

    :raises Stopped: a signal came meanwhile.
    """
    _state.undisturbed += 1
    try:
        yield
    finally:
        _state.undisturbed -= 1
        if _state.is_deferred and not _state.undisturbed:
            _state.is_deferred = False
            check()


def _stop(number: int, _: FrameType | None) -> None:
    """Handle a signal, in the main thread; later ones are the watch's."""
    if _state.is_unwinding:
        return
    _state.number, _state.is_unwinding = number, True
    for child in multiprocessing.active_children():  # Luigi would stop one after the other
        with suppress(OSError, TypeError):
            os.kill(child.pid, signal.SIGTERM)  # type: ignore[arg-type]
    _tell(number)
    if _state.undisturbed:
        _state.is_deferred = True
    else:
        raise Stopped(number)


def _tell(number: int) -> None:
    if multiprocessing.parent_process() is None:
        name = signal.Signals(number).name
        key = "Ctrl-C" if number == signal.SIGINT else name
        logger.warning("stopped by %s; the same command continues from there", key)


# --- the watch --------------------------------------------------------------------------------


def _watch() -> None:
    """Start the thread that hears of signals at once, whatever the main thread does."""
    before = _pipe.copy()
    _pipe[:] = os.pipe()
    reading, writing = _pipe
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for end in before:
        os.close(end)
    threading.Thread(target=_wait_for_signal, args=(reading,), daemon=True).start()


def _begin_anew() -> None:
    """In a forked process: leave the parent's pipe and its sessions alone."""
    vars(_state).update(vars(_State()))
    _sessions.clear()
    _watch()


def _wait_for_signal(reading: int) -> None:
    number = _next_signal(reading, None)
    came = time.monotonic()
    _state.number = _state.number or number
    threading.Thread(target=_cancel_statements, daemon=True).start()
    while (left := came + (LONGEST_GRACE if _state.undisturbed else GRACE) - time.monotonic()) > 0:
        again = _next_signal(reading, min(left, CANCEL_INTERVAL))
        if again == signal.SIGINT and time.monotonic() > came + REPEATED:
            os._exit(128 + number)
    _end(number)


def _next_signal(reading: int, timeout: float | None) -> int:
    """The next one of the signals that are ours; 0 if there is none in time."""
    while select.select([reading], [], [], timeout)[0]:
        number = os.read(reading, 1)[0]
        if signal.getsignal(number) is _stop:
            return number
    return 0


def _cancel_statements() -> None:
    """Cancel what the server works on, until the main thread has seen the signal."""
    while True:
        for session in list(_sessions):
            with suppress(Exception):  # it may be closed at this moment
                session.cancel()
        if _state.is_unwinding:
            return
        time.sleep(CANCEL_INTERVAL)


def _end(number: int) -> None:
    """End a process whose main thread is held up."""
    if not _state.is_unwinding:
        telling = threading.Thread(target=_tell, args=(number,), daemon=True)
        telling.start()  # whatever holds up the main thread may hold up this
        telling.join(CANCEL_INTERVAL)
    for act in _last_acts:
        with suppress(Exception):
            act()
    os._exit(128 + number)
