"""The only module that talks to PostgreSQL.

What is sent to it stands in ``sql/``. A file is a Jinja2 template: names go through the filter
``identifier`` and values through ``value``, both of which quote as psycopg2 does.
"""

import json
import logging
import math
import multiprocessing
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timezone
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeVar

import psycopg2
import psycopg2.errors
import psycopg2.extras
from dateutil.relativedelta import relativedelta
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from luigi.contrib.postgres import PostgresTarget
from psycopg2.extensions import (
    TRANSACTION_STATUS_IDLE,
    connection,
    cursor,
    encrypt_password,
    parse_dsn,
)
from psycopg2.sql import Identifier

from luigi_tasks import config, embedded, quality, stopping
from luigi_tasks.catalog import (
    FINGERPRINT_VERSION,
    LOOKUPS,
    NEW_TYPES,
    TAXI_TYPES,
    Column,
    TaxiType,
    shared_columns,
)
from luigi_tasks.chunks import Chunks, ahead
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.reference import ZONES_COMMENT, Zone
from luigi_tasks.source import Announced, Edition, shown
from luigi_tasks.texts import printable

logger = logging.getLogger("luigi-interface.warehouse")

#: MERGE came with PostgreSQL 15.
OLDEST_SERVER = 150000
#: A table of partitions is analysed without these since PostgreSQL 18.
ANALYZE_ONLY = 180000
#: The first key of our advisory locks: "taxi" in ASCII. The second one is the hash of a name: that
#: of a month, of a trips table, or DDL.
ADVISORY_LOCKS = 0x74617869
#: The lock of whoever creates or alters tables and views, or loads the zones. It comes after a
#: trips table's, which comes after a month's.
DDL = "tables"
#: Seconds between two tries for a lock, at first and at last; a sleep, unlike a wait in the server,
#: can be interrupted.
SHORTEST_LOCK_INTERVAL, LOCK_INTERVAL = 0.02, 0.5
#: Seconds between two log lines about who holds the lock.
LOCK_REPORT_INTERVAL = 60.0
#: How often such a line is put off because nobody was seen to hold it.
MOST_MISSED = 5
#: How long what needs a table for itself may wait for readers, and others behind it.
LOCK_TIMEOUT = "50ms"
#: Codes of what every statement meets: no connection, no role, no room, no database, a broken disk.
_SYSTEMIC = re.compile("08|28|3D|53|57P|58|25006")
#: Codes of what may well succeed once more: the server stops, crashed or starts; or transactions
#: waited for each other.
_TRANSIENT = re.compile("08|40|57P0[1235]")
#: How libpq and PostgreSQL say that of a connection, where there is no code.
_MAY_CONNECT_LATER = re.compile(
    "Connection refused|Connection reset|Connection timed out|timeout expired|No route to host"
    "|Network is unreachable|Temporary failure in name resolution|No such file or directory"
    "|server closed the connection|database system is|too many clients|too many connections"
    "|remaining connection slots"
)
#: Seconds before the second try of a warehouse that can't be reached, doubled before each further
#: one; and the longest pause.
BACKOFF, BACKOFF_MAX = 1.0, 60.0
_UNREADABLE_URL = (
    "[warehouse] url can't be read; it must be like postgresql://user@host:5432/database, "
    "with %xx for special characters (%%xx in luigi.cfg)"
)

#: The most columns that PostgreSQL has in a table or view.
MOST_COLUMNS = 1600
#: Bytes of rows that look repeated which are kept in memory; more go to a file.
REPEATED_IN_MEMORY = 1 << 23
#: What PostgreSQL calls the catalog's types, where it has a longer name for one.
_FULL_TYPES = {"timestamp": "timestamp without time zone"}
#: What rows that we encoded wrongly are refused with.
_BROKEN_COPY = {"22P03", "22P04"}

#: What later versions added to the ledger.
LATER_COLUMNS = [
    "script",
    "outputs",
    "metrics",
    "quality",
    "new_columns",
    "fingerprint_version",
    "rows_shared",
]

#: Begins the marker of taxi zones, before their URL.
_ZONES_PREFIX = "TaxiZones "
#: Stands before the columns that are kept, in the comment of a table that hasn't all of them.
_KEPT = ". Columns kept: "

Table = tuple[str, str]
#: By the new column of a file, that of the trips table, and its type.
Places = dict[str, tuple[str, str]]

