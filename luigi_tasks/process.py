"""Run a job as a subprocess, with a process group of its own that doesn't outlive this process."""

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil

from luigi_tasks import config, stopping
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.job import Job
from luigi_tasks.reports import Lines, Reports

#: What a job sees of this process's environment; the rest may have secrets.
PASSED = (
    "PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE",
    "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV",
)  # fmt: skip
#: The shell becomes the command. Before, it leaves a watch in its process group, whose standard
#: input ends with the process that started all this, however that ends; then it ends the group.
#: The watch is started by a process in between, so that it's no child that the command can see.
#: Then it limits the memory, in KiB, that can be written to: what is reserved for files and for
#: later, often gigabytes, doesn't count. Where the system has no such limit, there is none.
_WATCHED = """
exec 3<&0 </dev/null
( { trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & )
ulimit -c 0 2>/dev/null
test -z "$1" || ulimit -d "$1" 2>/dev/null
shift
exec "$@" 3<&-
"""
#: What programs say when there is no more memory.
_OUT_OF_MEMORY = re.compile(
    r"MemoryError|bad_alloc|out of memory|cannot allocate|OutOfMemory|memory allocation"
    r"|malloc of size|can't start new thread|failed to map segment",
    re.IGNORECASE,
)
#: Arrow's own allocator takes a gigabyte at once, whatever is needed of it.
_MODEST = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
#: More threads than this have nothing to do in a module of ours, and a stack of 8 MB each.
_MOST_THREADS = 8
#: Seconds to wait for the end of an output that some process which left the group keeps open.
_LAST_OUTPUT = 5
#: A Python that has imported one of our modules, and then waits for the folder and the words of
#: ``python -m``. Its last argument is the descriptor to read them from.
_SPARE = """
import importlib, json, os, sys
del sys.path[0]
module = importlib.import_module(sys.argv[1])
with open(int(sys.argv[2])) as orders:
    order = orders.readline()
if order:
    folder, sys.argv = json.loads(order)
    os.chdir(folder)
    sys.exit(module.main(sys.argv[1:]))
"""
#: After so many jobs of one of our modules, another one is expected.
_EXPECTED_AFTER = 2


@contextmanager
def ran(job: Job, folder: Path, reports: Reports) -> Iterator[int]:
    """Run a job in a folder: its exit code, or the signal that ended it, negative."""
    settings = config.runner()
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    module = _module_of(job)
    if module:
        environment["OMP_NUM_THREADS"] = str(min(os.cpu_count() or 1, _MOST_THREADS))
    if settings.memory:
        environment |= _MODEST
    environment |= {"PYTHONUNBUFFERED": "1", **settings.environment, **job.environment}
    command = _find(job, environment.get("PATH"))
    for name, path in job.paths.items():
        (folder / name).symlink_to(path.resolve())
    job.write_contents(folder)
    process = _take_spare(command, environment, folder) if module else None
    process = process or _start(command, folder, environment)
    takers = (process.stdout, reports.take), (process.stderr, reports.take_error)
    readers = [_read(stream, take) for stream, take in takers if stream]
    # a wait of its own, since one with a time limit looks only every so often
    wait = threading.Thread(target=process.wait, daemon=True)
    wait.start()
    try:
        wait.join(settings.time_limit or None)
        if wait.is_alive():
            raise TaxiError(
                f"{job.command[0]} was stopped after {settings.time_limit:g} s, [runner] time_limit"
            )
    finally:
        _stop(process, wait, stopping.shortened(settings.stop_grace))
        for reader in readers:
            reader.join(_LAST_OUTPUT)
    if module:
        _jobs_of[module] += 1
        if _jobs_of[module] >= _EXPECTED_AFTER:
            _keep_spare(module, command, environment)
    is_limited = bool(process.returncode and settings.memory)
    if is_limited and _OUT_OF_MEMORY.search("\n".join(reports.last_lines)):
        raise TaxiError(
            f"{job.command[0]} ran out of memory: its limit is {settings.memory}, [runner] memory"
        )
    yield process.returncode


