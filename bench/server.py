"""The PostgreSQL that everything runs on, and what its processes take."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg2
import psycopg2.errors
from psycopg2.sql import Composable

#: Keeps an embedded server running until its standard input ends.
_HOLDER = """
import pathlib, sys, luigi_tasks.warehouse.embedded as embedded
print(embedded.ensure_running(pathlib.Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Cpu:
    """Seconds of processor time."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user - other.user, self.system - other.system)


def cpu_of(process: psutil.Process) -> Cpu:
    """What a process, and its children that have ended, took so far."""
    times = process.cpu_times()
    return Cpu(times.user + times.children_user, times.system + times.children_system)


@dataclass
class Database:
    """A database, by URL; a session for each question."""

    url: str

    def query(self, statement: str | Composable, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement by itself, and return its rows."""
        session = psycopg2.connect(self.url)
        session.autocommit = True
        try:
            with session.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            session.close()

    def value(self, statement: str | Composable, *values: Any) -> Any:
        return self.query(statement, *values)[0][0]


@dataclass
class Server(Database):
    """A running server, by the URL of a database on it that is left as it is.

    ``postmaster`` and ``folder``, that of its data, are known if it runs on this machine and the
    role may know them.
    """

    postmaster: psutil.Process | None = field(init=False)
    folder: Path | None = field(init=False)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    def __post_init__(self) -> None:
        self.postmaster, self.folder = self._find()

    def _find(self) -> tuple[psutil.Process | None, Path | None]:
        session = psycopg2.connect(self.url)
        try:
            # a folder of the same name may be here though the server is elsewhere
            with suppress(psutil.Error, psycopg2.errors.InsufficientPrivilege):
                backend = psutil.Process(session.get_backend_pid())
                postmaster = backend.parent()
                with session.cursor() as cursor:
                    cursor.execute("SHOW data_directory")
                    folder = Path(cursor.fetchall()[0][0])
                if postmaster and "postgres" in backend.name() and (folder / "base").is_dir():
                    return postmaster, folder
        finally:
            session.close()
        return None, None

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[Database]:
        """An empty database, or a copy of another, dropped at the end."""
        name = f"bench_{os.getpid()}_{next(self._numbers)}"
        self.query(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield Database(urlsplit(self.url)._replace(path=f"/{name}").geturl())
        finally:
            self.query(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def settle(self) -> None:
        """Have what was written so far on disk, so that the next one doesn't pay for it."""
        with suppress(psycopg2.errors.InsufficientPrivilege):
            self.query("CHECKPOINT")

    def processes(self) -> list[psutil.Process]:
        """The server's processes, the postmaster first."""
        if not self.postmaster:
            return []
        return [self.postmaster, *self.postmaster.children()]

    def cpu(self) -> Cpu | None:
        """What all processes of the server took since its start, those that ended included."""
        if not self.postmaster:
            return None
        taken = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                taken.append(cpu_of(process))
        return Cpu(sum(each.user for each in taken), sum(each.system for each in taken))


@contextmanager
def embedded_server(root: Path) -> Iterator[Server]:
    """The embedded server of a storage folder, as the pipeline itself would run it."""
    pipe = subprocess.PIPE
    # a session of its own: an interrupt from the keyboard leaves it to the end of this block
    holder = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _HOLDER, root],
        stdin=pipe,
        stdout=pipe,
        text=True,
        start_new_session=True,
    )
    with holder:
        url = holder.stdout.readline().strip() if holder.stdout else ""
        if not url:
            raise RuntimeError("the embedded server doesn't start; the reason is above")
        yield Server(url)


@contextmanager
def new_storage() -> Iterator[Path]:
    """A storage folder that the embedded server's user can get to, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder).resolve()


@contextmanager
def given_or_embedded(url: str | None) -> Iterator[Server]:
    """The server of a URL, or an embedded one in a folder of its own.

    A password leaves the URL for the environment, where other users can't read it.
    """
    if url is None:
        with new_storage() as root, embedded_server(root) as server:
            yield server
        return
    parts = urlsplit(url)
    if parts.password:
        os.environ["PGPASSWORD"] = parts.password
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{parts.username}@{host}")
    yield Server(parts.geturl())
