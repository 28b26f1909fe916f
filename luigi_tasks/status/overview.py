"""What the warehouse holds and lacks, and the line that mends it."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone

from dateutil.relativedelta import relativedelta

from luigi_tasks import config, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.months import Month
from luigi_tasks.operations import due, messages, runs
from luigi_tasks.tables import Warehouse
from luigi_tasks.urls import redacted
from luigi_tasks.warehouse import Asked, LastRun, MonthState
from luigi_tasks.warehouse.embedded import cluster_folder

#: Exit codes: something is due or late; something failed.
DUE, FAILED = 20, 30
#: States of months that aren't complete.
TO_BE_LOADED = (due.MISSING, due.CORRECTED)


@dataclass(frozen=True)
class Overview:
    """The months of some services, in the catalog's order, and the run that began last.

    ``place`` is where the warehouse is, without its password. ``uncounted`` are the merged
    months that the tables for analysts lack. ``named`` are the services that were asked for, if not
    all that are wanted.
    """

    place: str
    months: Sequence[MonthState]
    last_run: LastRun | None
    made_at: datetime
    uncounted: Sequence[Month] = ()
    named: Sequence[str] = ()

    @property
    def by_service(self) -> dict[str, list[MonthState]]:
        """The months of each service that has any."""
        found = {
            name: [each for each in self.months if each.month.taxi_type == name]
            for name in TAXI_TYPES
        }
        return {name: months for name, months in found.items() if months}

    @property
    def next_published(self) -> MonthState | None:
        """Of the months that aren't published, the one that is expected first."""
        awaited = [each for each in self.months if each.state == due.UNPUBLISHED]
        return min(awaited, key=lambda each: (each.deadline or date.max, each.month), default=None)


def read_overview(opened: Warehouse, start: date, taxi_types: Sequence[str] = ()) -> Overview:
    """Ask for the states of all months that are wanted or known.

    :param start: the first month that is wanted of a service of which none is loaded.
    :param taxi_types: the services; by default all that are wanted or known.
    :raises TaxiError: the warehouse or the settings can't be read.
    """
    last = date.today().replace(day=1) - relativedelta(months=1)
    firsts = due.first_wanted(opened, start, taxi_types)
    wanted = {name: (first, last) for name, first in firsts.items() if first <= last}
    limits, host = config.quality(), socket.gethostname()
    dead = runs.dead_runs(opened, host)
    asked = Asked(wanted, float(limits.least_rows), dict(limits.most), dead)
    found = warehouse.month_states(opened, asked)
    months = _all_missing(wanted) if found is None else _with_trips(opened, found)
    last_run = warehouse.last_run(opened)
    if last_run and last_run.run_id in dead:
        last_run = replace(last_run, state="cancelled", error="it died")
    return Overview(
        place=str(cluster_folder(opened.root)) if opened.is_embedded else redacted(opened.url),
        months=[each for each in months if not taxi_types or each.month.taxi_type in taxi_types],
        last_run=last_run,
        made_at=datetime.now(timezone.utc),
        uncounted=warehouse.uncounted_months(opened),
        named=taxi_types,
    )


def _all_missing(wanted: Mapping[str, tuple[date, date]]) -> list[MonthState]:
    months = []
    for taxi_type, (first, last) in wanted.items():
        first_day = first
        while first_day <= last:
            months.append(MonthState(Month(taxi_type, first_day)))
            first_day += relativedelta(months=1)
    return months


def _with_trips(opened: Warehouse, months: Sequence[MonthState]) -> list[MonthState]:
    """The same, but for merged months whose trips are gone: the next run loads them again."""
    merged: dict[str, list[date]] = {}
    for each in months:
        if each.is_merged and each.month.taxi_type in opened.trips:
            merged.setdefault(each.month.taxi_type, []).append(each.month.first_day)
    there = {
        Month(taxi_type, first_day)
        for taxi_type, days in merged.items()
        for first_day in warehouse.merged_months(opened, taxi_type, days)
    }
    return [each if not each.is_merged or each.month in there else _gone(each) for each in months]


def _gone(month: MonthState) -> MonthState:
    return replace(
        month,
        is_merged=False,
        load_id=None,
        loaded_at=None,
        rows=None,
        rejects=None,
        duplicates=None,
        bytes=None,
        seconds=None,
        exceeded=(),
        quality=None,
        state=month.state if month.state in ("running", due.FAILED) else due.MISSING,
    )


def exit_code(months: Sequence[MonthState]) -> int:
    """30 if a month has failed; 20 if one is to be loaded, is being loaded for the first time, or
    is late; 0 if all is well, though a month may not be published yet."""
    if any(each.has_failed for each in months):
        return FAILED
    incomplete = {*TO_BE_LOADED, due.OVERDUE}
    if any(
        each.state in incomplete or (each.state == "running" and not each.is_merged)
        for each in months
    ):
        return DUE
    return 0


def command_of(month: MonthState) -> str | None:
    """The line for this folder's shell that mends a month; None if nothing is to be mended."""
    tasks: dict[str, Sequence[str]] = {
        due.MISSING: ["TaxiMerge"],
        due.OVERDUE: ["TaxiMerge"],
        due.CORRECTED: ["TaxiRefresh"],
        "suspicious": ["TaxiRefresh"],
    }
    if month.state == due.FAILED:
        again = ["TaxiReset", "TaxiMerge"] if month.cause == "content" else ["TaxiMerge"]
        of_steps = {"TaxiLake": "TaxiLake", "TaxiVerify": "TaxiVerify --repair"}
        of_merged = of_steps.get(str(month.step), "TaxiRefresh")
        tasks[due.FAILED] = [of_merged] if month.is_merged else again
    lines = [
        messages.luigi(messages.of_month(task, month.month)) for task in tasks.get(month.state, [])
    ]
    return " && ".join(lines) or None
