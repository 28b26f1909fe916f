"""Run a command in a process or a container: files in; files, values and log lines out."""

import fnmatch
import logging
import os
import re
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luigi_tasks import config, process
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.job import Job
from luigi_tasks.reports import Reports
from luigi_tasks.texts import printable

#: How many files an error names.
SHOWN_NAMES = 10


@dataclass(frozen=True)
class Finished:
    """What came of a job: files, in the order of their names, and what it reported."""

    files: list[Path]
    outputs: dict[str, Any]
    metrics: list[dict[str, Any]]


class CommandError(TaxiError):
    """The command ran, and its exit code wasn't 0."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NoRoomError(CommandError, SystemicError):
    """The command ran and failed, since nothing more could be written."""


#: What commands say of a disk that takes no more, after the system's or Docker's words.
_NO_ROOM = re.compile(
    "no space left on device|disk quota exceeded|read-only file system", re.IGNORECASE
)


def run(job: Job, folder: Path, kind: str | None = None) -> Finished:
    """Run a job, wait for it, and move the files it made to ``folder``.

    Nothing of it goes on after this call, whatever happens: neither process nor container.

    :param folder: where the job's own folder is made, and goes again.
    :param kind: ``process`` or ``docker`` in place of ``[runner] kind``.
    :raises CommandError: its exit code isn't 0; shows its last lines.
    :raises TaxiError: it can't be run, doesn't end in time, uses too much memory, or doesn't make
        what it should.
    """
    reports = Reports(job.month, logging.DEBUG if job.quiet else logging.INFO)
    with (
        _stopped_by_signals(),
        _working_folder(folder) as inner,
        _ran(kind or config.runner().kind, job, inner, reports) as code,
    ):
        if code:
            told = _told(job, code, reports)
            raise (NoRoomError if _NO_ROOM.search(told) else CommandError)(told, code)
        return Finished(_move_outputs(job, inner, folder), reports.outputs, reports.metrics)


def _ran(kind: str, job: Job, folder: Path, reports: Reports) -> AbstractContextManager[int]:
    """Run a job; its exit code, and the files it made while the context lasts."""
    if kind == "process":
        return process.ran(job, folder, reports)
    from luigi_tasks import container

    return container.ran(job, folder, reports)


@contextmanager
def _working_folder(folder: Path) -> Iterator[Path]:
    """A new folder that any user may write to who gets to it, which is nobody from outside."""
    try:
        outer = Path(tempfile.mkdtemp(prefix="job-", dir=folder))
        inner = outer / "work"
        inner.mkdir()
        inner.chmod(0o777)
    except OSError as error:
        raise SystemicError(f"no folder can be made to work in: {error}") from None
    try:
        yield inner
    finally:
        _remove(outer)


def _remove(folder: Path) -> None:
    """Remove a folder, whatever a command has done to those in it."""
    for parent, names, _ in os.walk(folder):
        for inner in (Path(parent, name) for name in names):
            if not inner.is_symlink():
                with suppress(OSError):
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process as ever, but after what it runs."""
    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if _ends_us(number)]
    caught: list[int] = []

    def stop(number: int, _: Any) -> None:
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        caught.append(number)
        raise KeyboardInterrupt

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if caught:
            os.kill(os.getpid(), caught[0])


def _ends_us(number: int) -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(number) is signal.SIG_DFL


def _told(job: Job, code: int, reports: Reports) -> str:
    """How a command ended, unless its own last lines say it."""
    said = "; ".join(reports.last_lines)
    if code == 1 and said:
        return said
    return f"{job.command[0]} {_ended(code)}{said and ', after: '}{said}"


def _ended(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # one of the real-time signals
        return f"was ended by signal {-code}"


def _move_outputs(job: Job, inner: Path, folder: Path) -> list[Path]:
    """Move what was made to the folder, once it is seen to be there."""
    names = sorted(entry.name for entry in inner.iterdir() if entry.name not in job.inputs)
    for pattern in job.outputs:
        if not fnmatch.filter(names, pattern):
            raise TaxiError(f"{job.command[0]} made no {pattern}; what it left is {_listed(names)}")
    made = [inner / name for name in names if job.makes(name)]
    for file in made:
        if not stat.S_ISREG(file.lstat().st_mode):
            raise job.not_a_file(file.name)
    moved = [file.replace(folder / file.name) for file in made]
    if os.getuid() == 0:  # they belong to the container's user
        for file in moved:
            os.chown(file, 0, os.getgid())
    return moved


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return printable(", ".join(names[:SHOWN_NAMES]) + more) or "nothing"
