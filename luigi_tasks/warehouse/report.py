"""The figures of the report: what the ledger and the tables for analysts hold, at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from luigi_tasks.months import Month
from luigi_tasks.tables import Table, Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.session import transaction, with_retries
from luigi_tasks.warehouse.sql import execute, own_tables, quoted, rows

#: A sum of money or miles.
Amount = Decimal | float | int
#: The relations that the report draws, by what the files of ``sql/report/`` call them.
RELATIONS = {
    "daily_table": "daily_trips",
    "monthly_table": "monthly_trips",
    "hourly_table": "hourly_trips",
    "pickups_table": "zone_pickups",
    "outlines_table": "zone_outlines",
}
#: How many of the ledger's last lines are read.
LAST_LOADS = 20


@dataclass(frozen=True)
class LoadFacts:
    """A month's load that is in place.

    ``quality`` counts rows by data quality check; ``download`` to ``merge`` are seconds.
    """

    month: Month
    rows_read: int
    rejects: int
    duplicates: int
    strays: int
    quality: Mapping[str, int]
    download: float
    transform: float
    stage: float
    merge: float
    loaded_at: datetime
    rows: int

    @property
    def seconds(self) -> tuple[float, float, float, float]:
        """The seconds of each step, in their order."""
        return self.download, self.transform, self.stage, self.merge


@dataclass(frozen=True)
class Sums:
    """A month of pickups. A sum is None where the service doesn't publish it."""

    taxi_type: str
    month: date
    trips: int
    passengers: Amount | None
    distance: Amount | None
    fares: Amount | None
    tips: Amount | None
    revenue: Amount | None
    is_loaded: bool


@dataclass(frozen=True)
class ZoneTrips:
    """The pickups of a service in a zone; ``location_id`` is None for trips that have none."""

    taxi_type: str
    location_id: int | None
    zone: str | None
    borough: str | None
    trips: int


@dataclass(frozen=True)
class Outline:
    """A zone's borders: data of an SVG path in units of ``view_box``."""

    location_id: int
    path: str
    view_box: str
    zone: str | None
    borough: str | None


@dataclass(frozen=True)
class LedgerLine:
    """A line of the ledger."""

    load_id: int
    finished_at: datetime
    taxi_type: str
    month: date
    rows_read: int
    rejects: int
    duplicates: int
    inserted: int
    removed: int
    package_version: str
    seconds: float


@dataclass(frozen=True)
class ReportFigures:
    """What a report shows beside the state of the months.

    ``daily`` (service, day, trips), ``monthly``, ``hourly`` (service, weekday from 1 for Monday,
    hour, trips), ``zones`` and ``outlines`` are None if the warehouse has no such table.
    """

    loads: Sequence[LoadFacts] = ()
    last_loads: Sequence[LedgerLine] = ()
    daily: Sequence[tuple[str, date, int]] | None = None
    monthly: Sequence[Sums] | None = None
    hourly: Sequence[tuple[str, int, int, int]] | None = None
    zones: Sequence[ZoneTrips] | None = None
    outlines: Sequence[Outline] | None = None


def report_figures(warehouse: Warehouse, load_ids: Sequence[int]) -> ReportFigures:
    """Read the figures in one transaction, so that they agree with each other.

    :param load_ids: the loads that are in place, a month each.
    """

    def read() -> ReportFigures:
        with transaction(warehouse, "report") as cursor:
            execute(cursor, "report/snapshot.sql")
            return _read(cursor, load_ids)

    return with_retries(warehouse, read)


def _read(cursor: Cursor, load_ids: Sequence[int]) -> ReportFigures:
    warehouse = cursor.warehouse
    tables: dict[str, Table] = {
        name: (warehouse.schema, relation) for name, relation in RELATIONS.items()
    }
    wanted = {name: quoted(cursor, table) for name, table in tables.items()}
    ledger = quoted(cursor, own_tables(warehouse)["ledger"])
    found = {
        relation
        for (relation,) in rows(
            cursor, "report/relations.sql", relations=[ledger, *wanted.values()]
        )
    }
    if ledger not in found:
        return ReportFigures()
    loads = [
        LoadFacts(Month(taxi_type, month), *facts)
        for taxi_type, month, *facts in rows(cursor, "report/loads.sql", load_ids=list(load_ids))
    ]
    merged: dict[str, Any] = {
        "taxi_types": [each.month.taxi_type for each in loads],
        "months": [each.month.first_day for each in loads],
    }

    def of(table: str) -> list[tuple[Any, ...]] | None:
        if wanted[table] not in found:
            return None
        file = table.replace("pickups", "zones").removesuffix("_table")
        return rows(cursor, f"report/{file}.sql", **{table: tables[table]}, **merged)

    monthly, zones, outlines = of("monthly_table"), of("pickups_table"), of("outlines_table")
    lines = rows(cursor, "report/last_loads.sql", most=LAST_LOADS)
    return ReportFigures(
        loads,
        [LedgerLine(*facts) for facts in lines],
        of("daily_table"),
        None if monthly is None else [Sums(*facts) for facts in monthly],
        of("hourly_table"),
        None if zones is None else [ZoneTrips(*facts) for facts in zones],
        None if outlines is None else [Outline(*facts) for facts in outlines],
    )
