"""TaxiVerify: a single row that was deleted, changed or added is found, and loaded anew."""

import json
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import psycopg2
import pytest
import wired
from conftest import Database, Luigi
from months import FEBRUARY, JANUARY, Months, Trip, trip, trips

from luigi_tasks.catalog import GREEN, Column
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse import verifying
from luigi_tasks.warehouse.verifying import Differences

one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)

STRAYS = ["2024-02-01 00:00:01", "2024-02-02 00:00:01", "2008-12-31 23:00:00"]
NEW = {"request_source": "text", "fee": "double precision"}


def looked(month: date = JANUARY) -> Differences:
    return verifying.verify(*wired.opened("green", month))


def rows_of(source: random.Random, count: int, month: str) -> list[Trip]:
    """Trips with values and NULLs in every column."""
    rows = []
    for number in range(count):
        row = trip(f"{month}-15 10:{number:02d}:00", number)
        for column in GREEN.columns:
            if column.type != "timestamp" and source.random() < 0.7:
                row[column.name] = other_value(source, column, None)
        rows.append(row)
    return rows


def other_value(source: random.Random, column: Column, value: Any) -> Any:
    """Another value of a column, NULL at times where that is allowed."""
    found = value
    while found == value:
        if value is not None and not column.required and source.random() < 0.4:
            return None
        found = {
            "integer": source.randrange(200),
            "double precision": source.randrange(10_000) / 100,
            "timestamp": datetime(2024, 1, 3) + timedelta(seconds=source.randrange(10**6)),
            "text": source.choice(["", "N", "Y"]),
        }[column.type]
    return found


@pytest.fixture
def loaded(months: Months) -> Months:
    """Two months, with strays in each other and elsewhere, and new columns in the first."""
    source = random.Random(7)
    january = [*rows_of(source, 30, "2024-01"), *(trip(each) for each in STRAYS)]
    january = [{**row, "request_source": source.choice(["a", None]), "fee": 1.5} for row in january]
    months.load(january, JANUARY, new_columns=NEW)
    february = [*rows_of(source, 20, "2024-02"), trip("2024-01-31 23:59:59"), trip(STRAYS[1])]
    assert months.load(february, FEBRUARY).rows_shared == 1
    return months


class Vandal:
    """Plants changes of single rows of the January file, and takes them back."""

    def __init__(self, database: Database, source: random.Random) -> None:
        self.session, self.source = psycopg2.connect(database.url), source
        self.session.autocommit = True
        self.query("CREATE TABLE saved AS SELECT * FROM green_trips")
        self.columns = [*(column.name for column in GREEN.columns), *NEW]

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.session.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def restore(self) -> None:
        self.query("DELETE FROM green_trips; INSERT INTO green_trips SELECT * FROM saved")

    def rows(self, where: str = "TRUE") -> list[tuple[Any, ...]]:
        return self.query(
            f"SELECT unique_row_id::text, {', '.join(self.columns)} FROM green_trips WHERE filename"
            f" = 'green_tripdata_2024-01.parquet' AND {where} ORDER BY unique_row_id"
        )

    def change(self, row_id: str, name: str, value: Any) -> None:
        statement = f"UPDATE green_trips SET {name} = %s WHERE unique_row_id = %s"
        self.query(statement, value, row_id)

    def delete(self) -> str:
        row = self.source.choice(self.rows())
        self.query("DELETE FROM green_trips WHERE unique_row_id = %s", row[0])
        return f"deleted {row}"

    def add(self) -> str:
        row = self.source.choice(self.rows("pickup_datetime < '2024-02-01'"))
        filename = self.source.choice(["green_tripdata_2024-01.parquet", "mine"])
        self.query(
            f"INSERT INTO green_trips (unique_row_id, filename, {', '.join(self.columns)})"
            f" SELECT gen_random_uuid(), %s, {', '.join(self.columns)} FROM green_trips"
            " WHERE unique_row_id = %s AND pickup_datetime >= '2024-01-01'",
            filename,
            self.source.choice([r for r in self.rows() if r[2].isoformat()[:7] == "2024-01"])[0],
        )
        return f"added a copy of {row} as {filename}"

    def change_value(self, column: Column) -> str:
        row = self.source.choice(self.rows())
        before = row[1 + self.columns.index(column.name)]
        after = other_value(self.source, column, before)
        self.change(row[0], column.name, after)
        return f"{column.name}: {before} became {after}"

    def change_new_column(self) -> str:
        row = self.source.choice(self.rows())
        before = row[1 + self.columns.index("request_source")]
        self.change(row[0], "request_source", self.source.choice([None, "b"]) if before else "c")
        return f"request_source of {before}"

    def swap(self, column: Column) -> str:
        place = 1 + self.columns.index(column.name)
        rows = self.rows()
        one = self.source.choice(rows)
        other = self.source.choice([row for row in rows if row[place] != one[place]])
        self.change(one[0], column.name, other[place])
        self.change(other[0], column.name, one[place])
        return f"swapped {column.name}: {one[place]} and {other[place]}"

    def change_id(self) -> str:
        row = self.source.choice(self.rows())
        self.query(
            "UPDATE green_trips SET unique_row_id = gen_random_uuid() WHERE unique_row_id = %s",
            row[0],
        )
        return f"another id for {row}"


