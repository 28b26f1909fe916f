"""Run a job, wait for it, and move its output files to where the caller wants them."""

import fnmatch
import logging
import os
import re
import shutil
import signal
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.runner.job import CommandError, Job, JobResult, NoRoomError
from luigi_tasks.runner.process import run_process, started
from luigi_tasks.runner.reports import Reports
from luigi_tasks.texts import listed

if TYPE_CHECKING:
    from luigi_tasks import config

#: How many files an error names.
SHOWN_NAMES = 10
#: How commands report a disk that takes no more data, in the words of the system or of Docker.
_NO_ROOM = re.compile(
    "no space left on device|disk quota exceeded|read-only file system", re.IGNORECASE
)


def run(job: Job, folder: Path, settings: "config.runner", kind: str | None = None) -> JobResult:
    """Run a job, wait for it, and move its output files to ``folder``.

    No process and no container of the job outlives this call, however it ends.

    :param folder: exists; the job's working folder is made in it, and removed at the end.
    :param settings: the section ``[runner]``.
    :param kind: ``process`` or ``docker``, in place of ``[runner] kind``.
    :raises CommandError: its exit code isn't 0; the message has the last lines of its output.
    :raises TaxiError: it can't be run, exceeds its limit of time or memory, or doesn't make an
        output.
    """
    reports = _reports(job)
    with (
        _stopped_by_signals(),
        _working_folder(folder) as inner,
        _run_in(kind or settings.kind, job, inner, reports, settings) as code,
    ):
        return _result(job, code, reports, inner, folder)


@dataclass(frozen=True)
class Streaming:
    """A job at work, whose standard output is a stream for the caller.

    ``result`` waits for its end, and raises what ``run`` does. ``stop`` ends it at once.
    """

    output: IO[bytes]
    result: Callable[[], JobResult]
    stop: Callable[[], None]


@contextmanager
def stream(job: Job, folder: Path, settings: "config.runner") -> Iterator[Streaming]:
    """Run a job as a subprocess, to read its standard output while it runs; it reports on standard
    error.

    It doesn't outlive the context, however that ends. The parameters are those of ``run``.
    """
    reports = _reports(job)
    with (
        _stopped_by_signals(),
        _working_folder(folder) as inner,
        started(job, inner, reports, settings, has_output=True) as process,
    ):

        def result() -> JobResult:
            return _result(job, process.wait(), reports, inner, folder)

        yield Streaming(process.output, result, process.stop)


def _reports(job: Job) -> Reports:
    return Reports(job.month, logging.DEBUG if job.quiet else logging.INFO)


def _result(job: Job, code: int, reports: Reports, inner: Path, folder: Path) -> JobResult:
    """What came of a job whose exit code is known.

    :raises CommandError: the code isn't 0.
    """
    if code:
        message = _failure_message(job, code, reports)
        raise (NoRoomError if _NO_ROOM.search(message) else CommandError)(message, code)
    return JobResult(_move_outputs(job, inner, folder), reports.outputs, reports.metrics)


def _run_in(
    kind: str, job: Job, folder: Path, reports: Reports, settings: "config.runner"
) -> AbstractContextManager[int]:
    """Run a job; its exit code, with its output files in the folder while the context lasts."""
    if kind == "process":
        return nullcontext(run_process(job, folder, reports, settings))
    from luigi_tasks.runner.docker import run_container

    return run_container(job, folder, reports, settings)


@contextmanager
def _working_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that any user may write to, in one that nobody else can enter."""
    try:
        outer = Path(tempfile.mkdtemp(prefix="job-", dir=folder))
        inner = outer / "work"
        inner.mkdir()
        inner.chmod(0o777)
    except OSError as error:
        raise SystemicError(f"no working folder can be made: {error}") from None
    try:
        yield inner
    finally:
        _remove(outer)


def _remove(folder: Path) -> None:
    """Remove a folder, whatever permissions the command has set within it, and however deep it is.

    What is in a folder within it is moved up before that folder is removed: no path gets too long
    for the system, and no call too deep for Python.
    """
    numbers = count()
    with suppress(OSError):
        while inner := [each for each in folder.iterdir() if _is_folder(each)]:
            for each in inner:
                each.chmod(0o700)
                for entry in list(each.iterdir()):
                    if _is_folder(entry):
                        entry.chmod(0o700)  # or it couldn't get another parent
                        entry.rename(folder / f".removed-{next(numbers)}")
                    else:
                        entry.unlink()
                each.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process as they would by default, but after the job."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if _ends_process(number)]
    caught: list[int] = []

    def stop(number: int, _: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        caught.append(number)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        if caught:
            os.kill(os.getpid(), caught[0])


def _ends_process(number: int) -> bool:
    """Return whether a signal would end this process without a handler that could be called."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(number) is signal.SIG_DFL


def _failure_message(job: Job, code: int, reports: Reports) -> str:
    """How a command ended, and its last lines; these alone after exit code 1, the usual one, and
    after that for an error of the system."""
    last_lines = "; ".join(reports.last_lines)
    if code in (1, os.EX_IOERR) and last_lines:
        return last_lines
    return f"{job.program} {_ending(code)}{last_lines and ', after: '}{last_lines}"


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # one of the real-time signals
        return f"was ended by signal {-code}"


def _move_outputs(job: Job, inner: Path, folder: Path) -> list[Path]:
    """Move the output files to the folder, once all of them are found."""
    names = sorted(entry.name for entry in inner.iterdir() if entry.name not in job.inputs)
    for pattern in job.outputs:
        if not fnmatch.filter(names, pattern):
            found = listed(names, SHOWN_NAMES) or "no files"
            raise TaxiError(f"{job.program} made no {pattern}; its folder has {found}")
    outputs = [inner / name for name in names if job.is_output(name)]
    for file in outputs:
        if not stat.S_ISREG(file.lstat().st_mode):
            raise job.not_a_file(file.name)
    moved = [file.replace(folder / file.name) for file in outputs]
    for file in moved:
        if os.getuid() == 0:  # they belong to the container's user
            os.chown(file, 0, os.getgid())
        file.chmod(0o644)  # and nobody runs them, by our rights least of all
    return moved
