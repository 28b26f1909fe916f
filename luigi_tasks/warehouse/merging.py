"""Merge a staged month into its trips table, and take a month out again. Read it downward."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month, bounds
from luigi_tasks.records import LastLoad, Load, Merged
from luigi_tasks.tables import Table, Tables, TripsTable, Warehouse
from luigi_tasks.warehouse import balancing
from luigi_tasks.warehouse.balancing import Balance, Found, Held
from luigi_tasks.warehouse.columns import TableColumn, columns_of
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.features import remove_counts, replace_counts
from luigi_tasks.warehouse.ledger import last_load
from luigi_tasks.warehouse.locks import table_lock
from luigi_tasks.warehouse.markers import (
    delete_markers,
    invalidate_months_sharing_rows,
    set_marker,
)
from luigi_tasks.warehouse.new_columns import add_new_columns, update_new_columns
from luigi_tasks.warehouse.partitions import (
    attach,
    becomes_partition,
    has_few_rows,
    make_partition,
    move_from_default_partition,
)
from luigi_tasks.warehouse.session import transaction
from luigi_tasks.warehouse.sql import as_json, execute, rows
from luigi_tasks.warehouse.staging import Staged, complete_staging, drop_staging, read_staged
from luigi_tasks.warehouse.statistics import analyze_partition, hashed
from luigi_tasks.warehouse.tables import prepare

if TYPE_CHECKING:
    from luigi_tasks.checksums import FingerprintSum

logger = logging.getLogger("luigi-interface.warehouse")

#: Temporary tables of a merge.
_STRAYS: Table = ("pg_temp", "strays")
_MISSING: Table = ("pg_temp", "missing")
_EVERYWHERE = {"start": "-infinity", "stop": "infinity"}

#: Refuses a month by its rows, the rows that each data quality check found, and the rows of the
#: month before, if that is loaded.
QualityCheck = Callable[[int, Mapping[str, int], int | None], None]


def merge(
    warehouse: Warehouse,
    tables: Tables,
    check_quality: QualityCheck,
    *,
    must_compare: bool = False,
) -> Merged:
    """Put a staged month's trips into the trips table, each once, and write the ledger.

    Trips, ledger, markers and the end of the staging table are one transaction. Another edition
    of the month that was loaded before is replaced.

    :param must_compare: whether trips that an earlier load brought are compared in all columns, and
        replaced where they differ.
    :raises LostRowsError: the staging table doesn't hold what was sent.
    :raises TaxiError: the month isn't staged, or its rows don't add up.
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
        balance = balancing.begin(cursor, trips, list(dict(new.values())))
        found = balancing.check_staged(cursor, balance, month, staged.sent, names)
        strays = _select_strays(cursor, month, found, names)
        merged.rows_stray = load.quality["stray"] = found.strays
        _check_quality(cursor, tables, load, merged, check_quality)
        last = last_load(cursor, trips, month)
        replaced = _replaced(cursor, month, load=load, last=last, names=names)
        merged.rows_removed = _remove_replaced(cursor, trips, month, replaced, names)
        if must_compare:
            merged.rows_removed += _remove_differing(cursor, tables, last, strays, names)
        add_new_columns(cursor, trips, month, new, columns)
        update_new_columns(cursor, month, replaced, new=new, last=last, names=names)
        merged.rows_inserted = _merge_strays(cursor, names, strays)
        balancing.check_strays(cursor, balance, strays, _STRAYS, names)
        own = found.without(strays.values())
        is_new = bool(own.rows) and becomes_partition(cursor, trips, month)
        if is_new:
            merged.rows_inserted += _take_as_partition(
                cursor, tables, columns, own, balance=balance, names=names
            )
        elif own.rows:
            as_before = last if not replaced else None
            _merge_month(
                cursor, tables, own, as_before, balance=balance, merged=merged, names=names
            )
        merged.note_held(balance.rows)
        sums = {**strays, month.first_day: own}
        rows_by_month = {each: total.rows for each, total in sums.items() if total.rows}
        merged.pickup_months = _sentinel_rows(cursor, staging, month, rows_by_month)
        found_facts = {**balance.facts(), "merge_seconds": time.monotonic() - began}
        load_id = _write_ledger(cursor, tables, load, merged, found_facts)
        _replace_counts(
            cursor, tables, rows_by_month, load_id, staged=staged, merged=merged, is_new=is_new
        )
        delete_markers(cursor, [month.staged_id])
        set_marker(cursor, month.merged_id, trips.name)
        if is_new:
            attach(cursor, trips, month, staging)
        else:
            execute(cursor, "staging/drop.sql", staging=staging)
    if is_new:
        analyze_partition(warehouse, label, trips, month)
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


# --- what an earlier load left ----------------------------------------------------------------


def _must_be_staged(warehouse: Warehouse, tables: Tables) -> Staged:
    staged = read_staged(warehouse, tables)
    if staged is None:
        raise TaxiError(f"{tables.month} isn't staged any more; run again")
    return staged


def _check_quality(
    cursor: Cursor, tables: Tables, load: Load, merged: Merged, check_quality: QualityCheck
) -> None:
    before = last_load(cursor, tables.trips, tables.month.before)
    check_quality(merged.rows_distinct, load.quality, before.rows_distinct if before else None)


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
        with hashed(cursor, is_whole=pickups == month.bounds):
            given = {"table": trips.name, "compared": [], **names, **pickups}
            removed += execute(cursor, "merge/remove_replaced.sql", **given)
    if removed:
        invalidate_months_sharing_rows(cursor, trips, month)
    return removed


