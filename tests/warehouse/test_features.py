"""The tables for analysts equal what SQL says of the trips, whatever was done to these."""

import gzip
import math
import os
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
import wired
from conftest import Database
from jinja2 import ChoiceLoader, DictLoader
from months import FEBRUARY, JANUARY, Months, Trip, trip
from test_docs import blocks_of
from test_migrations import BEFORE

from luigi_tasks import config, warehouse
from luigi_tasks.catalog import TAXI_TYPES, features
from luigi_tasks.months import Month
from luigi_tasks.tasks import TaxiFeatures
from luigi_tasks.warehouse import counting, merging, sql

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
MARCH = date(2024, 3, 1)
Set = Callable[[str, str, str], None]
#: Of each table for analysts: its keys, and the sums that it has.
SUMS = {
    "passengers": "passenger_count",
    "distance": "trip_distance",
    "fares": "fare_amount",
    "tips": "tip_amount",
    "revenue": "total_amount",
}
DAY, MONTH = "pickup_datetime::date", "date_trunc('month', pickup_datetime)::date"
BY_ISODOW = "extract(ISODOW FROM pickup_datetime)::integer"
BY_HOUR = "extract(HOUR FROM pickup_datetime)::integer"
TABLES = {
    "daily_trips": ([DAY], [*SUMS]),
    "monthly_trips": ([MONTH], [*SUMS]),
    "zone_pickups": ([MONTH, "pickup_location_id"], ["revenue"]),
    "hourly_trips": ([MONTH, BY_ISODOW, BY_HOUR], []),
}


def by_sql(table: str, columns: dict[str, set[str]], schema: str) -> str:
    """A query of the trips tables for what a table for analysts should have.

    :param columns: those of each service's trips table.
    """
    keys, sums = TABLES[table]
    selects = []
    for service, own in columns.items():
        values = [summed(SUMS[each]) if SUMS[each] in own else "NULL::numeric" for each in sums]
        selects.append(
            f"SELECT '{service}', {', '.join([*keys, 'count(*)', *values])} "
            f"FROM {schema}.{service}_trips GROUP BY {', '.join(keys)}"
        )
    return " UNION ALL ".join(selects)


def summed(column: str) -> str:
    if column == "passenger_count":
        return f"sum({column})"
    is_amount = f"{column} > -1e9 AND {column} < 1e9"
    hundredths = f"sum(CASE WHEN {is_amount} THEN round({column} * 100)::numeric END)"
    return f"round({hundredths} / 100, 2)"


def check(database: Database, schema: str = "public") -> dict[str, list[tuple[Any, ...]]]:
    """Make sure that each table for analysts has what SQL says of the trips; returns the rows."""
    session = psycopg2.connect(database.url)
    with closing(session), session.cursor() as cursor:

        def ask(statement: str) -> list[tuple[Any, ...]]:
            cursor.execute(statement)
            return sorted(cursor.fetchall(), key=repr)

        columns: dict[str, set[str]] = {}
        for relation, column in ask(
            "SELECT relname, attname FROM pg_attribute "
            "INNER JOIN pg_class ON attrelid = pg_class.oid "
            f"WHERE relkind = 'p' AND relnamespace = '{schema}'::regnamespace AND attnum > 0"
        ):
            columns.setdefault(relation.removesuffix("_trips"), set()).add(column)
        assert columns
        found = {table: ask(f"SELECT * FROM {schema}.{table}") for table in TABLES}
        for table, rows in found.items():
            assert rows == ask(by_sql(table, columns, schema)), table
    return found


# what is counted


