"""The log: a file of ``[log] file`` beside what is printed, and Luigi's own lines at DEBUG.

A line of the file has its time, its level, the process of its run, and the month that it is about:

    2026-11-26T06:15:03+01:00 INFO [4711] green 2024-01: staged 130412 rows

The file is rolled over only when a run begins, so that no process loses a line to another.
"""

import fcntl
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator
from configparser import Error as ConfigError
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from logging.handlers import RotatingFileHandler, WatchedFileHandler
from pathlib import Path
from typing import Any

import luigi
from luigi.setup_logging import InterfaceLogging

from luigi_tasks import config
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month

logger = logging.getLogger("luigi-interface.logs")

#: Bytes from which a file is rolled over, and how many old ones are kept.
LARGEST, KEPT = 10_000_000, 5

_LUIGIS = logging.getLogger("luigi-interface")
_LUIGIS_FOLDER = f"{Path(luigi.__file__).parent}{os.sep}"
_month: ContextVar[Month | None] = ContextVar("month", default=None)


def install() -> None:
    """Have Luigi's own INFO lines logged at DEBUG, and the file of ``[log] file`` opened.

    To be called once, before Luigi has set up its logging: then the flags are known, and so is the
    file.
    """
    set_up = InterfaceLogging.setup.__func__  # type: ignore[attr-defined]

    def set_up_with_file(cls: type[InterfaceLogging], *args: Any) -> bool:
        is_first = not cls._configured
        result = bool(set_up(cls, *args))
        if is_first:
            _open_file()
        return result

    InterfaceLogging.setup = classmethod(set_up_with_file)  # type: ignore[method-assign,assignment]
    _LUIGIS.filters.insert(0, _of_luigi)  # before one that makes messages of their arguments


@contextmanager
def month_context(month: Month) -> Iterator[None]:
    """Have the lines of the file say that they are about a month."""
    token = _month.set(month)
    try:
        yield
    finally:
        _month.reset(token)


def _of_luigi(record: logging.LogRecord) -> bool:
    """Lower Luigi's own lines from INFO to DEBUG, and note the month of the task that one names.

    Without this, four lines of five are Luigi's.
    """
    tasks = record.args if isinstance(record.args, tuple) else ()
    record.month = next((t.taxi_month for t in tasks if hasattr(t, "taxi_month")), None)
    if record.levelno == logging.INFO and record.pathname.startswith(_LUIGIS_FOLDER):
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return _LUIGIS.isEnabledFor(logging.DEBUG)
    return True


def _open_file() -> None:
    """Log to the file as well: INFO at least, whatever is printed."""
    try:
        file = config.log_file()
    except (TaxiError, ValueError, ConfigError):
        return  # the check of the settings tells
    if file is None:
        return
    try:
        with suppress(FileExistsError):
            file.parent.mkdir(parents=True)
        roll_over(file)
        handler = _LogFile(file)
    except OSError as error:
        _warn(file, error)
        return
    printed = _LUIGIS.getEffectiveLevel()
    for other in _LUIGIS.handlers:
        other.setLevel(max(other.level, printed))
    _LUIGIS.setLevel(min(logging.INFO, printed))
    handler.addFilter(_add_month)
    handler.setFormatter(_Lines("%(message)s"))
    _LUIGIS.addHandler(handler)


def shows_info() -> bool:
    """Whether lines of level INFO are printed, and not only written to the log's file."""
    return _LUIGIS.isEnabledFor(logging.INFO) and any(
        each.level <= logging.INFO for each in _LUIGIS.handlers if not isinstance(each, _LogFile)
    )


def roll_over(file: Path) -> None:
    """Put a full file aside, unless another run does so at this moment.

    Runs under way notice, and go on in the new one.
    """
    with file.open("ab") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another run has it, or the drive has no locks
            return
        found = os.fstat(opened.fileno())
        if found.st_size >= LARGEST and os.path.samestat(found, file.stat()):
            handler = RotatingFileHandler(file, backupCount=KEPT, delay=True)
            handler.doRollover()
            handler.close()


def _warn(file: Path, error: OSError) -> None:
    told = error.strerror or error
    logger.warning("the run goes on without log file %s, which can't be written: %s", file, told)


class _LogFile(WatchedFileHandler):
    """A file that is opened again when another run has put it aside.

    The first time that it can't be written there is a warning, and the run goes on.
    """

    def __init__(self, file: Path) -> None:
        self._has_failed = False
        super().__init__(file, encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # it can't be opened again
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._has_failed:
            self._has_failed = True
            _warn(Path(self.baseFilename), error)


def _add_month(record: logging.LogRecord) -> bool:
    record.month = getattr(record, "month", None) or _month.get()
    return True


class _Lines(logging.Formatter):
    """Begins every line of a message with what it is about; a month isn't named twice."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="seconds")
        parent = multiprocessing.parent_process()
        prefix = f"{when} {record.levelname} [{parent.pid if parent else os.getpid()}] "
        label = str(getattr(record, "month", None) or "")
        return "\n".join(
            prefix + (line if not label or line.startswith(label) else f"{label}: {line}")
            for line in super().format(record).split("\n")
        )