def _remove_differing(
    cursor: Cursor,
    tables: Tables,
    last: LastLoad | None,
    strays: Iterable[date],
    names: dict[str, Any],
) -> int:
    """Remove the file's trips that aren't exactly as they are staged; returns how many."""
    file, month, trips = "merge/remove_replaced.sql", tables.month, tables.trips
    given = {"compared": names["names"], **names}
    pickups = {each["start"]: each for each in (last.pickup_bounds if last else [])}
    pickups |= {each: bounds(each) for each in (month.first_day, *strays)}
    with hashed(cursor):
        parts = [(trips.name, each) for each in pickups.values()] + [(trips.other, _EVERYWHERE)]
        removed = sum(execute(cursor, file, table=t, **given, **each) for t, each in parts)
    if removed:
        invalidate_months_sharing_rows(cursor, trips, month)
    return removed


# --- trips ------------------------------------------------------------------------------------


def _select_strays(
    cursor: Cursor, month: Month, found: Found, names: dict[str, Any]
) -> "dict[date, FingerprintSum]":
    """Copy the strays, if there are any, into a temporary table; returns their sums, by month of
    pickup."""
    if not found.strays:
        return {}
    execute(cursor, "merge/select_strays.sql", places=found.places, **names, **month.bounds)
    return balancing.sum_strays(cursor)


def _merge_strays(cursor: Cursor, names: dict[str, Any], months: Collection[date]) -> int:
    """Merge the strays, and delete them from the staging table; returns how many were inserted."""
    inserted = 0
    for month in months:
        source = {"source": _STRAYS, "are_new": False}
        inserted += execute(cursor, "merge/merge.sql", **source, **names, **bounds(month))
    if months:
        execute(cursor, "merge/remove_strays.sql", **names)
    return inserted


def _take_as_partition(
    cursor: Cursor,
    tables: Tables,
    columns: Sequence[TableColumn],
    own: "FingerprintSum",
    *,
    balance: Balance,
    names: dict[str, Any],
) -> int:
    """Have the staging table hold all that the month's partition is to hold; returns how many trips
    are new.

    :param own: the sum of the staged trips of the month itself.
    """
    trips, month, pickups = tables.trips, tables.month, tables.month.bounds
    earlier = balancing.sum_held(cursor, balance, trips.other, pickups, names)
    present = move_from_default_partition(cursor, trips, month, tables.staging, columns)
    held = Held(own - present)
    if earlier.sum.rows or balance.rest:
        held = balancing.sum_held(cursor, balance, tables.staging, pickups, names)
    balance.held[month.first_day] = held
    return own.rows - present.rows


def _merge_month(
    cursor: Cursor,
    tables: Tables,
    own: "FingerprintSum",
    as_before: LastLoad | None,
    *,
    balance: Balance,
    merged: Merged,
    names: dict[str, Any],
) -> None:
    """Merge the staged trips of the month itself into its partition.

    :param own: the sum of these trips.
    :param as_before: the month's last load, if that should have been of the same rows.
    """
    trips, month = tables.trips, tables.month
    source = names["staging"]
    are_new = has_few_rows(cursor, trips, month)
    if not are_new:  # then only some of the staged ones are; a query finds them faster than MERGE
        with hashed(cursor):
            execute(cursor, "merge/find_missing.sql", **names, **month.bounds)
        source = _MISSING
    given = {"source": source, "are_new": are_new, **names, **month.bounds}
    merged.rows_inserted += execute(cursor, "merge/merge.sql", **given)

    def differing() -> "tuple[FingerprintSum, FingerprintSum] | None":
        with hashed(cursor):
            return balancing.differing(cursor, balance, month.first_day, own, names)

    found = differing()
    if found and as_before:  # rows of the file that it hasn't got
        pickups = as_before.pickup_bounds
        merged.rows_removed += _remove_replaced(cursor, trips, month, pickups, names)
        found = differing()
    if found:
        raise balancing.refusal(names, *found, own)


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
    months: Iterable[date],
    load_id: int,
    *,
    staged: Staged,
    merged: Merged,
    is_new: bool,
) -> None:
    """Have the tables for analysts count the month's trips in place of those of its last load.

    What was counted of the staged rows holds unless another file, or somebody's trigger, has a
    part in what is stored.

    :param months: each month of pickup.
    :param is_new: whether the trips of the month itself are in its staging table still.
    """
    trips, counts = tables.trips, staged.counts
    if merged.rows_shared or rows(cursor, "merge/has_triggers.sql", trips=trips.name):
        counts = None
    parts = dict.fromkeys(months, trips.name)
    if is_new:
        parts[tables.month.first_day] = tables.staging
    found = [(table, bounds(month)) for month, table in parts.items()]
    replace_counts(cursor, trips, tables.month, found, load_id=load_id, counts=counts)


def _write_ledger(
    cursor: Cursor, tables: Tables, load: Load, merged: Merged, facts: Mapping[str, Any]
) -> int:
    """Insert the load's row into the ledger; returns its number.

    :param facts: what else the merge found, by column.
    """
    month = tables.month
    row = {
        "taxi_type": month.taxi_type,
        "month": month.first_day,
        "trips_table": ".".join(tables.trips.name),
        "filename": month.filename,
        **asdict(load),
        **asdict(merged),
        **facts,
        "metrics": as_json(load.metrics),
        "finished_at": datetime.now(timezone.utc),
        "package_version": version("luigi-tasks"),
    }
    [(load_id,)] = rows(cursor, "ledger/insert_load.sql", load=row)
    return int(load_id)