@one_server
def test_each_of_a_hundred_changes_of_a_single_row_is_found(loaded: Months) -> None:
    source = random.Random(20240101)
    vandal = Vandal(loaded.database, source)
    acts: list[tuple[Callable[[], str], int]] = [
        (partial(act, column), rows)
        for column in GREEN.columns
        for act, rows in ((vandal.change_value, 1), (vandal.change_value, 1), (vandal.swap, 2))
    ]
    acts += [(vandal.delete, 1), (vandal.add, 1), (vandal.change_new_column, 1)] * 9
    acts += [(vandal.change_id, 1)] * 6
    assert len(acts) >= 93
    assert looked().differing == 0
    for act, rows in [*acts, *source.sample(acts, max(0, 100 - len(acts)))]:
        done = act()
        found = looked()
        assert found.differing >= 1, done
        if "pickup_datetime" not in done:
            assert found.differing == rows, (done, found)
        vandal.restore()
    assert looked().differing == looked(FEBRUARY).differing == 0


@one_server
def test_nothing_that_is_loaded_in_any_order_counts_as_damage(loaded: Months) -> None:
    shared = trip("2024-02-01 00:00:05")
    steps: list[tuple[date, list[Trip]]] = [
        (JANUARY, [*trips(40), trip(STRAYS[0]), shared]),
        (FEBRUARY, [*trips(4, "2024-02-03 10:00:00"), shared]),
        (JANUARY, [*trips(30), shared]),
        (FEBRUARY, [*trips(4, "2024-02-03 10:00:00"), trip(STRAYS[0]), shared]),
    ]
    for month, rows in steps:
        loaded.load(rows, month, sha256=str(len(rows)) * 64)
        for each in (JANUARY, FEBRUARY):
            if each in wired.merged_months("green", [each]):
                assert looked(each).differing == 0, (month, each)
    wired.reset("green", FEBRUARY)
    assert looked(JANUARY).differing == 0
    with pytest.raises(TaxiError, match="green 2024-02: isn't merged"):
        looked(FEBRUARY)


@one_server
def test_a_stray_that_was_changed_is_named_by_both_months(loaded: Months) -> None:
    table = "green_trips_2024_02"
    where = "WHERE filename = 'green_tripdata_2024-01.parquet'"
    row = loaded.database.value(f"SELECT min(unique_row_id::text) FROM {table} {where}")
    loaded.database.query(f"DELETE FROM {table} WHERE unique_row_id = %s", row)
    assert (looked().missing, looked(FEBRUARY).others) == (1, {JANUARY: 1})


@one_server
def test_a_month_from_before_sums_is_compared_as_far_as_that_goes(loaded: Months) -> None:
    loaded.database.query("UPDATE load_history SET sums = NULL, stray_ids = NULL")
    found = looked()
    assert (found.differing, found.has_sums) == (0, False)
    Vandal(loaded.database, random.Random(1)).delete()
    assert looked().missing == 1


@pytest.fixture
def verified(command_merged: Luigi, merged: Database) -> Luigi:
    """The command with three merged months, the second of which has lost a row and has another
    changed."""
    merged.query(
        "DELETE FROM green_trips WHERE unique_row_id = (SELECT max(unique_row_id::text)::uuid"
        " FROM green_trips_2024_02 WHERE filename = 'green_tripdata_2024-02.parquet')"
    )
    merged.query(
        "UPDATE green_trips_2024_02 SET tip_amount = 99 WHERE unique_row_id = (SELECT"
        " min(unique_row_id::text)::uuid FROM green_trips_2024_02"
        " WHERE filename = 'green_tripdata_2024-02.parquet')"
    )
    return command_merged


RANGE = ["--of=TaxiVerify", "--start=2024-01", "--stop=2024-04"]


@one_server
def test_the_command_names_the_month_and_repairs_it(
    verified: Luigi, merged: Database, undisturbed: Any
) -> None:
    damaged = merged.contents()
    range_of = [*RANGE, "--of-params", json.dumps({"taxi_type": "green"})]
    run = verified("RangeMonthly", *range_of)
    assert run.code == 30, run.output
    assert "green 2024-02: 2 rows differ from what was loaded (1 changed, 1 missing)" in run.output
    assert run.output.count("verified") == 2
    assert merged.contents() == damaged

    run = verified("TaxiVerify", "--month=2024-02", "--taxi-type=green", "--with-source")
    assert run.code == 30, run.output
    assert "2 rows differ from what was loaded (1 changed, 1 missing)" in run.output
    assert merged.contents() == damaged

    run = verified("TaxiVerify", "--month=2024-02", "--taxi-type=green", "--repair")
    assert run.code == 0, run.output
    repaired, wanted = merged.contents(), undisturbed.contents
    assert {**repaired, "ledger": None} == {**wanted, "ledger": None}

    run = verified("RangeMonthly", *range_of)
    assert run.code == 0, run.output
    assert run.output.count("verified") == 3
    run = verified("TaxiVerify", "--month=2024-02", "--taxi-type=green", "--with-source")
    assert run.code == 0, run.output
    assert {**merged.contents(), "ledger": None} == {**wanted, "ledger": None}
