"""Copy a month into its staging table."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from luigi_tasks.catalog import NEW_TYPES, TAXI_TYPES
from luigi_tasks.chunks import Chunks, ahead
from luigi_tasks.errors import TaxiError
from luigi_tasks.records import Load
from luigi_tasks.tables import Table, Tables, Warehouse
from luigi_tasks.warehouse.columns import (
    TableColumn,
    TargetColumns,
    check_columns,
    columns_of,
    target_columns,
)
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.locks import DDL, lock
from luigi_tasks.warehouse.markers import delete_markers, set_marker
from luigi_tasks.warehouse.partitions import becomes_partition, key_name
from luigi_tasks.warehouse.relations import drop, holds_staging
from luigi_tasks.warehouse.session import query, transaction
from luigi_tasks.warehouse.sql import execute, render
from luigi_tasks.warehouse.sql import rows as fetch
from luigi_tasks.warehouse.tables import prepare

if TYPE_CHECKING:
    from luigi_tasks.checksums import FingerprintSum
    from luigi_tasks.formats import Trips

#: Bytes of rows that look repeated which are held in memory; more go to a file.
REPEATED_IN_MEMORY = 1 << 23
#: A temporary table.
_REPEATED: Table = ("pg_temp", "repeated")


@dataclass(frozen=True)
class Staged:
    """What is in a staging table: the load, and the target columns of the file's new columns.

    ``counts`` is what ``counting`` found in its rows; None if the server has to count them.
    ``sum`` is that of the hashes of what was sent; empty if an earlier version has staged it.
    """

    load: Load
    new: TargetColumns
    counts: dict[str, Any] | None
    sum: str

    @property
    def sent(self) -> "FingerprintSum":
        """What the client has sent."""
        from luigi_tasks.checksums import FingerprintSum

        return FingerprintSum.of_digits(self.load.rows_staged - self.load.rows_duplicate, self.sum)


def stage(
    warehouse: Warehouse,
    tables: Tables,
    trips: "Trips",
    load_of: Callable[[], Load],
    report: Callable[[int, int | None], None] = lambda done, total: None,
    *,
    folder: Path,
) -> Load:
    """Fill the month's staging table with canonical trips, and set its marker.

    :param load_of: is called when all rows are copied, and nothing is committed yet; it returns
        what is known of the load by then, or raises what keeps it from being staged.
    :param report: is called with the rows sent so far, and all of them, if that is known.
    :param folder: where rows may be put aside meanwhile.
    :raises TaxiError: there aren't the rows that the load says.
    """
    import pyarrow as pa

    from luigi_tasks.checksums import FingerprintSum
    from luigi_tasks.warehouse.counting import Counts
    from luigi_tasks.warehouse.encoding import encoded

    began = time.monotonic()
    month, table, staging = tables.month, tables.trips, tables.staging
    label = f"TaxiStageLoad {month}"
    prepare(warehouse, label, staging[0])
    with transaction(warehouse, label) as cursor:
        holds_staging(cursor, staging)
        columns = columns_of(cursor, table.name)
        new = target_columns(trips.new_columns, columns)
        check_columns(table, month, columns, new)
        definitions = {column.name: column.definition for column in columns}
        selected = [column.name for column in table.taxi_type.columns]
        sent = _columns_sent(trips, selected, columns)
        names: dict[str, Any] = {
            "staging": staging,
            "names": sent + list(dict(new.values())),
            "filename": month.filename,
        }
        counts, total = Counts(month.first_day, sent), FingerprintSum()

        def count(batch: pa.RecordBatch) -> None:
            nonlocal total
            counts.add(batch)
            total += FingerprintSum.of_hashes(batch.column("unique_row_id"))

        execute(cursor, "session/bulk_settings.sql")
        execute(
            cursor,
            "staging/create.sql",
            becomes_partition=becomes_partition(cursor, table, month),
            definitions=definitions | {n: t for n, t in new.values() if n not in definitions},
            **names,
        )
        with SpooledTemporaryFile(REPEATED_IN_MEMORY, dir=str(folder)) as repeated:
            encode = partial(
                encoded,
                columns=TAXI_TYPES[month.taxi_type].columns,
                selected=sent,
                new={name: NEW_TYPES[column_type] for name, (_, column_type) in new.items()},
                report=report,
                count=count,
                repeated=repeated,
            )
            rows = _copy(cursor, render(cursor, "staging/copy.sql", **names), trips, encode)
            rows_repeated = _copy_repeated(cursor, names, repeated)
        load = load_of()
        if rows + rows_repeated != load.rows_staged:
            raise TaxiError(
                f"{trips.name} has {rows + rows_repeated:,} rows and should have "
                f"{load.rows_staged:,}; remove it and run again"
            )
        execute(cursor, "staging/add_key.sql", key=key_name(staging), **names)
        if rows_repeated:
            names["counted"] = counts.columns
            inserted = fetch(cursor, "staging/insert_repeated.sql", **names)
            load.rows_duplicate = rows_repeated - len(inserted)
            counts.add_apart(row[1:] for row in inserted)
            ids = pa.array([UUID(row[0]).bytes for row in inserted], pa.binary())
            total += FingerprintSum.of_hashes(ids)
        load.stage_seconds = time.monotonic() - began
        facts = {
            "load": asdict(load),
            "kept": selected,
            "new": new,
            "columns": definitions,
            "counts": counts.result(),
            "sum": str(total),
        }
        names |= {"description": json.dumps(facts)}
        execute(cursor, "staging/describe.sql", **names)
        set_marker(cursor, month.staged_id, staging)
    return load


def _columns_sent(
    trips: "Trips", selected: Sequence[str], columns: Sequence[TableColumn]
) -> list[str]:
    """Those of the selected columns that COPY has to send: others have no values, and would be NULL
    without it, too, but for that which ``Counts`` counts by."""
    by_itself = {column.name for column in columns if column.definition == column.type}
    may_lack = by_itself - set(trips.schema.names) - {"pickup_location_id"}
    return [name for name in selected if name not in may_lack]


def read_staged(warehouse: Warehouse, tables: Tables) -> Staged | None:
    """What is in the month's staging table, if its marker is set, it's whole, and was created for
    the columns that are selected now and that the trips table has."""
    month, label = tables.month, f"TaxiStageLoad {tables.month}"
    names = {"staging": tables.staging, "update_id": month.staged_id}
    for description, has_rows in query(warehouse, label, "staging/read.sql", **names):
        with suppress(ValueError, TypeError, KeyError):  # of another version of this package
            facts = json.loads(description)
            load = Load(**facts["load"])
            new = {name: (target, type_) for name, (target, type_) in facts["new"].items()}
            selected = [column.name for column in tables.trips.taxi_type.columns]
            found = query(warehouse, label, "tables/columns.sql", table=tables.trips.name)
            columns = [TableColumn(*each) for each in found]
            is_unchanged = (
                facts["columns"].items()
                <= {column.name: column.definition for column in columns}.items()
            )
            if facts["kept"] == selected and is_unchanged and (has_rows or not load.rows_staged):
                return Staged(load, new, facts.get("counts"), facts.get("sum", ""))
    return None


def complete_staging(
    cursor: Cursor, staging: Table, staged: Staged, columns: Sequence[TableColumn]
) -> TargetColumns:
    """Give a staging table the columns that the trips table got since, from another month's file.

    :returns: the target columns of its own new columns now, since that month may have brought some
        of these names with other types.
    """
    new = target_columns(staged.load.new_columns, columns)
    if dict(new.values()).keys() - {column.name for column in columns}:
        lock(cursor, DDL)  # now, since whoever holds it may wait for what is locked later
    moved = [(staged.new[name], target) for name, target in new.items()]
    moved = [(before, target) for before, target in moved if before != target]
    if moved:
        execute(cursor, "staging/move_columns.sql", staging=staging, moved=moved)
    existing = {column.name for column in columns_of(cursor, staging)}
    lacking = {c.name: c.definition for c in columns if c.name not in existing}
    if lacking:
        execute(cursor, "staging/add_columns.sql", staging=staging, definitions=lacking)
    return new


def unstage(warehouse: Warehouse, tables: Tables) -> None:
    """Drop a month's staging table, and delete its marker."""
    with transaction(warehouse, f"TaxiMerge {tables.month}") as cursor:
        drop_staging(cursor, tables)


