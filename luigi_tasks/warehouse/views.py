"""The views: each taxi type's trips with names beside the codes, and all trips in one."""

from typing import Any

import psycopg2.errors

from luigi_tasks.catalog import TaxiType, shared_columns
from luigi_tasks.tables import Table, TripsTable
from luigi_tasks.warehouse.columns import columns_of
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.relations import create, drop
from luigi_tasks.warehouse.sql import own_tables, render

#: Our views are recognised by their comments.
ALL_TRIPS_COMMENT = "Trips of all taxi types, by the columns that more than one of them has"
LOAD_STATUS_COMMENT = (
    "State of each month that is merged, is missing between others, has failed or is being loaded, "
    "or that the source was asked about"
)
_LOAD_STATUS = {
    "taxi_type": "TLC service, such as green",
    "month": "First day of the month in the file's name",
    "state": (
        "merged, corrected since, missing, not yet published, overdue, failed or running; only "
        "luigi-tasks status knows the limits of [quality], and which months the settings want"
    ),
    "trips": "Trips of the file, without duplicates; this and the next ones are of the last load",
    "rejects": "Rows that could not be read",
    "duplicates": "Rows equal to another in every column",
    "strays": "Trips with a pickup outside the month",
    "seconds": "From the download to the end of the merge",
    "loaded_at": "When the merge was done",
    "url": "Edition: where the file was fetched",
    "etag": "Edition: the server's ETag, if it gave one",
    "published_at": "Edition: when it was published",
    "bytes": "Edition: size of the file",
    "sha256": "Edition: digest of the file, in hexadecimal",
    "error": "Why it failed, if it has",
    "step": "The step that it failed at, or is at",
    "host": "The host that it failed on, or is running on",
    "since": "When it failed, or was begun",
    "deadline": "Last day on which it isn't overdue yet, if it isn't published",
    "load_id": "Its row in load_history",
}


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


def create_load_status(cursor: Cursor) -> None:
    """Create the view of the state of each month, or replace that of an earlier version."""
    asked: dict[str, Any] = {
        **dict.fromkeys(("taxi_types", "firsts", "lasts")),
        "least_rows": 0.0,
        "most": {},
        "dead_runs": [],
    }
    create(
        cursor,
        own_tables(cursor.warehouse)["load_status_view"],
        "status/create_load_status.sql",
        query=render(cursor, "status/months.sql", **asked).strip().rstrip(";"),
        comment=LOAD_STATUS_COMMENT,
        comments=_LOAD_STATUS,
    )


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
