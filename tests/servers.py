"""PostgreSQL servers of a test's own, which it restarts or cuts off.

The fixture is a plugin of conftest.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import _system_binaries, skip
from luigids import free_port


@dataclass
class OwnServer:
    """A system's PostgreSQL with a TCP port; ``prefix`` is what runs it, such as ``ip netns exec``,
    and is run by root."""

    folder: Path
    port: int
    prefix: Sequence[str] = ()

    @property
    def url(self) -> str:
        return self.url_at("127.0.0.1")

    @property
    def socket_url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"

    def url_at(self, address: str) -> str:
        return f"postgresql://postgres@{address}:{self.port}/postgres"

    def control(self, *words: str) -> None:
        options = f"-c listen_addresses=* -p {self.port} -k {self.folder} -c fsync=off"
        if not self.prefix:
            options = options.replace("=*", "=127.0.0.1")
        binaries = _system_binaries()
        assert binaries
        control = [binaries / "pg_ctl", "-D", self.folder / "cluster", "-l", self.folder / "log"]
        within = [*self.prefix, "runuser", "-u", "postgres", "--"] if self.prefix else []
        subprocess.run(
            [*within, *control, "-w", "-o", options, *words],
            check=True,
            stdout=subprocess.DEVNULL,
            **({} if within else unprivileged()),
        )


def unprivileged() -> dict[str, Any]:
    """How to run what refuses to run as root."""
    return {"user": "postgres"} if os.geteuid() == 0 else {}


@contextmanager
def running_server(prefix: Sequence[str] = ()) -> Iterator[OwnServer]:
    """An empty server, which ends with the context."""
    binaries = _system_binaries()
    if not binaries:
        skip("no system PostgreSQL of version 15 or later is installed")
        return
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        initdb = [binaries / "initdb", "-D", folder / "cluster", "-U", "postgres", "--auth=trust"]
        subprocess.run(
            [*initdb, "--encoding=utf8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            **unprivileged(),
        )
        if prefix:
            with (folder / "cluster" / "pg_hba.conf").open("a") as access:
                access.write("host all all samenet trust\n")
        server = OwnServer(folder, free_port(), prefix)
        server.control("start")
        try:
            yield server
        finally:
            server.control("-m", "immediate", "stop")


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    with running_server() as server:
        yield server