@on_one_server
def test_services_without_a_column_have_no_sum_of_it(months: Months) -> None:
    for taxi_type in TAXI_TYPES:
        columns = {column.name for column in TAXI_TYPES[taxi_type].columns}
        month = date(2024, 1, 1)
        rows = [trip(number=number, tip_amount=1.1, total_amount=None) for number in range(3)]
        rows.append(trip("2024-02-01 00:00:00", pickup_location_id=None))
        rows = [{k: v for k, v in row.items() if k in columns} for row in rows]
        months.load(rows, month, taxi_type)
    found = check(months.database)
    assert len(found["daily_trips"]) == 8
    sums = {row[0]: row[2:] for row in found["monthly_trips"] if row[1] == JANUARY}
    assert (
        sums["green"]
        == sums["yellow"]
        == (3, 3, Decimal("7.80"), Decimal("40.50"), Decimal("3.30"), None)
    )
    assert sums["fhv"] == (3, None, None, None, None, None)
    assert sums["fhvhv"] == (3, None, Decimal("7.80"), Decimal("40.50"), Decimal("3.30"), None)
    assert ("green", FEBRUARY, None, 1, Decimal("17.25")) in found["zone_pickups"]
    assert ("green", JANUARY, 1, 10, 3) in found["hourly_trips"]  # a Monday


@on_one_server
def test_a_sum_is_the_same_in_any_order(months: Months) -> None:
    """Of floating-point numbers it wouldn't be: 0.1 + 0.2 + 0.3 is 0.6000000000000001."""
    fares = [0.1, 0.2, 0.3, 1e8, -1e8, 0.7] * 20
    for order in (fares, fares[::-1]):
        rows = [trip(number=number, fare_amount=fare) for number, fare in enumerate(order)]
        months.load(rows, sha256=str(order))
        assert months.database.query("SELECT fares FROM monthly_trips") == [(Decimal("26.00"),)]
    query = "SELECT sum(round(fare_amount * 100)) / 100 FROM green_trips"
    assert months.database.value(query) == 26.0  # as the comment says


@on_one_server
def test_other_tables_schemas_and_columns(months: Months, settings: Set) -> None:
    settings("warehouse", "schema", "taxi")
    settings("trips", "table", "other.{{ taxi_type }}_rides")
    settings("transform", "columns", "fare_amount")
    months.load([trip(number=number) for number in range(3)])
    found = months.database.query("SELECT * FROM taxi.monthly_trips")
    assert found == [("green", JANUARY, 3, None, None, Decimal("40.50"), None, None)]
    months.load([trip(number=number) for number in range(2)])
    assert months.database.value("SELECT trips FROM taxi.daily_trips") == 2
    wired.reset("green", JANUARY)
    assert months.database.query("SELECT * FROM taxi.zone_pickups") == []


@on_one_server
def test_what_a_trigger_makes_of_the_rows_is_counted(months: Months) -> None:
    months.load([trip()])
    months.database.query(
        """
        CREATE FUNCTION one_dollar() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.fare_amount = 1;
            RETURN NEW;
        END $$;
        CREATE TRIGGER one BEFORE INSERT ON green_trips FOR EACH ROW EXECUTE FUNCTION one_dollar()
        """
    )
    rows = [trip("2024-02-10 10:00:00", number) for number in range(9)]
    months.load([*rows, trip("2024-03-10 10:00:01", 3)], FEBRUARY)
    found = check(months.database)
    assert (
        "green",
        FEBRUARY,
        9,
        9,
        Decimal("23.40"),
        Decimal("9.00"),
        None,
        Decimal("155.25"),
    ) in found["monthly_trips"]


