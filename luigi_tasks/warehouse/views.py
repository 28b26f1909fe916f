"""The views: each taxi type's trips with names beside the codes, and all trips in one."""

import psycopg2.errors

from luigi_tasks.catalog import TaxiType, shared_columns
from luigi_tasks.tables import Table, TripsTable
from luigi_tasks.warehouse.columns import columns_of
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.relations import create, drop
from luigi_tasks.warehouse.sql import own_tables

#: Our views are recognised by their comments.
ALL_TRIPS_COMMENT = "Trips of all taxi types, by the columns that more than one of them has"


def named_comment(taxi_type: TaxiType) -> str:
    """The comment of the view of a taxi type's trips."""
    return f"{taxi_type.comment}, with names beside the codes"


def create_views(cursor: Cursor, due: set[Table], *, may_drop: bool = True) -> None:
    """Create the views that are due, or replace those of an earlier version.

    :param may_drop: whether views of other columns are dropped for that.
    """
    all_trips = cursor.warehouse.trips.values()
    cursor.execute("SAVEPOINT without_views")
    try:
        _replace_views(cursor, due)
    except psycopg2.errors.InvalidTableDefinition:  # they have other columns
        cursor.execute("ROLLBACK TO SAVEPOINT without_views")
        if may_drop:
            drop_views(cursor)
            view = own_tables(cursor.warehouse)["trips_view"]
            _replace_views(cursor, {*(trips.named_view for trips in all_trips), view})


def drop_views(cursor: Cursor) -> None:
    """Drop all views.

    :raises TaxiError: something else depends on one.
    """
    views = [trips.named_view for trips in cursor.warehouse.trips.values()]
    drop(cursor, "tables/drop_views.sql", tables=views)


def _replace_views(cursor: Cursor, due: set[Table]) -> None:
    all_trips = cursor.warehouse.trips
    shared = shared_columns(trips.taxi_type for trips in all_trips.values())
    columns = {column.name: (column.type, column.comment) for column in shared}
    views = []
    for name, trips in all_trips.items():
        if trips.named_view in due:
            _replace_named_view(cursor, trips)
        shown = trips.taxi_type.shown_names
        own = {column.name for column in trips.taxi_type.columns} | shown.keys()
        views.append((name, trips.named_view, own))
        columns |= {each: ("text", comment) for each, comment in shown.items()}
    viewed = [(each, *facts) for each, facts in columns.items()]
    view = own_tables(cursor.warehouse)["trips_view"]
    if view in due:
        names = {"views": views, "viewed": viewed, "comment": ALL_TRIPS_COMMENT}
        create(cursor, view, "tables/create_trips_view.sql", **names)


def _replace_named_view(cursor: Cursor, trips: TripsTable) -> None:
    taxi_type = trips.taxi_type
    known = {"unique_row_id", "filename", *(column.name for column in taxi_type.columns)}
    existing = [column.name for column in columns_of(cursor, trips.name)]
    create(
        cursor,
        trips.named_view,
        "tables/create_named_view.sql",
        view=trips.named_view,
        trips=trips.name,
        columns=taxi_type.columns,
        lookups=taxi_type.lookups,
        shown=taxi_type.shown_names,
        new=[name for name in existing if name not in known],
        comment=named_comment(taxi_type),
    )
