"""Advisory locks, and how long this session waits for others.

A month's lock comes first, then a trips table's, then ``DDL``: whoever takes them in this order
never waits in a circle.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2.errors
from psycopg2.extensions import cursor

from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Table, Warehouse
from luigi_tasks.warehouse.connection import (
    REPORT_INTERVAL,
    Cursor,
    blocking_sessions,
    describe_sessions,
    lock_timeout,
)
from luigi_tasks.warehouse.errors import LostLockError
from luigi_tasks.warehouse.sql import rows

logger = logging.getLogger("luigi-interface.warehouse")

#: The first key of our advisory locks: "taxi" in ASCII. The second one is the hash of a name: that
#: of a month, of a trips table, or DDL.
ADVISORY_LOCKS = 0x74617869
#: The lock for creating or altering tables and views, and for loading the zones.
DDL = "tables"
#: Seconds between two attempts to get a lock, at first and at last; a sleep, unlike a wait in the
#: server, can be interrupted.
SHORTEST_LOCK_INTERVAL, LOCK_INTERVAL = 0.02, 0.5
#: How often a log line is put off because nobody was seen to hold the lock.
MOST_MISSED = 5
#: How long what needs a table for itself may wait for readers, and others behind it.
SHORT_LOCK_TIMEOUT = "50ms"


def table_lock(trips: Table) -> str:
    """The lock for merging into a trips table, and for removing trips from it."""
    return f"table {'.'.join(trips)}"


@dataclass(frozen=True)
class Queue:
    """How long a lock is waited for, in minutes, 0 for no limit; the setting that says so; and who
    hears of the wait: called with what it waits for, each minute, and with None at its end."""

    timeout: float
    setting: str
    report: Callable[[str | None], None] = lambda waiting_for: None


def lock(
    cursor: Cursor,
    name: str,
    *,
    outlives_transaction: bool = False,
    wait: bool = True,
    queue: Queue | None = None,
) -> bool:
    """Take an advisory lock, and wait for it if ``wait``; returns whether it was taken.

    :param queue: how long it waits; by default for ``[warehouse] lock_timeout``.
    :raises TaxiError: others hold it for longer.
    """
    scope = "" if outlives_transaction else "xact_"
    statement = f"SELECT pg_try_advisory_{scope}lock(%s, hashtext(%s))"
    message = f"another run is at work on {name}; waiting for it"
    wait_for_it = _Wait(cursor.warehouse, message, queue)
    try:
        while True:
            cursor.execute(statement, (ADVISORY_LOCKS, name))
            if cursor.fetchall() == [(True,)]:
                return True
            if not wait:
                return False
            holders = _holders(cursor, name) if wait_for_it.must_report else []
            wait_for_it.pause(describe_sessions(cursor, holders))
    finally:
        wait_for_it.end()


def describe_holders(cursor: Cursor, name: str) -> str:
    """Who holds an advisory lock; empty if nobody does any more."""
    return "; ".join(describe_sessions(cursor, _holders(cursor, name)))


def unlock(cursor: Cursor, name: str) -> None:
    """Release a lock that outlives transactions."""
    cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", (ADVISORY_LOCKS, name))


def check_lock(cursor: Cursor, name: str) -> None:
    """Make sure that this session holds a lock.

    One that was lost isn't simply taken again: another run may have had it meanwhile, and loaded
    another edition.

    :raises LostLockError: the connection broke.
    """
    cursor.execute("SELECT pg_backend_pid()")  # a pooler makes up the number that it gives a client
    [(own,)] = cursor.fetchall()
    if own not in _holders(cursor, name):
        raise LostLockError(f"{name}: its lock was lost when the connection to the warehouse broke")


def with_lock_timeout(cursor: Cursor, work: Callable[[], Any]) -> None:
    """Do what needs a table for itself, without making others wait behind it for long.

    While somebody reads the table, the work isn't queued, but tried again and again.

    :raises TaxiError: somebody does so for longer than ``[warehouse] lock_timeout``.
    """
    cursor.execute("SAVEPOINT without_lock")
    wait = _Wait(cursor.warehouse, f"{cursor.label}: waiting for sessions that use its table")
    own_timeout = lock_timeout(cursor.warehouse)
    while True:
        with blocking_sessions(cursor, enabled=wait.must_report) as blocking:
            try:
                cursor.execute("SELECT set_config('lock_timeout', %s, TRUE)", (SHORT_LOCK_TIMEOUT,))
                work()
                cursor.execute("SELECT set_config('lock_timeout', %s, TRUE)", (own_timeout,))
                return
            except psycopg2.errors.LockNotAvailable:
                cursor.execute("ROLLBACK TO SAVEPOINT without_lock")
        wait.pause(blocking)


def _holders(cursor: cursor, name: str) -> list[int]:
    """The process ids of the sessions that hold an advisory lock."""
    found = rows(cursor, "session/lock_holders.sql", advisory_locks=ADVISORY_LOCKS, name=name)
    return [pid for (pid,) in found]


class _Wait:
    """A wait for what other sessions hold, with growing pauses.

    ``must_report`` is true when the next pause wants to know who they are.
    """

    def __init__(self, warehouse: Warehouse, message: str, queue: Queue | None = None) -> None:
        self._message = message
        self._queue = queue or Queue(warehouse.lock_timeout, "[warehouse] lock_timeout")
        self._has_reported = False
        self._began = time.monotonic()
        self._next_report = self._began + LOCK_INTERVAL
        self._interval = SHORTEST_LOCK_INTERVAL
        self._missed = 0
        self._limit = self._queue.timeout * 60 or math.inf

    @property
    def _is_over(self) -> bool:
        return time.monotonic() - self._began >= self._limit

    @property
    def must_report(self) -> bool:
        return self._is_over or time.monotonic() >= self._next_report

    def pause(self, sessions: Sequence[str]) -> None:
        """Sleep a little.

        :param sessions: those that block this one, if that was asked for.
        :raises TaxiError: the time is over.
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
                f"{message}: gave up after {self._limit / 60:g} minutes, {self._queue.setting}; "
                "end that session (pg_terminate_backend), or run again when it has ended"
            )
        self._missed, self._next_report = 0, time.monotonic() + REPORT_INTERVAL
        logger.info("%s", message)
        self._has_reported = True
        self._queue.report(message)

    def end(self) -> None:
        """Let whoever heard of the wait hear of its end."""
        if self._has_reported:
            self._queue.report(None)