@on_one_server
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_file_of_strays_is_counted_by_the_server(
    months: Months, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(counting, "MOST_APART", limit)
    strays = [trip("2023-05-10 10:00:00", number) for number in range(3)]
    months.load([trip(), *strays, trip(pickup_location_id=9_999)])
    check(months.database)


# warehouses of other versions


@pytest.mark.empty_database
@on_one_server
def test_a_warehouse_from_before_is_counted_by_one_task(months: Months) -> None:
    months.database.query(gzip.decompress(BEFORE.read_bytes()).decode())
    opened = config.open_warehouse()
    uncounted = [str(month) for month in warehouse.uncounted_months(opened)]
    assert uncounted == ["green 2024-01", "green 2024-02", "yellow 2024-01"]
    task = TaxiFeatures()
    assert not task.complete()
    task.run()
    assert task.complete()
    found = check(months.database)
    assert sum(row[2] for row in found["monthly_trips"]) == months.count("trips")
    # a load by a package that knows nothing of them is found, too
    months.database.query("UPDATE counted_loads SET load_id = 0 WHERE taxi_type = 'yellow'")
    assert [str(month) for month in warehouse.uncounted_months(opened)] == ["yellow 2024-01"]


@on_one_server
def test_a_table_that_was_dropped_is_counted_again(months: Months) -> None:
    months.load([trip()])
    months.load([trip("2024-02-10 10:00:00")], FEBRUARY)
    months.database.query("DROP TABLE zone_pickups_by_file CASCADE")
    months.load([trip("2024-03-10 10:00:00")], MARCH)
    assert [month.first_day for month in warehouse.uncounted_months(config.open_warehouse())] == [
        JANUARY,
        FEBRUARY,
    ]
    TaxiFeatures().run()
    check(months.database)


@on_one_server
def test_readers_keep_their_rights(months: Months) -> None:
    months.load([trip()])
    months.database.query("GRANT SELECT ON daily_trips, daily_trips_by_file TO PUBLIC")
    months.database.query(
        "COMMENT ON TABLE daily_trips_by_file IS %s",
        "What the file of each month adds to daily_trips (definition of another version)",
    )
    months.load([trip(number=1)])
    rights = months.database.query(
        "SELECT relname FROM pg_class WHERE relname LIKE 'daily_trips%%' "
        "AND relacl::text LIKE '%%=r/%%' ORDER BY relname",
    )
    assert rights == [("daily_trips",), ("daily_trips_by_file",)]
    check(months.database)


@on_one_server
def test_every_table_and_column_has_a_comment(months: Months) -> None:
    months.load([trip()])
    names = [name for table in TABLES for name in (table, f"{table}_by_file")]
    bare = months.database.query(
        "SELECT attrelid::regclass, attname FROM pg_attribute WHERE attnum > 0 "
        "AND attrelid = ANY(%s::regclass[]) AND col_description(attrelid, attnum) IS NULL",
        [*names, "counted_loads", "load_status"],
    )
    assert bare == []


# further tables


@on_one_server
def test_a_further_table_is_a_select_and_ten_lines(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the page on tasks of your own."""
    page = "docs/your-own-tasks.md"
    [select] = [b.text for b in blocks_of(page, "text") if "to payments." in b.text]
    [code] = [b.text for b in blocks_of(page, "python") if "Feature(" in b.text]
    defined = dict(vars(features))
    exec(code, defined)
    assert len(code.splitlines()) <= 10
    months.load([trip(payment_type=1), trip(number=1, total_amount=math.nan)])

    further = DictLoader({"features/payments.sql": select})
    loader = ChoiceLoader([further, sql._files().loader])
    monkeypatch.setattr(sql._files(), "loader", loader)
    monkeypatch.setattr(sql._files(), "cache", None)
    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, defined["PAYMENTS"]))
    months.load([trip("2024-02-10 10:00:00", payment_type=2)], FEBRUARY)
    paid = "SELECT month, payment_type, trips, revenue FROM payments ORDER BY 1, 2"
    february = (FEBRUARY, 2, 1, Decimal("17.25"))
    assert months.database.query(paid) == [february]
    TaxiFeatures().run()  # January was counted without it
    assert months.database.query(paid) == [
        (JANUARY, 1, 1, Decimal("17.25")),
        (JANUARY, None, 1, None),
        february,
    ]
    months.load([trip("2024-01-31 23:59:59", payment_type=2)], sha256="other")
    assert months.database.query(paid)[0] == (JANUARY, 2, 1, Decimal("17.25"))
    wired.reset("green", JANUARY)
    assert months.database.query(paid) == [february]
    check(months.database)


# any sequence


#: How many sequences are tried, from which seed on.
SEQUENCES = int(os.environ.get("LUIGI_TASKS_FEATURE_SEQUENCES", "3"))
STEPS = 8
PICKUPS = ["2024-01-01 00:00:00", "2024-01-15 10:30:00", "2024-01-31 23:59:59.999999"]
PICKUPS += ["2024-02-01 00:00:00", "2024-02-10 10:00:00", "2024-03-05 07:00:00"]
PICKUPS += ["2008-12-31 23:59:59", "2041-08-17 00:00:00"]
AMOUNTS = [None, 0.0, -13.5, 12.345, 1e9, -1e9, 999_999_999.99, 1e15, 1e308, math.nan, math.inf]
AMOUNTS += [-math.inf, 0.005, 2.675, 1.005, -0.015]


class KilledError(Exception):
    """Stands for a kill in the transaction that merges."""


@dataclass
class Sequence:
    """What is done to a warehouse by one seed, and what its files hold."""

    months: Months
    source: random.Random
    monkeypatch: pytest.MonkeyPatch
    files: dict[date, list[Trip]] = field(default_factory=dict)

    def rows(self) -> list[Trip]:
        """A file's rows: of any month, some twice, some in other files, too."""
        draw = self.source
        shared = [row for rows in self.files.values() for row in rows[:2]]
        found = [self.row() for _ in range(draw.randrange(40))]
        found += draw.sample(shared, min(len(shared), draw.randrange(4)))
        return found + found[: draw.randrange(5)]

    def row(self) -> Trip:
        draw = self.source
        own = {name: draw.choice(AMOUNTS) for name in SUMS.values() if draw.random() < 0.3}
        if "passenger_count" in own:
            own["passenger_count"] = draw.choice([None, 0, 2])
        zone = draw.choice([None, 0, 75, 265, 511, 512, 9_999, -1])
        return trip(draw.choice(PICKUPS), draw.randrange(9), pickup_location_id=zone, **own)

    def merge(self) -> None:
        """A month's file, another edition of it, or the same once more."""
        month = self.source.choice([JANUARY, FEBRUARY, MARCH])
        if month not in self.files or self.source.random() < 0.7:
            self.files[month] = self.rows()
        self.months.load(self.files[month], month, sha256=str(self.source.random()))

    def reset(self) -> None:
        month = self.source.choice([JANUARY, FEBRUARY, MARCH])
        wired.reset("green", month)
        self.files.pop(month, None)

    def drop(self) -> None:
        """Drop a partition or all trips, and heal as the next run does."""
        database = self.months.database
        name = self.source.choice(["2024_01", "2024_02", "2024_03", "all", "rows"])
        if name == "all":
            database.query("DROP TABLE green_trips CASCADE")
        elif name == "rows":
            database.query("TRUNCATE green_trips")
        else:
            database.query(f"DROP TABLE IF EXISTS green_trips_{name}")
        self.heal()

    def kill(self) -> None:
        """Kill a merge before its commit, and heal."""
        month = self.source.choice([JANUARY, FEBRUARY, MARCH])
        self.files[month] = self.rows()
        facts = {"sha256": str(self.source.random())}
        self.months.stage(self.files[month], month, **facts)
        with self.monkeypatch.context() as patched:
            patched.setattr(merging, self.source.choice(["_write_ledger", "set_marker"]), die)
            with pytest.raises(KilledError):
                wired.merge("green", month)
        if self.source.random() < 0.5:
            wired.merge("green", month)
        else:
            self.months.load(self.files[month], month, **facts)

    def heal(self) -> None:
        """Load what isn't complete."""
        for _ in range(2):  # a month that is loaded again may have shared rows with others
            there = wired.merged_months("green", list(self.files))
            for month in sorted(self.files.keys() - there):
                self.months.load(self.files[month], month, sha256=str(self.source.random()))


def die(*_: Any, **__: Any) -> None:
    raise KilledError


@on_one_server
@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_they_are_right_after_any_sequence(
    months: Months, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Of merge, reset, another edition, drop, kill and heal; and counting anew finds the same."""
    sequence = Sequence(months, random.Random(seed), monkeypatch)
    sequence.merge()
    for _ in range(STEPS):
        kind = sequence.source.choice(["merge", "merge", "merge", "reset", "drop", "kill"])
        getattr(sequence, kind)()
        check(months.database)
    before = check(months.database)
    opened = config.open_warehouse()
    assert warehouse.uncounted_months(opened) == []
    for month in sequence.files:
        found = Month("green", month)
        warehouse.recount(opened, config.month_tables(opened, found))
    assert check(months.database) == before
