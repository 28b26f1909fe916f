"""Merge a staged month into its trips table, and take a month out again. Read it downward."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime, timezone
from importlib.metadata import version
from typing import Any

import psycopg2

from luigi_tasks.catalog import Column
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month, bounds
from luigi_tasks.records import LastLoad, Load, Merged
from luigi_tasks.tables import Table, Tables, TripsTable, Warehouse
from luigi_tasks.warehouse.columns import TableColumn, TargetColumns, columns_of, target_columns
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.errors import first_line
from luigi_tasks.warehouse.features import remove_counts, replace_counts
from luigi_tasks.warehouse.ledger import last_load
from luigi_tasks.warehouse.locks import table_lock, with_lock_timeout
from luigi_tasks.warehouse.markers import (
    delete_markers,
    invalidate_months_sharing_rows,
    set_marker,
)
from luigi_tasks.warehouse.migrations import read_version
from luigi_tasks.warehouse.partitions import (
    attach,
    becomes_partition,
    has_few_rows,
    make_partition,
    move_from_default_partition,
)
from luigi_tasks.warehouse.relations import owns, rights_kept
from luigi_tasks.warehouse.session import (
    labelled_cursor,
    month_lock,
    open_session,
    query,
    transaction,
)
from luigi_tasks.warehouse.sql import as_json, execute, own_tables, rows
from luigi_tasks.warehouse.staging import Staged, complete_staging, drop_staging, read_staged
from luigi_tasks.warehouse.tables import prepare
from luigi_tasks.warehouse.views import create_views

logger = logging.getLogger("luigi-interface.warehouse")

#: Temporary tables of a merge.
_STRAYS: Table = ("pg_temp", "strays")
_MISSING: Table = ("pg_temp", "missing")
_EVERYWHERE = {"start": "-infinity", "stop": "infinity"}

#: Refuses a month by its rows, the rows that each data quality check found, and the rows of the
#: month before, if that is loaded.
QualityCheck = Callable[[int, Mapping[str, int], int | None], None]


def merge(warehouse: Warehouse, tables: Tables, check_quality: QualityCheck) -> Merged:
    """Put a staged month's trips into the trips table, each once, and write the ledger.

    Trips, ledger, markers and the end of the staging table are one transaction. Another edition
    of the month that was loaded before is replaced.

    :raises TaxiError: the month isn't staged, or its staging table has lost rows.
    """
    began = time.monotonic()
    month, trips, staging = tables.month, tables.trips, tables.staging
    names = {
        "staging": staging,
        "trips": trips.name,
        "other": trips.other,
        "filename": month.filename,
    }
    label = f"TaxiMerge {month}"
    prepare(warehouse, label)
    make_partition(warehouse, label, tables)
    with transaction(warehouse, label, table_lock(trips.name)) as cursor:
        staged, columns = _must_be_staged(warehouse, tables), columns_of(cursor, trips.name)
        load = staged.load
        new = complete_staging(cursor, staging, staged, columns)
        names["names"] = [c.name for c in trips.taxi_type.columns] + list(dict(new.values()))
        execute(cursor, "session/bulk_settings.sql")
        merged = Merged(rows_staged=load.rows_staged, rows_duplicate=load.rows_duplicate)
        if rows(cursor, "merge/count_staged.sql", **names) != [(merged.rows_distinct,)]:
            raise TaxiError(f"{'.'.join(staging)} has lost rows; remove it and run again")
        rows_by_month = _select_strays(cursor, month, merged, names)
        load.quality["stray"] = merged.rows_stray
        before = last_load(cursor, trips, month.before)
        check_quality(merged.rows_distinct, load.quality, before.rows_distinct if before else None)
        last = last_load(cursor, trips, month)
        replaced = _replaced(cursor, month, load=load, last=last, names=names)
        merged.rows_removed = _remove_replaced(cursor, trips, month, replaced, names)
        rows_kept = _count_rows_of_file(cursor, names, rows_by_month) if last else 0
        _add_new_columns(cursor, trips, month, new, columns)
        _update_new_columns(cursor, month, replaced, new=new, last=last, names=names)
        strays = rows_by_month.keys() - {month.first_day}
        merged.rows_inserted = _merge_strays(cursor, names, strays)
        own_rows = rows_by_month.get(month.first_day, 0)
        is_new = bool(own_rows) and becomes_partition(cursor, trips, month)
        if is_new:
            present = move_from_default_partition(cursor, trips, month, staging, columns)
            merged.rows_inserted += own_rows - present
        elif own_rows:
            merged.rows_inserted += _merge_month(cursor, trips, month, names)
        merged.rows_present = merged.rows_distinct - merged.rows_inserted
        merged.rows_shared = merged.rows_present - rows_kept
        merged.pickup_months = _sentinel_rows(cursor, staging, month, rows_by_month)
        load_id = _write_ledger(cursor, tables, load, merged, time.monotonic() - began)
        parts = [
            (staging if is_new and m == month.first_day else trips.name, m) for m in rows_by_month
        ]
        _replace_counts(cursor, tables, parts, load_id, staged=staged, merged=merged)
        delete_markers(cursor, [month.staged_id])
        set_marker(cursor, month.merged_id, trips.name)
        if is_new:
            attach(cursor, trips, month, staging)
        else:
            execute(cursor, "staging/drop.sql", staging=staging)
    if is_new and (_analyses_alone(warehouse) or not _has_outgrown(warehouse, label, trips)):
        _analyze(warehouse, label, trips.partition(month))
    return merged


def reset(warehouse: Warehouse, tables: Tables) -> int:
    """Take a month out: its file's trips, its staging table, its markers. The ledger stays.

    :returns: how many trips were removed.
    """
    removed = 0
    month, trips = tables.month, tables.trips
    names = {"trips": trips.name, "filename": month.filename}
    label = f"TaxiReset {month}"
    prepare(warehouse, label)
    with transaction(warehouse, label, table_lock(trips.name)) as cursor:
        last = last_load(cursor, trips, month)
        for pickups in last.pickup_bounds if last else [_EVERYWHERE]:
            removed += execute(cursor, "merge/remove_month.sql", **names, **pickups)
        if removed:
            invalidate_months_sharing_rows(cursor, trips, month)
        remove_counts(cursor, trips, month)
        drop_staging(cursor, tables)
        delete_markers(cursor, [month.merged_id])
    return removed


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


# --- what an earlier load left ----------------------------------------------------------------


def _must_be_staged(warehouse: Warehouse, tables: Tables) -> Staged:
    staged = read_staged(warehouse, tables)
    if staged is None:
        raise TaxiError(f"{tables.month} isn't staged any more; run again")
    return staged


def _replaced(
    cursor: Cursor, month: Month, *, load: Load, last: LastLoad | None, names: dict[str, Any]
) -> list[dict[str, Any]]:
    """The bounds of the pickups that an earlier load of the month may have left, unless it was of
    the same file."""
    if last:
        return [] if last.has_same_rows(load) else last.pickup_bounds
    marker = [month.merged_id]
    if rows(cursor, "ledger/month_exists.sql", update_ids=marker, **names, **month.bounds):
        return [_EVERYWHERE]
    return []


def _remove_replaced(
    cursor: Cursor,
    trips: TripsTable,
    month: Month,
    replaced: Iterable[dict[str, Any]],
    names: dict[str, Any],
) -> int:
    """Remove what an earlier load left and the staged one doesn't have; returns how many trips."""
    removed = 0
    for pickups in replaced:
        with _hashed(cursor, is_whole=pickups == month.bounds):
            removed += execute(cursor, "merge/remove_replaced.sql", **names, **pickups)
    if removed:
        invalidate_months_sharing_rows(cursor, trips, month)
    return removed


