"""The warehouse's functions by taxi type and month, with the settings as they are now: what the
tasks do, without a task."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection

from luigi_tasks import config, warehouse
from luigi_tasks.formats import open_trips
from luigi_tasks.months import Month
from luigi_tasks.records import Load, Merged, MergedEdition
from luigi_tasks.storage import MonthFiles
from luigi_tasks.tables import Tables, Warehouse
from luigi_tasks.tasks import TaxiMerge, targets
from luigi_tasks.warehouse import session


def opened(taxi_type: str, month: date) -> tuple[Warehouse, Tables]:
    """The warehouse, and the tables of a month."""
    found = config.open_warehouse()
    return found, config.month_tables(found, Month(taxi_type, month))


def files(taxi_type: str, month: date) -> MonthFiles:
    """A month's files."""
    return MonthFiles(config.storage_root(), Month(taxi_type, month))


def stage(
    taxi_type: str,
    month: date,
    trips_file: Path,
    load: Load,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    found = opened(taxi_type, month)
    with open_trips(trips_file, load.new_columns) as trips:
        warehouse.stage(*found, trips, lambda: load, report, folder=trips_file.parent)


def merge(taxi_type: str, month: date) -> Merged:
    task = TaxiMerge(month=month, taxi_type=taxi_type)
    return warehouse.merge(*opened(taxi_type, month), task._check_quality)


def reset(taxi_type: str, month: date) -> int:
    return warehouse.reset(*opened(taxi_type, month))


def unstage(taxi_type: str, month: date) -> None:
    warehouse.unstage(*opened(taxi_type, month))


def analyze_trips(label: str, taxi_type: str) -> None:
    found = config.open_warehouse()
    warehouse.analyze_trips(found, label, found.trips[taxi_type])


def merged_months(taxi_type: str, months: Sequence[date]) -> set[date]:
    return warehouse.merged_months(config.open_warehouse(), taxi_type, months)


def merged_editions(taxi_type: str, months: Sequence[date]) -> dict[date, MergedEdition]:
    return warehouse.merged_editions(config.open_warehouse(), taxi_type, months)


def month_exists(taxi_type: str, month: date) -> bool:
    return warehouse.month_exists(config.open_warehouse(), Month(taxi_type, month))


def load_zones(url: str, zones: Any, outlines: Any = ()) -> int:
    markers = zones_target(url).markers
    return warehouse.load_zones(config.open_warehouse(), markers, zones, outlines)


def month_lock(name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
    return warehouse.month_lock(config.open_warehouse(), name, wait=wait)


def url() -> str:
    return warehouse.url(config.open_warehouse())


def transaction(label: str) -> AbstractContextManager[warehouse.Cursor]:
    return warehouse.transaction(config.open_warehouse(), label)


def labelled_cursor(label: str) -> AbstractContextManager[warehouse.Cursor]:
    return session.labelled_cursor(config.open_warehouse(), label)


def open_session() -> connection:
    return warehouse.open_session(config.open_warehouse())


def connect() -> connection:
    return warehouse.connect(config.open_warehouse())


def staged_target(taxi_type: str, month: date) -> targets.StagedTarget:
    return targets.StagedTarget(*opened(taxi_type, month))


def merged_target(taxi_type: str, month: date) -> targets.MergedTarget:
    return targets.MergedTarget(config.open_warehouse(), Month(taxi_type, month))


def zones_target(url: str) -> targets.ZonesTarget:
    return targets.ZonesTarget(config.open_warehouse(), url)
