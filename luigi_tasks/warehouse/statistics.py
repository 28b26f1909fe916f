"""Statistics of trips tables for PostgreSQL's planner, and what has it do without them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.tables import Table, TripsTable, Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.errors import first_line
from luigi_tasks.warehouse.relations import owns
from luigi_tasks.warehouse.session import labelled_cursor, month_lock, open_session, query
from luigi_tasks.warehouse.sql import execute

logger = logging.getLogger("luigi-interface.warehouse")


def analyze_partition(warehouse: Warehouse, label: str, trips: TripsTable, month: Month) -> None:
    """Gather statistics of a new partition, unless ``analyze_trips`` is to do it."""
    if _analyses_alone(warehouse) or not _has_outgrown(warehouse, label, trips):
        _analyze(warehouse, label, trips.partition(month))


def analyze_trips(warehouse: Warehouse, label: str, trips: TripsTable) -> None:
    """Gather statistics of a whole trips table, if it has grown by more than a tenth.

    Before PostgreSQL 18 that includes those of each partition: it's for the end of a run, and a
    partition isn't analysed by itself where that is to come. Of two runs that end at once, one does
    it.
    """
    with month_lock(warehouse, f"statistics of {'.'.join(trips.name)}", wait=False) as is_held:
        if is_held and _has_outgrown(warehouse, label, trips):
            _analyze(warehouse, label, trips.name, is_only=_analyses_alone(warehouse))


def _has_outgrown(warehouse: Warehouse, label: str, trips: TripsTable) -> bool:
    """Whether a trips table has grown by more than a tenth since it was analysed."""
    return bool(query(warehouse, label, "merge/has_outgrown.sql", trips=trips.name))


def _analyses_alone(warehouse: Warehouse) -> bool:
    """Whether a partitioned table can be analysed without its partitions."""
    return open_session(warehouse).server_version >= 180000


def _analyze(warehouse: Warehouse, label: str, table: Table, *, is_only: bool = False) -> None:
    """Gather statistics of a table. Nothing that is loaded depends on it, so it may fail."""
    try:
        with labelled_cursor(warehouse, label) as cursor:
            is_owner = owns(cursor, table)
            execute(cursor, "merge/analyze.sql", table=table, is_only=is_only, is_owner=is_owner)
    except (psycopg2.Error, TaxiError) as error:
        logger.warning("%s: not analysed: %s", ".".join(table), first_line(error))


@contextmanager
def hashed(cursor: Cursor, *, is_whole: bool = True) -> Iterator[None]:
    """Have two whole months compared by hashing. Without statistics, which new tables don't have,
    PostgreSQL takes them for small and looks rows up one by one."""
    if is_whole:
        cursor.execute("SET LOCAL enable_nestloop = off")
    yield
    cursor.execute("SET LOCAL enable_nestloop = on")
