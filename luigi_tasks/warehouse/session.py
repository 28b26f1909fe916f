"""This process's session: queries, transactions, the month lock, and another attempt."""

import logging
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg2
import psycopg2.errors
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse.connection import Cursor, connect
from luigi_tasks.warehouse.errors import (
    LostLockError,
    TransientError,
    UnansweredCommitError,
    first_line,
    plain_errors,
)
from luigi_tasks.warehouse.locks import Queue, check_lock, describe_holders, lock, unlock
from luigi_tasks.warehouse.sql import rows

logger = logging.getLogger("luigi-interface.warehouse")

#: Seconds before the second attempt to reach the warehouse, doubled before each further one; and
#: the longest pause.
BACKOFF, BACKOFF_MAX = 1.0, 60.0

Result = TypeVar("Result")

_sessions: dict[tuple[int, str], connection] = {}
#: The locks that processes hold by ``month_lock``; a forked one has its parent's entries as well.
_held: list[tuple[int, Warehouse, str]] = []
#: Whether a caller further up tries again.
_is_retrying = ContextVar("_is_retrying", default=False)


def open_session(warehouse: Warehouse) -> connection:
    """This process's session. A forked process gets its own, for two can't share a socket."""
    key = (os.getpid(), f"{warehouse.url} {warehouse.root}")
    if key not in _sessions or _is_closed(_sessions[key]):
        _sessions[key] = connect(warehouse, was_reached=key in _sessions)
    return _sessions[key]


def _is_closed(session: connection) -> bool:
    """Whether a session has ended, as far as this end knows without asking the server.

    To an idle session the server sends nothing but its end, or a notice.
    """
    if not session.closed and session.info.transaction_status == TRANSACTION_STATUS_IDLE:
        is_readable, _, _ = select.select([session], [], [], 0)
        try:
            if is_readable:
                session.cursor().execute("SELECT")
        except psycopg2.Error:
            session.close()
    return bool(session.closed)


@contextmanager
def labelled_cursor(warehouse: Warehouse, label: str) -> Iterator[Cursor]:
    """A cursor of this process's session, whose statements begin with a label."""
    with plain_errors(warehouse), open_session(warehouse).cursor(cursor_factory=Cursor) as cursor:
        cursor.warehouse, cursor.label = warehouse, label
        yield cursor


def query(warehouse: Warehouse, label: str, file: str, **names: Any) -> list[tuple[Any, ...]]:
    """The rows of a query; none if a table that it names doesn't exist."""

    def ask() -> list[tuple[Any, ...]]:
        with labelled_cursor(warehouse, label) as cursor:
            try:
                return rows(cursor, file, **names)
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
                return []

    return with_retries(warehouse, ask)


@contextmanager
def transaction(
    warehouse: Warehouse, label: str, lock_name: str | None = None, *, is_snapshot: bool = False
) -> Iterator[Cursor]:
    """A cursor in a transaction, in which this process still holds its month lock.

    :param lock_name: what no other run holds while the transaction lasts: DDL, or a table's lock.
    :param is_snapshot: whether all statements see the same moment, and none changes anything.
    :raises UnansweredCommitError: the connection broke while it was committed.
    """
    with labelled_cursor(warehouse, label) as cursor:
        session = cursor.connection
        session.autocommit = False
        if is_snapshot:
            session.set_session(isolation_level="REPEATABLE READ", readonly=True)
        try:
            for pid, _, name in _held:
                if pid == os.getpid():
                    check_lock(cursor, name)
            if lock_name:
                lock(cursor, lock_name)
            yield cursor
            _commit(cursor)
        finally:
            if not session.closed:
                session.rollback()
                if is_snapshot:
                    session.set_session(isolation_level="DEFAULT", readonly="default")
                session.autocommit = True


def _commit(cursor: Cursor) -> None:
    [(number,)] = rows(cursor, "session/transaction_number.sql")
    try:
        cursor.connection.commit()
    except psycopg2.OperationalError as error:
        if cursor.connection.closed:
            raise UnansweredCommitError(
                "the warehouse broke the connection before it answered a COMMIT: "
                f"{first_line(error)}",
                number,
            ) from None
        raise


def was_committed(warehouse: Warehouse, label: str, transaction: str | None) -> bool:
    """Whether a transaction of an ``UnansweredCommitError`` was committed, now that its session has
    ended."""
    if transaction is None:
        return False
    states = query(warehouse, label, "session/transaction_state.sql", transaction=transaction)
    return states == [("committed",)]


@contextmanager
def month_lock(
    warehouse: Warehouse, name: str, *, wait: bool = True, queue: Queue | None = None
) -> Iterator[bool]:
    """Lock something, such as ``green 2024-01``, against other runs, on this machine or another.

    Yields whether it is locked, which is always so with ``wait``. The lock ends with the
    connection: each transaction, and whoever publishes a file, checks by ``check_locks`` that it
    is still held.

    :param queue: how long it is waited for, and who hears of it; by default for ``[warehouse]
        lock_timeout``.
    :raises TaxiError: others hold it for longer.
    """
    with labelled_cursor(warehouse, name) as cursor:
        is_held = lock(cursor, name, outlives_transaction=True, wait=wait, queue=queue)
    if not is_held:
        yield False
        return
    _held.append((os.getpid(), warehouse, name))
    try:
        yield True
    finally:
        _held.remove((os.getpid(), warehouse, name))
        # a connection that broke has released its locks
        with suppress(psycopg2.Error, TaxiError), labelled_cursor(warehouse, name) as cursor:
            unlock(cursor, name)


def holders_of(warehouse: Warehouse, name: str) -> str:
    """Who holds a lock of ``month_lock``; empty if nobody does any more."""
    with labelled_cursor(warehouse, name) as cursor:
        return describe_holders(cursor, name)


def check_locks(*, must_reach: bool = True) -> None:
    """Make sure that this process still holds what it locked by ``month_lock``.

    :param must_reach: whether a warehouse that can't be reached is an error, too. Nobody may hold
        the lock then.
    :raises LostLockError: the connection broke.
    :raises TransientError: the warehouse can't be reached.
    """
    for pid, warehouse, name in _held:
        if pid == os.getpid():
            try:
                with labelled_cursor(warehouse, name) as cursor:
                    check_lock(cursor, name)
            except TransientError as error:
                if must_reach or isinstance(error, LostLockError):
                    raise


def with_retries(warehouse: Warehouse, work: Callable[[], Result]) -> Result:
    """Do something, and do it again while the warehouse can't be reached or breaks off.

    The pauses grow as those for the source do; ``[warehouse] retries`` limits their number.

    :raises TransientError: the last attempt failed, too.
    """
    if _is_retrying.get():
        return work()
    mark = _is_retrying.set(True)
    try:
        return Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=stop_after_attempt(warehouse.retries + 1),
            wait=wait_exponential(multiplier=BACKOFF, max=BACKOFF_MAX),
            before_sleep=_log_retry,
            reraise=True,
        )(work)
    finally:
        _is_retrying.reset(mark)


def _log_retry(state: RetryCallState) -> None:
    if state.outcome and state.next_action:
        error, pause = state.outcome.exception(), state.next_action.sleep
        logger.warning("%s; trying again in %g s", error, pause)
