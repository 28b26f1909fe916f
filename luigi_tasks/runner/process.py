"""Run a job as a subprocess, in a session of its own that doesn't outlive this process."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

from luigi_tasks import stopping
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.runner.forks import Forked, ForkServer
from luigi_tasks.runner.job import Job
from luigi_tasks.runner.reports import Lines, Reports

if TYPE_CHECKING:
    from luigi_tasks import config

#: What a job gets of this process's environment; other variables may hold secrets.
PASSED = (
    "PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE",
    "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV",
)  # fmt: skip
#: The shell becomes the command. Before, it starts a watch in its process group. The watch's
#: standard input ends with this process, however that ends; then the watch kills the group. A
#: process in between starts it, so that the command doesn't see it as its child.
#: The limit of memory, in KiB, is one of memory that can be written to: what is reserved for files
#: or for later, often gigabytes, doesn't count. Where the system has no such limit, there is none.
_WATCHED = """
exec 3<&0 </dev/null
( { trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & )
ulimit -c 0 2>/dev/null
test -z "$1" || ulimit -d "$1" 2>/dev/null
shift
exec "$@" 3<&-
"""
#: How programs report that there is no more memory.
_OUT_OF_MEMORY = re.compile(
    r"MemoryError|bad_alloc|out of memory|cannot allocate|OutOfMemory|memory allocation"
    r"|malloc of size|can't start new thread|failed to map segment",
    re.IGNORECASE,
)
#: Arrow's own allocator reserves a gigabyte at once, whatever it needs.
_SYSTEM_ALLOCATOR = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
#: A module of this package has no use for more threads, and each has a stack of 8 MB.
_MOST_THREADS = 8
#: Seconds without output after which its end isn't waited for any more, and how much output is: a
#: process that left the session may hold it open.
_LAST_OUTPUT = 5
_MOST_LAST_LINES = 100_000
#: Elsewhere a fork may not use what was imported before it.
_HAS_FORKS = sys.platform == "linux"
_PACKAGE = __name__.partition(".")[0]


def run_process(job: Job, folder: Path, reports: Reports, settings: "config.runner") -> int:
    """Run a job, and wait for its end.

    :param folder: an empty folder for the job to run in.
    :returns: its exit code, or the number of the signal that ended it, negative.
    :raises TaxiError: it exceeded its limit of time or memory.
    :raises SystemicError: it can't be started.
    """
    with started(job, folder, reports, settings) as process:
        return process.wait()


@contextmanager
def started(
    job: Job,
    folder: Path,
    reports: Reports,
    settings: "config.runner",
    *,
    has_output: bool = False,
) -> Iterator["JobProcess"]:
    """Start a job, and end it with the context if it hasn't ended. The parameters are those of
    ``run_process``.

    :param has_output: whether its standard output is for the caller, and only standard error has
        reports.
    """
    key, command = _started_with(job, settings)
    module, _, environment, limit = key
    for name, path in job.paths.items():
        (folder / name).symlink_to(path.resolve())
    job.write_contents(folder)
    forked = _fork(key, folder, command[2:]) if module and _HAS_FORKS else None
    process = forked or _start(command, folder, environment, limit)
    at_work = JobProcess(job, process, reports, settings, has_output=has_output)
    try:
        yield at_work
    finally:
        at_work.stop()
        if has_output:
            at_work.output.close()


class JobProcess:
    """A job that was started as a subprocess."""

    def __init__(
        self,
        job: Job,
        process: "subprocess.Popen[bytes] | Forked",
        reports: Reports,
        settings: "config.runner",
        *,
        has_output: bool,
    ) -> None:
        self._job, self._process, self._reports, self._settings = job, process, reports, settings
        streams = [(process.stderr, reports.add_error_line)]
        if not has_output:
            streams.append((process.stdout, reports.add_line))
        self._readers = [_Reader(stream, add_line) for stream, add_line in streams if stream]
        # a thread of its own, since Popen.wait with a time limit polls
        self._wait = threading.Thread(target=process.wait, daemon=True)
        self._wait.start()
        self._is_over_time = self._is_stopped = False
        self._timer = threading.Timer(settings.time_limit, self._exceed_time)
        self._timer.daemon = True
        if settings.time_limit:
            self._timer.start()

    @property
    def output(self) -> IO[bytes]:
        """Its standard output."""
        assert self._process.stdout  # noqa: S101 - it is a pipe
        return self._process.stdout

    def wait(self) -> int:
        """Wait for its end.

        :returns: its exit code, or the number of the signal that ended it, negative.
        :raises TaxiError: it exceeded its limit of time or memory.
        """
        self._wait.join()
        self.stop()
        program, code = self._job.program, self._process.wait()
        if self._is_over_time:
            limit = self._settings.time_limit
            raise TaxiError(f"{program} was stopped after {limit:g} s, [runner] time_limit")
        is_limited = bool(code and self._settings.memory)
        if is_limited and _OUT_OF_MEMORY.search("\n".join(self._reports.last_lines)):
            raise TaxiError(
                f"{program} ran out of memory: its limit is {self._settings.memory}, "
                "[runner] memory"
            )
        return code

    def stop(self) -> None:
        """End it, if it still runs, and every other process of its session."""
        if self._is_stopped:
            return
        self._timer.cancel()
        try:
            _stop(self._process, self._wait, stopping.shortened(self._settings.stop_grace))
        finally:
            for reader in self._readers:
                reader.wait()
        self._is_stopped = True

    def _exceed_time(self) -> None:
        self._is_over_time = self._wait.is_alive()
        _stop(self._process, self._wait, stopping.shortened(self._settings.stop_grace))


def prepare(job: Job, settings: "config.runner") -> None:
    """Start the Python that forks for a job which is to come soon, if it runs a module of this
    package, so that its imports are done by then. Forks of this process use it as well."""
    key, _ = _started_with(job, settings)
    if key[0] and _HAS_FORKS:
        _server(key)


def _started_with(job: Job, settings: "config.runner") -> tuple[tuple[Any, ...], list[str]]:
    """All that the Python of a job is started with, and the job's command."""
    module = _own_module(job)
    environment = _environment(job, settings, is_own=module is not None)
    command = _absolute_command(job, environment.get("PATH"))
    key = (module, command[0], environment, _kibibytes(settings.memory))
    return key, command


def _own_module(job: Job) -> str | None:
    """The module of this package that a job runs, if it does."""
    words = list(job.command)
    is_own = words[:2] == ["python", "-m"] and words[2].startswith(f"{_PACKAGE}.")
    return words[2] if is_own else None


def _environment(job: Job, settings: "config.runner", *, is_own: bool) -> dict[str, str]:
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    if is_own:
        environment["OMP_NUM_THREADS"] = str(min(os.cpu_count() or 1, _MOST_THREADS))
    if settings.memory:
        environment |= _SYSTEM_ALLOCATOR
    return {**environment, "PYTHONUNBUFFERED": "1", **settings.environment, **job.environment}


def _kibibytes(size: str) -> str:
    """A size such as ``512m`` in KiB, for ``ulimit``; empty for none."""
    size = size.lower()
    if not size:
        return ""
    unit = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(size[-1], 1)
    return str(max(1, int(size.rstrip("bkmg")) * unit >> 10))


def _absolute_command(job: Job, path: str | None) -> list[str]:
    name, *arguments = job.command
    if name.startswith("./"):  # one of the inputs
        return [name, *arguments]
    found = sys.executable if name == "python" else shutil.which(name, path=path)
    if not found:
        raise SystemicError(
            f"{name} can't be started: there is no such program in PATH; give its whole path, or "
            "run it in a container that has it by [runner] kind = docker"
        )
    return [str(Path(found).absolute()), *arguments]


def _start(
    command: Sequence[str], folder: Path, environment: dict[str, str], limit: str
) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED, "sh", limit, *command],
            cwd=folder,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
    except OSError as error:
        raise SystemicError(f"{command[0]} can't be started: {error}") from None


