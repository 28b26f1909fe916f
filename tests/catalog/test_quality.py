"""Rows that fail data quality checks are counted; a month beyond the limits warns or fails."""

import json
import logging
from collections.abc import Callable
from datetime import date, datetime

import pytest
import wired
from conftest import Database, Luigi, Published, files_in_work
from months import Months, trip, trips

from luigi_tasks.catalog import QUALITY_CHECKS, check_quality
from luigi_tasks.errors import TaxiError
from luigi_tasks.transform import arrow_schema
from luigi_tasks.transform.quality import CHECKS, count_failures

Set = Callable[[str, str, str], None]
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


def test_every_check_is_counted() -> None:
    assert {"stray", *CHECKS} == set(QUALITY_CHECKS)


def test_a_message_has_thousands_separators() -> None:
    with pytest.raises(
        TaxiError, match=r"^green 2024-02: 73,715 of its 73,718 rows have a pickup "
    ):
        check_quality(
            "green 2024-02",
            73_718,
            {"stray": 73_715},
            None,
            least_rows=0,
            most={},
            when_exceeded="warn",
        )


@on_one_server
def test_the_ledger_has_what_was_counted(months: Months) -> None:
    for _ in range(2):
        months.load([*trips(2), trip("2024-03-05 01:02:03")], quality={"zero_distance": 7})
        [(found,)] = months.database.ledger("quality")[-1:]
        assert found == {"zero_distance": 7, "stray": 1}


@on_one_server
@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (("least_rows", "0.5"), "it has 4 rows, less than 0.5 times the 10 of the"),
        (("most", '{"stray": 0.2}'), "1 of its 4 rows have a pickup outside"),
        (("most", '{"negative_total": 0}'), "3 of its 4 rows have a total below 0"),
    ],
)
def test_a_month_beyond_a_limit_warns_or_fails_before_it_is_merged(
    months: Months,
    settings: Set,
    caplog: pytest.LogCaptureFixture,
    limit: tuple[str, str],
    told: str,
) -> None:
    months.load(trips(10))
    settings("quality", "least_rows", "0")
    settings("quality", *limit)
    settings("quality", "when_exceeded", "fail")
    rows = [trip(f"2024-02-15 10:00:0{n}") for n in range(3)] + [trip("2024-04-05 01:02:03")]
    months.stage(rows, FEBRUARY, quality={"negative_total": 3})
    before = months.database.contents()
    for _ in range(2):
        with pytest.raises(TaxiError, match=rf"^green 2024-02: {told}.*; nothing was merged"):
            wired.merge("green", FEBRUARY)
        assert months.database.contents() == before
    settings("quality", "when_exceeded", "warn")
    with caplog.at_level(logging.WARNING, "luigi-interface.quality"):
        assert wired.merge("green", FEBRUARY).rows_inserted == 4
    assert told in caplog.text


@on_one_server
def test_a_month_that_failed_is_fetched_anew(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    for month, rows in ("2024-01", 300), ("2024-02", 30):
        published.write("green", month, rows=rows)
    fail = (f"--source-url={published.url}", "--quality-when-exceeded=fail")
    for _ in range(2):
        run = luigi_command.merge_range("green", "2024-01", "2024-03", *fail)
        assert run.code == 30
        assert "green 2024-02: it has 30 rows, less than 0.5 times the 300" in run.output
        assert files_in_work(luigi_command.folder / "data") == []
        assert database.value("SELECT count(*) FROM green_trips") == 300
    published.write("green", "2024-02", rows=290)
    assert luigi_command.merge_range("green", "2024-01", "2024-03", *fail).code == 0
    assert database.value("SELECT count(*) FROM green_trips") == 590


@on_one_server
def test_the_file_of_another_month_is_never_merged(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    """Neither in a range whose URL lacks the month, nor in a refresh."""
    january = published.write("green", "2024-01", rows=200, seed=1)
    words = luigi_command.range_flags("green", "2024-01", "2024-03")
    wrong = f"--source-url=file://{january}"
    for of in ("TaxiMerge", "TaxiMerge", "TaxiRefresh"):
        run = luigi_command("RangeMonthly", *words, f"--of={of}", wrong)
        assert database.query("SELECT DISTINCT filename FROM green_trips") == [(january.name,)]
        assert (run.code, "that is another month's file" in run.output) == (
            (0, False) if of == "TaxiRefresh" else (30, True)
        )
    published.write("green", "2024-02", rows=200, seed=2)
    assert luigi_command("RangeMonthly", *words, f"--source-url={published.url}").code == 0
    before = database.query("SELECT unique_row_id FROM green_trips ORDER BY 1")
    other = published.write("green", "2024-03", rows=200, seed=3)
    month = ("TaxiRefresh", "--month=2024-02", "--taxi-type=green")
    assert luigi_command(*month, f"--source-url=file://{other}").code == 30
    assert database.query("SELECT unique_row_id FROM green_trips ORDER BY 1") == before


@on_one_server
def test_a_month_without_rows_warns(months: Months, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "luigi-interface.quality"):
        months.load([])
    assert "green 2024-01: it has no rows" in caplog.text


@on_one_server
def test_a_month_within_the_limits_does_not_warn(
    months: Months, settings: Set, caplog: pytest.LogCaptureFixture
) -> None:
    settings("quality", "when_exceeded", "fail")
    settings("quality", "most", json.dumps(dict.fromkeys(QUALITY_CHECKS, 0.5)))
    months.load(trips(10))
    months.load([trip(f"2024-02-15 10:00:0{n}") for n in range(5)], FEBRUARY)
    settings("quality", "least_rows", "0")
    months.load([trip("2024-03-15 10:00:00")], date(2024, 3, 1))
    assert caplog.text == ""


def test_failures_are_counted_by_their_columns() -> None:
    import pyarrow as pa

    from luigi_tasks.catalog import FHV, GREEN

    at = datetime(2024, 1, 15)
    rows = [
        trip(passenger_count=None, total_amount=-1.0),
        trip(trip_distance=0.0, pickup_location_id=264),
        trip(dropoff_datetime=at, dropoff_location_id=265, pickup_location_id=None),
        trip(),
    ]
    batch = pa.RecordBatch.from_pylist(rows, arrow_schema(GREEN))
    counts: dict[str, int] = {}
    for _ in range(2):
        count_failures(batch, counts)
    assert counts == {
        "null_passenger_count": 2,
        "negative_total": 2,
        "zero_distance": 2,
        "dropoff_before_pickup": 2,
        "unknown_zone": 4,
    }
    nothing = pa.RecordBatch.from_pylist([], arrow_schema(FHV))
    counts = {}
    count_failures(nothing, counts)
    assert counts == {"dropoff_before_pickup": 0, "unknown_zone": 0}
