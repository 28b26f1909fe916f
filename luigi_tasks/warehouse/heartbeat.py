"""The sign that a run lives: a lock that ends with its session, and a time that is renewed."""

from __future__ import annotations

import logging
import threading
from contextlib import closing, suppress
from importlib.metadata import version

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection

from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse.attempts import RunFacts, lock_name
from luigi_tasks.warehouse.connection import Cursor, connect
from luigi_tasks.warehouse.errors import plain_errors
from luigi_tasks.warehouse.locks import lock
from luigi_tasks.warehouse.migrations import newest
from luigi_tasks.warehouse.sql import execute, rows
from luigi_tasks.warehouse.tables import prepare

logger = logging.getLogger("luigi-interface.runs")

#: Seconds between two signs of life.
INTERVAL = 30.0


class Heartbeat:
    """A session of its own, in which a run is recorded and shows that it lives."""

    def __init__(self, warehouse: Warehouse, session: connection) -> None:
        self._warehouse, self._session = warehouse, session
        self._locked: connection | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self.run_id = 0

    @classmethod
    def begin(cls, warehouse: Warehouse, facts: RunFacts) -> Heartbeat:
        """Record that a run begins; the tables are created where they are missing.

        :raises TaxiError: it can't be recorded.
        """
        heart = cls(warehouse, connect(warehouse))
        try:
            try:
                heart._begin(facts)
            except (
                psycopg2.errors.UndefinedTable,
                psycopg2.errors.UndefinedColumn,
                psycopg2.errors.InvalidSchemaName,
            ):
                prepare(warehouse, "run begins")
                heart._begin(facts)
            if heart._must_migrate():
                prepare(warehouse, "run begins")
        except BaseException:
            heart._session.close()
            raise
        heart._thread.start()
        return heart

    def stop(self) -> None:
        """End the signs of life, and with them the lock."""
        self._is_over.set()
        self._thread.join(1)
        with suppress(psycopg2.Error):
            self._session.close()

    def _begin(self, facts: RunFacts) -> None:
        with self._cursor() as cursor, plain_errors(self._warehouse):
            names = {"run": facts, "package_version": version("luigi-tasks")}
            [(self.run_id,)] = rows(cursor, "runs/begin_run.sql", **names)
            self._lock(cursor)

    def _must_migrate(self) -> bool:
        """Whether an earlier version has looked after the warehouse last."""
        with self._cursor() as cursor, plain_errors(self._warehouse):
            found = rows(cursor, "migrations/read_version.sql")
            return not found or found[0][0] < newest()

    def _beat(self) -> None:
        while not self._is_over.wait(INTERVAL):
            with suppress(psycopg2.Error, TaxiError):
                if self._session.closed:
                    self._session = connect(self._warehouse, was_reached=True)
                with self._cursor() as cursor:
                    self._lock(cursor)
                    execute(cursor, "runs/see_run.sql", run_id=self.run_id)

    def _lock(self, cursor: Cursor) -> None:
        """Hold the run's lock, once, for as long as the session lasts."""
        if self._locked is not self._session:
            lock(cursor, lock_name(self.run_id), outlives_transaction=True, wait=False)
            self._locked = self._session

    def _cursor(self) -> closing[Cursor]:
        cursor = self._session.cursor(cursor_factory=Cursor)
        cursor.warehouse, cursor.label = self._warehouse, f"run {self.run_id or 'begins'}"
        return closing(cursor)
