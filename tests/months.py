"""Rows in: what the tests of the warehouse stage and merge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import wired

from luigi_tasks.catalog import NEW_TYPES, TAXI_TYPES
from luigi_tasks.records import Load, Merged
from luigi_tasks.transform import arrow_schema
from luigi_tasks.warehouse.session import _sessions as sessions

if TYPE_CHECKING:
    from conftest import Database

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)

Trip = dict[str, Any]


def trip(pickup: str = "2024-01-15 10:00:00", number: int = 0, **values: Any) -> Trip:
    """Make a trip of either taxi type; of the same pickup, those of other numbers differ."""
    at = datetime.fromisoformat(pickup)
    return {
        "vendor_id": 2,
        "pickup_datetime": at,
        "dropoff_datetime": at + timedelta(minutes=12, seconds=number),
        "passenger_count": 1,
        "trip_distance": 2.6,
        "pickup_location_id": 75,
        "dropoff_location_id": 236,
        "fare_amount": 13.5,
        "total_amount": 17.25,
        **values,
    }


def trips(count: int, pickup: str = "2024-01-15 10:00:00") -> list[Trip]:
    return [trip(pickup, number) for number in range(count)]


def load_of(rows: int, **facts: Any) -> Load:
    """Make what is known of a load of so many rows, before it is staged."""
    known: dict[str, Any] = {
        "url": "https://published.example/months",
        "etag": '"1"',
        "last_modified": "2024-03-20T12:00:00+00:00",
        "bytes": 1_000,
        "sha256": "0" * 64,
        "rows_read": rows,
        "rows_rejected": 0,
        "rows_staged": rows,
        "unknown_columns": [],
        "quality": {},
        "new_columns": {},
        "download_seconds": 1.5,
        "transform_seconds": 0.5,
        "started_at": "2024-04-01T00:00:00+00:00",
    }
    return Load(**{**known, **facts})


@dataclass
class Months:
    """Stages and merges rows in an empty database."""

    database: Database
    folder: Path

    def stage(
        self, rows: list[Trip], month: date = JANUARY, taxi_type: str = "green", **facts: Any
    ) -> None:
        """Stage rows as a month's file; ``facts`` are those of its ``Load``."""
        file = self.folder / "trips.parquet"
        schema = arrow_schema(TAXI_TYPES[taxi_type])
        for name, kind in facts.get("new_columns", {}).items():
            schema = schema.append(pa.field(name, pa.type_for_alias(NEW_TYPES.get(kind, "string"))))
        pq.write_table(pa.Table.from_pylist(rows, schema), file)
        wired.stage(taxi_type, month, file, load_of(len(rows), **facts))

    def load(
        self, rows: list[Trip], month: date = JANUARY, taxi_type: str = "green", **facts: Any
    ) -> Merged:
        """Stage and merge rows."""
        self.stage(rows, month, taxi_type, **facts)
        return wired.merge(taxi_type, month)

    def count(self, table: str = "green_trips") -> int:
        return int(self.database.value(f"SELECT count(*) FROM {table}"))


def close_sessions() -> None:
    """Close this process's connections to whatever warehouse."""
    for session in sessions.values():
        session.close()
    sessions.clear()
