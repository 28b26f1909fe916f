"""Months that the tables for analysts lack: those that a package from before them has loaded."""

from __future__ import annotations

from luigi_tasks.months import Month
from luigi_tasks.tables import Tables, Warehouse
from luigi_tasks.warehouse import features
from luigi_tasks.warehouse.ledger import last_load
from luigi_tasks.warehouse.locks import table_lock
from luigi_tasks.warehouse.session import query, transaction
from luigi_tasks.warehouse.sql import execute
from luigi_tasks.warehouse.tables import prepare


def uncounted_months(warehouse: Warehouse) -> list[Month]:
    """The merged months that the tables for analysts lack, or count as they were before their last
    load."""
    names = {
        "definition": features.definition(),
        "trips_tables": [".".join(trips.name) for trips in warehouse.trips.values()],
    }
    label = "uncounted months"
    is_counted = bool(query(warehouse, label, "counts/is_counted.sql"))
    found = query(warehouse, label, "counts/uncounted.sql", is_counted=is_counted, **names)
    return [Month(taxi_type, month) for taxi_type, month in found]


def recount(warehouse: Warehouse, tables: Tables) -> None:
    """Count the trips of a month's file again, from the trips table."""
    month, trips = tables.month, tables.trips
    label = f"TaxiFeatures {month}"
    prepare(warehouse, label)
    with transaction(warehouse, label, table_lock(trips.name)) as cursor:
        last = last_load(cursor, trips, month)
        if last:
            execute(cursor, "session/bulk_settings.sql")
            parts = [(trips.name, pickups) for pickups in last.pickup_bounds]
            features.replace_counts(cursor, trips, month, parts, load_id=last.load_id)
