"""Columns of a file that the catalog doesn't know, on their way into a trips table."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from luigi_tasks.catalog import Column
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.records import LastLoad
from luigi_tasks.tables import TripsTable
from luigi_tasks.warehouse.columns import TableColumn, TargetColumns, columns_of, target_columns
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.locks import with_lock_timeout
from luigi_tasks.warehouse.migrations import read_version
from luigi_tasks.warehouse.relations import owns, rights_kept
from luigi_tasks.warehouse.sql import execute, own_tables
from luigi_tasks.warehouse.statistics import hashed
from luigi_tasks.warehouse.views import create_views

logger = logging.getLogger("luigi-interface.warehouse")


def add_new_columns(
    cursor: Cursor,
    trips: TripsTable,
    month: Month,
    new: TargetColumns,
    columns: Sequence[TableColumn],
) -> None:
    """Give a trips table the columns that came with a file, as late as possible: nobody can read
    it from then to the end of the transaction."""
    existing = {column.name for column in columns}
    comment = f"Came with {month.filename}; the catalog doesn't know it"
    added = [Column(name, 0, t, comment) for name, t in new.values() if name not in existing]
    if not added:
        return
    if not owns(cursor, trips.name):
        names = ", ".join(f"{column.name} ({column.type})" for column in added)
        raise TaxiError(
            f"{month.filename} has new columns, {names}, and only the owner of table "
            f"{'.'.join(trips.name)} may add them: run this month once as its owner, or leave them "
            "out by [transform] schema_contract = discard"
        )
    view = own_tables(cursor.warehouse)["trips_view"]

    def add() -> None:
        execute(cursor, "tables/add_columns.sql", table=trips.name, columns=added)
        if read_version(cursor, own_tables(cursor.warehouse).values()).is_newer:
            return  # a later version's view may have more columns than we know
        with rights_kept(cursor, [trips.named_view, view]):
            create_views(cursor, {trips.named_view})

    with_lock_timeout(cursor, add)
    names = ", ".join(f"{column.name} ({column.type})" for column in added)
    logger.info("%s: new columns: %s", month, names)


def update_new_columns(
    cursor: Cursor,
    month: Month,
    replaced: Iterable[dict[str, Any]],
    *,
    new: TargetColumns,
    last: LastLoad | None,
    names: dict[str, Any],
) -> None:
    """Give trips that an earlier load brought, too, what the staged one has in new columns, those
    of either file. Columns that somebody else added stay as they are."""
    columns = columns_of(cursor, names["trips"])
    before = target_columns(last.new_columns, columns) if last else {}
    brought = dict(new.values()) | dict(before.values())
    changed = [column.name for column in columns if column.name in brought]
    if changed:
        for pickups in replaced:
            with hashed(cursor, is_whole=pickups == month.bounds):
                execute(cursor, "merge/update_new_columns.sql", new=changed, **names, **pickups)
