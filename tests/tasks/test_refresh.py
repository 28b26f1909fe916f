"""Months that were corrected at the source: replaced whole, or left as they are."""

import itertools
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import Database, Luigi, Published, Run, files_in_work
from mirror import Hangup, Mirror, Replace, Status

from luigi_tasks.records import RemoteMetadata
from luigi_tasks.warehouse import MergedEdition

pytestmark = pytest.mark.slow

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
MONTHS = ("2024-01", "2024-02", "2024-03")
AT = datetime(2024, 3, 20, 12, tzinfo=timezone.utc)


@pytest.fixture
def merged(luigi_command: Luigi, published: Published) -> Published:
    """Three months, merged from a folder."""
    for month in MONTHS:
        published.write("green", month, rows=300, seed=1)
    assert merge(luigi_command, published.url).code == 0
    return published


def merge(command: Luigi, url: str, *flags: str) -> Run:
    return command.merge_range("green", MONTHS[0], "2024-04", f"--source-url={url}", *flags)


def refresh(command: Luigi, url: str, *flags: str) -> Run:
    words = command.range_flags("green", MONTHS[0], "2024-04")
    words[0] = "--of=TaxiRefresh"
    run = command("RangeMonthly", *words, f"--source-url={url}", *flags)
    assert "Traceback" not in run.output, run.output
    return run


def of_mirror(mirror: Mirror) -> str:
    return mirror.url("{{ taxi_type }}_tripdata_{{ month }}.parquet")


def counts(database: Database) -> list[tuple[Any, ...]]:
    """The ledger, and how many trips each file has."""
    return database.ledger("month", "rows_removed", "rows_present", "rows_inserted")


def trips(database: Database) -> list[tuple[Any, ...]]:
    return database.query("SELECT filename, count(*) FROM green_trips GROUP BY 1 ORDER BY 1")


@pytest.mark.parametrize(
    ("merged", "remote", "differs"),
    [
        (MergedEdition(1, '"1"', AT, 5, ""), RemoteMetadata('"1"', AT.isoformat(), 5), False),
        (MergedEdition(1, '"1"', AT, 5, ""), RemoteMetadata('"1"', None, None), False),
        (MergedEdition(1, '"1"', AT, 5, ""), RemoteMetadata('"2"', AT.isoformat(), 5), True),
        (MergedEdition(1, '"1"', AT, 5, ""), RemoteMetadata(None, AT.isoformat(), 5), False),
        (MergedEdition(1, '"1"', AT, 5, ""), RemoteMetadata(None, AT.isoformat(), 6), True),
        (
            MergedEdition(1, None, AT, 5, ""),
            RemoteMetadata('"2"', "2024-03-21T12:00:00+00:00", 5),
            True,
        ),
        (
            MergedEdition(1, None, AT, 5, ""),
            RemoteMetadata(None, "2024-03-20T08:00:00-04:00", 5),
            False,
        ),
        (MergedEdition(1, None, None, 5, ""), RemoteMetadata(None, None, None), False),
    ],
)
def test_an_edition_is_told_by_etag_or_by_time_and_size(
    merged: MergedEdition, remote: RemoteMetadata, differs: bool
) -> None:
    assert remote.differs(merged) == differs