#: Tell what is ours from somebody else's.
_LEDGER_COMMENT = "One row for each finished load of a month"
_MARKERS_COMMENT = "Markers: the table work that is done"
_VIEW_COMMENT = "Trips of all taxi types, by the columns that more than one of them has"
#: What stands under a name, by relkind of pg_class.
_KINDS = {
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
#: Temporary tables of a merge.
_STRAYS: Table = ("pg_temp", "strays")
_MISSING: Table = ("pg_temp", "missing")
_REPEATED: Table = ("pg_temp", "repeated")


Result = TypeVar("Result")


class TransientError(SystemicError):
    """The warehouse can't be reached, or broke off; it may well do its work once more."""


@dataclass
class Load:
    """What is known of a load before the merge: the edition, the counts, the durations in seconds.

    ``quality`` counts what is odd in the rows, ``new_columns`` has the types of columns that the
    catalog doesn't know, ``script`` names the user's transform, if there was one, and ``outputs``
    and ``metrics`` are what it reported. All this comes with the canonical file, and then as the
    comment of the staging table.
    """

    url: str
    etag: str | None
    last_modified: str | None
    bytes: int
    sha256: str
    rows_read: int
    rows_rejected: int
    rows_staged: int
    unknown_columns: list[str]
    quality: dict[str, int]
    new_columns: dict[str, str]
    download_seconds: float
    transform_seconds: float
    started_at: str
    script: str | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    rows_duplicate: int = 0
    stage_seconds: float = 0.0
    fingerprint_version: int = FINGERPRINT_VERSION

    def reported(self) -> list[tuple[str, Any]]:
        """What a script reported, by name: outputs, then metrics."""
        return [*self.outputs.items(), *((each["name"], each["value"]) for each in self.metrics)]


@dataclass(frozen=True)
class MergedEdition:
    """The edition that a month was last loaded from, by line ``load_id`` of the ledger."""

    load_id: int
    etag: str | None
    last_modified: datetime | None
    bytes: int
    sha256: str

    def differs(self, announced: Announced) -> bool:
        """Whether the source has another one, as far as it says."""
        return announced.differs(self)


@dataclass(frozen=True)
class LastLoad:
    """A month's last load, by the ledger: where its trips went, and what they were made of."""

    pickup_months: dict[str, Any]
    outputs: dict[str, Any]
    sha256: str
    script: str | None
    new_columns: dict[str, str]
    package_version: str
    rows_staged: int
    rows_duplicate: int

    @property
    def places(self) -> list[dict[str, Any]]:
        """The bounds of the pickups that it was merged into."""
        return [_bounds(date.fromisoformat(f"{each}-01")) for each in self.pickup_months]

    def was_made_of(self, load: Load) -> bool:
        """Whether it was of the same file, by the same transform."""
        return (self.sha256, self.script, self.new_columns, self.rows_staged) == (
            load.sha256,
            load.script,
            load.new_columns,
            load.rows_staged,
        ) and self.package_version == version("luigi-tasks")


@dataclass
class Merged:
    """What a merge did; ``rows_staged`` is the sum of duplicate, present and inserted.

    ``rows_shared`` are those present that came with another month's file.
    """

    rows_staged: int = 0
    rows_duplicate: int = 0
    rows_present: int = 0
    rows_inserted: int = 0
    rows_shared: int = 0
    rows_removed: int = 0
    rows_stray: int = 0
    pickup_months: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def rows_distinct(self) -> int:
        """How many trips were staged."""
        return self.rows_staged - self.rows_duplicate


class TableTarget(PostgresTarget):
    """A marker together with the table work that it promises.

    Unlike Luigi's, it uses the process's one connection, and can be touched again.
    """

    def __init__(self, table: Table, update_id: str) -> None:
        super().__init__("", "", "", "", ".".join(table), update_id)  # connect() knows the rest

    def connect(self) -> connection:
        return _session()

    def create_marker_table(self) -> None:
        _prepare(self.update_id)

    def touch(self, connection: connection | None = None) -> None:
        """Set the marker, in the caller's transaction where there is one."""
        if connection is None:
            _prepare(self.update_id)
            with _transaction(self.update_id) as cursor:
                _set_marker(cursor, self.update_id, self.table)
        else:
            _set_marker(connection.cursor(), self.update_id, self.table)


class StagedTarget(TableTarget):
    """A month that stands in its staging table, whole."""

    def __init__(self, taxi_type: str, month: date) -> None:
        super().__init__(config.staging_table(taxi_type, month), _staged_id(taxi_type, month))
        self.taxi_type, self.month = taxi_type, month

    def exists(self, connection: connection | None = None) -> bool:
        return self.load() is not None

    def load(self) -> Load | None:
        """What is known of the load that stands there."""
        staged = _staged(self.taxi_type, self.month)
        return staged.load if staged else None

    def outputs(self) -> dict[str, Any]:
        """The values that the transform's script reported."""
        load = self.load()
        return load.outputs if load else MergedTarget(self.taxi_type, self.month).outputs()


class MergedTarget(TableTarget):
    """A month whose trips are in the trips table, and still there."""

    def __init__(self, taxi_type: str, month: date) -> None:
        super().__init__(config.trips_table(taxi_type), _merged_id(taxi_type, month))
        self.taxi_type, self.month = taxi_type, month

    def exists(self, connection: connection | None = None) -> bool:
        return bool(merged_months(self.taxi_type, [self.month]))

    def outputs(self) -> dict[str, Any]:
        """The values that the transform's script reported when the month was last loaded."""

        def ask() -> dict[str, Any]:
            with _labelled_cursor(f"outputs of {self.taxi_type} {self.month:%Y-%m}") as cursor:
                try:
                    last = _last_load(cursor, self.taxi_type, self.month)
                except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
                    return {}  # nothing is loaded; or by an earlier version, until the next load
            return last.outputs if last else {}

        return with_retries(ask)


class ZonesTarget(TableTarget):
    """The taxi zones of a source."""

    def __init__(self, url: str) -> None:
        super().__init__(_our_table("taxi_zones"), f"{_ZONES_PREFIX}{shown(url)}")

    def exists(self, connection: connection | None = None) -> bool:
        return bool(_ask("TaxiZones", "has_zones.sql", update_id=self.update_id))


def merged_months(taxi_type: str, months: list[date]) -> set[date]:
    """Tell with one query which of the months are merged and still there.

    Those that have a marker and no trips are asked for once more. A query that had to wait while a
    partition was attached was planned without it, and didn't see the rows that moved there.

    :raises TaxiError: all are, with other columns than are kept now. (Otherwise a load refuses.)
    """
    asked, found, comments = set(months), set[date](), set[str | None]()
    for _ in range(2):
        rows = _ask(
            f"merged months of {taxi_type}",
            "merged_months.sql",
            months=months,
            taxi_type=taxi_type,
            trips=config.trips_table(taxi_type),
            update_id_prefix=f"TaxiMerge {taxi_type} ",
        )
        found |= {month for month, is_there, _ in rows if is_there}
        months = [month for month, is_there, _ in rows if not is_there]
        comments |= {comment for _, is_there, comment in rows if is_there}
        if not months:
            break
    if found == asked:
        _refuse_other_columns(taxi_type, comments)
    if not found:
        _look_for_ledger(taxi_type)
    return found


def merged_editions(taxi_type: str, months: Sequence[date]) -> dict[date, MergedEdition]:
    """The editions of those of the months that are merged."""
    rows = _ask(
        f"editions of {taxi_type}",
        "merged_editions.sql",
        taxi_type=taxi_type,
        months=list(months),
        trips=config.trips_table(taxi_type),
        update_id_prefix=f"TaxiMerge {taxi_type} ",
    )
    if not rows:
        _look_for_ledger(taxi_type)
    _refuse_other_columns(taxi_type, {comment for *_, comment in rows})
    return {month: MergedEdition(*facts) for month, *facts, _ in rows}


def note_edition(label: str, load_id: int, edition: Edition) -> None:
    """Note in the ledger that a load's bytes were published again, as another edition."""
    with _transaction(f"TaxiRefresh {label}") as cursor:
        _execute(cursor, "note_edition.sql", load_id=load_id, edition=edition)


@contextmanager
def turn(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold something, such as ``green 2024-01``, against other runs, on this machine or another.

    Yields whether it is held; that is always so with ``wait``. The lock ends with the connection:
    each transaction, and whoever publishes a file, checks by ``check_turn`` that it's still held.

    :raises TaxiError: it is held by others for longer than ``[warehouse] lock_timeout``.
    """
    with _labelled_cursor(name) as cursor:
        held = _lock(cursor, name, outlives_transaction=True, wait=wait)
    if not held:
        yield False
        return
    _turns.append((os.getpid(), name))
    try:
        yield True
    finally:
        _turns.remove((os.getpid(), name))
        # a connection that broke has given its locks back
        with suppress(psycopg2.Error, TaxiError), _labelled_cursor(name) as cursor:
            statement = "SELECT pg_advisory_unlock(%s, hashtext(%s))"
            cursor.execute(statement, (ADVISORY_LOCKS, name))


def check_turn() -> None:
    """Make sure that this process still holds what it took by ``turn``.

    :raises TaxiError: the connection broke, and another run has the lock now.
    """
    for pid, name in _turns:
        if pid == os.getpid():
            with _labelled_cursor(name) as cursor:
                _check_turn(cursor, name)


def with_retries(work: Callable[[], Result]) -> Result:
    """Do something, and do it anew while the warehouse can't be reached or breaks off.

    The pauses grow as those for the source do; ``[warehouse] retries`` says how many there are.

    :raises TransientError: the last try failed, too.
    """
    for attempt in range(0 if _is_retrying.get() else config.warehouse().retries):
        mark = _is_retrying.set(True)
        try:
            return work()
        except TransientError as error:
            pause = min(BACKOFF * 2**attempt, BACKOFF_MAX)
            logger.warning("%s; trying again in %g s", error, pause)
        finally:
            _is_retrying.reset(mark)
        time.sleep(pause)
    return work()


def stage(
    taxi_type: str,
    month: date,
    trips_file: Path,
    load: Load,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fill the month's staging table from a canonical parquet file, and set its marker.

    :param report: is called with the rows sent so far, and all of them.
    :raises TaxiError: the file doesn't have the rows that ``load`` says.
    """
    from luigi_tasks.encoding import encoded

    began = time.monotonic()
    kind, table = TAXI_TYPES[taxi_type], config.staging_table(taxi_type, month)
    trips = config.trips_table(taxi_type)
    label = f"TaxiStageLoad {taxi_type} {month:%Y-%m}"
    _prepare(label, table[0])
    with _transaction(label) as cursor:
        _holds_staging(cursor, table)
        columns = _columns(cursor, trips)
        new = _places(load.new_columns, columns)
        _check_columns(kind, month, columns, new)
        definitions = {column.name: column.definition for column in columns}
        kept, brought = [c.name for c in config.kept(taxi_type).columns], list(dict(new.values()))
        names = {"staging": table, "names": kept + brought, "filename": kind.filename(month)}
        _execute(cursor, "bulk_settings.sql")
        _execute(
            cursor,
            "create_staging.sql",
            becomes_partition=_becomes_partition(cursor, kind, month),
            definitions=definitions | {n: t for n, t in new.values() if n not in definitions},
            **names,
        )
        with SpooledTemporaryFile(REPEATED_IN_MEMORY, dir=str(trips_file.parent)) as repeated:
            types = {name: NEW_TYPES[place_type] for name, (_, place_type) in new.items()}
            encode = partial(
                encoded,
                columns=kind.columns,
                kept=kept,
                new=types,
                report=report,
                repeated=repeated,
            )
            rows = _copy(cursor, _render(cursor, "copy_staging.sql", **names), trips_file, encode)
            rows_repeated = _copy_repeated(cursor, names, repeated)
        if rows + rows_repeated != load.rows_staged:
            raise TaxiError(
                f"{trips_file} has {rows + rows_repeated} rows and should have "
                f"{load.rows_staged}; remove it and run again"
            )
        _execute(cursor, "add_staging_key.sql", key=_key_name(table), **names)
        if rows_repeated:
            load.rows_duplicate = rows_repeated - _execute(cursor, "insert_repeated.sql", **names)
        load.stage_seconds = time.monotonic() - began
        description = {"load": asdict(load), "kept": kept, "new": new, "columns": definitions}
        _execute(cursor, "describe_staging.sql", staging=table, description=json.dumps(description))
        _set_marker(cursor, _staged_id(taxi_type, month), ".".join(table))


def merge(taxi_type: str, month: date) -> Merged:
    """Put a staged month's trips into the trips table, each once, and write the ledger.

    Trips, ledger, markers and the end of the staging table are one transaction. Another edition
    of the month that was there before is replaced.

    :raises TaxiError: the month isn't staged, or its staging table has lost rows.
    """
    began = time.monotonic()
    kind, staging = TAXI_TYPES[taxi_type], config.staging_table(taxi_type, month)
    trips = config.trips_table(taxi_type)
    names = {
        "staging": staging,
        "trips": trips,
        "other": _partition_name(trips, "other"),
        "filename": kind.filename(month),
    }
    label = f"TaxiMerge {taxi_type} {month:%Y-%m}"
    _prepare(label)
    _make_partition(label, kind, month)
    with _transaction(label, table_lock(trips)) as cursor:
        staged, columns = _must_be_staged(taxi_type, month), _columns(cursor, trips)
        load = staged.load
        new = _complete_staging(cursor, staging, staged, columns)
        names["names"] = [c.name for c in config.kept(taxi_type).columns] + list(dict(new.values()))
        _execute(cursor, "bulk_settings.sql")
        merged = Merged(rows_staged=load.rows_staged, rows_duplicate=load.rows_duplicate)
        if _rows(cursor, "count_staged.sql", **names) != [(merged.rows_distinct,)]:
            raise TaxiError(f"{'.'.join(staging)} has lost rows; remove it and run again")
        _execute(cursor, "set_strays_apart.sql", **names, **_bounds(month))
        rows_by_month = dict(_rows(cursor, "count_months.sql"))
        merged.rows_stray = sum(rows_by_month.values())
        if merged.rows_distinct > merged.rows_stray:
            rows_by_month[month] = merged.rows_distinct - merged.rows_stray
        load.quality["stray"] = merged.rows_stray
        _check_quality(cursor, taxi_type, month, load, merged.rows_distinct)
        last = _last_load(cursor, taxi_type, month)
        replaced = _replaced(cursor, kind, month, load=load, last=last, names=names)
        merged.rows_removed = _remove_replaced(cursor, kind, month, replaced, names)
        rows_kept = _count_own(cursor, names, rows_by_month) if last else 0
        _add_new_columns(cursor, kind, month, new, columns)
        _update_new_columns(cursor, month, replaced, new=new, last=last, names=names)
        merged.rows_inserted = _merge_strays(cursor, names, rows_by_month.keys() - {month})
        becomes_partition = month in rows_by_month and _becomes_partition(cursor, kind, month)
        if becomes_partition:
            present = _take_displaced(cursor, names, label, month=month, columns=columns)
            merged.rows_inserted += rows_by_month[month] - present
        elif month in rows_by_month:
            merged.rows_inserted += _merge_month(cursor, names, month)
        merged.rows_present = merged.rows_distinct - merged.rows_inserted
        merged.rows_shared = merged.rows_present - rows_kept
        merged.pickup_months = _witnesses(cursor, staging, month, rows_by_month)
        facts = {
            "taxi_type": taxi_type,
            "month": month,
            "trips_table": ".".join(trips),
            "filename": kind.filename(month),
            **asdict(load),
            **asdict(merged),
            "metrics": _json(load.metrics),
            "merge_seconds": time.monotonic() - began,
            "finished_at": datetime.now(timezone.utc),
            "package_version": version("luigi-tasks"),
        }
        _execute(cursor, "insert_load.sql", load=facts)
        _withdraw_markers(cursor, _staged_id(taxi_type, month))
        _set_marker(cursor, _merged_id(taxi_type, month), ".".join(trips))
        if becomes_partition:
            _attach(cursor, kind, month, staging)
        else:
            _execute(cursor, "drop_staging.sql", staging=staging)
    _analyze_merged(taxi_type, month, is_new=becomes_partition)
    return merged


def analyze_trips(label: str, taxi_type: str, *, growth: float) -> None:
    """Have the planner know a trips table as a whole, if it has grown by more than this part.

    PostgreSQL 18 reads 30,000 rows for it; older ones analyse every partition as well.
    """
    trips = config.trips_table(taxi_type)
    if _ask(label, "has_outgrown.sql", trips=trips, growth=growth):
        _analyze(label, trips, is_only=_session().server_version >= ANALYZE_ONLY)


def _analyze_merged(taxi_type: str, month: date, *, is_new: bool) -> None:
    """Have the planner know a month that was merged, if it has become a partition."""
    label, trips = f"TaxiMerge {taxi_type} {month:%Y-%m}", config.trips_table(taxi_type)
    if is_new:
        _analyze(label, _partition_name(trips, f"{month:%Y_%m}"))
    analyze_trips(label, taxi_type, growth=1)


def _analyze(label: str, table: Table, *, is_only: bool = False) -> None:
    """Gather statistics of a table. Nothing that is loaded depends on it, so it may fail."""
    try:
        with _labelled_cursor(label) as cursor:
            _execute(cursor, "analyze.sql", table=table, is_only=is_only)
    except (psycopg2.Error, TaxiError) as error:
        logger.warning("%s: not analysed: %s", ".".join(table), _first_line(error))


def unstage(taxi_type: str, month: date) -> None:
    """Drop a month's staging table, and its marker."""
    with _transaction(f"TaxiMerge {taxi_type} {month:%Y-%m}") as cursor:
        _unstage(cursor, taxi_type, month)


def load_zones(url: str, zones: Sequence[Zone]) -> int:
    """Have these zones in the table, and no others but those that rows of other tables refer to;
    and set the marker of their source.

    :returns: how many there were.
    """
    _prepare("TaxiZones")
    with _transaction("TaxiZones", DDL) as cursor:
        [(before,)] = _rows(cursor, "count_zones.sql")
        _execute(cursor, "load_zones.sql", zones=zones, update_id_prefix=_ZONES_PREFIX)
        location_ids = [zone.location_id for zone in zones]
        if _rows(cursor, "other_zones.sql", location_ids=location_ids):
            references = _rows(cursor, "zone_references.sql")
            names = {"location_ids": location_ids, "references": references}
            _execute(cursor, "remove_zones.sql", **names)
            kept = _rows(cursor, "other_zones.sql", **names)
            if told := ", ".join(str(location_id) for (location_id,) in kept):
                logger.warning("zones that other tables refer to stay, though gone: %s", told)
        target = ZonesTarget(url)
        _set_marker(cursor, target.update_id, target.table)
    return int(before)


def holds_month(taxi_type: str, month: date) -> bool:
    """Tell whether a month has trips in its partition, a staging table or a marker."""
    return bool(
        _ask(
            f"TaxiReset {taxi_type} {month:%Y-%m}",
            "holds_month.sql",
            trips=config.trips_table(taxi_type),
            filename=TAXI_TYPES[taxi_type].filename(month),
            update_ids=[_staged_id(taxi_type, month), _merged_id(taxi_type, month)],
            **_bounds(month),
        )
    )


def reset(taxi_type: str, month: date) -> int:
    """Take a month out: its file's trips, its staging table, its markers. The ledger stays.

    :returns: how many trips were removed.
    """
    removed = 0
    trips = config.trips_table(taxi_type)
    names = {"trips": trips, "filename": TAXI_TYPES[taxi_type].filename(month)}
    label = f"TaxiReset {taxi_type} {month:%Y-%m}"
    _prepare(label)
    with _transaction(label, table_lock(trips)) as cursor:
        everywhere = {"start": "-infinity", "stop": "infinity"}
        last = _last_load(cursor, taxi_type, month)
        for bounds in last.places if last else [everywhere]:
            removed += _execute(cursor, "remove_month.sql", **names, **bounds)
        if removed:
            _withdraw_sharing(cursor, taxi_type, month)
        _unstage(cursor, taxi_type, month)
        _withdraw_markers(cursor, _merged_id(taxi_type, month))
    return removed


def set_reader(role: str, password: str) -> None:
    """Have a role that may read everything, and logs in by a password."""
    with _labelled_cursor(f"set_reader {role}") as cursor:
        hashed = encrypt_password(password, role, cursor, "scram-sha-256")
        is_new = not _rows(cursor, "has_role.sql", role=role)
        _execute(cursor, "set_reader.sql", role=role, hashed=hashed, is_new=is_new)


def is_empty() -> bool:
    """Whether no month was ever loaded."""
    return not _ask("is_empty", "has_loads.sql")


def url() -> str:
    """The URL to connect to, password and all; an embedded server is started for it."""
    configured = config.warehouse().render("url")
    if configured == "embedded":
        try:
            return embedded.ensure_running(config.storage_root())
        except TaxiError as error:
            raise SystemicError(str(error)) from None
    return configured


# --- merging ----------------------------------------------------------------------------------


def _merge_strays(cursor: "_Cursor", names: dict[str, Any], months: Iterable[date]) -> int:
    """Merge what is set apart, and take it out of the staging table; how many were inserted."""
    inserted = 0
    for pickup_month in months:
        bounds = _bounds(pickup_month)
        inserted += _execute(cursor, "merge.sql", source=_STRAYS, are_new=False, **names, **bounds)
    _execute(cursor, "remove_strays.sql", **names)
    return inserted


def _take_displaced(
    cursor: "_Cursor",
    names: dict[str, Any],
    label: str,
    *,
    month: date,
    columns: "Sequence[_TableColumn]",
) -> int:
    """Move what a month has in the default partition, with all its values, to the staging table
    that becomes its own; how many of the staged trips were among that."""
    _politely(cursor, label, lambda: _execute(cursor, "lock_default_partition.sql", **names))
    present = _execute(cursor, "remove_present.sql", **names, **_bounds(month))
    stored = [column.name for column in columns if not column.is_generated]
    _execute(cursor, "take_displaced.sql", stored=stored, **names, **_bounds(month))
    return present


def _merge_month(cursor: "_Cursor", names: dict[str, Any], month: date) -> int:
    """Merge the staged trips of the month itself into its partition; how many were inserted."""
    bounds, source = _bounds(month), names["staging"]
    are_new = _has_few_rows(cursor, names["trips"], month)
    if not are_new:  # then only some of the staged ones are; a query finds them faster than MERGE
        with _hashed(cursor):
            _execute(cursor, "find_missing.sql", **names, **bounds)
        source = _MISSING
    return _execute(cursor, "merge.sql", source=source, are_new=are_new, **names, **bounds)


@contextmanager
def _hashed(cursor: "_Cursor", *, is_whole: bool = True) -> Iterator[None]:
    """Have two whole months compared by hashing. Without statistics, which new tables don't have,
    PostgreSQL takes them for small and looks rows up one by one."""
    if is_whole:
        cursor.execute("SET LOCAL enable_nestloop = off")
    yield
    cursor.execute("SET LOCAL enable_nestloop = on")


def _witnesses(
    cursor: "_Cursor", staging: Table, month: date, rows_by_month: dict[date, int]
) -> dict[str, dict[str, Any]]:
    """For each month of pickup, how many rows were staged, and one by which to find them."""
    found = {}
    for pickup_month, rows in sorted(rows_by_month.items()):
        source, bounds = staging if pickup_month == month else _STRAYS, _bounds(pickup_month)
        [(row_id, pickup)] = _rows(cursor, "find_witness.sql", source=source, **bounds)
        # strftime doesn't pad years everywhere
        found[pickup_month.isoformat()[:7]] = {
            "rows": rows,
            "unique_row_id": row_id,
            "pickup_datetime": pickup.isoformat(),
        }
    return found


# --- tables and markers -----------------------------------------------------------------------


def _our_table(name: str) -> Table:
    """A table or view of the whole warehouse, rather than of a taxi type."""
    return config.schema(), name


def _our_tables() -> dict[str, Table]:
    """Those that every SQL file may name."""
    return {
        "ledger": _our_table("load_history"),
        "marker_table": _our_table(TableTarget.marker_table),
        "zones_table": _our_table("taxi_zones"),
        "trips_view": _our_table("trips"),
    }


def _prepare(label: str, *schemas: str) -> None:
    """Have all tables and views there, as this version and the settings want them.

    That is a transaction of its own, since nobody can read a view from then until its end. Mostly
    all is there, and a look finds out without waiting for whoever changes a table.

    :param schemas: further ones that are needed.
    :raises SystemicError: what is there can't be used, whatever the month.
    """
    try:
        with _transaction(label) as cursor:
            is_complete = _create_missing_tables(cursor, must_only_look=True)
            is_complete = is_complete and not _missing_schemas(cursor, schemas)
        if not is_complete:
            with _transaction(label, DDL) as cursor:
                _create_schemas(cursor, schemas)
                _politely(cursor, label, lambda: _create_missing_tables(cursor))
    except TaxiError as error:
        if type(error) is TaxiError:
            raise SystemicError(str(error)) from None
        raise


def _create_missing_tables(cursor: "_Cursor", *, must_only_look: bool = False) -> bool:
    """Create whatever of ledger, markers, tables, columns and views isn't there; put the rest right
    if an earlier version was here before. What a later version has made stays as it is.

    :returns: whether all of it was there.
    :raises TaxiError: something of somebody else's is in the way; then nothing is changed.
    """
    kinds = {name: config.kept(name) for name in TAXI_TYPES}
    tables = {name: config.trips_table(name) for name in TAXI_TYPES}
    others = {name: _partition_name(table, "other") for name, table in tables.items()}
    wanted, ours = _wanted(kinds), _our_tables()
    found = _find(cursor, [*wanted, *others.values()])
    for table, facts in found.items():
        if table in wanted and not facts.is_like(*wanted[table]):
            raise _foreign(facts, table)
    for name, table in tables.items():
        _check_partition(cursor, table, others[name])
    outdated = _made_with_other_columns(cursor, kinds, found)
    lacking = _lacking_columns(cursor, kinds, found.keys() - outdated)
    _refuse_ledger_elsewhere(cursor, [table for table in tables.values() if table in found])
    newest = _newest_version(cursor) if ours["ledger"] in found else _own_version()
    gone = outdated | {others[name] for name, table in tables.items() if table in outdated}
    if outdated:
        gone |= {table for table, (kind, _) in wanted.items() if kind == "v"}
    missing = {*wanted, *others.values()} - (found.keys() - gone)
    is_complete = not (missing or lacking or newest < _own_version())
    if is_complete or must_only_look:
        return is_complete
    with _rights_kept(cursor, found):
        if outdated:
            _drop(cursor, "drop_views.sql", tables=list(map(named_view, TAXI_TYPES)))
            for table in outdated:
                _drop(cursor, "drop_trips.sql", trips=table)
        _create_schemas(cursor, {schema for schema, _ in missing})
        due = missing | lacking.keys() if newest > _own_version() else {*wanted, *others.values()}
        _create_tables(cursor, kinds, found, due, lacking)
        _create_views(cursor, kinds, due, may_drop=newest <= _own_version())
    return False


def _create_tables(
    cursor: "_Cursor",
    kinds: dict[str, TaxiType],
    found: dict[Table, "_Found"],
    due: set[Table],
    lacking: dict[Table, list[str]],
) -> None:
    """Create the tables that are due, or put them right."""
    ours = _our_tables()
    if ours["ledger"] in due:
        _create(cursor, ours["ledger"], "create_ledger.sql", comment=_LEDGER_COMMENT)
    markers = found.get(ours["marker_table"])
    if ours["marker_table"] in due and (markers is None or markers.comment == _MARKERS_COMMENT):
        # else it is Luigi's own, which other pipelines use as well
        _create(cursor, ours["marker_table"], "create_markers.sql", comment=_MARKERS_COMMENT)
    for name, kind in kinds.items():
        trips = config.trips_table(name)
        names = {"trips": trips, "other": _partition_name(trips, "other"), "columns": kind.columns}
        if due & {trips, names["other"]}:
            _create(cursor, trips, "create_trips.sql", **names)
            if columns := [c for c in kind.columns if c.name in lacking.get(trips, [])]:
                _execute(cursor, "add_columns.sql", table=trips, columns=columns)
            _execute(cursor, "comment_trips.sql", comment=_comment(kind), **names)
    for lookup in LOOKUPS:
        if _our_table(lookup.table) in due:
            _create(cursor, _our_table(lookup.table), "create_lookup.sql", lookup=lookup)
    if ours["zones_table"] in due:
        _create(cursor, ours["zones_table"], "create_zones.sql", comment=ZONES_COMMENT)


def _create_schemas(cursor: "_Cursor", schemas: Iterable[str]) -> None:
    for schema in _missing_schemas(cursor, schemas):
        _execute(cursor, "create_schema.sql", schema=schema)


def _missing_schemas(cursor: "_Cursor", schemas: Iterable[str]) -> list[str]:
    return [s for s in sorted(schemas) if _rows(cursor, "missing_schemas.sql", schema=s)]


@dataclass(frozen=True)
class _Found:
    """What stands under a name: its kind, by ``relkind`` of pg_class, and its comment."""

    kind: str
    comment: str

    def is_like(self, kind: str, comment: str) -> bool:
        """Whether it is of a kind, and its comment begins like that."""
        return self.kind == kind and self.comment.startswith(comment)


def _wanted(kinds: dict[str, TaxiType]) -> dict[Table, tuple[str, str]]:
    """What we need under which names: its kind, and how its comment begins if that tells ours from
    somebody else's. The columns tell it of trips tables and of Luigi's table of markers."""
    ours = _our_tables()
    lookups = {_our_table(lookup.table): ("r", lookup.comment) for lookup in LOOKUPS}
    return {
        ours["ledger"]: ("r", _LEDGER_COMMENT),
        ours["marker_table"]: ("r", ""),
        ours["zones_table"]: ("r", ZONES_COMMENT),
        **lookups,
        **{config.trips_table(name): ("p", "") for name in kinds},
        **{named_view(name): ("v", _named_comment(kind)) for name, kind in kinds.items()},
        ours["trips_view"]: ("v", _VIEW_COMMENT),
    }


def _find(cursor: "_Cursor", tables: Iterable[Table]) -> dict[Table, _Found]:
    """What stands under these names, as far as there is something."""
    by_relation = {_quoted(cursor, table): table for table in tables}
    rows = _rows(cursor, "find_relations.sql", relations=list(by_relation))
    return {by_relation[each]: _Found(kind, comment or "") for each, kind, comment in rows}


def _foreign(found: _Found, table: Table, reason: str = "", setting: str = "table") -> TaxiError:
    """What is said of a thing of somebody else's under a name that we need."""
    is_ours = table in _our_tables().values() or table[1] in {each.table for each in LOOKUPS}
    key = "schema in [warehouse] schema" if is_ours else f"table in [trips] {setting}"
    return TaxiError(
        f"{_KINDS.get(found.kind, 'relation')} {'.'.join(table)} is there but isn't one of ours"
        f"{reason}; rename it, or name another {key}"
    )


def _comparable(package_version: str) -> tuple[list[int], bool]:
    """A version as it's compared: its numbers, and whether they are of a release."""
    numbers = re.match(r"[\d.]*", package_version)
    release = numbers[0] if numbers else ""
    return [int(each) for each in release.split(".") if each], release == package_version


def _own_version() -> tuple[list[int], bool]:
    return _comparable(version("luigi-tasks"))


def _newest_version(cursor: "_Cursor") -> tuple[list[int], bool]:
    """The latest version that has loaded something."""
    made_by = _rows(cursor, "package_versions.sql")
    return max((_comparable(each) for (each,) in made_by), default=_own_version())


def _look_for_ledger(taxi_type: str) -> None:
    """Before a taxi type counts as not loaded at all: refuse a ledger in another schema."""

    def look() -> None:
        with _labelled_cursor(f"ledger of {taxi_type}") as cursor:
            _refuse_ledger_elsewhere(cursor, list(_find(cursor, [config.trips_table(taxi_type)])))

    with_retries(look)


def _refuse_ledger_elsewhere(cursor: "_Cursor", tables: Sequence[Table]) -> None:
    """Raise a TaxiError if tables with trips were loaded by a ledger in another schema."""
    elsewhere = _rows(cursor, "other_ledgers.sql", comment=_LEDGER_COMMENT)
    if not elsewhere or not tables:
        return
    with_rows = {relation for (relation,) in _rows(cursor, "with_rows.sql", tables=tables)}
    loaded = {".".join(table) for table in tables if _quoted(cursor, table) in with_rows}
    ledger = _our_tables()["ledger"]
    if _find(cursor, [ledger]):
        loaded -= {name for (name,) in _rows(cursor, "loaded_tables.sql", names=list(loaded))}
    for (schema,) in elsewhere:
        names = {"ledger": (schema, ledger[1]), "names": list(loaded)}
        for (table,) in _rows(cursor, "loaded_tables.sql", **names):
            raise TaxiError(
                f"table {table} was loaded by the ledger in schema {schema}, and [warehouse] "
                f"schema is {ledger[0]}: set it to {schema}, or name other tables in [trips] table"
            )


def _comment(kind: TaxiType) -> str:
    """A table's comment, which tells the columns that are kept unless all are."""
    if kind == TAXI_TYPES[kind.name]:
        return kind.comment
    return f"{kind.comment}{_KEPT}{', '.join(column.name for column in kind.columns)}"


def _made_with_other_columns(
    cursor: "_Cursor", kinds: dict[str, TaxiType], found: dict[Table, _Found]
) -> set[Table]:
    """The tables that were made by another ``[transform] columns``, and may go, for they are empty.

    :raises TaxiError: one of them has rows, or isn't ours.
    """
    outdated = set()
    for name, kind in kinds.items():
        table = config.trips_table(name)
        if table not in found:
            continue
        before, wanted = map(_kept_by, (found[table].comment, _comment(kind)))
        if before == wanted:
            continue
        if _rows(cursor, "with_rows.sql", tables=[table]):
            _refuse_other_columns(name, [found[table].comment])
        if not found[table].is_like("p", kind.comment):
            raise _foreign(found[table], table)
        outdated.add(table)
    return outdated


def _refuse_other_columns(taxi_type: str, comments: Iterable[str | None]) -> None:
    """Refuse a table with rows, by its comment, whose columns aren't those that are kept now.

    :param comments: the table's, or None where it has no rows.
    """
    wanted = _kept_by(_comment(config.kept(taxi_type)))
    for before in (_kept_by(comment) for comment in comments if comment is not None):
        if before != wanted:
            raise TaxiError(
                f"table {'.'.join(config.trips_table(taxi_type))} was loaded with "
                f"{before or 'all columns'}, and [transform] columns is now "
                f"{wanted or 'empty, for all'}: set it back, or name other tables in [trips] "
                "table, or drop this one to load its months anew"
            )


def _kept_by(comment: str) -> str:
    """The columns that a table's comment tells; empty for all."""
    return comment.partition(_KEPT)[2]


def _lacking_columns(
    cursor: "_Cursor", kinds: dict[str, TaxiType], tables: Iterable[Table]
) -> dict[Table, list[str]]:
    """The columns that tables of an earlier version lack.

    :raises TaxiError: a table lacks one that every version's has.
    """
    ours = _our_tables()
    columns = {
        ours["ledger"]: LATER_COLUMNS,
        ours["marker_table"]: ["update_id", "target_table", "inserted"],
    }
    may_come = {ours["ledger"]: set(LATER_COLUMNS)}
    for name, kind in kinds.items():
        trips = config.trips_table(name)
        columns[trips] = ["unique_row_id", "filename", *(column.name for column in kind.columns)]
        may_come[trips] = {column.name for column in kind.columns if not column.identifies}
    there = {_quoted(cursor, table): table for table in tables if table in columns}
    if not there:
        return {}
    wanted = [(table, columns[table]) for table in there.values()]
    lacking: dict[Table, list[str]] = {}
    for relation, column in _rows(cursor, "missing_columns.sql", wanted=wanted):
        table = there[relation]
        if column not in may_come.get(table, ()):
            raise _foreign(_find(cursor, [table])[table], table, f": it lacks {column}")
        lacking.setdefault(table, []).append(column)
    return lacking


@contextmanager
def _rights_kept(cursor: "_Cursor", tables: Iterable[Table]) -> Iterator[None]:
    """Have tables and views that are made anew meanwhile end with the owner, the options and the
    grants that they had."""
    relations = [_quoted(cursor, table) for table in tables]
    before = _rows(cursor, "relation_rights.sql", relations=relations)
    yield
    there = set(_rows(cursor, "relation_rights.sql", relations=relations))
    for statement, relation, column in (each for each in before if each not in there):
        if not column or _rows(cursor, "has_column.sql", relation=relation, column=column):
            cursor.execute(statement)


def named_view(taxi_type: str) -> Table:
    """The view of a taxi type's trips with names beside the codes."""
    schema, name = config.trips_table(taxi_type)
    return schema, f"{name}_named"


def _named_comment(kind: TaxiType) -> str:
    return f"{kind.comment}, with names beside the codes"


def _create_views(
    cursor: "_Cursor", kinds: dict[str, TaxiType], due: set[Table], *, may_drop: bool = True
) -> None:
    """Create the views that are due, or put those of an earlier version right."""
    cursor.execute("SAVEPOINT without_views")
    try:
        _replace_views(cursor, kinds, due)
    except psycopg2.errors.InvalidTableDefinition:  # they have other columns
        cursor.execute("ROLLBACK TO SAVEPOINT without_views")
        if may_drop:
            _drop(cursor, "drop_views.sql", tables=list(map(named_view, TAXI_TYPES)))
            _replace_views(cursor, kinds, {*map(named_view, kinds), _our_tables()["trips_view"]})


def _replace_views(cursor: "_Cursor", kinds: dict[str, TaxiType], due: set[Table]) -> None:
    shared = shared_columns(kinds.values())
    columns = {column.name: (column.type, column.comment) for column in shared}
    views = []
    for name, kind in kinds.items():
        if named_view(name) in due:
            _replace_named_view(cursor, kind)
        shown = kind.shown_names
        views.append((name, named_view(name), {c.name for c in kind.columns} | shown.keys()))
        columns |= {each: ("text", comment) for each, comment in shown.items()}
    viewed = [(each, *facts) for each, facts in columns.items()]
    view = _our_tables()["trips_view"]
    if view in due:
        names = {"views": views, "viewed": viewed, "comment": _VIEW_COMMENT}
        _create(cursor, view, "create_trips_view.sql", **names)


def _replace_named_view(cursor: "_Cursor", kind: TaxiType) -> None:
    trips, view = config.trips_table(kind.name), named_view(kind.name)
    known = {"unique_row_id", "filename", *(column.name for column in kind.columns)}
    there = [column.name for column in _columns(cursor, trips)]
    _create(
        cursor,
        view,
        "create_named_view.sql",
        view=view,
        trips=trips,
        columns=kind.columns,
        lookups=kind.lookups,
        shown=kind.shown_names,
        new=[name for name in there if name not in known],
        comment=_named_comment(kind),
    )


def _create(cursor: "_Cursor", what: Table, file: str, **names: Any) -> None:
    try:
        _execute(cursor, file, **names)
    except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.InvalidTableDefinition):
        raise
    except psycopg2.ProgrammingError as error:
        reason = f" ({_first_line(error)})"
        raise _foreign(_Found("", ""), what, reason) from None


def _drop(cursor: "_Cursor", file: str, **names: Any) -> None:
    try:
        _execute(cursor, file, **names)
    except psycopg2.errors.DependentObjectsStillExist as error:
        raise TaxiError(
            f"{_first_line(error)}: {error.diag.message_detail}; drop what depends on it, run "
            "again, and create it anew"
        ) from None


def _check_partition(cursor: "_Cursor", trips: Table, partition: Table) -> bool:
    """Tell whether a partition's table is there; one that isn't a partition is refused."""
    state = _rows(cursor, "partition_state.sql", trips=trips, partition=partition)
    if state and not state[0][0]:
        kind = _KINDS.get(_find(cursor, [partition])[partition].kind, "relation")
        raise TaxiError(
            f"{kind} {'.'.join(partition)} is there but isn't a partition of {'.'.join(trips)}; "
            f"{'attach it, or ' if 'table' in kind else ''}rename it"
        )
    return bool(state)


def _columns(cursor: "_Cursor", table: Table) -> "list[_TableColumn]":
    return [_TableColumn(*facts) for facts in _rows(cursor, "table_columns.sql", table=table)]


@dataclass(frozen=True)
class _TableColumn:
    """A column of a table as it is in the database; ``definition`` is what makes another like it.

    ``needs_value`` tells whether every row must bring a value for it.
    """

    name: str
    type: str
    definition: str
    number: int
    is_generated: bool
    is_identity: bool
    needs_value: bool

    def holds(self, wanted: str) -> bool:
        """Whether it can be given values of this type."""
        if self.is_generated or self.is_identity:
            return False
        return self.type in (wanted, "text") or (self.type, wanted) == (
            "double precision",
            "bigint",
        )


def _places(new: dict[str, str], columns: "Sequence[_TableColumn]") -> Places:
    """Where a file's new columns go in a trips table that has these columns.

    A column that is there with another type stays. If it can't hold these values, they get one
    beside it, whose name tells their type.

    :returns: by the column of the file, that of the table, and its type.
    """
    there = {column.name: column for column in columns}
    places: Places = {}
    for name, wanted in new.items():
        if wanted not in NEW_TYPES:  # it came from a container, perhaps
            raise TaxiError(f"column {name}: its type is {wanted!r}, not of {', '.join(NEW_TYPES)}")
        place = name
        while (place in there and not there[place].holds(wanted)) or place in dict(places.values()):
            place = f"{place}__{wanted.split()[0]}"
        places[name] = place, there[place].type if place in there else wanted
    return places


def _check_columns(
    kind: TaxiType,
    month: date,
    columns: "Sequence[_TableColumn]",
    new: Places,
) -> None:
    """Raise a TaxiError unless a file's rows fit into a trips table that has these columns."""
    table = f"table {'.'.join(config.trips_table(kind.name))}"
    there = {column.name: column for column in columns}
    kept = config.kept(kind.name).columns
    for column in kept:
        wanted = _FULL_TYPES.get(column.type, column.type)
        if there[column.name].type != wanted or not there[column.name].holds(wanted):
            raise TaxiError(
                f"{table}: column {column.name} is {there[column.name].definition}, and trips have "
                f"{wanted} there; change it back"
            )
    brought = {"unique_row_id", "filename", *(c.name for c in kept), *dict(new.values())}
    for name in [c.name for c in columns if c.needs_value and c.name not in brought]:
        raise TaxiError(
            f"{table}: column {name} is NOT NULL and has no default, so no trip of "
            f"{kind.filename(month)} could be stored; give it a DEFAULT, or let it be NULL"
        )
    added = dict(new.values()).keys() - there.keys()
    if max(c.number for c in columns) + len(added) + len(kind.shown_names) > MOST_COLUMNS:
        raise TaxiError(
            f"{table}: with the {len(added)} new columns of {kind.filename(month)} it would have "
            f"more than PostgreSQL's {MOST_COLUMNS}, those of its view included; [transform] "
            "schema_contract = discard leaves them out"
        )


def _add_new_columns(
    cursor: "_Cursor",
    kind: TaxiType,
    month: date,
    new: Places,
    columns: "Sequence[_TableColumn]",
) -> None:
    """Give a trips table the columns that came with a file, as late as can be: nobody can read it
    from then to the end of the transaction."""
    there, label = {column.name for column in columns}, f"{kind.name} {month:%Y-%m}"
    comment = f"Came with {kind.filename(month)}; the catalog doesn't know it"
    added = [Column(name, 0, t, comment) for name, t in new.values() if name not in there]
    if not added:
        return

    def add() -> None:
        _execute(cursor, "add_columns.sql", table=config.trips_table(kind.name), columns=added)
        if _newest_version(cursor) > _own_version():
            return  # a later version's view may have more than we know
        with _rights_kept(cursor, [named_view(kind.name), _our_tables()["trips_view"]]):
            kinds = {name: config.kept(name) for name in TAXI_TYPES}
            _create_views(cursor, kinds, {named_view(kind.name)})

    _politely(cursor, label, add)
    told = ", ".join(f"{column.name} ({column.type})" for column in added)
    logger.info("%s: new columns: %s", label, told)


def _complete_staging(
    cursor: "_Cursor", staging: Table, staged: "_Staged", columns: "Sequence[_TableColumn]"
) -> Places:
    """Give a staging table the columns that the trips table got since, from another month's file.

    :returns: where its own new columns are now, since that month may have brought some of these
        names with other types.
    """
    new = _places(staged.load.new_columns, columns)
    if dict(new.values()).keys() - {column.name for column in columns}:
        _lock(cursor, DDL)  # now, since whoever has it may wait for what is locked later
    moved = [(staged.new[name], place) for name, place in new.items() if staged.new[name] != place]
    if moved:
        _execute(cursor, "move_columns.sql", staging=staging, moved=moved)
    there = {column.name for column in _columns(cursor, staging)}
    lacking = {c.name: c.definition for c in columns if c.name not in there}
    if lacking:
        _execute(cursor, "complete_staging.sql", staging=staging, definitions=lacking)
    return new


def _becomes_partition(cursor: "_Cursor", kind: TaxiType, month: date) -> bool:
    """Whether a month should have a partition and has none: its staging table becomes that."""
    trips = config.trips_table(kind.name)
    return not _check_partition(cursor, trips, _partition_name(trips, f"{month:%Y_%m}"))


def _has_few_rows(cursor: "_Cursor", trips: Table, month: date) -> bool:
    """Whether the table that a month's trips go to has next to none."""
    partition = _partition_name(trips, f"{month:%Y_%m}")
    if not _check_partition(cursor, trips, partition):
        partition = _partition_name(trips, "other")
    return bool(_rows(cursor, "has_few_rows.sql", table=partition)[0][0])


def _holds_staging(cursor: "_Cursor", staging: Table) -> bool:
    """Whether a staging table is there: ours has a comment that describes its load.

    :raises TaxiError: something else is there under its name.
    """
    found = _find(cursor, [staging]).get(staging)
    if found is None:
        return False
    facts: Any = None
    with suppress(ValueError):
        facts = json.loads(found.comment)
    if found.kind != "r" or not isinstance(facts, dict) or "load" not in facts:
        raise _foreign(found, staging, setting="staging_table")
    return True


def _unstage(cursor: "_Cursor", taxi_type: str, month: date) -> None:
    """Drop a month's staging table, unless it is somebody else's, and its marker."""
    staging = config.staging_table(taxi_type, month)
    with suppress(TaxiError):
        if _holds_staging(cursor, staging):
            _drop(cursor, "drop_staging.sql", staging=staging)
    _withdraw_markers(cursor, _staged_id(taxi_type, month))


def _key_name(table: Table) -> str:
    return f"{table[1]}_pkey"


def _attach(cursor: "_Cursor", kind: TaxiType, month: date, staging: Table) -> None:
    """Make a staging table its month's partition.

    That keeps readers from the default partition for a moment, so it comes last.
    """
    trips = config.trips_table(kind.name)
    partition = _partition_name(trips, f"{month:%Y_%m}")
    names = {"trips": trips, "staging": staging, "partition": partition, **_bounds(month)}
    [(is_logged,)] = _rows(cursor, "is_logged.sql", staging=staging)
    _execute(
        cursor,
        "make_partition.sql",
        is_logged=is_logged,
        numbered=[column.name for column in _columns(cursor, trips) if column.is_identity],
        key=_key_name(staging),
        partition_key=_key_name(partition),
        comment=f"Trips of {kind.name} taxis with a pickup in {month:%Y-%m}",
        **names,
    )
    for (statement,) in _rows(cursor, "wanted_by_parent.sql", **names):
        cursor.execute(statement)
    label = f"{kind.name} {month:%Y-%m}"
    _politely(cursor, label, lambda: _execute(cursor, "attach_partition.sql", **names))


def _make_partition(label: str, kind: TaxiType, month: date) -> None:
    """Give a month its partition before it is merged: the triggers that somebody gave the trips
    table see rows that are inserted, but none that come with a partition."""
    trips = config.trips_table(kind.name)
    with _transaction(label, table_lock(trips)) as cursor:
        if not _rows(cursor, "has_triggers.sql", trips=trips):
            return
        if not _becomes_partition(cursor, kind, month):
            return
        table = _partition_name(trips, f"{month:%Y_%m}_new")
        _holds_staging(cursor, table)
        columns = _columns(cursor, trips)
        names = {"staging": table, "other": _partition_name(trips, "other")}
        _execute(
            cursor,
            "create_staging.sql",
            becomes_partition=True,
            definitions={column.name: column.definition for column in columns},
            filename="",
            **names,
        )
        _execute(cursor, "add_staging_key.sql", key=_key_name(table), **names)
        _take_displaced(cursor, names, label, month=month, columns=columns)
        _attach(cursor, kind, month, table)


def _politely(cursor: "_Cursor", label: str, work: Callable[[], Any]) -> None:
    """Do what needs a table for itself, without others waiting behind it for long.

    While somebody reads the table, it isn't waited for in the queue, but tried again and again.

    :raises TaxiError: somebody does so for longer than ``[warehouse] lock_timeout``.
    """
    cursor.execute("SAVEPOINT without_lock")
    waiting = _Waiting(f"{label}: waiting for sessions that use its table")
    while True:
        with _blocking_sessions(cursor, enabled=waiting.must_report) as blocking:
            try:
                cursor.execute("SELECT set_config('lock_timeout', %s, TRUE)", (LOCK_TIMEOUT,))
                work()
                cursor.execute("SELECT set_config('lock_timeout', %s, TRUE)", (_lock_timeout(),))
                return
            except psycopg2.errors.LockNotAvailable:
                cursor.execute("ROLLBACK TO SAVEPOINT without_lock")
        waiting.pause(blocking)


def _lock_timeout() -> str:
    """How long a statement waits for other sessions, as PostgreSQL takes it; 0 for no limit."""
    return f"{config.warehouse().lock_timeout * 60:.3f}s"


def _partition_name(table: Table, suffix: str) -> Table:
    return table[0], f"{table[1]}_{suffix}"


def _bounds(month: date) -> dict[str, Any]:
    """The first moments of a month and of the next one."""
    if month.year == datetime.max.year and month.month == 12:
        return {"start": month, "stop": "infinity"}
    return {"start": month, "stop": month + relativedelta(months=1)}


def _staged_id(taxi_type: str, month: date) -> str:
    return f"TaxiStageLoad {taxi_type} {month:%Y-%m}"


def _merged_id(taxi_type: str, month: date) -> str:
    return f"TaxiMerge {taxi_type} {month:%Y-%m}"


def _set_marker(cursor: cursor, update_id: str, target_table: str) -> None:
    _execute(cursor, "set_marker.sql", update_id=update_id, target_table=target_table)


def _withdraw_markers(cursor: cursor, *update_ids: str) -> None:
    _execute(cursor, "withdraw_markers.sql", update_ids=list(update_ids))


def _withdraw_sharing(cursor: cursor, taxi_type: str, month: date) -> None:
    """Withdraw the markers of months that may have counted removed trips as their own."""
    _execute(
        cursor,
        "withdraw_sharing.sql",
        taxi_type=taxi_type,
        month=month,
        trips=config.trips_table(taxi_type),
        update_id_prefix=f"TaxiMerge {taxi_type} ",
    )


@dataclass(frozen=True)
class _Staged:
    """What stands in a staging table: the load, and where the file's new columns are."""

    load: Load
    new: Places


def _staged(taxi_type: str, month: date) -> _Staged | None:
    """What stands in the month's staging table, if its marker is there, it's whole, and was made
    for the columns that are kept now and that the trips table has."""
    label, trips = f"TaxiStageLoad {taxi_type} {month:%Y-%m}", config.trips_table(taxi_type)
    for description, has_rows in _ask(
        label,
        "staged_load.sql",
        staging=config.staging_table(taxi_type, month),
        update_id=_staged_id(taxi_type, month),
    ):
        with suppress(ValueError, TypeError, KeyError):  # of another version of this package
            staged = json.loads(description)
            load = Load(**staged["load"])
            new = {name: (place, kind) for name, (place, kind) in staged["new"].items()}
            kept = [column.name for column in config.kept(taxi_type).columns]
            columns = [
                _TableColumn(*each) for each in _ask(label, "table_columns.sql", table=trips)
            ]
            is_unchanged = (
                staged["columns"].items()
                <= {column.name: column.definition for column in columns}.items()
            )
            if staged["kept"] == kept and is_unchanged and (has_rows or not load.rows_staged):
                return _Staged(load, new)
    return None


def _must_be_staged(taxi_type: str, month: date) -> _Staged:
    staged = _staged(taxi_type, month)
    if staged is None:
        raise TaxiError(f"{taxi_type} {month:%Y-%m} isn't staged any more; run again")
    return staged


def _last_load(cursor: cursor, taxi_type: str, month: date) -> LastLoad | None:
    trips = config.trips_table(taxi_type)
    rows = _rows(cursor, "last_load.sql", taxi_type=taxi_type, month=month, trips=trips)
    return LastLoad(*rows[0]) if rows else None


def _check_quality(
    cursor: "_Cursor", taxi_type: str, month: date, load: Load, rows_distinct: int
) -> None:
    before = _last_load(cursor, taxi_type, month - relativedelta(months=1))
    rows_before = before.rows_staged - before.rows_duplicate if before else None
    quality.check(f"{taxi_type} {month:%Y-%m}", rows_distinct, load.quality, rows_before)


def _replaced(
    cursor: "_Cursor",
    kind: TaxiType,
    month: date,
    *,
    load: Load,
    last: LastLoad | None,
    names: dict[str, Any],
) -> list[dict[str, Any]]:
    """The bounds of the pickups that an earlier load of the month may have left, unless it was of
    the same file."""
    if last:
        return [] if last.was_made_of(load) else last.places
    marker = [_merged_id(kind.name, month)]
    if _rows(cursor, "holds_month.sql", update_ids=marker, **names, **_bounds(month)):
        return [{"start": "-infinity", "stop": "infinity"}]  # they may be anywhere
    return []


def _remove_replaced(
    cursor: "_Cursor",
    kind: TaxiType,
    month: date,
    replaced: Iterable[dict[str, Any]],
    names: dict[str, Any],
) -> int:
    """Remove what an earlier load left and the staged one doesn't have; how many were removed."""
    removed = 0
    for bounds in replaced:
        with _hashed(cursor, is_whole=bounds == _bounds(month)):
            removed += _execute(cursor, "remove_replaced.sql", **names, **bounds)
    if removed:
        _withdraw_sharing(cursor, kind.name, month)
    return removed


def _update_new_columns(
    cursor: "_Cursor",
    month: date,
    replaced: Iterable[dict[str, Any]],
    *,
    new: Places,
    last: LastLoad | None,
    names: dict[str, Any],
) -> None:
    """Give trips that an earlier load brought, too, what the staged one has in new columns, those
    of either file. Columns that somebody else added stay as they are."""
    columns = _columns(cursor, names["trips"])
    before = _places(last.new_columns, columns) if last else {}
    brought = dict(new.values()) | dict(before.values())
    changed = [column.name for column in columns if column.name in brought]
    if changed:
        for bounds in replaced:
            with _hashed(cursor, is_whole=bounds == _bounds(month)):
                _execute(cursor, "update_new_columns.sql", new=changed, **names, **bounds)


def _count_own(cursor: "_Cursor", names: dict[str, Any], months: Iterable[date]) -> int:
    """How many trips of a month's own file are there, in some months of pickup."""
    counted = [_rows(cursor, "count_own.sql", **names, **_bounds(month)) for month in months]
    return sum(rows for [(rows,)] in counted)


# --- copying ----------------------------------------------------------------------------------


def _copy(
    cursor: "_Cursor", statement: str, trips_file: Path, encode: Callable[[Any], Iterator[bytes]]
) -> int:
    """Send a parquet file's rows by COPY, as they are encoded, batch by batch.

    :returns: the number of rows that the server took.
    """
    from luigi_tasks.forms import parquet

    with parquet(trips_file) as file, ahead(encode(file)) as chunks:
        sent = Chunks(chunks)
        try:
            cursor.copy_expert(statement, sent, 1 << 20)
        except BaseException:
            if isinstance(sent.error, OSError):  # a page isn't as its checksum has it
                raise TaxiError(f"{trips_file} can't be read: {sent.error}; run again") from None
            if sent.error is not None:  # psycopg2 made an error of the query of it
                raise sent.error from None
            raise
    return int(cursor.rowcount)


def _copy_repeated(cursor: "_Cursor", names: dict[str, Any], repeated: IO[bytes]) -> int:
    """Copy rows that may be in the staging table into a table of their own; how many there are."""
    if not repeated.tell():
        return 0
    repeated.seek(0)
    _execute(cursor, "create_repeated.sql", **names)
    statement = _render(cursor, "copy_staging.sql", **names | {"staging": _REPEATED})
    cursor.copy_expert(statement, repeated, 1 << 20)
    return int(cursor.rowcount)


# --- sessions, transactions, locks ------------------------------------------------------------

_sessions: dict[tuple[int, str], connection] = {}
#: What processes hold by ``turn``; a forked one has its parent's entries as well.
_turns: list[tuple[int, str]] = []
#: Whether somebody further up tries again.
_is_retrying = ContextVar("_is_retrying", default=False)


class _Cursor(cursor):
    """A cursor whose statements begin with what they are for, for ``pg_stat_activity``."""

    label = ""

    def execute(self, query: Any, vars: Any = None) -> None:
        with _long_waits_reported(self):
            super().execute(f"/* {self.label} */\n{query}", vars)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        super().copy_expert(f"/* {self.label} */\n{sql}", file, size)


def _session() -> connection:
    """This process's connection. A forked one gets its own, for two can't share a socket."""
    key = (os.getpid(), f"{config.warehouse().url} {config.storage().root}")
    if key not in _sessions or _is_closed(_sessions[key]):
        _sessions[key] = _connect(url(), was_reached=key in _sessions)
    return _sessions[key]


def _is_closed(session: connection) -> bool:
    """Whether a session has ended, as far as this end knows without a question to the server.

    To one that has nothing to do, the server sends nothing but its end, or a notice.
    """
    if not session.closed and session.info.transaction_status == TRANSACTION_STATUS_IDLE:
        is_readable, _, _ = select.select([session], [], [], 0)
        try:
            if is_readable:
                session.cursor().execute("SELECT")
        except psycopg2.Error:
            session.close()
    return bool(session.closed)


def _connect(address: str, *, was_reached: bool = False) -> connection:
    """Open a session of our own.

    :param was_reached: whether this process had one before, so that the URL is right.
    """
    shown = _without_password(address)
    is_embedded = config.warehouse().render("url") == "embedded"
    try:
        with embedded.no_libpq_variables() if is_embedded else nullcontext():
            session = psycopg2.connect(
                address,
                application_name=f"luigi_tasks {os.getpid()} on {socket.gethostname()}"[:63],
                client_encoding="UTF8",
                connect_timeout=10,
                # a firewall may forget a connection that waits for a download, a server be gone
                keepalives_idle=60,
                keepalives_interval=10,
                keepalives_count=6,
                tcp_user_timeout=120_000,
            )
    except psycopg2.OperationalError as error:
        reason = " ".join(str(error).split())
        may_succeed = was_reached or _MAY_CONNECT_LATER.search(reason)
        kind = TransientError if may_succeed else SystemicError
        raise kind(f"the warehouse at {shown} can't be reached: {reason}") from None
    stopping.cancel_with(session)
    _check_version(session.server_version, shown)
    session.autocommit = True
    with _plain_errors(), session.cursor() as cursor:
        [(backend,)] = _rows(cursor, "session_settings.sql", lock_timeout=_lock_timeout())
        # a pooler makes up the number that it gives a client
        if backend != session.get_backend_pid():
            _refuse_transaction_pooling(cursor, address, shown)
    if multiprocessing.parent_process() is None:  # one line a run, however many its workers are
        facts = session.info
        place = f"embedded, in {embedded.cluster(config.storage_root())}" if is_embedded else None
        _name(place or f"{facts.user}@{facts.host}:{facts.port}/{facts.dbname}")
    return session


@lru_cache
def _name(place: str) -> None:
    """Log once which warehouse is used."""
    logger.info("warehouse: %s", printable(place))


def _refuse_transaction_pooling(cursor: cursor, address: str, shown: str) -> None:
    """Raise a TaxiError if a pooler gives each transaction another session of the server.

    The session that one of our transactions used is then free for that of another connection.
    """
    ask = "SELECT pg_backend_pid()"
    with closing(psycopg2.connect(address, connect_timeout=10)) as other, other.cursor() as others:
        cursor.execute(ask)
        first = cursor.fetchall()
        try:
            others.execute(ask)  # in a transaction, which keeps the session
            taken = others.fetchall()
        except psycopg2.OperationalError:  # or no transaction is possible at all
            taken = first
        cursor.execute(ask)
        if taken == first or cursor.fetchall() != first:
            raise TaxiError(
                f"the warehouse at {shown} is behind a pooler that gives each transaction another "
                "session, so no month can be locked: name the server itself in [warehouse] url, or "
                "set the pooler's mode to session (pool_mode = session)"
            )


def _without_password(address: str) -> str:
    try:
        parts = parse_dsn(address)
    except psycopg2.ProgrammingError:
        # libpq's own message quotes from the URL, the password perhaps
        raise TaxiError(_UNREADABLE_URL) from None
    authority, _, path = re.sub(r"[/?]", "/", address.partition("://")[2], count=1).partition("/")
    port = str(parts.get("port", 5432))
    if authority.count("@") > 1 or "@" in path or not re.match(r"[\d,]+$", port):
        # an unescaped character of the password has moved part of it elsewhere
        raise TaxiError(_UNREADABLE_URL)
    user, host = parts.get("user", ""), parts.get("host", "localhost")
    return f"{user}@{host}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _check_version(server_version: int, shown: str) -> None:
    if server_version < OLDEST_SERVER:
        raise TaxiError(
            f"the warehouse at {shown} is PostgreSQL {server_version // 10000}; "
            f"{OLDEST_SERVER // 10000} or later is needed"
        )


@contextmanager
def _labelled_cursor(label: str) -> Iterator[_Cursor]:
    with _plain_errors(), _session().cursor(cursor_factory=_Cursor) as cursor:
        cursor.label = label
        yield cursor


def _ask(label: str, file: str, **names: Any) -> list[tuple[Any, ...]]:
    """The rows of a query; none if a table that it asks isn't there."""

    def ask() -> list[tuple[Any, ...]]:
        with _labelled_cursor(label) as cursor:
            try:
                return _rows(cursor, file, **names)
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
                return []

    return with_retries(ask)


@contextmanager
def _transaction(label: str, lock: str | None = None) -> Iterator[_Cursor]:
    """A cursor in a transaction, in which this process still holds what it took by ``turn``.

    :param lock: what no other run has while the transaction lasts: DDL, or a trips table's.
    """
    with _labelled_cursor(label) as cursor:
        session = cursor.connection
        session.autocommit = False
        try:
            for pid, name in _turns:
                if pid == os.getpid():
                    _check_turn(cursor, name)
            if lock:
                _lock(cursor, lock)
            yield cursor
            session.commit()
        finally:
            if not session.closed:
                session.rollback()
                session.autocommit = True


def table_lock(trips: Table) -> str:
    """The lock of whoever merges into a trips table, or takes trips out."""
    return f"table {'.'.join(trips)}"


def _lock(
    cursor: _Cursor, name: str, *, outlives_transaction: bool = False, wait: bool = True
) -> bool:
    """Try for an advisory lock, until it is had if ``wait``; tell whether it is.

    :raises TaxiError: others have it for longer than ``[warehouse] lock_timeout``.
    """
    scope = "" if outlives_transaction else "xact_"
    statement = f"SELECT pg_try_advisory_{scope}lock(%s, hashtext(%s))"
    waiting = _Waiting(f"another run is at work on {name}; waiting for it")
    while True:
        cursor.execute(statement, (ADVISORY_LOCKS, name))
        if cursor.fetchall() == [(True,)]:
            return True
        if not wait:
            return False
        holders = _lock_holders(cursor, name) if waiting.must_report else []
        waiting.pause(_described(cursor, holders))


def _lock_holders(cursor: cursor, name: str) -> list[int]:
    """The numbers of the sessions that have an advisory lock."""
    rows = _rows(cursor, "lock_holders.sql", advisory_locks=ADVISORY_LOCKS, name=name)
    return [pid for (pid,) in rows]


def _described(cursor: cursor, pids: Sequence[int]) -> list[str]:
    """What is known of sessions: program, user, host, and what they have done for how long."""
    if not pids:
        return []
    return [text for (text,) in _rows(cursor, "describe_sessions.sql", pids=list(pids))]


def _check_turn(cursor: _Cursor, name: str) -> None:
    """Make sure that this session has a lock; one that was lost is taken again if it's free.

    Whoever had it meanwhile is done: what is there was made by a run that held the lock.
    """
    if cursor.connection.get_backend_pid() in _lock_holders(cursor, name):
        return
    if not _lock(cursor, name, outlives_transaction=True, wait=False):
        raise TaxiError(
            f"{name}: the connection to the warehouse broke, and another run is at work on it now; "
            "run again to see what it did"
        )
    logger.warning("%s: the connection to the warehouse broke; locked it anew", name)


class _Waiting:
    """A wait for what other sessions hold, with ever longer pauses.

    ``must_report`` says that the next pause wants to know who they are.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        self._began = time.monotonic()
        self._next_report = self._began + LOCK_INTERVAL
        self._interval = SHORTEST_LOCK_INTERVAL
        self._missed = 0
        self._limit = config.warehouse().lock_timeout * 60 or math.inf

    @property
    def _is_over(self) -> bool:
        return time.monotonic() - self._began >= self._limit

    @property
    def must_report(self) -> bool:
        return self._is_over or time.monotonic() >= self._next_report

    def pause(self, sessions: Sequence[str]) -> None:
        """Sleep a little.

        :param sessions: those in the way, if that was asked for.
        :raises TaxiError: that is enough.
        """
        if self.must_report:
            self._missed += 1
            if sessions or self._missed >= MOST_MISSED:
                self._report(sessions)
        time.sleep(self._interval)
        self._interval = min(2 * self._interval, LOCK_INTERVAL)

    def _report(self, sessions: Sequence[str]) -> None:
        message = f"{self._message}: {'; '.join(sessions)}" if sessions else self._message
        if self._is_over:
            raise TaxiError(
                f"{message}: gave up after {self._limit / 60:g} minutes, [warehouse] lock_timeout; "
                "end that session (pg_terminate_backend), or run again when it has ended"
            )
        self._missed, self._next_report = 0, time.monotonic() + LOCK_REPORT_INTERVAL
        logger.info("%s", message)


@contextmanager
def _blocking_sessions(cursor: _Cursor, *, enabled: bool) -> Iterator[list[str]]:
    """Find out, by another session, who keeps this one waiting while the context lasts."""
    found: list[str] = []
    if not enabled:
        yield found
        return
    is_watched, is_over = threading.Event(), threading.Event()
    pid = cursor.connection.get_backend_pid()

    def watch() -> None:
        with suppress(psycopg2.Error, TaxiError), closing(_connect(url())) as session:
            is_watched.set()
            while not is_over.is_set() and not found:
                found.extend(_blocking(session, pid))
        is_watched.set()  # it had no connection left, perhaps

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    is_watched.wait()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _long_waits_reported(cursor: _Cursor) -> Iterator[None]:
    """Name who keeps a statement waiting, once a minute, if it waits for anybody."""
    is_over, label = threading.Event(), cursor.label
    pid = cursor.connection.get_backend_pid()

    def watch() -> None:
        while not is_over.wait(LOCK_REPORT_INTERVAL):
            with suppress(psycopg2.Error, TaxiError), closing(_connect(url())) as session:
                if sessions := _blocking(session, pid):
                    logger.info("%s: waiting for %s", label, "; ".join(sessions))

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _blocking(session: connection, pid: int) -> list[str]:
    """What is known of the sessions that keep another one waiting."""
    with session.cursor() as cursor:
        return _described(cursor, [p for (p,) in _rows(cursor, "blocking_sessions.sql", pid=pid)])


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what a person can mend into one line; the rest stays psycopg2's exception."""
    try:
        yield
    except psycopg2.errors.InsufficientPrivilege as error:
        raise SystemicError(
            f"the warehouse refuses: {_first_line(error)}; the role in [warehouse] url needs "
            "CREATE on the schemas of [trips] and on [warehouse] schema (on the database, if "
            "they aren't there), TEMPORARY on the database, and must own the tables that are there"
        ) from None
    except (
        psycopg2.errors.UntranslatableCharacter,
        psycopg2.errors.CharacterNotInRepertoire,
    ) as error:
        raise TaxiError(_untranslatable(error)) from None
    except (
        psycopg2.errors.ForeignKeyViolation,
        psycopg2.errors.CheckViolation,
        psycopg2.errors.ExclusionViolation,
        psycopg2.errors.NotNullViolation,
        psycopg2.errors.UniqueViolation,
    ) as error:
        if error.diag.table_name == "load_history":  # its sums are ours
            raise
        detail = f": {error.diag.message_detail}" if error.diag.message_detail else ""
        raise TaxiError(
            f"the warehouse refuses: {_first_line(error)}{' '.join(detail.split(chr(10)))}; it's a "
            "constraint of yours, so drop it or put right what it refers to"
        ) from None
    except (psycopg2.errors.DuplicateTable, psycopg2.errors.DuplicateObject) as error:
        raise TaxiError(
            f"the warehouse refuses: {_first_line(error)}, and it isn't one of ours; rename it"
        ) from None
    except (psycopg2.errors.ProgramLimitExceeded, psycopg2.errors.TooManyColumns) as error:
        raise TaxiError(
            f"the warehouse refuses: {_first_line(error)}; [transform] schema_contract = discard "
            "leaves out columns that the catalog doesn't know"
        ) from None
    except psycopg2.errors.LockNotAvailable:
        raise TaxiError(
            f"other sessions kept a statement waiting for {config.warehouse().lock_timeout:g} "
            "minutes, [warehouse] lock_timeout; the log names them, if that was a minute or more"
        ) from None
    except (psycopg2.errors.ReadOnlySqlTransaction, psycopg2.OperationalError) as error:
        code = error.pgcode or "08"
        happened = "refuses" if error.pgcode else "broke the connection"
        kinds = (
            (TransientError, _TRANSIENT),
            (SystemicError, _SYSTEMIC),
            (TaxiError, re.compile("")),
        )
        kind = next(kind for kind, codes in kinds if codes.match(code))
        raise kind(f"the warehouse {happened}: {_first_line(error)}") from None
    except (psycopg2.DataError, psycopg2.errors.RaiseException) as error:
        if error.pgcode in _BROKEN_COPY:
            raise
        raise TaxiError(
            f"the warehouse refuses: {_first_line(error)}; a column or trigger of yours may do so"
        ) from None
    except psycopg2.InterfaceError as error:  # closed in the midst of a transaction
        raise TransientError(f"the warehouse broke the connection: {_first_line(error)}") from None


def _untranslatable(error: psycopg2.Error) -> str:
    """What is said of a character that the database's encoding doesn't have, and of its place."""
    numbers = re.findall(r"0x([0-9a-f]{2})", str(error))
    character = bytes.fromhex("".join(numbers)).decode(errors="replace")[:1]
    encoding = re.findall(r'"(\w+)"', _first_line(error))
    what = f"{character!r} (U+{ord(character):04X})" if character else "one of the characters"
    where = ""
    if copied := re.search(r", \w+ (\S+)$", error.diag.context or ""):
        where = f" of column {copied[1]}"
    elif error.cursor and character:
        statement = str(error.cursor.query or b"", "utf-8", "replace")
        if value := re.search(f"'([^']*{re.escape(character)}[^']*)'", statement):
            where = f" of {value[1][:60]!r}"
    return (
        f"the warehouse's database is in {encoding[-1] if encoding else 'an encoding of its own'}, "
        f"which has no {what}{where}: name one in UTF8 in [warehouse] url"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# --- SQL files --------------------------------------------------------------------------------


def _execute(cursor: cursor, file: str, **names: Any) -> int:
    """Run a file, and return how many rows its last statement changed."""
    cursor.execute(_render(cursor, file, **names))
    return int(cursor.rowcount)


def _rows(cursor: cursor, file: str, **names: Any) -> list[tuple[Any, ...]]:
    cursor.execute(_render(cursor, file, **names))
    return list(cursor.fetchall())


def _render(cursor: cursor, file: str, **names: Any) -> str:
    names = {"schema": config.schema(), **_our_tables(), **names, "cursor": cursor}
    return _sql_files().get_template(file).render(names)


@lru_cache
def _sql_files() -> Environment:
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
    return _quoted(context["cursor"], name)


def _quoted(cursor: cursor, name: str | Table) -> str:
    parts = (name,) if isinstance(name, str) else name
    return str(Identifier(*parts).as_string(cursor))


def _json(value: Any) -> psycopg2.extras.Json:
    """A value for jsonb. PostgreSQL converts characters to any encoding, escapes to UTF8 alone."""
    return psycopg2.extras.Json(value, dumps=partial(json.dumps, ensure_ascii=False))


@pass_context
def _value(context: Any, value: Any) -> str:
    literal = _json(value) if isinstance(value, dict) else value
    return str(context["cursor"].mogrify("%s", (literal,)).decode())
