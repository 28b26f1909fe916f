"""The statements in ``sql/``: rendered with quoted names and values, and run.

A file is a Jinja2 template: names go through the filter ``identifier`` and values through
``value``, both of which quote as psycopg2 does.
"""

import json
from functools import lru_cache, partial
from typing import Any

import psycopg2.extras
from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined, pass_context
from luigi.contrib.postgres import PostgresTarget
from psycopg2.extensions import cursor
from psycopg2.sql import Identifier

from luigi_tasks.catalog.features import Feature
from luigi_tasks.tables import Table, Warehouse


def execute(cursor: cursor, file: str, **names: Any) -> int:
    """Run a file, and return how many rows its last statement changed."""
    cursor.execute(render(cursor, file, **names))
    return int(cursor.rowcount)


def rows(cursor: cursor, file: str, **names: Any) -> list[tuple[Any, ...]]:
    """Run a file, and return the rows of its last statement."""
    cursor.execute(render(cursor, file, **names))
    return list(cursor.fetchall())


def render(cursor: cursor, file: str, **names: Any) -> str:
    """Fill in a file.

    :param names: what it uses beside the warehouse's own tables.
    """
    warehouse = getattr(cursor, "warehouse", None)
    own = {}
    if warehouse:
        own = {"schema": warehouse.schema, **own_tables(warehouse), **own_functions(warehouse)}
    return _files().get_template(file).render({**own, **names, "cursor": cursor})


def load_sql() -> None:
    """Compile all files, so that processes which are forked from this one needn't."""
    files = _files()
    for name in files.list_templates():
        files.get_template(name)


def own_tables(warehouse: Warehouse) -> dict[str, Table]:
    """The tables and views that every file may name, those of no single taxi type."""
    return {
        "ledger": (warehouse.schema, "load_history"),
        "marker_table": (warehouse.schema, PostgresTarget.marker_table),
        "version_table": (warehouse.schema, "warehouse_version"),
        "zones_table": (warehouse.schema, "taxi_zones"),
        "outlines_table": (warehouse.schema, "zone_outlines"),
        "runs_table": (warehouse.schema, "runs"),
        "attempts_table": (warehouse.schema, "load_attempts"),
        "alarms_table": (warehouse.schema, "alarms"),
        "seen_table": (warehouse.schema, "months_seen"),
        "counted_table": (warehouse.schema, "counted_loads"),
        "trips_view": (warehouse.schema, "trips"),
        "load_status_view": (warehouse.schema, "load_status"),
    }


def own_functions(warehouse: Warehouse) -> dict[str, Table]:
    """The functions by which a role loads that isn't the owner of the tables."""
    return {
        "attach_function": (warehouse.schema, "attach_trips_partition"),
        "analyze_function": (warehouse.schema, "analyze_trips"),
    }


def feature_tables(warehouse: Warehouse, feature: Feature) -> tuple[Table, Table]:
    """The table of what each file adds to a table for analysts, and the view of the sums."""
    return (warehouse.schema, f"{feature.name}_by_file"), (warehouse.schema, feature.name)


def quoted(cursor: cursor, name: str | Table) -> str:
    """A name as SQL has it."""
    parts = (name,) if isinstance(name, str) else name
    return str(Identifier(*parts).as_string(cursor))


def as_json(value: Any) -> psycopg2.extras.Json:
    """A value for jsonb. PostgreSQL converts characters to any encoding, escapes to UTF8 alone."""
    return psycopg2.extras.Json(value, dumps=partial(json.dumps, ensure_ascii=False))


def source(file: str) -> str:
    """A file as it is written."""
    loader: BaseLoader = _files().loader  # type: ignore[assignment]
    return loader.get_source(_files(), file)[0]


@lru_cache
def _files() -> Environment:
    files = Environment(
        loader=PackageLoader("luigi_tasks", "sql"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files.filters["identifier"] = _identifier
    files.filters["value"] = _value
    return files


@pass_context
def _identifier(context: Any, name: str | Table) -> str:
    return quoted(context["cursor"], name)


@pass_context
def _value(context: Any, value: Any) -> str:
    literal = as_json(value) if isinstance(value, dict) else value
    return str(context["cursor"].mogrify("%s", (literal,)).decode())