def _start(
    command: Sequence[str], folder: Path, environment: dict[str, str], **more: Any
) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED, "sh", _limit(), *command],
            cwd=folder,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
            **more,
        )
    except OSError as error:
        raise SystemicError(f"{command[0]} can't be started: {error}") from None


def _limit() -> str:
    """``[runner] memory`` in KiB; nothing for no limit."""
    setting = config.runner().memory.lower()
    if not setting:
        return ""
    unit = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}.get(setting[-1], 1)
    return str(max(1, int(setting.rstrip("bkmg")) * unit >> 10))


def _find(job: Job, path: str | None) -> list[str]:
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


def _read(stream: IO[bytes], take: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        lines = Lines(take)
        with stream:
            while piece := stream.read1(1 << 16):  # type: ignore[attr-defined]
                lines.feed(piece)
        lines.end()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _stop(process: "subprocess.Popen[bytes]", wait: threading.Thread, grace: float) -> None:
    """End a process, if it goes on, and all of its session: its group, and others it has made."""
    try:
        if wait.is_alive():
            _signal_group(process, signal.SIGTERM)
            wait.join(grace)
    finally:
        _kill_session(process)
        wait.join()
        if process.stdin:
            process.stdin.close()


def _kill_session(process: "subprocess.Popen[bytes]") -> None:
    _signal_group(process, signal.SIGKILL)
    for pid in psutil.pids():
        with suppress(OSError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)


def _signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


# --- a Python that waits ----------------------------------------------------------------------


class _Spare:
    """A Python, started before the job that it runs is there; its imports take most of the time
    that a small month's transform does."""

    def __init__(self, module: str, python: str, environment: dict[str, str]) -> None:
        self.fits = (os.getpid(), module, python, environment, _limit())
        reading, writing = os.pipe()
        try:
            self._orders = open(writing, "w")  # noqa: PTH123, SIM115
            command = [python, "-c", _SPARE, module, str(reading)]
            self.process = _start(command, Path("/"), environment, pass_fds=[reading])
        finally:
            os.close(reading)

    def run(self, folder: Path, words: Sequence[str]) -> bool:
        """Have it run in a folder, and tell whether it will."""
        try:
            with self._orders as orders:
                orders.write(json.dumps([str(folder.absolute()), list(words)]) + "\n")
        except BrokenPipeError:
            return False
        return self.process.poll() is None

    def end(self) -> None:
        with suppress(BrokenPipeError):
            self._orders.close()
        with self.process:  # which waits for its end; a thread can't be started at Python's end
            _kill_session(self.process)


_jobs_of: Counter[str] = Counter()
_spares: list[_Spare] = []


def _module_of(job: Job) -> str | None:
    """The module of ours that a job runs; each has a ``main`` that takes the arguments."""
    words = list(job.command)
    is_ours = words[:2] == ["python", "-m"] and words[2].startswith(f"{__package__}.")
    return words[2] if is_ours else None


def _keep_spare(module: str, command: Sequence[str], environment: dict[str, str]) -> None:
    if not _spares:
        _spares.append(_Spare(module, command[0], environment))


def _take_spare(
    command: Sequence[str], environment: dict[str, str], folder: Path
) -> "subprocess.Popen[bytes] | None":
    """The spare Python, at work on a job, if there is one that the job can't tell from its own."""
    try:
        spare = _spares.pop()
    except IndexError:
        return None
    python, _, module, *_ = command
    wanted = (os.getpid(), module, python, environment, _limit())
    if spare.fits == wanted and spare.run(folder, command[2:]):
        return spare.process
    if spare.fits[0] == os.getpid():  # and not that of a process which this is a fork of
        spare.end()
    return None


def _end_spares() -> None:
    while _spares and _spares[0].fits[0] == os.getpid():
        _spares.pop().end()


atexit.register(_end_spares)
