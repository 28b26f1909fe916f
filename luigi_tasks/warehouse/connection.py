"""Connections to the warehouse, and cursors that label their statements."""

import logging
import multiprocessing
import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import Any

import psycopg2
from psycopg2.extensions import connection, cursor, parse_dsn

from luigi_tasks import stopping
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.texts import printable
from luigi_tasks.warehouse import embedded
from luigi_tasks.warehouse.errors import TransientError, plain_errors
from luigi_tasks.warehouse.sql import rows

logger = logging.getLogger("luigi-interface.warehouse")

#: MERGE came with PostgreSQL 15.
OLDEST_SERVER = 150000
#: Seconds between two log lines about the sessions that block this one.
REPORT_INTERVAL = 60.0
#: What libpq and PostgreSQL say without a code when another attempt to connect may succeed.
_MAY_CONNECT_LATER = re.compile(
    "Connection refused|Connection reset|Connection timed out|timeout expired|No route to host"
    "|Network is unreachable|Temporary failure in name resolution|No such file or directory"
    "|server closed the connection|database system is|too many clients|too many connections"
    "|remaining connection slots"
)
_UNREADABLE_URL = (
    "[warehouse] url can't be read; it must be like postgresql://user@host:5432/database, "
    "with %xx for special characters (%%xx in luigi.cfg)"
)


class Cursor(cursor):
    """A cursor whose statements begin with what they are for, for ``pg_stat_activity``."""

    warehouse: Warehouse
    label = ""

    def execute(self, query: Any, vars: Any = None) -> None:
        with _long_waits_reported(self):
            super().execute(f"/* {self.label} */\n{query}", vars)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        super().copy_expert(f"/* {self.label} */\n{sql}", file, size)


def url(warehouse: Warehouse) -> str:
    """The URL to connect to, including the password; an embedded server is started."""
    if not warehouse.is_embedded:
        return warehouse.url
    try:
        return embedded.ensure_running(warehouse.root)
    except TaxiError as error:
        raise SystemicError(str(error)) from None


def connect(warehouse: Warehouse, *, was_reached: bool = False) -> connection:
    """Open a session.

    :param was_reached: whether this process had one before, so that the URL is right.
    :raises TransientError: the server can't be reached, but may be later.
    :raises SystemicError: the server can't be reached, refuses, or is too old.
    """
    address = url(warehouse)
    shown = _without_password(address)
    try:
        with embedded.no_libpq_variables() if warehouse.is_embedded else nullcontext():
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
        error_class = TransientError if may_succeed else SystemicError
        raise error_class(f"the warehouse at {shown} can't be reached: {reason}") from None
    stopping.cancel_with(session)
    _check_version(session.server_version, shown)
    session.autocommit = True
    with plain_errors(warehouse), session.cursor() as cursor:
        limits = {
            "lock_timeout": lock_timeout(warehouse),
            "statement_timeout": f"{warehouse.time_limit * 60:.3f}s",
        }
        [(backend,)] = rows(cursor, "session/settings.sql", **limits)
        # a pooler makes up the number that it gives a client
        if backend != session.get_backend_pid():
            _refuse_transaction_pooling(cursor, address, shown)
    if multiprocessing.parent_process() is None:  # one line a run, however many its workers are
        facts = session.info
        folder = f"embedded, in {embedded.cluster_folder(warehouse.root)}"
        server = f"{facts.user}@{facts.host}:{facts.port}/{facts.dbname}"
        _log_once(folder if warehouse.is_embedded else server)
    return session


def password(warehouse: Warehouse) -> str | None:
    """The password by which libpq connects, from wherever it has it, such as ``~/.pgpass``.

    :raises TaxiError: the server can't be reached, refuses, or is too old.
    """
    with closing(connect(warehouse)) as session:
        found: str | None = session.info.password
        return found or None


def lock_timeout(warehouse: Warehouse) -> str:
    """How long a statement waits for other sessions, as PostgreSQL takes it; 0 for no limit."""
    return f"{warehouse.lock_timeout * 60:.3f}s"


def describe_sessions(cursor: cursor, pids: Sequence[int]) -> list[str]:
    """What is known of sessions: program, user, host, and what they have done for how long."""
    if not pids:
        return []
    return [text for (text,) in rows(cursor, "session/describe.sql", pids=list(pids))]


@contextmanager
def blocking_sessions(cursor: Cursor, *, enabled: bool) -> Iterator[list[str]]:
    """Find out, by another session, who blocks this one while the context lasts."""
    found: list[str] = []
    if not enabled:
        yield found
        return
    is_watched, is_over = threading.Event(), threading.Event()
    pid = cursor.connection.get_backend_pid()

    def watch() -> None:
        with suppress(psycopg2.Error, TaxiError), closing(connect(cursor.warehouse)) as session:
            is_watched.set()
            while not is_over.is_set() and not found:
                found.extend(_blocking(session, pid))
        is_watched.set()  # the server had no connection left, perhaps

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    is_watched.wait()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _long_waits_reported(cursor: Cursor) -> Iterator[None]:
    """Log who blocks a statement, once a minute, if anybody does."""
    is_over, label, warehouse = threading.Event(), cursor.label, cursor.warehouse
    pid = cursor.connection.get_backend_pid()

    def watch() -> None:
        while not is_over.wait(REPORT_INTERVAL):
            with suppress(psycopg2.Error, TaxiError), closing(connect(warehouse)) as session:
                if sessions := _blocking(session, pid):
                    logger.info("%s: waiting for %s", label, "; ".join(sessions))

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def _blocking(session: connection, pid: int) -> list[str]:
    """What is known of the sessions that block another one."""
    with session.cursor() as cursor:
        blocking = [each for (each,) in rows(cursor, "session/blocking.sql", pid=pid)]
        return describe_sessions(cursor, blocking)


@lru_cache
def _log_once(place: str) -> None:
    """Log which warehouse is used."""
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
            others.execute(ask)  # in a transaction, which occupies the session
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
