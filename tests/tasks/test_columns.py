"""A warehouse that keeps some of the columns: nothing is lost by leaving out others."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow.parquet as pq
import pytest
import wired
from conftest import Database, Luigi, Published
from months import Months, trip, trips

from luigi_tasks import RangeMonthly, TaxiMerge, TaxiRefresh, config
from luigi_tasks.catalog import ALWAYS_SELECTED, TAXI_TYPES
from luigi_tasks.errors import TaxiError

pytestmark = pytest.mark.slow

Set = Callable[[str, str, str], None]
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


def columns(database: Database, table: str = "green_trips") -> set[str]:
    rows = database.query(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
        "AND NOT attisdropped",
        table,
    )
    return {name for (name,) in rows}


@pytest.mark.parametrize(
    "text", ["fare_amount,vendor_id", "fare_amount, vendor_id", " vendor_id fare_amount"]
)
def test_pickup_and_places_are_always_kept(settings: Set, text: str) -> None:
    settings("transform", "columns", text)
    names = {column.name for column in config.selected("green").columns}
    assert names == {"fare_amount", "vendor_id", *ALWAYS_SELECTED}
    settings("transform", "columns", "")
    assert config.selected("green") == TAXI_TYPES["green"]


def test_a_column_that_nobody_knows_is_refused(settings: Set) -> None:
    settings("transform", "columns", "fare_amount, fare")
    with pytest.raises(TaxiError, match=r"^\[transform\] columns: 'fare' must be one of vendor_id"):
        config.check("green", JANUARY)


def test_only_those_columns_are_in_the_tables(months: Months, settings: Set) -> None:
    settings("transform", "columns", "fare_amount, driver_pay")
    for _ in range(2):
        months.load(trips(3))
        assert columns(months.database) == {
            "unique_row_id",
            "filename",
            "fare_amount",
            *ALWAYS_SELECTED,
        }
        assert "driver_pay" in columns(months.database, "fhvhv_trips")
        assert months.database.query("SELECT DISTINCT fare_amount FROM trips") == [(13.5,)]


def test_trips_that_differ_in_what_is_left_out_are_kept(months: Months, settings: Set) -> None:
    """And their fingerprints are those of whole rows."""
    rows = [trip(extra=0.5), trip(extra=1.0)]
    months.load(rows)
    whole = months.database.query("SELECT unique_row_id FROM green_trips ORDER BY 1")
    months.database.query("DROP TABLE green_trips CASCADE")
    settings("transform", "columns", "fare_amount")
    merged = months.load(rows)
    assert (merged.rows_inserted, merged.rows_duplicate) == (2, 0)
    assert months.database.query("SELECT unique_row_id FROM green_trips ORDER BY 1") == whole
    assert "extra" not in columns(months.database)


@on_one_server
@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", "fare_amount", "was loaded with all columns, and [transform] columns is now pickup"),
        ("fare_amount", "", "fare_amount, pickup_longitude"),
        ("fare_amount", "fare_amount extra", "set it back, or name other tables"),
    ],
)
def test_a_table_with_rows_keeps_its_columns(
    months: Months, settings: Set, before: str, after: str, told: str
) -> None:
    settings("transform", "columns", before)
    months.load(trips(2))
    contents = months.database.contents()
    settings("transform", "columns", after)
    for _ in range(2):
        with pytest.raises(TaxiError) as refused:
            months.load(trips(2), FEBRUARY)
        assert told in str(refused.value)
        assert months.database.contents() == contents
    settings("transform", "columns", before)
    assert months.load([trip("2024-02-03 10:00:00")], FEBRUARY).rows_inserted == 1


@on_one_server
@pytest.mark.parametrize(("before", "after"), [("", "fare_amount"), ("fare_amount", "")])
def test_other_columns_are_refused_though_all_is_merged(
    months: Months, settings: Set, before: str, after: str
) -> None:
    """By a run that would do nothing."""
    settings("transform", "columns", before)
    months.load(trips(2))
    contents = months.database.contents()
    settings("transform", "columns", after)
    merge = TaxiMerge(JANUARY, "green")
    months_of_green: Any = {
        "of_params": {"taxi_type": "green"},
        "start": JANUARY,
        "stop": FEBRUARY,
    }
    for _ in range(2):
        for ask in (
            merge.complete,
            RangeMonthly(of=TaxiMerge, **months_of_green).requires,
            RangeMonthly(of=TaxiRefresh, **months_of_green).requires,
        ):
            with pytest.raises(TaxiError, match=r"was loaded with .*columns is now .* set it back"):
                ask()
    assert months.database.contents() == contents
    settings("transform", "columns", before)
    assert merge.complete()


@on_one_server
def test_an_empty_table_takes_other_columns(months: Months, settings: Set) -> None:
    settings("transform", "columns", "fare_amount")
    months.load([])
    settings("transform", "columns", "fare_amount, extra")
    months.load(trips(1))
    assert columns(months.database) >= {"fare_amount", "extra"}
    assert months.database.query("SELECT fare_amount FROM green_trips_named") == [(13.5,)]


@on_one_server
@pytest.mark.parametrize(("before", "after"), [("fare_amount", ""), ("", "fare_amount")])
def test_a_month_that_was_staged_with_other_columns_is_staged_anew(
    months: Months, settings: Set, before: str, after: str
) -> None:
    settings("transform", "columns", before)
    months.stage([trip(extra=5.0)])
    assert wired.staged_target("green", JANUARY).exists()
    settings("transform", "columns", after)
    for _ in range(2):
        assert not wired.staged_target("green", JANUARY).exists()
        with pytest.raises(TaxiError, match="green 2024-01 isn't staged any more; run again"):
            wired.merge("green", JANUARY)
    assert months.load([trip(extra=5.0)]).rows_inserted == 1
    assert ("extra" in columns(months.database)) == (after == "")


@on_one_server
def test_columns_that_are_named_get_no_new_ones_beside_them(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    file = published.write("green", "2024-01", rows=50)
    table = pq.read_table(file)
    pq.write_table(table.append_column("new", table["trip_distance"]), file)
    words = ["green", "2024-01", "2024-02", f"--source-url={published.url}"]
    run = luigi_command.merge_range(*words, "--transform-columns=total_amount")
    assert run.code == 0, run.output
    assert "columns that aren't loaded: new (1)" in run.output
    assert columns(database) == {"unique_row_id", "filename", "total_amount", *ALWAYS_SELECTED}


@on_one_server
def test_the_flag_holds_for_the_whole_chain(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    published.write("green", "2024-01", rows=50)
    words: list[Any] = ["green", "2024-01", "2024-02", f"--source-url={published.url}"]
    for _ in range(2):
        run = luigi_command.merge_range(*words, "--transform-columns=total_amount,vendor_id")
        assert run.code == 0, run.output
        assert columns(database) == {
            *("unique_row_id", "filename", "total_amount", "vendor_id"),
            *ALWAYS_SELECTED,
        }
    published.write("green", "2024-02", rows=50)
    words[2] = "2024-03"
    run = luigi_command.merge_range(*words)
    assert run.code == 30
    assert "was loaded with vendor_id" in run.output
    assert "Traceback" not in run.output
