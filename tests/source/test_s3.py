"""Months in S3: a server of its own speaks it, and s3fs, as it's installed, is asked."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from buckets import forget_settings
from conftest import Database, Luigi, Published

from luigi_tasks import source
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import stores

pytestmark = pytest.mark.slow

URL = "s3://trip-data/a.csv"
CONTENT = b"VendorID\n" * 300_000


def test_a_file_is_fetched_with_its_edition(s3: Any, tmp_path: Path) -> None:
    assert source.stat(URL) is None
    s3.pipe("trip-data/a.csv", CONTENT)
    for _ in range(2):
        announced, edition = source.stat(URL), source.fetch(URL, tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_bytes() == CONTENT
        assert announced == source.RemoteMetadata(edition.etag, edition.last_modified, len(CONTENT))
        assert edition.etag
        assert edition.last_modified
    s3.pipe("trip-data/a.csv", CONTENT[:-1] + b",")
    assert source.stat(URL) != announced


@pytest.mark.parametrize("block", [100_000, stores.BLOCK])
def test_a_file_that_changes_while_it_is_fetched_is_fetched_anew(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(stores, "PIECE", 100_000)
    monkeypatch.setattr(stores, "BLOCK", block)
    s3.pipe("trip-data/a.csv", CONTENT)
    changes = [CONTENT[::-1]]

    def change(received: int, total: int | None) -> None:
        if received and changes:
            s3.pipe("trip-data/a.csv", changes.pop())

    source.fetch(URL, tmp_path / "a.csv", report=change, must_be_read=False)
    assert (tmp_path / "a.csv").read_bytes() == CONTENT[::-1]


def test_a_file_that_goes_while_it_is_fetched_is_told(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "PIECE", 100_000)
    monkeypatch.setattr(stores, "BLOCK", 100_000)
    s3.pipe("trip-data/a.csv", CONTENT)

    def remove(received: int, total: int | None) -> None:
        if received and s3.exists("trip-data/a.csv"):
            s3.rm("trip-data/a.csv")

    with pytest.raises(TaxiError, match="not published there"):
        source.fetch(URL, tmp_path / "a.csv", report=remove)
    assert list(tmp_path.iterdir()) == []


def test_several_may_ask_at_once(s3: Any) -> None:
    s3.pipe("trip-data/a.csv", CONTENT)
    urls = [URL, "s3://trip-data/b.csv", "s3://nowhere/a.csv"] * 8
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(source.is_published, urls)) == [True, False, False] * 8


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AWS_ACCESS_KEY_ID", None, "Unable to locate credentials"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "cannot reach s3://trip-data: "),
    ],
)
def test_a_store_that_cannot_be_asked_is_told(
    s3: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, told: str
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    forget_settings()
    for _ in range(2):
        with pytest.raises(TaxiError) as refused:
            source.stat(URL)
        assert told in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_months_come_from_a_bucket_and_are_refreshed(
    s3: Any, luigi_command: Luigi, database: Database, published: Published
) -> None:
    """By the luigi command; the last of three months isn't there."""
    for rows in (50, 70):
        for month in ("2024-01", "2024-02"):
            file = published.write("green", month, rows=rows, seed=rows)
            s3.pipe(f"trip-data/{file.name}", file.read_bytes())
        words = luigi_command.range_flags("green", "2024-01", "2024-04")
        url = "--source-url=s3://trip-data/{{ taxi_type }}_tripdata_{{ month }}.parquet"
        for of, code in (("TaxiMerge", 20), ("TaxiRefresh", 0)):
            run = luigi_command("RangeMonthly", *words, f"--of={of}", url)
            assert run.code == code, run.output
        assert database.value("SELECT count(*) FROM green_trips") == 2 * rows
        assert len(database.ledger("url")) == (2 if rows == 50 else 4)
