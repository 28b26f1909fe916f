"""Runs, and their attempts to load a month: who did what when, and how it ended.

Each change is a short transaction of its own, so that a failure leaves its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from luigi_tasks.months import Month
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse.locks import ADVISORY_LOCKS
from luigi_tasks.warehouse.session import labelled_cursor, query
from luigi_tasks.warehouse.sql import execute

#: Seconds without a sign of life after which a run without a session counts as dead.
SILENCE = 90.0


@dataclass(frozen=True)
class RunFacts:
    """Who runs what: host and process, user of the machine, label, and the task asked for."""

    host: str
    pid: int
    started_by: str
    label: str | None
    command: str


@dataclass(frozen=True)
class Failure:
    """A month's last attempt, which failed; the edition is None where it isn't known.

    ``cause`` is ``content``, ``passing`` or ``other``. ``settings`` is the digest of the settings
    under which it failed.
    """

    month: Month
    step: str
    error: str
    cause: str
    url: str | None
    etag: str | None
    last_modified: datetime | None
    bytes: int | None
    sha256: str | None
    settings: str | None
    ended_at: datetime


@dataclass(frozen=True)
class RunMonth:
    """What became of a month in a run: what was loaded of it, or why that failed; or neither, where
    another run has loaded it."""

    month: Month
    is_loaded: bool
    rows: int
    rejects: int
    seconds: float
    error: str | None


def lock_name(run_id: int) -> str:
    """The name of the lock that a run holds while it lives."""
    return f"run {run_id}"


def end_run(
    warehouse: Warehouse,
    run_id: int,
    state: str,
    *,
    exit_code: int | None,
    error: str | None,
    corrections_checked: Sequence[str],
) -> None:
    """Record that a run ended as ``succeeded``, ``failed`` or ``cancelled``.

    :param corrections_checked: the services all of whose corrected months are loaded again.
    """
    with labelled_cursor(warehouse, f"run {run_id} ends") as cursor:
        execute(
            cursor,
            "runs/end_run.sql",
            run_id=run_id,
            state=state,
            exit_code=exit_code,
            error=error,
            corrections_checked=list(corrections_checked),
        )


def record_wait(warehouse: Warehouse, run_id: int, month: Month, waiting_for: str | None) -> None:
    """Record what a run's attempt at a month waits for; None when it goes on."""
    with labelled_cursor(warehouse, f"run {run_id} waits") as cursor:
        names = {"run_id": run_id, "waiting_for": waiting_for, **_of(month)}
        execute(cursor, "runs/wait.sql", **names)


def unfinished_runs(warehouse: Warehouse) -> list[tuple[int, str, int, bool]]:
    """Runs that haven't ended and have no session: number, host, process, and whether they have
    been silent for long."""
    names = {"silence": SILENCE, "advisory_locks": ADVISORY_LOCKS}
    return query(warehouse, "unfinished runs", "runs/unfinished.sql", **names)


def end_dead_runs(warehouse: Warehouse, run_ids: Sequence[int]) -> None:
    """Record that runs have died."""
    with labelled_cursor(warehouse, "dead runs") as cursor:
        execute(cursor, "runs/end_dead_runs.sql", run_ids=list(run_ids))


def begin_attempt(warehouse: Warehouse, run_id: int, month: Month, step: str) -> None:
    """Record that a run has come to a step of a month."""
    with labelled_cursor(warehouse, f"{step} {month}") as cursor:
        execute(cursor, "runs/begin_attempt.sql", run_id=run_id, step=step, **_of(month))


def end_attempt(
    warehouse: Warehouse,
    run_id: int,
    month: Month,
    state: str,
    *,
    error: str | None = None,
    cause: str | None = None,
    edition: Any = None,
    settings: str | None = None,
) -> None:
    """Record how a run's attempt at a month ended.

    :param edition: of the file, if it is known: ``url``, ``etag``, ``last_modified``, ``bytes``,
        ``sha256``.
    :param settings: the digest of the settings that decide whether a file can be loaded.
    """
    with labelled_cursor(warehouse, f"attempt at {month} ends") as cursor:
        execute(
            cursor,
            "runs/end_attempt.sql",
            run_id=run_id,
            **_of(month),
            state=state,
            error=error,
            cause=cause,
            edition=edition,
            settings=settings,
        )


def last_failures(
    warehouse: Warehouse, taxi_type: str, months: Sequence[date] | None = None
) -> dict[date, Failure]:
    """The months whose last attempt failed, of those given or of all, by first day."""
    names = {"taxi_type": taxi_type, "months": list(months) if months is not None else None}
    found = query(warehouse, f"failures of {taxi_type}", "runs/last_failures.sql", **names)
    return {month: Failure(Month(taxi_type, month), *facts) for month, *facts in found}


def forget_failures(warehouse: Warehouse, month: Month) -> None:
    """Have a month's file tried again, though it has failed by its content."""
    with labelled_cursor(warehouse, f"TaxiReset {month}") as cursor:
        execute(cursor, "runs/forget_failures.sql", **_of(month))


def run_months(warehouse: Warehouse, run_id: int) -> list[RunMonth]:
    """What became of the months that a run has had in hand, by service and in order."""
    found = query(warehouse, f"months of run {run_id}", "runs/months.sql", run_id=run_id)
    return [RunMonth(Month(taxi_type, month), *facts) for taxi_type, month, *facts in found]


def ended_months(warehouse: Warehouse, run_id: int, step: str) -> set[Month]:
    """The months that a run has had in hand, and ended well with a step."""
    names = {"run_id": run_id, "step": step}
    found = query(warehouse, f"months of run {run_id}", "runs/ended_months.sql", **names)
    return {Month(*facts) for facts in found}


def last_corrections(warehouse: Warehouse) -> dict[str, datetime]:
    """When each service's corrected months were last all loaded again."""
    return dict(query(warehouse, "last corrections", "runs/last_corrections.sql"))


def _of(month: Month) -> dict[str, Any]:
    return {"taxi_type": month.taxi_type, "month": month.first_day}