def _count_rows_of_file(cursor: Cursor, names: dict[str, Any], months: Iterable[date]) -> int:
    """How many trips of a month's own file the table has, in some months of pickup."""
    file = "merge/count_rows_of_file.sql"
    counted = [rows(cursor, file, **names, **bounds(month)) for month in months]
    return sum(count for [(count,)] in counted)


# --- new columns ------------------------------------------------------------------------------


def _add_new_columns(
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


def _update_new_columns(
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
            with _hashed(cursor, is_whole=pickups == month.bounds):
                execute(cursor, "merge/update_new_columns.sql", new=changed, **names, **pickups)


# --- trips ------------------------------------------------------------------------------------


def _select_strays(
    cursor: Cursor, month: Month, merged: Merged, names: dict[str, Any]
) -> dict[date, int]:
    """Copy the strays into a temporary table, and count them.

    :returns: how many trips were staged, by month of pickup.
    """
    execute(cursor, "merge/select_strays.sql", **names, **month.bounds)
    rows_by_month = dict(rows(cursor, "merge/count_strays.sql"))
    merged.rows_stray = sum(rows_by_month.values())
    if merged.rows_distinct > merged.rows_stray:
        rows_by_month[month.first_day] = merged.rows_distinct - merged.rows_stray
    return rows_by_month


def _merge_strays(cursor: Cursor, names: dict[str, Any], months: Iterable[date]) -> int:
    """Merge the strays, and delete them from the staging table; returns how many were inserted."""
    inserted = 0
    for month in months:
        source = {"source": _STRAYS, "are_new": False}
        inserted += execute(cursor, "merge/merge.sql", **source, **names, **bounds(month))
    execute(cursor, "merge/remove_strays.sql", **names)
    return inserted


def _merge_month(cursor: Cursor, trips: TripsTable, month: Month, names: dict[str, Any]) -> int:
    """Merge the staged trips of the month itself into its partition; returns how many were
    inserted."""
    source = names["staging"]
    are_new = has_few_rows(cursor, trips, month)
    if not are_new:  # then only some of the staged ones are; a query finds them faster than MERGE
        with _hashed(cursor):
            execute(cursor, "merge/find_missing.sql", **names, **month.bounds)
        source = _MISSING
    names = {"source": source, "are_new": are_new, **names, **month.bounds}
    return execute(cursor, "merge/merge.sql", **names)


@contextmanager
def _hashed(cursor: Cursor, *, is_whole: bool = True) -> Iterator[None]:
    """Have two whole months compared by hashing. Without statistics, which new tables don't have,
    PostgreSQL takes them for small and looks rows up one by one."""
    if is_whole:
        cursor.execute("SET LOCAL enable_nestloop = off")
    yield
    cursor.execute("SET LOCAL enable_nestloop = on")


def _sentinel_rows(
    cursor: Cursor, staging: Table, month: Month, rows_by_month: dict[date, int]
) -> dict[str, dict[str, Any]]:
    """For each month of pickup, how many rows were staged, and one row by which to find them."""
    found = {}
    for pickup_month, count in sorted(rows_by_month.items()):
        source = staging if pickup_month == month.first_day else _STRAYS
        names = {"source": source, **bounds(pickup_month)}
        [(row_id, pickup)] = rows(cursor, "merge/find_sentinel.sql", **names)
        # strftime doesn't pad years everywhere
        found[pickup_month.isoformat()[:7]] = {
            "rows": count,
            "unique_row_id": row_id,
            "pickup_datetime": pickup.isoformat(),
        }
    return found


def _replace_counts(
    cursor: Cursor,
    tables: Tables,
    parts: Iterable[tuple[Table, date]],
    load_id: int,
    *,
    staged: Staged,
    merged: Merged,
) -> None:
    """Have the tables for analysts count the month's trips in place of those of its last load.

    What was counted of the staged rows holds unless another file, or somebody's trigger, has a
    part in what is stored.

    :param parts: each month of pickup, and the table that its trips are in.
    """
    trips, counts = tables.trips, staged.counts
    if merged.rows_shared or rows(cursor, "merge/has_triggers.sql", trips=trips.name):
        counts = None
    found = [(table, bounds(month)) for table, month in parts]
    replace_counts(cursor, trips, tables.month, found, load_id=load_id, counts=counts)


def _write_ledger(
    cursor: Cursor, tables: Tables, load: Load, merged: Merged, seconds: float
) -> int:
    """Insert the load's row into the ledger; returns its number."""
    month = tables.month
    facts = {
        "taxi_type": month.taxi_type,
        "month": month.first_day,
        "trips_table": ".".join(tables.trips.name),
        "filename": month.filename,
        **asdict(load),
        **asdict(merged),
        "metrics": as_json(load.metrics),
        "merge_seconds": seconds,
        "finished_at": datetime.now(timezone.utc),
        "package_version": version("luigi-tasks"),
    }
    [(load_id,)] = rows(cursor, "ledger/insert_load.sql", load=facts)
    return int(load_id)
