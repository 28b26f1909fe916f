"""A PostgreSQL of the harness's own, in memory where that can be had, which it restarts at will."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

#: Nothing here has to outlive the machine, and nothing may happen by itself.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "50",
    "checkpoint_timeout": "1h",
    "listen_addresses": "127.0.0.1",
}
#: Where files are in memory, on Linux.
_MEMORY = "/dev/shm"  # noqa: S108 - the folder in it has a name of its own


class NoServerError(Exception):
    """No PostgreSQL 15 or later is installed."""


class Cluster:
    """A running server, reached by TCP and by a socket in ``folder``."""

    def __init__(self, folder: Path, binaries: Path, port: int) -> None:
        self.folder, self._binaries, self.port = folder, binaries, port

    def url(self, database: str, port: int = 0) -> str:
        """The URL of a database, by TCP, at another port if one is given."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def query(self, database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement by itself, and return its rows."""
        address = f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"
        with closing(psycopg2.connect(address)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []

    def create(self, database: str, template: str = "template1") -> None:
        """Make a database, as a copy of another if one is named."""
        self.query("postgres", f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY FILE_COPY")

    def drop(self, database: str) -> None:
        self.query("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def restart(self) -> None:
        """Kill the server's processes, as a crash would, and start it again."""
        self.control("-m", "immediate", "restart")

    def control(self, *words: str) -> None:
        program, data, log = self._binaries / "pg_ctl", self.folder / "cluster", self.folder / "log"
        _run_unprivileged([str(program), "-D", str(data), "-s", "-w", "-l", str(log), *words])


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """An empty server, which ends with the context.

    :raises NoServerError: none is installed.
    """
    binaries = _newest_binaries()
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="torture-pg-", dir=memory) as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        initdb = [str(binaries / "initdb"), "-D", str(folder / "cluster"), "-U", "postgres"]
        initdb += ["--auth=trust", "--encoding=utf8", "--no-sync", "--no-instructions"]
        _run_unprivileged(initdb)
        cluster = Cluster(folder, binaries, _free_port())
        own = {"port": str(cluster.port), "unix_socket_directories": str(folder)}
        with (folder / "cluster" / "postgresql.conf").open("a") as file:
            for key, value in {**_SETTINGS, **own}.items():
                file.write(f"{key} = '{value}'\n")
        cluster.control("start")
        try:
            yield cluster
        finally:
            cluster.control("-m", "immediate", "stop")


def _newest_binaries() -> Path:
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), Path(shutil.which("initdb") or "/")]
    for initdb in sorted(found, key=lambda path: path.parent.parent.name, reverse=True):
        if initdb.is_file():
            printed = subprocess.check_output([initdb, "--version"], text=True)
            if int(printed.split()[2].split(".")[0]) >= 15:
                return initdb.parent
    raise NoServerError("no PostgreSQL 15 or later is installed (Debian's postgresql has one)")


def _run_unprivileged(command: Sequence[str]) -> None:
    # PostgreSQL doesn't run as root
    user: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **user)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
