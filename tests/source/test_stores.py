"""Months in a store that fsspec knows; here it's one in memory."""

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fsspec
import pytest

from luigi_tasks import source
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import stores
from luigi_tasks.urls import Url

AT = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-5)))
URL = "memory://trip-data/a.csv"
CONTENT = b"VendorID\n" * 300_000


@pytest.fixture
def store() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    files.mkdir("/trip-data")
    yield files
    files.rm("/trip-data", recursive=True)


def test_a_file_is_fetched_with_its_edition(store: Any, tmp_path: Path) -> None:
    assert source.stat(URL) is None
    assert not source.is_published(URL)
    store.pipe("/trip-data/a.csv", CONTENT)
    for _ in range(2):
        announced = source.stat(URL)
        edition = source.fetch(URL, tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_bytes() == CONTENT
        assert announced is not None
        assert announced.bytes == edition.bytes == len(CONTENT)
        assert announced.last_modified == edition.last_modified
        assert edition.url == URL
    store.pipe("/trip-data/a.csv", CONTENT + b"1")
    assert source.stat(URL) != announced


def test_a_file_that_changes_while_it_is_fetched_is_fetched_anew(
    store: Any, tmp_path: Path
) -> None:
    store.pipe("/trip-data/a.csv", CONTENT)
    changes = [CONTENT * 2]

    def change(received: int, total: int | None) -> None:
        if received and changes:
            store.pipe("/trip-data/a.csv", changes.pop())

    source.fetch(URL, tmp_path / "a.csv", report=change)
    assert (tmp_path / "a.csv").read_bytes() == CONTENT * 2


@pytest.mark.parametrize(
    "facts",
    [
        {"etag": "x", "updated": "2026-01-01T00:00:00.000Z", "mtime": AT},  # as gcsfs has it
        {"etag": "x", "last_modified": AT, "creation_time": AT},  # as adlfs
        {"ETag": "x", "LastModified": AT},  # as s3fs
    ],
)
def test_an_edition_is_told_in_every_packages_words(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any]
) -> None:
    class Files:
        def info(self, path: str) -> dict[str, Any]:
            return {"type": "file", "size": 1, **facts}

    monkeypatch.setattr(stores, "file_system", lambda url: (Files(), url))
    assert source.stat(URL) == source.RemoteMetadata("x", "2026-01-01T05:00:00+00:00", 1)


@pytest.mark.parametrize(
    "facts",
    [
        {"etag": "\0", "mtime": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))},
        {"etag": b"bytes", "mtime": datetime.min},
        {"ETag": "e" * 60_000, "mtime": "yesterday"},
        {"size": None},
        {},
    ],
)
def test_what_cannot_be_true_of_a_file_is_as_none(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any]
) -> None:
    store.pipe("/trip-data/a.csv", CONTENT)
    size = {"size": len(CONTENT)} if facts else {}
    monkeypatch.setattr(
        type(store), "info", lambda *_, **__: {"name": "a", "type": "file", **size, **facts}
    )
    monkeypatch.setattr(stores, "_pieces", lambda _: iter([CONTENT]))
    announced = source.stat(URL)
    edition = source.fetch(URL, tmp_path / "a.csv")
    assert announced == source.RemoteMetadata(None, None, {**size, **facts}.get("size"))
    assert (edition.etag, edition.last_modified, edition.bytes) == (None, None, len(CONTENT))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("memory://trip-data/b.csv", "not published there"),
        ("memory://trip-data", "not published there"),
        ("memory:///a.csv", "the host is missing"),
        ("nope://trip-data/a.csv", "the scheme is nope"),
        ("memory://key:secret@trip-data/a.csv", "memory://trip-data/a.csv: a store's password"),
    ],
)
def test_what_is_not_there_is_told(store: Any, tmp_path: Path, url: str, told: str) -> None:
    for _ in range(2):
        with pytest.raises(TaxiError, match=told) as refused:
            source.fetch(url, tmp_path / "a.csv")
        assert "secret" not in str(refused.value)
        assert list(tmp_path.iterdir()) == []


def test_without_its_packages_a_store_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(TaxiError, match=r"pip install 'luigi-tasks\[stores\]'"):
        Url.parse("s3://trip-data/a.csv")
