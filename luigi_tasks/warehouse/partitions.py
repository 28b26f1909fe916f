"""A month's partition: whether it exists, and how a staging table becomes it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.tables import Table, Tables, TripsTable, Warehouse
from luigi_tasks.warehouse.columns import TableColumn, columns_of
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.locks import table_lock, with_lock_timeout
from luigi_tasks.warehouse.relations import find, holds_staging, owns
from luigi_tasks.warehouse.session import transaction
from luigi_tasks.warehouse.sql import execute, rows

if TYPE_CHECKING:
    from luigi_tasks.checksums import FingerprintSum


def check_partition(cursor: Cursor, trips: Table, partition: Table) -> bool:
    """Whether a partition exists.

    :raises TaxiError: something else has its name.
    """
    state = rows(cursor, "tables/partition_state.sql", trips=trips, partition=partition)
    if state and not state[0][0]:
        noun = find(cursor, [partition])[partition].noun
        raise TaxiError(
            f"{noun} {'.'.join(partition)} exists but isn't a partition of {'.'.join(trips)}; "
            f"{'attach it, or ' if 'table' in noun else ''}rename it"
        )
    return bool(state)


def becomes_partition(cursor: Cursor, trips: TripsTable, month: Month) -> bool:
    """Whether a month has no partition yet: its staging table becomes that."""
    return not check_partition(cursor, trips.name, trips.partition(month))


def has_few_rows(cursor: Cursor, trips: TripsTable, month: Month) -> bool:
    """Whether the table that a month's trips go to is nearly empty."""
    partition = trips.partition(month)
    if not check_partition(cursor, trips.name, partition):
        partition = trips.other
    return bool(rows(cursor, "merge/has_few_rows.sql", table=partition)[0][0])


def key_name(table: Table) -> str:
    """The name of a table's primary key."""
    return f"{table[1]}_pkey"


def move_from_default_partition(
    cursor: Cursor, trips: TripsTable, month: Month, staging: Table, columns: Sequence[TableColumn]
) -> "FingerprintSum":
    """Move a month's trips, with all their values, from the default partition to the staging table
    that becomes the month's own; returns the sum of the staged trips that were among them."""
    from luigi_tasks.checksums import FingerprintSum

    names = {"staging": staging, "other": trips.other, **month.bounds}

    def lock() -> None:
        execute(cursor, "merge/lock_default_partition.sql", **names)

    with_lock_timeout(cursor, lock)
    [present] = rows(cursor, "merge/skip_already_loaded.sql", **names)
    stored = [column.name for column in columns if not column.is_generated]
    execute(cursor, "merge/move_from_default_partition.sql", stored=stored, **names)
    return FingerprintSum.of_halves(*present)


def attach(cursor: Cursor, trips: TripsTable, month: Month, staging: Table) -> None:
    """Make a staging table its month's partition.

    That locks the default partition against readers for a moment, so it comes last. A role that
    doesn't own the trips table has its owner's function do it.
    """
    partition, file = trips.partition(month), "merge/attach_partition.sql"
    if not owns(cursor, trips.name):
        partition, file = (staging[0], partition[1]), "merge/attach_as_owner.sql"
    names = {"trips": trips.name, "staging": staging, "partition": partition, **month.bounds}
    execute(
        cursor,
        "merge/make_partition.sql",
        numbered=[column.name for column in columns_of(cursor, trips.name) if column.is_identity],
        key=key_name(staging),
        partition_key=key_name(partition),
        comment=f"Trips of {month.taxi_type} taxis with a pickup in {month.text}",
        **names,
    )
    for (statement,) in rows(cursor, "merge/wanted_by_parent.sql", **names):
        cursor.execute(statement)

    def attach_it() -> None:
        execute(cursor, file, **names)

    with_lock_timeout(cursor, attach_it)


def make_partition(warehouse: Warehouse, label: str, tables: Tables) -> None:
    """Create a month's partition before the merge if the trips table has triggers of somebody's:
    they see rows that are inserted, but none that come with a partition.
    """
    trips, month = tables.trips, tables.month
    table = tables.staging[0], trips.new_partition(month)
    with transaction(warehouse, label, table_lock(trips.name)) as cursor:
        if not rows(cursor, "merge/has_triggers.sql", trips=trips.name):
            return
        if not becomes_partition(cursor, trips, month):
            return
        holds_staging(cursor, table)
        columns = columns_of(cursor, trips.name)
        execute(
            cursor,
            "staging/create.sql",
            staging=table,
            becomes_partition=True,
            definitions={column.name: column.definition for column in columns},
            filename="",
        )
        execute(cursor, "staging/add_key.sql", staging=table, key=key_name(table))
        move_from_default_partition(cursor, trips, month, table, columns)
        attach(cursor, trips, month, table)
