"""The fingerprint of a trip, against one that is computed here and knows no PostgreSQL."""

import hashlib
import math
import random
import struct
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from months import Months, Trip, trip

from luigi_tasks.catalog import GREEN, TAXI_TYPES, Column, TaxiType

STAGING = "{}_trips_staging_2024_01"

#: What a session may begin with; none of it may change a fingerprint.
SESSION_SETTINGS = {
    "datestyle": "ISO, DMY",  # psycopg2 itself sees to the ISO
    "intervalstyle": "sql_standard",
    "timezone": "'Asia/Tokyo'",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
}

MICROSECOND = timedelta(microseconds=1)


def binary(value: Any) -> bytes:
    """A value as PostgreSQL sends it in binary; text as its md5."""
    if isinstance(value, int):
        return struct.pack(">i", value)
    if isinstance(value, float):
        return struct.pack(">d", value)
    if isinstance(value, datetime):
        return struct.pack(">q", (value - datetime(2000, 1, 1)) // MICROSECOND)
    return hashlib.md5(value.encode()).digest()


def fingerprint(row: Trip, kind: TaxiType) -> UUID:
    """For each column that has a value, in the catalog's order: its tag, and the value."""
    digest = hashlib.md5()
    for column in kind.columns:
        value = row.get(column.name)
        if value is not None:
            digest.update(bytes([column.tag]) + binary(value))
    return UUID(digest.hexdigest())


EDGES: dict[str, list[Any]] = {
    "integer": [0, 1, -1, 2**31 - 1, -(2**31)],
    "double precision": [0.0, -0.0, 0.1, 1e308, 5e-324, math.inf, -math.inf, math.nan],
    "timestamp": [
        datetime(1, 1, 1),
        datetime(1999, 12, 31, 23, 59, 59, 999_999),
        datetime(2000, 1, 1),
        datetime(9999, 12, 31, 23, 59, 59, 999_999),
    ],
    "text": ["", " ", "N", "Ñ", "🚕", "\\", "'", '"', "\t\n", "NULL", "x" * 10_000],
}


def draw(column: Column, source: random.Random) -> Any:
    """Draw NULL, a value from the edges of its type, or any other."""
    if not column.required and source.random() < 0.3:
        return None
    if source.random() < 0.3:
        return source.choice(EDGES[column.type])
    return {
        "integer": source.randint(-(2**31), 2**31 - 1),
        "double precision": source.uniform(-1e6, 1e6),
        "timestamp": datetime(1900, 1, 1) + source.randrange(10**16) * MICROSECOND,
        "text": "".join(map(chr, source.choices(range(1, 0xD800), k=source.randrange(9)))),
    }[column.type]


def staged(months: Months, rows: list[Trip], taxi_type: str = "green") -> list[UUID]:
    """Stage rows, and return their fingerprints, in no order."""
    months.stage(rows, taxi_type=taxi_type)
    table = STAGING.format(taxi_type)
    return [UUID(each) for (each,) in months.database.query(f"SELECT unique_row_id FROM {table}")]


@pytest.mark.parametrize("kind", TAXI_TYPES.values(), ids=list(TAXI_TYPES))
def test_it_is_the_md5_of_tags_and_binary_values(months: Months, kind: TaxiType) -> None:
    source = random.Random(20240101)
    rows = [{column.name: draw(column, source) for column in kind.columns} for _ in range(500)]
    for _ in range(2):
        found = staged(months, rows, kind.name)
        assert sorted(found) == sorted(fingerprint(row, kind) for row in rows)


@pytest.mark.parametrize("name", SESSION_SETTINGS)
def test_no_setting_of_a_session_changes_it(months: Months, name: str) -> None:
    database = months.database.value("SELECT current_database()")
    months.database.query(f"ALTER DATABASE {database} SET {name} TO {SESSION_SETTINGS[name]}")
    assert months.database.value(f"SHOW {name}") == SESSION_SETTINGS[name].replace("'", "")
    rows = [trip(number=1), trip(fare_amount=0.1 + 0.2, store_and_fwd_flag="Ñ\\'")]
    for _ in range(2):
        assert sorted(staged(months, rows)) == sorted(fingerprint(row, GREEN) for row in rows)


def test_a_null_and_an_empty_text_differ(months: Months) -> None:
    assert len(set(staged(months, [trip(store_and_fwd_flag=f) for f in (None, "", "N")]))) == 3


def test_a_null_and_a_zero_differ(months: Months) -> None:
    rows = [trip(tip_amount=tip, trip_type=kind) for tip in (None, 0.0) for kind in (None, 0)]
    assert len(set(staged(months, rows))) == 4


def test_a_value_that_moves_to_the_next_column_makes_another(months: Months) -> None:
    names = [column.name for column in GREEN.columns if column.type == "double precision"]
    rows = [trip(fare_amount=None, total_amount=None, trip_distance=None)]
    rows = [{**rows[0], name: 2.5} for name in names]
    assert len(set(staged(months, rows))) == len(names)


def test_every_column_counts(months: Months) -> None:
    source = random.Random(1)
    one = {column.name: EDGES[column.type][2] for column in GREEN.columns}
    others = []
    for column in GREEN.columns:
        value = one[column.name]
        while value in (None, one[column.name]):
            value = draw(column, source)
        others.append({**one, column.name: value})
    assert len(set(staged(months, [one, *others]))) == 1 + len(GREEN.columns)


def test_alike_rows_of_two_types_are_alike_in_what_they_share(months: Months) -> None:
    assert staged(months, [trip()], "green") == staged(months, [trip()], "yellow")
