"""What needs somebody, in words: for terminal and page."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from luigi_tasks import config
from luigi_tasks.catalog import QUALITY_CHECKS
from luigi_tasks.months import bounds
from luigi_tasks.operations import due, messages
from luigi_tasks.status.colours import STATES
from luigi_tasks.status.overview import Overview, command_of
from luigi_tasks.texts import counted, printable, shortened
from luigi_tasks.warehouse import LastRun, MonthState

#: Months of a service in the same state that are listed one by one.
MOST_LISTED = 3


def needs(overview: Overview) -> Iterator[tuple[str, str, bool]]:
    """What needs somebody, each with a label and whether it is a line to run."""
    for state in STATES:
        of_services = overview.by_service.values()
        months = [each for months in of_services for each in months if each.state == state]
        if months and state not in ("merged", due.UNPUBLISHED):
            yield from _of_state(state, months)
        if months and state == due.MISSING:
            of = f" --schedule-taxi-types {','.join(overview.named)}" if overview.named else ""
            yield "", messages.program("luigi-tasks", f"run{of}"), True
    if overview.uncounted:
        number = counted(len(overview.uncounted), "month")
        yield "uncounted", f"{number} that daily_trips and the like don't have yet", False
        yield "", messages.luigi("TaxiFeatures"), True


def news(overview: Overview) -> Iterator[tuple[str, str, bool]]:
    """The last run, and what comes next, in the same form."""
    if overview.last_run:
        yield "last run", _run(overview.last_run), False
    if awaited := overview.next_published:
        by = f", expected by {awaited.deadline}" if awaited.deadline else ""
        yield "next", f"{awaited.month}{by}", False


def _of_state(state: str, months: Sequence[MonthState]) -> Iterator[tuple[str, str, bool]]:
    label = "corrected" if state == due.CORRECTED else state
    for taxi_type, of_service in groupby(months, key=lambda each: each.month.taxi_type):
        group = list(of_service)
        if state in (due.MISSING, due.OVERDUE) or len(group) > MOST_LISTED:
            yield label, f"{taxi_type} {due.in_ranges([m.month.first_day for m in group])}", False
            if state in (due.CORRECTED, "suspicious"):
                yield "", _refresh_all(group), True
            elif state == due.FAILED:
                yield "", "luigi-tasks status --json has why, and the line for each of them", False
            continue
        for each in group:
            yield label, f"{each.month}{_detail(each)}", False
            if state != "running" and (commands := command_of(each)):
                yield from (("", command, True) for command in commands.split(" && "))


def _refresh_all(months: Sequence[MonthState]) -> str:
    """The line that refreshes all of some months of a service, and what lies between them."""
    days = [each.month.first_day for each in months]
    service = shlex.quote(json.dumps({"taxi_type": months[0].month.taxi_type}))
    stop = bounds(max(days))["stop"]
    words = f"RangeMonthly --of TaxiRefresh --of-params {service}"
    return messages.luigi(f"{words} --start {min(days):%Y-%m} --stop {stop:%Y-%m}")


def _detail(month: MonthState) -> str:
    if month.state == due.FAILED:
        error = (month.error or "the reason is unknown").removeprefix(f"{month.month}: ")
        return f": {shortened(error, 200)}"
    if month.state == "running":
        since = f" since {shown_time(month.began_at)}" if month.began_at else ""
        return f": {month.step_at_work} on {printable(month.host_at_work)}{since}"
    reasons = [_beyond(month, each) for each in month.exceeded]
    return f": {'; '.join(reasons)}" if reasons else ""


def _beyond(month: MonthState, limit: str) -> str:
    """What a month has, against a limit of ``[quality]`` that it is beyond."""
    rows, limits = month.rows or 0, config.quality()
    if limit == "no_rows":
        return "it has no rows"
    if limit == "least_rows":
        return (
            f"{rows:,} rows, less than {float(limits.least_rows):g} times the "
            f"{month.rows_before or 0:,} of the month before"
        )
    share = (month.quality or {}).get(limit, 0) / rows if rows else 0.0
    most = float(limits.most.get(limit, 0))
    what = QUALITY_CHECKS.get(limit, limit)
    text = f"{share:.2%} of its rows have {what}, more than {most:.2%}"
    return text.replace("%", "\u00a0%")


def _run(run: LastRun) -> str:
    began, command = shown_time(run.began_at), shortened(run.command)
    text = f"{began}, {command} on {shortened(run.host)}: {run.state}"
    if run.ended_at:
        text += f" after {(run.ended_at - run.began_at).total_seconds():,.0f} s"
    return f"{text}: {shortened(run.error, 200)}" if run.error else text


def shown_time(at: datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="minutes")
