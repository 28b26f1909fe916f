"""Run a job as a subprocess, with a process group of its own that doesn't outlive this process."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from luigi_tasks import config
from luigi_tasks.errors import TaxiError
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
_WATCHED = """
exec 3<&0 </dev/null
( { trap '' HUP INT TERM; read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & )
exec "$@" 3<&-
"""
#: Seconds to wait for the end of an output that some process which left the group keeps open.
_LAST_OUTPUT = 5


@contextmanager
def ran(job: Job, folder: Path, reports: Reports) -> Iterator[int]:
    """Run a job in a folder: its exit code, or the signal that ended it, negative."""
    settings = config.runner()
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    environment |= {"PYTHONUNBUFFERED": "1", **settings.environment, **job.environment}
    command = _find(job, environment.get("PATH"))
    for name, path in job.paths.items():
        (folder / name).symlink_to(path.resolve())
    job.write_contents(folder)
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHED, "sh", *command],
            cwd=folder,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
    except OSError as error:
        raise TaxiError(f"{command[0]} can't be started: {error}") from None
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
        _stop(process, wait, settings.stop_grace)
        for reader in readers:
            reader.join(_LAST_OUTPUT)
    yield process.returncode


def _find(job: Job, path: str | None) -> list[str]:
    name, *arguments = job.command
    if name.startswith("./"):  # one of the inputs
        return [name, *arguments]
    found = sys.executable if name == "python" else shutil.which(name, path=path)
    if not found:
        raise TaxiError(
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
        _signal_group(process, signal.SIGKILL)
        for pid in psutil.pids():
            with suppress(OSError):
                if os.getsid(pid) == process.pid:
                    os.kill(pid, signal.SIGKILL)
        wait.join()
        if process.stdin:
            process.stdin.close()


def _signal_group(process: "subprocess.Popen[bytes]", number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
