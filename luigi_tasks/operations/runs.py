"""A run's life: it begins, shows that it lives, tries months, and ends.

What is recorded serves people and the next runs. If it can't be recorded, the work goes on.
"""

from __future__ import annotations

import atexit
import getpass
import logging
import os
import socket
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any

import psutil

from luigi_tasks import config, stopping, warehouse
from luigi_tasks.errors import ContentError, GivenWayError, PassingError, TaxiError, is_systemic
from luigi_tasks.months import Month
from luigi_tasks.operations import due, published
from luigi_tasks.operations.due import DueMonth
from luigi_tasks.tables import Warehouse
from luigi_tasks.texts import printable
from luigi_tasks.warehouse import Heartbeat, RunFacts, TransientError

logger = logging.getLogger("luigi-interface.runs")

#: Characters of an error that are recorded.
LONGEST_ERROR = 2000


@dataclass
class Run:
    """This process's run, or that of the process it was forked from.

    ``ping_id`` is the same at its start and its end. ``run_id`` is None where the run isn't
    recorded, for the reason in ``unrecorded``. ``errors`` are those of its months; ``broken`` says
    why it couldn't be found out what a task needs, or whether it is complete. ``due`` is what it
    found to be due, if it looked, and ``corrections`` are the services whose merged months it
    looked at, too. ``has_failed_elsewhere`` is whether months failed that only others have tried.
    ``is_part`` is whether another process has begun it and is to end it.
    """

    command: str
    warehouse: Warehouse
    pid: int = field(default_factory=os.getpid)
    began_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    ping_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    run_id: int | None = None
    unrecorded: str = ""
    heartbeat: Heartbeat | None = None
    errors: list[BaseException] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)
    due: dict[str, list[DueMonth]] = field(default_factory=dict)
    corrections: list[str] = field(default_factory=list)
    has_failed_elsewhere: bool = False
    is_part: bool = False

    def record(self, act: Callable[..., None], *facts: Any, **named: Any) -> None:
        """Record something of this run in the warehouse; where that fails, the work goes on.

        :param act: takes the warehouse and the facts.
        """
        if self.run_id is not None:
            try:
                act(self.warehouse, *facts, **named)
            except TaxiError as error:
                logger.info("not recorded: %s", error)


#: The run under way, if one has begun.
_current: list[Run] = []


def current() -> Run | None:
    """The run under way, if one has begun."""
    return _current[0] if _current else None


def begin(command: str) -> Run:
    """Begin this process's run, unless it has begun.

    :param command: what was asked for, such as a task's name and parameters.
    """
    if _current:
        return _current[0]
    opened = config.open_warehouse()
    run = Run(command, opened)
    _current.append(run)
    facts = RunFacts(
        host=socket.gethostname(),
        pid=run.pid,
        started_by=_user(),
        label=str(config.run().label) or None,
        command=printable(command),
    )
    try:
        try:
            run.heartbeat = Heartbeat.begin(opened, facts)
        except TransientError:  # its retries are those of the first task, unless this one is enough
            run.heartbeat = Heartbeat.begin(opened, facts)
        run.run_id = run.heartbeat.run_id
        _end_dead_runs(opened, facts.host)
    except TaxiError as error:
        run.unrecorded = str(error)  # the first task fails by the same, most probably
    atexit.register(_end_at_exit, run)
    return run


def join(run_id: int | None, command: str) -> None:
    """Have what this process does recorded as a part of a run that another one has begun.

    :param run_id: None where that isn't recorded.
    """
    _current.append(Run(command, config.open_warehouse(), run_id=run_id, is_part=True))


def end(state: str = "", exit_code: int | None = None, error: str | None = None) -> None:
    """End this process's run.

    :param state: ``succeeded``, ``failed`` or ``cancelled``; by default as its months ended.
    :param exit_code: of the command; None where it isn't known.
    :param error: why the run itself failed, on one line.
    """
    if not _current or _current[0].pid != os.getpid():
        return
    run = _current.pop()
    if run.is_part:
        return
    errors = [*run.errors, *run.broken]
    state = state or ("failed" if errors else "succeeded")
    if error is None and errors and state == "failed":
        error = one_line(errors[-1])
    if run.heartbeat:
        run.heartbeat.stop()
    run.record(
        warehouse.end_run,
        run.run_id,
        state,
        exit_code=exit_code,
        error=error,
        corrections_checked=[] if state == "cancelled" else _corrected(run),
    )


