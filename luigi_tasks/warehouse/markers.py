"""Changes of markers and of the ledger's rows, within the transactions that they stand for."""

from collections.abc import Iterable

from psycopg2.extensions import cursor

from luigi_tasks.months import Month
from luigi_tasks.records import Edition
from luigi_tasks.tables import Table, TripsTable, Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.ledger import of_taxi_type
from luigi_tasks.warehouse.session import transaction
from luigi_tasks.warehouse.sql import execute


def set_marker(cursor: cursor, update_id: str, target_table: Table) -> None:
    """Set a marker, in the transaction that does the table work."""
    names = {"update_id": update_id, "target_table": ".".join(target_table)}
    execute(cursor, "ledger/set_marker.sql", **names)


def delete_markers(cursor: cursor, update_ids: Iterable[str]) -> None:
    """Delete markers of what no longer holds."""
    execute(cursor, "ledger/delete_markers.sql", update_ids=list(update_ids))


def invalidate_months_sharing_rows(cursor: Cursor, trips: TripsTable, month: Month) -> None:
    """Delete the markers of months that may have counted removed trips as their own."""
    names = of_taxi_type(cursor.warehouse, month.taxi_type)
    file = "ledger/invalidate_months_sharing_rows.sql"
    execute(cursor, file, month=month.first_day, **names)


def record_edition(warehouse: Warehouse, month: Month, load_id: int, edition: Edition) -> None:
    """Record in the ledger that a load's bytes were published again, as another edition."""
    with transaction(warehouse, f"TaxiRefresh {month}") as cursor:
        execute(cursor, "ledger/record_edition.sql", load_id=load_id, edition=edition)