def test_nothing_changes_where_nothing_was_corrected(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    before = database.contents()
    for _ in range(2):
        assert refresh(luigi_command, merged.url).code == 0
        assert database.contents() == before


def test_a_corrected_month_is_replaced(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    before = counts(database)
    merged.write("green", MONTHS[1], rows=200, seed=2)
    for _ in range(2):
        assert refresh(luigi_command, merged.url).code == 0
        *first, last = counts(database)
        assert first == before
        month, removed, present, inserted = last
        assert (f"{month:%Y-%m}", removed, present + inserted) == (MONTHS[1], 300, 200)
        assert [rows for _, rows in trips(database)] == [300, 200, 300]
    assert files_in_work(luigi_command.folder / "data") == []
    assert merge(luigi_command, merged.url).code == 0
    assert len(counts(database)) == 4


def test_what_is_corrected_takes_no_mark_from_its_neighbours(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    """Each month has a stray in the next one; the files share no trip."""
    for month in MONTHS:
        published.write("green", month, rows=300, seed=int(month[-1]), strays=40)
    assert merge(luigi_command, published.url).code == 0
    for month in MONTHS:
        file = published.folder / f"green_tripdata_{month}.parquet"
        pq.write_table(pq.read_table(file).slice(5), file)
    assert refresh(luigi_command, published.url).code == 0
    assert len(counts(database)) == 6
    markers = "SELECT count(*) FROM table_updates WHERE update_id LIKE 'TaxiMerge green%'"
    assert database.value(markers) == 3
    assert merge(luigi_command, published.url).code == 0
    assert len(counts(database)) == 6


def test_what_is_in_both_editions_stays(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    """The ledger tells rows gone, kept and new."""
    import pyarrow as pa

    file = merged.folder / f"green_tripdata_{MONTHS[0]}.parquet"
    kept = pq.read_table(file).slice(0, 290)
    new = merged.write("green", "2024-01", rows=20, seed=7, strays=0)
    pq.write_table(pa.concat_tables([kept, pq.read_table(new)]), file)
    assert refresh(luigi_command, merged.url).code == 0
    assert counts(database)[-1][1:] == (10, 290, 20)


@on_one_server
def test_the_same_bytes_under_another_etag_cost_no_reload(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    for month in MONTHS:
        published.write("green", month, rows=50)
    with Mirror(published.folder) as mirror:
        assert merge(luigi_command, of_mirror(mirror)).code == 0
        database.query("UPDATE load_history SET etag = '\"old\"' WHERE month = '2024-02-01'")
        before = counts(database)
        assert "published again, with the same" in refresh(luigi_command, of_mirror(mirror)).output
        assert counts(database) == before
        fetched = len(mirror.asked("GET"))
        assert refresh(luigi_command, of_mirror(mirror)).code == 0
        assert len(mirror.asked("GET")) == fetched
        assert len(mirror.asked("HEAD")) >= 6
    assert files_in_work(luigi_command.folder / "data") == []


@on_one_server
def test_a_file_replaced_while_it_is_fetched_is_loaded_as_one_edition(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    file = merged.folder / f"green_tripdata_{MONTHS[2]}.parquet"
    other = merged.write("green", MONTHS[2], rows=150, seed=3).read_bytes()
    merged.write("green", MONTHS[2], rows=120, seed=4)
    with Mirror(merged.folder, [Replace(other)]) as mirror:
        assert refresh(luigi_command, of_mirror(mirror)).code == 0
    assert file.read_bytes() == other
    assert [rows for _, rows in trips(database)] == [300, 300, 150]


@on_one_server
def test_a_broken_correction_changes_nothing(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    before = database.contents()
    file = merged.folder / f"green_tripdata_{MONTHS[0]}.parquet"
    good = file.read_bytes()
    file.write_bytes(good[:-100])
    assert refresh(luigi_command, merged.url).code == 30
    assert database.contents() == before
    file.write_bytes(good)
    assert refresh(luigi_command, merged.url).code == 0
    assert database.contents() == before


@on_one_server
def test_a_month_that_is_gone_from_the_source_stays(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    before = database.contents()
    (merged.folder / f"green_tripdata_{MONTHS[0]}.parquet").unlink()
    run = refresh(luigi_command, merged.url)
    assert run.code == 0
    assert "green 2024-01 is no longer published" in run.output
    assert database.contents() == before


@on_one_server
def test_a_source_without_any_month_is_a_wrong_url(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    before = database.contents()
    for url in (f"{merged.url}.gz", merged.url.replace("published", "nowhere")):
        run = refresh(luigi_command, url)
        assert run.code == 35
        assert "nothing is published at" in run.output
        assert "is [source] url right?" in run.output
    assert database.contents() == before


@on_one_server
def test_a_source_that_cannot_be_asked_fails(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    before = database.contents()
    with Mirror(merged.folder, [Status(401, method="HEAD")] * 3) as mirror:
        assert refresh(luigi_command, of_mirror(mirror), "--source-retries=0").code == 35
    assert database.contents() == before


@on_one_server
def test_a_correction_is_found_though_the_answer_about_it_is_cut_off(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    """Of half of an answer's head, Python makes a whole one, which says nothing of the file."""
    with Mirror(merged.folder) as mirror:
        luigi = luigi_command
        words = ["TaxiRefresh", "--month=2024-02", "--taxi-type=green"]
        words.append(f"--source-url={of_mirror(mirror)}")
        assert luigi(*words).code == 0
        merged.write("green", "2024-02", rows=200, seed=2)
        mirror.faults = [Hangup(half_a_head=True, method="HEAD")]
        run = luigi(*words)
        assert run.code == 0, run.output
        assert mirror.faults == []
    assert [rows for _, rows in trips(database)] == [300, 200, 300]


@on_one_server
def test_one_month_that_cannot_be_asked_for_keeps_no_other_back(
    luigi_command: Luigi, database: Database, merged: Published
) -> None:
    for month in MONTHS:
        merged.write("green", month, rows=200, seed=2)
    nobody = "http://127.0.0.1:1/{{ month }}"
    url = f"{{% if month.month == 2 %}}{nobody}{{% else %}}{merged.url}{{% endif %}}"
    for _ in range(2):
        run = refresh(luigi_command, url, "--source-retries=0")
        assert run.code == 35
        assert "cannot reach http://127.0.0.1:1" in run.output
        assert [rows for _, rows in trips(database)] == [200, 300, 200]
    assert refresh(luigi_command, merged.url).code == 0
    assert [rows for _, rows in trips(database)] == [200, 200, 200]


@on_one_server
def test_editions_are_asked_for_a_few_at_a_time(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    months = [f"2023-{month:02}" for month in range(1, 13)]
    for month in months:
        published.write("green", month, rows=10)
    words = luigi_command.range_flags("green", months[0], "2024-01")
    source = f"--source-url={published.url}"
    assert luigi_command("RangeMonthly", *words, source).code == 0
    with Mirror(published.folder) as mirror:
        mirror.pause = 0.1
        run = luigi_command(
            "RangeMonthly", *words, "--of=TaxiRefresh", f"--source-url={of_mirror(mirror)}"
        )
        assert run.code == 0, run.output
        assert len(mirror.asked("HEAD")) == 12
        assert mirror.asked("GET") == []
        assert 1 < mirror.most_at_once <= 4


@on_one_server
def test_a_month_that_is_not_merged_is_not_loaded(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    published.write("green", MONTHS[0])
    assert refresh(luigi_command, published.url).code == 0
    assert refresh(luigi_command, published.url).code == 0
    assert database.holds_nothing()


@on_one_server
def test_kept_files_are_those_of_the_new_edition(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    keep = "--cleanup-enabled=false"
    for month in MONTHS:
        published.write("green", month, rows=60)
    assert merge(luigi_command, published.url, keep).code == 0
    file = published.write("green", MONTHS[0], rows=70, seed=5)
    for _ in range(2):
        assert refresh(luigi_command, published.url, keep).code == 0
    raw: Path = luigi_command.folder / "data" / "raw" / file.name
    assert raw.read_bytes() == file.read_bytes()
    assert [rows for _, rows in trips(database)] == [70, 60, 60]
    later = time.time() + 60
    os.utime(file, (later, later))
    assert "with the same bytes" in refresh(luigi_command, published.url, keep).output
    assert raw.exists()


@on_one_server
def test_the_two_editions_of_a_published_month_replace_each_other(
    luigi_command: Luigi, database: Database, shared_data: Path
) -> None:
    """The csv.gz edition of green 2020-03 lacks 90 rows of the parquet one; others differ."""
    words = ["RangeMonthly", *luigi_command.range_flags("green", "2020-03", "2020-04")]
    name = "{{ taxi_type }}_tripdata_{{ month }}"
    editions = [
        (f"file://{shared_data}/csv/{name}.csv.gz", 223_406),
        (f"file://{shared_data}/parquet/{name}.parquet", 223_496),
    ]
    url, rows = editions[0]
    assert luigi_command(*words, f"--source-url={url}").code == 0
    assert database.value("SELECT count(*) FROM green_trips") == rows
    words[1] = "--of=TaxiRefresh"
    for url, rows in (editions[1], editions[1], editions[0]):
        run = luigi_command(*words, f"--source-url={url}")
        assert run.code == 0, run.output
        assert database.value("SELECT count(*) FROM green_trips") == rows
    loads = database.ledger("rows_staged", "rows_removed", "rows_present", "rows_inserted")
    assert [staged for staged, *_ in loads] == [223_406, 223_496, 223_406]
    for (before, *_), (staged, removed, present, inserted) in itertools.pairwise(loads):
        assert (before - removed, staged - inserted) == (present, present)
        assert removed > 40_000
