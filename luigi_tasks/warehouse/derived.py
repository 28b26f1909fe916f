"""Tables that users derive from the trips, a month at a time, and the markers of their months."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import psycopg2.errors

from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.tables import Table, Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.errors import first_line
from luigi_tasks.warehouse.ledger import last_load, merged_editions, merged_months
from luigi_tasks.warehouse.locks import DDL
from luigi_tasks.warehouse.session import query, transaction
from luigi_tasks.warehouse.sql import execute, rows

#: The temporary view of a month's trips, which a derived table's query reads.
MONTH_TRIPS: Table = ("pg_temp", "month_trips")


@dataclass(frozen=True)
class DerivedTable:
    """A user's table.

    ``task`` names the task that fills it, with parameters of its own. ``query`` is a SELECT from
    ``month_trips``, whose columns the table has after ``taxi_type`` and ``month``; it is empty if
    the task runs other statements, which must create the table then.
    """

    name: Table
    task: str
    query: str
    comment: str

    @property
    def select(self) -> str:
        """The query as a part of a statement."""
        return re.sub(r";\s*$", "", self.query.strip())

    def marker(self, month: Month, load_id: int) -> str:
        """The ``update_id`` of a month's marker: it names the month's load and the query."""
        digest = hashlib.sha256(self.select.encode()).hexdigest()[:8] if self.query else ""
        return f"{self.marker_prefix(month)}{load_id} {digest}".rstrip()

    def marker_prefix(self, month: Month) -> str:
        """The beginning of the markers that a month had for its loads."""
        return f"{self.task} {month}, load "


def derived_months(
    warehouse: Warehouse, table: DerivedTable, taxi_type: str, months: Sequence[date]
) -> set[date]:
    """Which of the months are merged, and in the table as of their last load."""
    merged = merged_months(warehouse, taxi_type, months)
    editions = merged_editions(warehouse, taxi_type, sorted(merged)) if merged else {}
    markers = {
        table.marker(Month(taxi_type, first_day), edition.load_id): first_day
        for first_day, edition in editions.items()
    }
    names = {"derived": table.name, "update_ids": list(markers)}
    found = query(warehouse, f"{table.task} {taxi_type}", "derived/read_markers.sql", **names)
    return {markers[update_id] for (update_id,) in found}


def derive(
    warehouse: Warehouse, table: DerivedTable, month: Month, work: Callable[[Cursor], None]
) -> None:
    """Replace a month's rows, and set the month's marker, in one transaction.

    :param work: replaces the rows. The view ``month_trips`` exists meanwhile.
    :raises TaxiError: the month isn't merged, or PostgreSQL refuses a statement.
    """
    label = f"{table.task} {month}"
    editions = merged_editions(warehouse, month.taxi_type, [month.first_day])
    if month.first_day not in editions:
        raise TaxiError(f"{month}: isn't merged any more; run again")
    _prepare(warehouse, table, month, label)
    with transaction(warehouse, label) as cursor:
        with _month_trips(cursor, month), _plain_refusals(label):
            work(cursor)
        execute(
            cursor,
            "derived/replace_marker.sql",
            prefix=table.marker_prefix(month),
            update_id=table.marker(month, editions[month.first_day].load_id),
            target_table=".".join(table.name),
        )


def replace_derived_rows(cursor: Cursor, table: DerivedTable, month: Month) -> int:
    """Replace a month's rows by those of the query; returns how many there are now."""
    cursor.execute(f"SELECT * FROM (\n{table.select}\n) AS derived LIMIT 0")  # noqa: S608
    return execute(
        cursor,
        "derived/replace_rows.sql",
        derived=table.name,
        names=[column.name for column in cursor.description or ()],
        query=table.select,
        taxi_type=month.taxi_type,
        month=month.first_day,
    )


def _prepare(warehouse: Warehouse, table: DerivedTable, month: Month, label: str) -> None:
    """Create the table, with the columns that the query has now, unless it exists.

    A table that doesn't exist has no month, so the markers of all months are deleted.
    """
    if query(warehouse, label, "derived/table_exists.sql", derived=table.name):
        return
    with transaction(warehouse, label, DDL) as cursor:
        if rows(cursor, "derived/table_exists.sql", derived=table.name):
            return  # another run has created it meanwhile
        execute(cursor, "derived/delete_markers.sql", target_table=".".join(table.name))
        if table.query:
            names = {"derived": table.name, "query": table.select, "comment": table.comment}
            with _month_trips(cursor, month), _plain_refusals(label):
                execute(cursor, "derived/create_table.sql", **names)


@contextmanager
def _month_trips(cursor: Cursor, month: Month) -> Iterator[None]:
    """Have the view ``month_trips`` in a transaction: the trips of the month's file.

    Until the transaction ends, names without a schema are looked up in the warehouse's schema.
    """
    trips = cursor.warehouse.trips[month.taxi_type]
    last = last_load(cursor, trips, month)
    execute(
        cursor,
        "derived/create_month_trips.sql",
        month_trips=MONTH_TRIPS,
        view=trips.named_view,
        filename=month.filename,
        pickups=last.pickup_bounds if last else [],
    )
    yield
    execute(cursor, "derived/drop_month_trips.sql", month_trips=MONTH_TRIPS)


@contextmanager
def _plain_refusals(label: str) -> Iterator[None]:
    """Report a mistake in a user's statement on one line."""
    try:
        yield
    except psycopg2.errors.InsufficientPrivilege:
        raise
    except psycopg2.ProgrammingError as error:
        raise TaxiError(f"{label}: PostgreSQL refuses a statement: {first_line(error)}") from None
