"""What a run leaves: compared with what an undisturbed one leaves."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pyarrow.parquet as pq

from luigi_tasks.checksums import FingerprintSum
from torture.cluster import Cluster

State = dict[str, Any]
#: Tables that tell when and how often something was done: they are looked at apart.
_HISTORY = {"load_history", "table_updates", "runs", "load_attempts", "months_seen"}
_HISTORY |= {"counted_loads", "schema_versions"}
#: Of all rows of a table, in whatever order.
_SUM = "count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text"
_RELATIONS = """
SELECT relname, relkind::text, relpersistence::text, relispartition FROM pg_class
WHERE relnamespace NOT IN (
    SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast'))
ORDER BY relname
"""
_COLUMNS = """
SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
JOIN pg_class ON attrelid = pg_class.oid
WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
ORDER BY relname, attname
"""
_LEDGER = """
SELECT taxi_type, month, filename, url, etag, last_modified, bytes, sha256, rows_read,
    rows_rejected, rows_staged, rows_duplicate, rows_present, rows_inserted, rows_removed,
    rows_stray, pickup_months::text, unknown_columns::text, quality::text, script, outputs::text
FROM load_history ORDER BY taxi_type, month, load_id
"""
_COUNTED = """
SELECT c.trips_table, c.taxi_type, c.month, c.definition, c.load_id = (
    SELECT max(load_id) FROM load_history AS h
    WHERE (h.taxi_type, h.month) = (c.taxi_type, c.month))
FROM counted_loads AS c ORDER BY 1, 2, 3
"""
#: Seconds for sessions and processes of a run that has ended to end as well.
_PATIENCE = 10.0


def trips_of(cluster: Cluster, database: str) -> Any:
    """The number of trips and their sum; none where there is no table."""
    try:
        statement = f"SELECT {_SUM} FROM green_trips AS t"  # noqa: S608
        return cluster.query(database, statement)[0]
    except psycopg2.errors.UndefinedTable:
        return (0, "0")


def state_of(cluster: Cluster, database: str, folder: Path) -> State:
    """All that a run leaves in a database and a folder, but for times and numbers of runs."""
    address = f"postgresql://postgres@/{database}?host={cluster.folder}&port={cluster.port}"
    with closing(psycopg2.connect(address)) as session, session.cursor() as cursor:

        def ask(statement: str) -> list[tuple[Any, ...]]:
            cursor.execute(statement)
            return list(cursor.fetchall())

        relations = ask(_RELATIONS)
        tables = [name for name, kind, _, _ in relations if kind == "r" and name not in _HISTORY]
        sums = ask(
            " UNION ALL ".join(
                f"SELECT '{name}', {_SUM} FROM public.{name} AS t"  # noqa: S608
                for name in tables
            )
            or "SELECT"
        )
        state: State = {
            "relations": relations,
            "columns": ask(_COLUMNS),
            "rows": {name: found for name, *found in sums},
        }
        if {"load_history", "counted_loads"} <= {name for name, *_ in relations}:
            state |= {
                "ledger": ask(_LEDGER),
                "counted": ask(_COUNTED),
                "markers": ask("SELECT update_id, target_table FROM table_updates ORDER BY 1"),
                "seen": ask("SELECT taxi_type, month, reason FROM months_seen ORDER BY 1, 2, 3"),
                "running": ask(
                    "SELECT 'run', state FROM runs WHERE state = 'running' OR ended_at IS NULL "
                    "UNION ALL SELECT 'attempt', state FROM load_attempts "
                    "WHERE state = 'running' OR ended_at IS NULL"
                ),
            }
    state["files"] = dict(_files(folder / "data"))
    return state


def _files(root: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        if name.parts[0] == "lake":
            if path.name == "part.parquet":
                yield str(name), _lake_month(path)
            elif path.is_file() and not path.name.startswith("_load-"):
                yield str(name), "unexpected"
        elif path.is_file():
            yield str(name), hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.is_dir() and name.parts[0] == "work" and len(name.parts) > 1:
            yield str(name), "a folder"


def _lake_month(part: Path) -> Any:
    """The sums of a month in the lake: what it holds, and what its records say."""
    records = [json.loads(path.read_text()) for path in part.parent.glob("_load-*.json")]
    fingerprints = pq.read_table(part, columns=["unique_row_id"])["unique_row_id"]
    found = sum((FingerprintSum.of_texts(c) for c in fingerprints.chunks), FingerprintSum())
    said = [(r["rows"], r["fingerprints"]) for r in map(_record, records)]
    return found.rows, str(found), said


def _record(record: dict[str, Any]) -> dict[str, Any]:
    return record if "rows" in record else record["record"]


def differences(state: State, wanted: State) -> list[str]:
    """What differs, a line each."""
    found = []
    for name in sorted(state.keys() | wanted.keys()):
        now, then = state.get(name), wanted.get(name)
        if now == then:
            continue
        if isinstance(now, dict) and isinstance(then, dict):
            for key in sorted(now.keys() | then.keys()):
                if now.get(key) != then.get(key):
                    found.append(f"{name}: {key}: {now.get(key)} where {then.get(key)} was wanted")
        elif isinstance(now, list) and isinstance(then, list):
            more = [each for each in now if each not in then]
            less = [each for each in then if each not in now]
            found.append(f"{name}: {more} where {less} was wanted ({len(now)} of {len(then)})")
        else:
            found.append(f"{name}: {now} where {then} was wanted")
    return found


def left_over(cluster: Cluster, database: str, folder: Path) -> list[str]:
    """Processes, sessions and locks that a run has left, though it was waited for their end."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        sessions = cluster.query(
            "postgres",
            "SELECT format('session %%s, %%s: %%s', application_name, state, left(query, 80)) "
            "FROM pg_stat_activity WHERE datname = %s UNION ALL "
            "SELECT format('prepared transaction %%s', gid) FROM pg_prepared_xacts",
            database,
        )
        found = [text for (text,) in sessions] + _processes(folder)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _processes(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder) and process.status() != "zombie":
                found.append(f"process {process.pid}: {' '.join(process.cmdline())[:80]}")
    return found
