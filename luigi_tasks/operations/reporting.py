"""The beginning and the end of a run for everybody who is to hear of them: its row, its last line,
alarms, pings, metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from luigi_tasks import config
from luigi_tasks.errors import TaxiError
from luigi_tasks.operations import due, runs
from luigi_tasks.operations.outcome import Expected, Outcome
from luigi_tasks.operations.runs import Run
from luigi_tasks.operations.summary import summarise

logger = logging.getLogger("luigi-interface.runs")

#: Called at the end of a run with its last line, and whether there is anything to it.
listeners: list[Callable[[str, bool], None]] = []


def begin(command: str) -> None:
    """Begin this process's run, unless it has begun.

    :param command: what was asked for, such as a task's name and parameters.
    """
    if runs.current():
        return
    run = runs.begin(command)
    settings = config.alarms()
    if settings.urls or settings.command:
        from luigi_tasks.operations import alarms

        alarms.prepare()
    if settings.ping_url:
        from luigi_tasks.operations import pings

        pings.start(_outcome_of(run))


def end(
    state: str,
    exit_code: int | None,
    error: str | None = None,
    unpublished: Mapping[str, int] | None = None,
    *,
    has_worked: bool = False,
) -> None:
    """End this process's run, and report it.

    :param state: ``succeeded``, ``failed`` or ``cancelled``.
    :param error: why the run itself failed, on one line.
    :param unpublished: how many of the months that it was asked for aren't published, by service.
    :param has_worked: whether it has done anything, though it may have loaded no month.
    """
    run = runs.current()
    if run is None:
        return
    line, has_news = "", False
    if state != "cancelled" and run.run_id is not None:
        try:
            line, has_news = summarise(run, unpublished or {}, has_worked=has_worked)
        except TaxiError as unknown:
            logger.info("the run can't be summed up: %s", unknown)
    if run.unrecorded and state == "succeeded":
        logger.info("this run isn't recorded: %s", run.unrecorded)
    runs.end(state, exit_code, error)
    if line:
        logger.info("%s", line)
    for listener in listeners:
        listener(line, has_news)
    outcome = _outcome_of(run)
    _fill(outcome, run, state)
    outcome.exit_code, outcome.summary = exit_code, line
    outcome.error = error or outcome.error
    _report_to_others(run, outcome)


def _report_to_others(run: Run, outcome: Outcome) -> None:
    """Report how a run ended to whom the settings name; what isn't used isn't imported."""
    settings = config.alarms()
    if config.metrics().textfile:
        from luigi_tasks.operations import metrics

        metrics.write(run.warehouse, outcome)
    if settings.urls or settings.command:
        from luigi_tasks.operations import alarms

        alarms.report(run.warehouse, outcome)
    if settings.ping_url:
        from luigi_tasks.operations import pings

        pings.end(outcome)


def _outcome_of(run: Run) -> Outcome:
    return Outcome(run.command, run.run_id, run.ping_id, began=run.began_at)


def _fill(outcome: Outcome, run: Run, state: str) -> None:
    """Note how a run ended and what it found to be due.

    The errors of months are in their attempts, where one that was mended within the run has gone;
    unless the run isn't recorded.
    """
    outcome.state, outcome.ended = state, datetime.now(timezone.utc)
    own = run.broken if run.run_id is not None else [*run.broken, *run.errors]
    passing = [error for error in own if runs.cause_of(error) == "passing"]
    outcome.is_cause_passing = bool(passing)
    outcome.has_failed_elsewhere = run.has_failed_elsewhere
    if reasons := [*passing, *reversed(run.broken), *reversed(run.errors)]:
        outcome.error = runs.one_line(reasons[0])
    outcome.services = list(run.due)
    outcome.expected = [
        Expected(each.month, each.reason == due.OVERDUE, each.deadline)
        for months in run.due.values()
        for each in months
        if each.reason in (due.OVERDUE, due.UNPUBLISHED)
    ]