def drop_staging(cursor: Cursor, tables: Tables) -> None:
    """Drop a month's staging table, unless it is somebody else's, and delete its marker."""
    with suppress(TaxiError):
        if holds_staging(cursor, tables.staging):
            drop(cursor, "staging/drop.sql", staging=tables.staging)
    delete_markers(cursor, [tables.month.staged_id])


def _copy(
    cursor: Cursor, statement: str, trips: "Trips", encode: Callable[[Any], Iterator[bytes]]
) -> int:
    """Send trips by COPY while they are encoded, batch by batch.

    :returns: the number of rows that the server took.
    """
    with ahead(encode(trips)) as chunks:
        sent = Chunks(chunks)
        try:
            cursor.copy_expert(statement, sent, 1 << 20)
        except BaseException:
            trips.stop()
            if isinstance(sent.error, OSError):  # a page doesn't match its checksum
                raise TaxiError(f"{trips.name} can't be read: {sent.error}; run again") from None
            if sent.error is not None:  # psycopg2 turned it into an error of the query
                raise sent.error from None
            raise
    return int(cursor.rowcount)


def _copy_repeated(cursor: Cursor, names: dict[str, Any], repeated: IO[bytes]) -> int:
    """Copy rows that may be in the staging table already into a temporary table; returns how
    many."""
    if not repeated.tell():
        return 0
    repeated.seek(0)
    execute(cursor, "staging/create_repeated.sql", **names)
    statement = render(cursor, "staging/copy.sql", **names | {"staging": _REPEATED})
    cursor.copy_expert(statement, repeated, 1 << 20)
    return int(cursor.rowcount)
