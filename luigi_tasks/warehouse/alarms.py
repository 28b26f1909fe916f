"""Alarms about months: what is known of them, who has heard of what, and figures for metrics.

Whoever asks is a run that has ended, so nothing here waits for long, or tries again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from luigi_tasks.months import Month
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.session import month_lock, transaction
from luigi_tasks.warehouse.sql import execute, rows
from luigi_tasks.warehouse.status import Asked, MonthState, read_months

#: The lock of whoever decides about alarms and sends them.
_LOCK = "alarms"
#: Minutes to wait for another run that has it.
_PATIENCE = 1.5
#: Days after which an alarm that a receiver didn't take is given up.
GIVEN_UP_AFTER = 7


@dataclass(frozen=True)
class KnownMonth:
    """A month that has failed, or that somebody has heard of.

    ``state`` is what they heard last: ``ok``, ``failed`` or ``overdue``. ``has_failed`` is whether
    its last attempt failed by a fault of its own, ``is_merged`` whether it is merged and hasn't
    failed since. The rest is of that attempt.
    """

    month: Month
    state: str
    has_failed: bool
    is_merged: bool
    step: str | None
    error: str | None
    cause: str | None
    host: str | None
    run_id: int | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Pending:
    """An alarm, and the digests of the receivers that still have to get it."""

    alarm_id: int
    change: str
    title: str
    body: str
    receivers: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True)
class Figures:
    """What is loaded of a service: its merged months by their last loads.

    ``bytes`` are those of the published files, ``missing`` the months between the first and the
    newest one that aren't merged. ``failed`` are those whose last attempt failed by a fault of
    their own. ``newest_month`` is None if none is merged.
    """

    taxi_type: str
    months: int
    trips: int
    rejects: int
    duplicates: int
    bytes: int
    newest_month: date | None
    missing: int
    failed: int


@contextmanager
def alarms_lock(warehouse: Warehouse) -> Iterator[Warehouse]:
    """Keep other runs from deciding about alarms and sending them.

    :raises TaxiError: another run does so for longer than a minute.
    """
    bounded = replace(warehouse, retries=0, lock_timeout=_PATIENCE)
    with month_lock(bounded, _LOCK):
        yield bounded


@contextmanager
def _short(warehouse: Warehouse, label: str) -> Iterator[Cursor]:
    bounded = replace(warehouse, retries=0, lock_timeout=_PATIENCE)
    with transaction(bounded, label) as cursor:
        rows(cursor, "session/short_limits.sql")
        yield cursor


def known_months(warehouse: Warehouse) -> list[KnownMonth]:
    """The months that have failed, or whose state somebody has heard of and that weren't ok."""
    with _short(warehouse, "alarms") as cursor:
        heard = {
            Month(taxi_type, month): state
            for taxi_type, month, state in rows(cursor, "alarms/last_alarms.sql")
        }
        states = {each.month: each for each in read_months(cursor, Asked())}
    nothing = {month: MonthState(month) for month in heard}
    return [
        KnownMonth(
            month,
            heard.get(month, "ok"),
            each.has_failed,
            each.is_merged and not each.has_failed,
            each.step,
            each.error,
            each.cause,
            each.host,
            each.run_id,
            each.failed_at,
        )
        for month, each in (nothing | states).items()
        if each.has_failed or month in heard
    ]


def failed_attempts(warehouse: Warehouse, run_id: int) -> list[tuple[str | None, str | None]]:
    """The causes and errors of a run's attempts that failed."""
    with _short(warehouse, f"failures of run {run_id}") as cursor:
        return rows(cursor, "alarms/failed_attempts.sql", run_id=run_id)


def insert_alarms(warehouse: Warehouse, alarms: Sequence[dict[str, Any]]) -> None:
    """Record changes of months' states, all or none.

    :param alarms: of each the ``month``, its ``state`` from now on, the ``change``, the message's
        ``title`` and ``body``, the ``receivers`` by digest, and the ``run_id``.
    """
    with _short(warehouse, "alarms") as cursor:
        for alarm in alarms:
            execute(cursor, "alarms/insert_alarm.sql", **alarm)


def pending_alarms(warehouse: Warehouse, receivers: Sequence[str]) -> list[Pending]:
    """The alarms that one of these receivers still has to get, the oldest first."""
    names = {"receivers": list(receivers), "days": GIVEN_UP_AFTER}
    with _short(warehouse, "alarms") as cursor:
        found = rows(cursor, "alarms/pending.sql", **names)
    return [
        Pending(alarm_id, change, title, body, tuple(digests), created_at)
        for alarm_id, change, title, body, digests, created_at in found
    ]


def record_delivery(warehouse: Warehouse, alarm_id: int, receiver: str) -> None:
    """Record that a receiver got an alarm."""
    with _short(warehouse, f"alarm {alarm_id}") as cursor:
        execute(cursor, "alarms/record_delivery.sql", alarm_id=alarm_id, receiver=receiver)


def figures(warehouse: Warehouse) -> list[Figures]:
    """What is loaded, and what has failed, by service."""
    with _short(warehouse, "metrics") as cursor:
        states = read_months(cursor, Asked())
    by_service: dict[str, list[MonthState]] = {}
    for each in states:
        if each.has_failed or each.load_id is not None:
            by_service.setdefault(each.month.taxi_type, []).append(each)
    return [_figures(taxi_type, months) for taxi_type, months in by_service.items()]


def _figures(taxi_type: str, months: Sequence[MonthState]) -> Figures:
    merged = [each for each in months if each.load_id is not None]
    numbers = [each.month.first_day.year * 12 + each.month.first_day.month for each in merged]
    return Figures(
        taxi_type,
        months=len(merged),
        trips=sum(each.rows or 0 for each in merged),
        rejects=sum(each.rejects or 0 for each in merged),
        duplicates=sum(each.duplicates or 0 for each in merged),
        bytes=sum(each.bytes or 0 for each in merged),
        newest_month=max((each.month.first_day for each in merged), default=None),
        missing=max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0,
        failed=sum(each.has_failed for each in months),
    )


def last_durations(warehouse: Warehouse) -> dict[str, dict[str, float]]:
    """The seconds of each step of each service's last load."""
    with _short(warehouse, "metrics") as cursor:
        found = rows(cursor, "figures/last_loads.sql")
    steps = ("download", "transform", "stage", "merge")
    return {taxi_type: dict(zip(steps, seconds, strict=True)) for taxi_type, *seconds in found}


def last_success(warehouse: Warehouse) -> datetime | None:
    """When a run last ended well."""
    with _short(warehouse, "metrics") as cursor:
        [(at,)] = rows(cursor, "figures/last_success.sql")
    return at if isinstance(at, datetime) else None