class _Reader(threading.Thread):
    """Reads a process's output line by line."""

    def __init__(self, stream: IO[bytes], add_line: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._stream, self._add_line = stream, add_line
        self._lines = 0
        self.start()

    def run(self) -> None:
        lines = Lines(self._add)
        with self._stream as stream:
            while piece := stream.read1(1 << 16):  # type: ignore[attr-defined]
                lines.feed(piece)
        lines.end()

    def _add(self, line: str) -> None:
        self._add_line(line)
        self._lines += 1

    def wait(self) -> None:
        """Wait for the end of the output, now that the process has ended.

        What is left in the pipe may take its time on a busy machine.
        """
        most, before = self._lines + _MOST_LAST_LINES, -1
        while self.is_alive() and before < self._lines < most:
            before = self._lines
            self.join(_LAST_OUTPUT)


def _stop(
    process: "subprocess.Popen[bytes] | Forked", wait: threading.Thread, grace: float
) -> None:
    """End a process, if it still runs, and every other process of its session."""
    try:
        if wait.is_alive():
            _signal_group(process, signal.SIGTERM)
            wait.join(grace)
    finally:
        _kill_session(process)
        wait.join()
        if process.stdin:
            process.stdin.close()


def _kill_session(process: "subprocess.Popen[bytes] | Forked") -> None:
    _signal_group(process, signal.SIGKILL)
    for pid in psutil.pids():
        with suppress(OSError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)


def _signal_group(process: "subprocess.Popen[bytes] | Forked", number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


# --- Pythons that fork for the jobs of a module ------------------------------------------------

#: By module, with all that it was started with.
_servers: dict[str, tuple[tuple[Any, ...], ForkServer]] = {}


def _server(key: tuple[Any, ...]) -> ForkServer:
    """A server that was started as the Python of a job would be."""
    module, python, environment, limit = key
    found, server = _servers.get(module, (None, None))
    if server is None or found != key:
        _close_server(module)
        server = ForkServer(module, python, environment, limit)
        _servers[module] = key, server
    return server


def _fork(key: tuple[Any, ...], folder: Path, words: Sequence[str]) -> Forked | None:
    """A fork of a module's server that runs a job; None if there can't be one, which the job's
    own start may explain."""
    try:
        forked = _server(key).run(folder, words)
    except OSError:
        return None
    if forked is None:
        _close_server(key[0])
    return forked


def _close_server(module: str) -> None:
    _, server = _servers.pop(module, (None, None))
    if server:
        server.close()


def _close_servers() -> None:
    for module in list(_servers):
        _close_server(module)


atexit.register(_close_servers)
