"""The roles of a warehouse: its owner, a loader, who may alter nothing, and a reader.

Months are loaded by the loader once the owner has created the tables. Two functions of the owner's
do what takes an owner: to attach a month's partition, and to gather statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luigi_tasks.catalog import LOOKUPS
from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.locks import DDL
from luigi_tasks.warehouse.session import transaction
from luigi_tasks.warehouse.sql import own_functions, own_tables, render, rows
from luigi_tasks.warehouse.tables import prepare, wanted_relations

_LABEL = "roles"
#: In the order in which they run.
_FILES = (
    "roles/create_roles.sql",
    "roles/create_attach_function.sql",
    "roles/create_analyze_function.sql",
    "roles/grant.sql",
)
_LONGEST_NAME = 63


@dataclass(frozen=True)
class Roles:
    """The names of the loader and the reader, and the schema in which the loader may create staging
    tables. The owner is whoever connects."""

    loader: str
    reader: str
    staging_schema: str


def role_statements(warehouse: Warehouse, roles: Roles) -> list[str]:
    """The statements that create the roles, as far as they don't exist, and give them their rights.

    :raises TaxiError: a name can't be a role's, or the owner can't be one.
    """
    with transaction(warehouse, _LABEL) as cursor:
        return _statements(cursor, roles)


def apply_roles(warehouse: Warehouse, roles: Roles) -> None:
    """Create or alter the tables as this version wants them, and then the roles, in one
    transaction.

    :raises TaxiError: a name can't be a role's, or the owner can't be one.
    """
    role_statements(warehouse, roles)  # which checks the names, before anything is created
    prepare(warehouse, _LABEL)
    with transaction(warehouse, _LABEL, DDL) as cursor:
        for statement in _statements(cursor, roles):
            cursor.execute(statement)


def _statements(cursor: Cursor, roles: Roles) -> list[str]:
    warehouse = cursor.warehouse
    _check_names(roles)
    all_trips = list(warehouse.trips.values())
    schemas = _ordered([warehouse.schema, *(trips.name[0] for trips in all_trips)])
    if roles.staging_schema in schemas:
        raise TaxiError(
            f"[trips] staging_table: schema {roles.staging_schema} has other tables as well, and a "
            "loader may create something in one of its own only: name such a schema, as in "
            "loading.{{ taxi_type }}_trips_staging_{{ month }}"
        )
    asked = {"roles": [roles.loader, roles.reader], "schemas": [roles.staging_schema]}
    [facts] = rows(cursor, "roles/state.sql", loader=roles.loader, **asked)
    owner, is_superuser, database, missing, must_join, database_privileges = facts
    if is_superuser or owner in (roles.loader, roles.reader):
        raise TaxiError(
            f"[warehouse] url: {owner} is {'a superuser' if is_superuser else 'not the owner only'}"
            "; connect as a role of its own that is to own the tables"
        )
    own = own_tables(warehouse)
    lookups = {(warehouse.schema, each.table) for each in LOOKUPS}
    kept = [own["runs_table"], own["attempts_table"], own["alarms_table"]]
    unchanged = {own["ledger"], own["version_table"], *lookups, *kept}
    relations = wanted_relations(warehouse)
    others = [trips.other for trips in all_trips]
    names: dict[str, Any] = {
        "loader": roles.loader,
        "reader": roles.reader,
        "staging_schema": roles.staging_schema,
        "owner": owner,
        "database": database,
        "missing": set(missing),
        "must_join": must_join,
        "database_privileges": database_privileges,
        "schemas": schemas,
        "own_trips": [trips.name for trips in all_trips],
        "tables": list(relations),
        "changed": [t for t, (kind, _) in relations.items() if kind != "v" and t not in unchanged]
        + others,
        "kept": kept,
        "default_partitions": others,
        "functions": list(own_functions(warehouse).values()),
    }
    return [render(cursor, file, **names).strip() + "\n" for file in _FILES]


def _ordered(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _check_names(roles: Roles) -> None:
    for option, name in (("--loader", roles.loader), ("--reader", roles.reader)):
        is_reserved = name in ("public", "none") or name.startswith("pg_")
        if not name or "\0" in name or len(name.encode()) > _LONGEST_NAME or is_reserved:
            raise TaxiError(
                f"{option}: {name!r} can't be a role of yours; its name has at most "
                f"{_LONGEST_NAME} bytes, isn't public or none, and doesn't begin with pg_"
            )
    if roles.loader == roles.reader:
        raise TaxiError(f"--reader: must be another role than --loader, {roles.loader}")
