"""Runs that pause at a point of their work, to have something done to them there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from conftest import Database, Run

from luigi_tasks.warehouse.locks import ADVISORY_LOCKS

PAUSED_AT = Path(__file__).parent / "tasks" / "paused_at.py"
#: Seconds for what takes one or two on a machine with nothing else to do.
PATIENCE = 120


def until(condition: Callable[[], Any], process: Paused | None = None) -> Any:
    """Wait for something, and return it; fail if the process ends before."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if process is not None:
            assert process.popen.poll() is None, process.output
        assert time.monotonic() < deadline, process and process.output
        time.sleep(0.02)
    return found


class Paused:
    """A command that pauses at a point; ``prefix`` is what runs it, such as ``ip netns exec``."""

    def __init__(
        self,
        words: Sequence[str],
        point: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.own = Path(tempfile.mkdtemp(prefix="paused-", dir=folder))
        self._output = self.own / "output"
        command = [*prefix, sys.executable, str(PAUSED_AT), point, str(self.own), *words]
        with self._output.open("w") as output:
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def pid(self) -> int:
        return self.popen.pid

    def paused(self) -> Paused:
        """Wait until it has come to its point."""
        until((self.own / "paused").exists, self)
        return self

    def go(self) -> None:
        (self.own / "go").touch()

    def ended(self) -> Run:
        """Wait for its end."""
        self.popen.wait(PATIENCE)
        return Run(self.popen.returncode, self.output)

    def kill(self) -> None:
        """End it with all that it has started."""
        if self.popen.poll() is None:
            for process in psutil.Process(self.pid).children(recursive=True):
                process.kill()
        self.popen.kill()
        self.popen.wait()


@contextmanager
def ending(*runs: Paused) -> Iterator[None]:
    """Let no run outlive a test."""
    try:
        yield
    finally:
        for run in runs:
            run.kill()


class Locks:
    """Who holds the lock of a month, asked by one session."""

    def __init__(self, database: Database, *months: str) -> None:
        self.session = psycopg2.connect(database.url)
        self.session.autocommit = True
        self.months = months

    def holders(self, month: str = "") -> list[int]:
        """The processes of the machine, by the names of their sessions."""
        with self.session.cursor() as cursor:
            cursor.execute(
                "SELECT split_part(a.application_name, ' ', 2)::int FROM pg_locks l "
                "JOIN pg_stat_activity a USING (pid) WHERE locktype = 'advisory' AND granted "
                "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND classid = %s AND objid = (hashtext(%s)::bigint & 4294967295)::oid",
                (ADVISORY_LOCKS, month or self.months[0]),
            )
            return [pid for (pid,) in cursor.fetchall()]

    def end_sessions_of(self, pid: int) -> None:
        """Have the server end the sessions of a process."""
        with self.session.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE %s",
                (f"luigi_tasks {pid} on %",),
            )
            assert cursor.fetchall()

    def __enter__(self) -> Locks:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()


def embedded_servers(root: Path) -> list[psutil.Process]:
    """The processes of the embedded server of a storage folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name().startswith("postgres") and str(root) in " ".join(process.cmdline()):
                found.append(process)
    return found


def state_of(folder: Path) -> dict[str, tuple[int, int, int]]:
    """The files below a folder, each with its inode, its size and the time of its last change."""
    found = {}
    for file in folder.rglob("*"):
        if file.is_file() and "warehouse" not in file.relative_to(folder).parts:
            facts = file.stat()
            found[str(file.relative_to(folder))] = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
    return found
