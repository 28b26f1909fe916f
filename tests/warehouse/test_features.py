"""The tables for analysts equal what SQL says of the trips, whatever was done to these."""

import math
import os
import random
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import psycopg2
import pytest
import wired
from conftest import Database
from months import FEBRUARY, JANUARY, Months, Trip, trip

from luigi_tasks import config, warehouse
from luigi_tasks.months import Month
from luigi_tasks.warehouse import merging

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
MARCH = date(2024, 3, 1)
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