def record_due(run: Run) -> None:
    """Record what a run found to be due, for whoever asks without the source."""
    everything = (due.MISSING, due.UNPUBLISHED, due.OVERDUE)
    for taxi_type, months in run.due.items():
        reasons = [*everything, *([due.CORRECTED] if taxi_type in run.corrections else [])]
        seen = [(m.month.first_day, m.reason, m.deadline) for m in months if m.reason != due.FAILED]
        run.record(warehouse.record_seen, taxi_type, seen, reasons=reasons)


def record_corrected(taxi_type: str, months: Sequence[date], corrected: Collection[date]) -> None:
    """Record which of some merged months the source has published anew.

    :param months: all that were looked at.
    """
    if run := current():
        seen = [(month, due.CORRECTED, None) for month in sorted(corrected)]
        run.record(warehouse.record_seen, taxi_type, seen, reasons=[due.CORRECTED], months=months)


@dataclass
class Attempt:
    """A run's attempt at a month; ``edition`` is that of the file, once it is known."""

    run: Run
    month: Month
    edition: Any = None
    state: str | None = None

    def record_step(self, step: str) -> None:
        """Record that the attempt has come to another step."""
        self.run.record(warehouse.begin_attempt, self.run.run_id, self.month, step)

    def record_wait(self, waiting_for: str | None) -> None:
        """Record what the attempt waits for; None when it goes on."""
        self.run.record(warehouse.record_wait, self.run.run_id, self.month, waiting_for)

    def record_end(self, error: BaseException | None = None, settings: str | None = None) -> None:
        """Record how it ended: as ``state`` says, or with an error.

        :param settings: the digest of the settings that decide whether a file can be loaded.
        """
        state = "failed" if error else self.state
        if isinstance(error, ContentError):
            self.edition = error.edition or self.edition
        if state is not None:
            self.run.record(
                warehouse.end_attempt,
                self.run.run_id,
                self.month,
                state,
                error=one_line(error) if error else None,
                cause=cause_of(error) if error else None,
                edition=self.edition,
                settings=settings,
            )


@contextmanager
def attempt(month: Month, step: str, settings: Callable[[], str]) -> Iterator[Attempt]:
    """Record an attempt at a step of a month, and how it ends.

    :param settings: returns the digest of the settings that decide whether a file can be loaded.
    """
    made = Attempt(begin(f"{step} {month}"), month)
    made.record_step(step)
    try:
        yield made
    except GivenWayError:
        made.state = "cancelled"
        made.record_end()
        raise
    except Exception as error:
        made.run.errors.append(error)
        made.record_end(error, settings())
        raise
    except BaseException:
        made.state = "cancelled"
        made.record_end()
        raise
    made.record_end()


def cause_of(error: BaseException) -> str:
    """Why an attempt failed: ``content`` of the file, a ``passing`` fault, or ``other``."""
    if is_systemic(error):
        return "passing"
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, PassingError):
            return "passing"
        if isinstance(found, ContentError):
            return "content"
        found = found.__cause__ or found.__context__
    return "other"


def one_line(error: BaseException) -> str:
    """An error on one line."""
    text = error.original if isinstance(error, ContentError) else ""
    text = " ".join((text or str(error)).split()) or type(error).__name__
    if not isinstance(error, (TaxiError, OSError)):
        text = f"{type(error).__name__}: {text}"
    return printable(text[:LONGEST_ERROR])


def _corrected(run: Run) -> list[str]:
    """The services of whose merged months none is to be loaded again any more."""
    corrected = []
    for taxi_type in run.corrections:
        months = [m.month.first_day for m in run.due[taxi_type] if m.reason == due.CORRECTED]
        with suppress(TaxiError):  # a source that can't be asked now
            if not months or not published.changed(taxi_type, months):
                corrected.append(taxi_type)
    return corrected


def dead_runs(opened: Warehouse, host: str) -> list[int]:
    """The runs that have died: those of this host without a process, and those of others that have
    been silent."""
    return [
        run_id
        for run_id, at, pid, is_silent in warehouse.unfinished_runs(opened)
        if is_silent or (at == host and not psutil.pid_exists(pid))
    ]


def _end_dead_runs(opened: Warehouse, host: str) -> None:
    """Record the end of runs that have died."""
    if dead := dead_runs(opened, host):
        warehouse.end_dead_runs(opened, dead)


def _end_at_exit(run: Run) -> None:
    if run is current() and stopping.came():  # in the midst of its report
        end("cancelled", stopping.exit_code())
    elif run is current():
        end()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())
