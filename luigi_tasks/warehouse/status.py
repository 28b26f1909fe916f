"""The state of each month, by one query that status, alarms and metrics share; what the source said
of months that aren't complete; and the last run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import psycopg2.errors

from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.ledger import is_empty
from luigi_tasks.warehouse.session import labelled_cursor, query, transaction, with_retries
from luigi_tasks.warehouse.sql import execute, rows
from luigi_tasks.warehouse.tables import prepare


@dataclass(frozen=True)
class MonthState:
    """A month, and how it is.

    ``state`` is ``merged``, ``missing``, ``corrected since``, ``not yet published``, ``overdue``,
    ``failed``, ``running`` or ``suspicious``. ``is_wanted`` is whether it was asked for,
    ``has_failed`` whether its last attempt failed by a fault of the month's own and nothing was
    loaded since; ``step`` to ``failed_at`` are of that attempt. ``load_id`` to ``seconds`` are of
    the load that is merged: ``rows`` without duplicates, ``bytes`` those of the published file.
    ``exceeded`` names the limits of ``[quality]`` that it is beyond, or is ``no_rows``; ``quality``
    has how many rows each check found, ``rows_before`` is the rows of the month before.
    ``host_at_work`` to ``began_at`` are of the run that has it in hand. ``deadline`` is the last
    day on which it isn't overdue, ``seen_at`` when the source was asked.
    """

    month: Month
    is_wanted: bool = True
    is_merged: bool = False
    has_failed: bool = False
    load_id: int | None = None
    loaded_at: datetime | None = None
    rows: int | None = None
    rejects: int | None = None
    duplicates: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    exceeded: Sequence[str] = ()
    host_at_work: str | None = None
    step_at_work: str | None = None
    began_at: datetime | None = None
    deadline: date | None = None
    seen_at: datetime | None = None
    quality: Mapping[str, int] | None = None
    rows_before: int | None = None
    step: str | None = None
    error: str | None = None
    cause: str | None = None
    host: str | None = None
    run_id: int | None = None
    failed_at: datetime | None = None
    state: str = "missing"


@dataclass(frozen=True)
class Asked:
    """Which months are asked about, and by which limits of quality.

    ``wanted`` has the first and the last month of each service, ``most`` the limits of the data
    quality checks as shares of all rows. ``dead_runs`` are those that have nothing in hand, though
    they haven't ended.
    """

    wanted: Mapping[str, tuple[date, date]] = field(default_factory=dict)
    least_rows: float = 0.0
    most: Mapping[str, float] = field(default_factory=dict)
    dead_runs: Sequence[int] = ()


@dataclass(frozen=True)
class LastRun:
    """The run that began last."""

    run_id: int
    host: str
    command: str
    state: str
    exit_code: int | None
    error: str | None
    began_at: datetime
    ended_at: datetime | None


def read_months(cursor: Cursor, asked: Asked) -> list[MonthState]:
    """The states of the months that are wanted, merged, have failed or are being loaded, by service
    and in order."""
    found = rows(
        cursor,
        "status/months.sql",
        taxi_types=list(asked.wanted),
        firsts=[first for first, _ in asked.wanted.values()],
        lasts=[last for _, last in asked.wanted.values()],
        least_rows=asked.least_rows,
        most=dict(asked.most),
        dead_runs=list(asked.dead_runs),
    )
    return [MonthState(Month(taxi_type, month), *facts) for taxi_type, month, *facts in found]


def month_states(warehouse: Warehouse, asked: Asked) -> list[MonthState] | None:
    """The states of months; None if nothing was ever loaded, or tried.

    :raises TaxiError: the warehouse is of an earlier version, and no run has changed that yet.
    """

    def ask() -> list[MonthState] | None:
        with labelled_cursor(warehouse, "status") as cursor:
            try:
                return read_months(cursor, asked)
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
                pass
            except psycopg2.errors.InvalidSchemaName:
                return None
        if is_empty(warehouse):
            return None
        raise TaxiError(
            "the warehouse is of an earlier version of luigi-tasks; the next run brings it up"
        )

    return with_retries(warehouse, ask)


def last_run(warehouse: Warehouse) -> LastRun | None:
    """The run that began last."""
    found = query(warehouse, "status", "status/last_run.sql")
    return LastRun(*found[0]) if found else None


def record_seen(
    warehouse: Warehouse,
    taxi_type: str,
    seen: Sequence[tuple[date, str, date | None]],
    *,
    reasons: Sequence[str],
    months: Sequence[date] | None = None,
) -> None:
    """Record what the source said of a service's months that aren't complete.

    :param seen: of each month its first day, the reason and, if it has one, the deadline.
    :param reasons: those that were looked for; what was recorded of them before is replaced.
    :param months: those that were looked at, by default all.
    """

    def record() -> None:
        with transaction(warehouse, f"what is due of {taxi_type}") as cursor:
            looked_at = list(months) if months is not None else None
            names = {"taxi_type": taxi_type, "months": looked_at, "reasons": list(reasons)}
            execute(cursor, "status/forget_seen.sql", **names)
            execute(
                cursor,
                "status/insert_seen.sql",
                taxi_type=taxi_type,
                months=[month for month, _, _ in seen],
                reasons=[reason for _, reason, _ in seen],
                deadlines=[deadline for _, _, deadline in seen],
            )

    try:
        record()
    except psycopg2.errors.UndefinedTable:  # the warehouse is of an earlier version
        prepare(warehouse, "what is due")
        record()
