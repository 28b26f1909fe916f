"""A published file, a mirror that serves it, and what several tests of fetching share.

The fixtures are a plugin of conftest.py.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mirror import Mirror

from luigi_tasks import network, source
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import fetch
from luigi_tasks.source.part import Part

MIRROR = Path(__file__).with_name("mirror.py")
NAME = "green_tripdata_2024-01.parquet"


def parquet(seed: int, rows: int = 30_000) -> bytes:
    """Make a parquet file of some 8 bytes a row; another seed, another file."""
    values = np.random.default_rng(seed).random(rows)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"fare_amount": values}), sink, use_dictionary=False)
    return sink.getvalue().to_pybytes()


CONTENT = parquet(1)
SIZE = len(CONTENT)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "BACKOFF", 0.01)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # most of the time of a small file
    monkeypatch.setattr(network, "_unreachable", {})
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def month_file(tmp_path: Path) -> Path:
    """The published file; what its folder holds is what the mirror serves."""
    file = tmp_path / "published" / NAME
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def mirror(month_file: Path) -> Iterator[Mirror]:
    with Mirror(month_file.parent) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is fetched to."""
    return tmp_path / "raw" / NAME


def left_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def ranges(mirror: Mirror) -> list[str | None]:
    return [request.headers.get("Range") for request in mirror.asked("GET")]


def die_before_the_end(url: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch all bytes and stop before they are looked at."""

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Part, "verify", die)
        with pytest.raises(KeyboardInterrupt):
            fetch(url, path)


def start(*command: str | Path) -> subprocess.Popen[str]:
    project = str(Path(source.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": project},
    )


def half_fetched(mirror: Mirror, path: Path) -> Path:
    """A part of several pieces, and then a killed process."""
    mirror.piece = 20_000
    mirror.delay = 0.02

    def die(received: int, total: int | None) -> None:
        if received > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(mirror.url(NAME), path, report=die)
    mirror.delay = 0
    mirror.requests.clear()
    return path.with_name(NAME + ".part")


def refused(mirror: Mirror, path: Path, because: str) -> None:
    with pytest.raises(TaxiError, match=because) as caught:
        fetch(mirror.url(NAME), path)
    assert "\n" not in str(caught.value)
    assert mirror.url(NAME) in str(caught.value)
    assert left_in(path.parent) == []


@pytest.fixture
def nobody() -> Iterator[socket.socket]:
    """A port of this machine at which nobody listens, held so that nobody will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held
