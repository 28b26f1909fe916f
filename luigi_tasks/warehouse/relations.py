"""What exists under a name, and whether it is ours: nothing of anybody else's is changed."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.errors

from luigi_tasks.catalog import LOOKUPS, features
from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Table
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.errors import first_line
from luigi_tasks.warehouse.sql import execute, feature_tables, own_tables, quoted, rows

#: What exists under a name, by relkind of pg_class.
RELATION_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "i": "index",
    "I": "index",
    "c": "type",
}


@dataclass(frozen=True)
class Relation:
    """What exists under a name: its kind, by ``relkind`` of pg_class, and its comment."""

    kind: str
    comment: str

    def is_like(self, kind: str, comment: str) -> bool:
        """Whether it is of a kind, and its comment begins like that."""
        return self.kind == kind and self.comment.startswith(comment)

    @property
    def noun(self) -> str:
        """Its kind, for a message."""
        return RELATION_KINDS.get(self.kind, "relation")


def find(cursor: Cursor, tables: Iterable[Table]) -> dict[Table, Relation]:
    """What exists under these names, where anything does."""
    by_relation = {quoted(cursor, table): table for table in tables}
    found = rows(cursor, "tables/find_relations.sql", relations=list(by_relation))
    return {by_relation[each]: Relation(kind, comment or "") for each, kind, comment in found}


def foreign(
    cursor: Cursor, found: Relation, table: Table, reason: str = "", setting: str = "table"
) -> TaxiError:
    """The error for something of somebody else's under a name that we need."""
    lookups = {each.table for each in LOOKUPS}
    own = {
        name for feature in features.FEATURES for name in feature_tables(cursor.warehouse, feature)
    }
    own |= {*own_tables(cursor.warehouse).values()}
    is_own = table in own or table[1] in lookups
    key = "schema in [warehouse] schema" if is_own else f"table in [trips] {setting}"
    return TaxiError(
        f"{found.noun} {'.'.join(table)} exists but isn't one of ours"
        f"{reason}; rename it, or name another {key}"
    )


def owns(cursor: Cursor, table: Table) -> bool:
    """Whether this session's role may alter a table."""
    return rows(cursor, "roles/owns.sql", table=table) == [(True,)]


def holds_staging(cursor: Cursor, staging: Table) -> bool:
    """Whether a staging table exists: the comment of ours describes its load.

    :raises TaxiError: something else has its name.
    """
    found = find(cursor, [staging]).get(staging)
    if found is None:
        return False
    facts: Any = None
    with suppress(ValueError):
        facts = json.loads(found.comment)
    if found.kind != "r" or not isinstance(facts, dict) or "load" not in facts:
        raise foreign(cursor, found, staging, setting="staging_table")
    return True


def create(cursor: Cursor, what: Table, file: str, **names: Any) -> None:
    """Run a file that creates a table or view.

    :raises TaxiError: what exists can't be replaced.
    """
    try:
        execute(cursor, file, **names)
    except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.InvalidTableDefinition):
        raise
    except psycopg2.ProgrammingError as error:
        raise foreign(cursor, Relation("", ""), what, f" ({first_line(error)})") from None


def drop(cursor: Cursor, file: str, **names: Any) -> None:
    """Run a file that drops something.

    :raises TaxiError: something else depends on it.
    """
    try:
        execute(cursor, file, **names)
    except psycopg2.errors.DependentObjectsStillExist as error:
        raise TaxiError(
            f"{first_line(error)}: {error.diag.message_detail}; drop what depends on it, run "
            "again, and recreate it"
        ) from None


def create_schemas(cursor: Cursor, schemas: Iterable[str]) -> None:
    """Create those of the schemas that don't exist."""
    for statement in missing_schemas(cursor, schemas):
        cursor.execute(statement)


def missing_schemas(cursor: Cursor, schemas: Iterable[str]) -> list[str]:
    """The statements that create those of the schemas that don't exist."""
    if not (wanted := sorted(schemas)):
        return []
    found = rows(cursor, "tables/missing_schemas.sql", schemas=wanted)
    return [statement for (statement,) in found]


@contextmanager
def rights_kept(cursor: Cursor, tables: Iterable[Table]) -> Iterator[None]:
    """Restore the owner, options and grants of tables and views that are recreated while the
    context lasts."""
    relations = [quoted(cursor, table) for table in tables]
    before = rows(cursor, "tables/relation_rights.sql", relations=relations)
    yield
    after = set(rows(cursor, "tables/relation_rights.sql", relations=relations))
    for statement, relation, column in (each for each in before if each not in after):
        names = {"relation": relation, "column": column}
        if not column or rows(cursor, "tables/has_column.sql", **names):
            cursor.execute(statement)
