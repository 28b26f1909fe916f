"""What is done with psql: the usual flow, and the floors, which only copy."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from bench.inputs import Month
from bench.running import Took, Watch, run, unwatched
from bench.server import Database, Server
from luigi_tasks.warehouse import embedded

#: The flow's two forms, and whether the final table has an index on its text key. Published flows
#: have none: that is faster in a first load, and every MERGE then reads the whole table. It's no
#: constraint: the flow keeps a file's exact duplicates, on which a primary key would fail.
FORMS = {"usual": True, "usual_no_index": False}
_CREATE = SQL("""
CREATE TABLE IF NOT EXISTS staging (unique_row_id text, filename text, {columns});
CREATE TABLE IF NOT EXISTS trips (unique_row_id text, filename text, {columns});
TRUNCATE staging;
""")
_INDEX = SQL("CREATE INDEX IF NOT EXISTS trips_key ON trips (unique_row_id);\n")
_MARK = SQL("""
UPDATE staging
SET unique_row_id = md5({concatenated}), filename = {filename};
""")
_MERGE = SQL("""
MERGE INTO trips AS trip
USING staging
ON trip.unique_row_id = staging.unique_row_id
WHEN NOT MATCHED THEN
INSERT (unique_row_id, filename, {names})
VALUES (staging.unique_row_id, staging.filename, {staged});
""")
_CREATE_BARE = SQL("CREATE TABLE bare ({columns});\n")


@dataclass(frozen=True)
class Flow:
    """Seconds of the usual flow's statements."""

    took: Took
    copy: float
    update: float
    merge: float


def usual(
    month: Month,
    database: Database,
    server: Server,
    folder: Path,
    *,
    form: str = "usual",
    watch: Watch = unwatched,
) -> Flow:
    """COPY a CSV into staging, UPDATE each row with the md5 of its text, MERGE on that text."""
    columns = month.kind.columns
    names = [Identifier(column.name) for column in columns]
    texts = [SQL("coalesce({}::text, '')").format(name) for name in names]
    script = [
        _CREATE.format(columns=_definitions(month)),
        *([_INDEX] if FORMS[form] else []),
        SQL("\\timing on\n"),
        SQL(_copied("staging", month, month.csv(), "csv, header")),
        _MARK.format(
            concatenated=SQL(" || ").join(texts),
            filename=Literal(month.parquet.name),
        ),
        _MERGE.format(
            names=SQL(", ").join(names),
            staged=SQL(", ").join(SQL("staging.{}").format(name) for name in names),
        ),
    ]
    took = _psql(script, database, server, folder, watch)
    found = re.findall(r"^Time: ([\d.]+) ms", took.output, re.MULTILINE)
    copy, update, merge = (float(milliseconds) / 1000 for milliseconds in found)
    return Flow(took, copy, update, merge)


def copy_csv(month: Month, database: Database, server: Server, folder: Path) -> Took:
    """Copy a CSV into a table without keys that is there."""
    database.query(_rendered([_CREATE_BARE.format(columns=_definitions(month))], database))
    copied = SQL(_copied("bare", month, month.csv(), "csv, header"))
    return _psql([copied], database, server, folder)


def copy_csv_new(month: Month, database: Database, server: Server, folder: Path) -> Took:
    """The same in the transaction that makes the table: with wal_level = minimal, without a log."""
    create = _CREATE_BARE.format(columns=_definitions(month))
    copied = SQL(_copied("bare", month, month.csv(), "csv, header"))
    return _psql([SQL("BEGIN;\n"), create, copied, SQL("COMMIT;\n")], database, server, folder)


def copy_binary(month: Month, database: Database, server: Server, folder: Path) -> Took:
    """Copy ready bytes into a table without keys that is there."""
    database.query(_rendered([_CREATE_BARE.format(columns=_definitions(month))], database))
    copied = SQL(_copied("bare", month, month.binary(), "binary"))
    return _psql([copied], database, server, folder)


def _definitions(month: Month) -> Composed:
    parts = [SQL("{} {}").format(Identifier(c.name), SQL(c.type)) for c in month.kind.columns]
    return SQL(", ").join(parts)


def _copied(table: str, month: Month, file: Path, form: str) -> str:
    """psql's own command, which takes one line and no variables."""
    names = ", ".join(column.name for column in month.kind.columns)
    quoted = str(file).replace("'", "''")
    return f"\\copy {table} ({names}) FROM '{quoted}' WITH (FORMAT {form})\n"


def _psql(
    script: list[Composable],
    database: Database,
    server: Server,
    folder: Path,
    watch: Watch = unwatched,
) -> Took:
    psql = shutil.which("psql") or embedded.binary("psql")
    command = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database.url, "-f", "-"]
    return run(command, server, folder=folder, text=_rendered(script, database), watch=watch)


def _rendered(script: list[Composable], database: Database) -> str:
    session = psycopg2.connect(database.url)
    try:
        return "".join(part.as_string(session) for part in script)
    finally:
        session.close()
