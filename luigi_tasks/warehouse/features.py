"""The tables for analysts, kept right by each transaction that changes a month's trips.

What the file of a month adds to each of them is in a table of its own, ``…_by_file``, and a view
sums it up. A load replaces what its own file adds. So it costs the same however many other months
there are, and whichever months the file's strays are of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from luigi_tasks.catalog import features
from luigi_tasks.catalog.features import AMOUNT_LIMIT, BY_HOUR, BY_ZONE, Feature
from luigi_tasks.months import Month
from luigi_tasks.tables import Table, TripsTable, Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.relations import Relation, create, drop, find
from luigi_tasks.warehouse.sql import execute, feature_tables, render, source

#: Where trips are: a table, and the bounds of their pickups.
Part = tuple[Table, Mapping[str, Any]]
#: What a feature's SELECT may read.
_SOURCES: Mapping[str, Table] = {
    "file_trips": ("pg_temp", "file_trips"),
    "by_hour": ("pg_temp", "by_hour"),
    "by_zone": ("pg_temp", "by_zone"),
}


def relations(warehouse: Warehouse) -> dict[Table, tuple[str, str]]:
    """The tables and views of all features, with the kind of relation and how its comment
    begins."""
    wanted = {}
    for feature in features.FEATURES:
        by_file, view = feature_tables(warehouse, feature)
        wanted[by_file] = ("r", feature.by_file_comment)
        wanted[view] = ("v", feature.comment)
    return wanted


def outdated(warehouse: Warehouse, found: Mapping[Table, Relation]) -> set[Table]:
    """The tables and views of features that were defined in another way when they were created."""
    changed: set[Table] = set()
    for feature in features.FEATURES:
        by_file, view = feature_tables(warehouse, feature)
        if by_file in found and found[by_file].comment != _comment(feature):
            changed |= {by_file, view}
    return changed


def create_features(cursor: Cursor, due: Collection[Table]) -> None:
    """Create the tables and views that are due. What they count has to be counted again then."""
    for feature in features.FEATURES:
        by_file, view = feature_tables(cursor.warehouse, feature)
        names: dict[str, Any] = {"feature": feature, "by_file": by_file, "view": view}
        if by_file in due:
            drop(cursor, "counts/drop_table.sql", **names)
            create(cursor, by_file, "counts/create_table.sql", comment=_comment(feature), **names)
            execute(cursor, "counts/forget.sql")
        if by_file in due or view in due:
            trips = cursor.warehouse.trips.items()
            names["services"] = [(name, ".".join(table.name)) for name, table in trips]
            create(cursor, view, "counts/create_view.sql", **names)


def replace_counts(
    cursor: Cursor,
    trips: TripsTable,
    month: Month,
    parts: Sequence[Part],
    *,
    load_id: int,
    counts: Mapping[str, Any] | None = None,
) -> None:
    """Replace what a month's file adds to each table by what it adds as of a load.

    :param parts: where the file's trips are, one part for each month of pickup.
    :param counts: what ``counting`` found in them; by default they are counted here.
    """
    tables = _tables_of_ours(cursor)
    remove_counts(cursor, trips, month)
    summed = {each.of for each in (*BY_HOUR, *BY_ZONE)}
    execute(
        cursor,
        "counts/create_file_trips.sql",
        parts=parts or [(trips.name, month.bounds)],
        filename=month.filename,
        names=[column.name for column in trips.taxi_type.columns],
    )
    names: dict[str, Any] = {
        "hour_sums": BY_HOUR,
        "zone_sums": BY_ZONE,
        "names": [c.name for c in trips.taxi_type.columns if c.name in summed],
        "limit": AMOUNT_LIMIT,
    }
    file = "counts/take_counts.sql" if counts else "counts/count_trips.sql"
    execute(cursor, file, counts=counts, **names)
    for feature, table in tables.items():
        columns = [column.name for column in trips.taxi_type.columns]
        select = render(cursor, _file(feature), names=columns, **_SOURCES).strip().rstrip(";")
        execute(
            cursor,
            "counts/insert_counts.sql",
            by_file=table,
            names=feature.columns,
            query=select,
            **_names(trips, month),
        )
    execute(cursor, "counts/drop_file_trips.sql")
    facts = {"load_id": load_id, "definition": definition(), **_names(trips, month)}
    execute(cursor, "counts/record_counted.sql", **facts)


def remove_counts(cursor: Cursor, trips: TripsTable, month: Month) -> None:
    """Delete what a month's file adds to each table."""
    tables = [feature_tables(cursor.warehouse, feature)[0] for feature in features.FEATURES]
    execute(cursor, "counts/remove_counts.sql", tables=tables, **_names(trips, month))


def definition() -> str:
    """A digest of how all features are defined."""
    return _digest("\n".join(map(_comment, features.FEATURES)))


def _tables_of_ours(cursor: Cursor) -> dict[Feature, Table]:
    """The table of each feature that is defined as this package knows it. A later package, which
    defines one in another way, counts the month again."""
    tables = {each: feature_tables(cursor.warehouse, each)[0] for each in features.FEATURES}
    found = find(cursor, tables.values())
    return {
        feature: table
        for feature, table in tables.items()
        if table in found and found[table].comment == _comment(feature)
    }


def _names(trips: TripsTable, month: Month) -> dict[str, Any]:
    return {"trips": trips.name, "taxi_type": month.taxi_type, "month": month.first_day}


def _file(feature: Feature) -> str:
    return f"features/{feature.name}.sql"


def _comment(feature: Feature) -> str:
    """The comment of a feature's table, which tells whether it is defined as today."""
    defined = [repr((feature.keys, feature.sums)), source(_file(feature))]
    return f"{feature.by_file_comment} (definition {_digest(*defined)})"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]
