"""The overview on a terminal: years by months for each service, then what needs somebody.

A state has a letter besides its colour. The colours are Okabe and Ito's, each with the text that is
read well on it, so that they do on dark and light terminals. What is well has none.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby, zip_longest

from rich.console import Console
from rich.text import Text

from luigi_tasks.catalog import QUALITY_CHECKS
from luigi_tasks.operations import due, messages
from luigi_tasks.status.overview import Overview, command_of
from luigi_tasks.texts import counted, printable, shortened, sized
from luigi_tasks.warehouse import LastRun, MonthState

#: The letter and the style of each state, in the order in which they need somebody.
STATES = {
    due.FAILED: ("F", "#000000 on #d55e00"),
    due.MISSING: ("X", "#000000 on #e69f00"),
    due.CORRECTED: ("C", "#000000 on #56b4e9"),
    due.OVERDUE: ("O", "#000000 on #f0e442"),
    "suspicious": ("S", "#000000 on #cc79a7"),
    "running": ("R", "#ffffff on #0072b2"),
    due.UNPUBLISHED: ("N", "dim"),
    "merged": ("M", ""),
}
#: Columns of a service's grid, and between two.
WIDTH, GAP = 28, 3
#: Columns of a label.
LABEL = 11
#: Months of a service in the same state that are listed one by one.
MOST_LISTED = 3
_INITIALS = "JFMAMJJASOND"
_LIMITS = {"no_rows": "it has no rows", "least_rows": "far fewer rows than the month before"}


def draw(overview: Overview, console: Console) -> None:
    """Draw the overview, as wide as the terminal has room."""
    for line in _head(overview, console.width):
        console.print(line, soft_wrap=True)
    services = [_service(name, months) for name, months in overview.by_service.items()]
    a_row = max(1, (console.width + GAP) // (WIDTH + GAP))
    for at in range(0, len(services), a_row):
        console.print()
        for line in _side_by_side(services[at : at + a_row]):
            console.print(line, soft_wrap=True)
    console.print()
    for label, text, is_command in _needs(overview):
        if is_command:  # on one line, however wide, so that it can be copied
            console.print(Text(f"  {text}", style="dim"), soft_wrap=True)
            continue
        for number, part in enumerate(_wrapped(text, console.width - LABEL)):
            shown = (f"{'' if number else label:<{LABEL}}", "bold")
            console.print(Text.assemble(shown, part), soft_wrap=True)


def _head(overview: Overview, width: int) -> Iterator[Text]:
    """What is here, and how the months are, which explains the letters as well."""
    merged = [each for each in overview.months if each.is_merged]
    rows, size = sum(each.rows or 0 for each in merged), sum(each.bytes or 0 for each in merged)
    yield Text.assemble(
        (f"{counted(len(merged), 'month')}, {rows:,} trips", "bold"), f", {sized(size)} of files"
    )
    yield Text(f"in {printable(overview.place)}", style="dim")
    counts = Counter(each.state for each in overview.months)
    line = Text()
    for state, (letter, style) in STATES.items():
        if counts[state]:
            part = Text.assemble((f" {letter} ", style), f" {counts[state]:,} {state}")
            if line and len(line) + 3 + len(part) > width:
                yield line
                line = Text()
            line = Text("   ").join([line, part]) if line else part
    yield line


def _side_by_side(services: Sequence[list[Text]]) -> Iterator[Text]:
    for parts in zip_longest(*services, fillvalue=Text()):
        line = Text()
        for number, part in enumerate(parts):
            line.append(" " * (number * (WIDTH + GAP) - len(line)))
            line.append_text(part)
        line.rstrip()
        yield line


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False) or [
        ""
    ]


def _service(name: str, months: Sequence[MonthState]) -> list[Text]:
    """A service's totals, and its grid, line by line."""
    merged = [each for each in months if each.is_merged]
    rows, size = sum(each.rows or 0 for each in merged), sum(each.bytes or 0 for each in merged)
    states = {
        (each.month.first_day.year, each.month.first_day.month): each.state for each in months
    }
    lines = [
        Text.assemble((name, "bold"), f"  {rows:,} trips"),
        Text(f"{counted(len(merged), 'month')}, {sized(size)}", style="dim"),
        Text("    " + "".join(f" {initial}" for initial in _INITIALS), style="dim"),
    ]
    for year in range(min(states)[0], max(states)[0] + 1):
        line = Text(str(year))
        for month in range(1, 13):
            letter, style = STATES[states[year, month]] if (year, month) in states else (" ", "")
            line.append(f" {letter}", style=style)
        lines.append(line)
    return lines


def _needs(overview: Overview) -> Iterator[tuple[str, str, bool]]:
    """What needs somebody, each with a label and whether it is a line to run; the last run, and
    what comes next."""
    for state in STATES:
        months = [each for each in overview.months if each.state == state]
        if months and state not in ("merged", due.UNPUBLISHED):
            yield from _of_state(state, months)
        if months and state == due.MISSING:
            yield "", f"{messages.program('luigi-tasks')} run", True
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
            continue
        for each in group:
            yield label, f"{each.month}{_detail(each)}", False
            if state in (due.FAILED, due.CORRECTED):
                for command in (command_of(each) or "").split(" && "):
                    yield "", command, True


def _detail(month: MonthState) -> str:
    if month.state == due.FAILED:
        error = (month.error or "the reason is unknown").removeprefix(f"{month.month}: ")
        return f": {shortened(error, 200)}"
    if month.state == "running":
        since = f" since {_time(month.began_at)}" if month.began_at else ""
        return f": {month.step_at_work} on {printable(month.host_at_work)}{since}"
    reasons = [
        _LIMITS.get(each) or f"too many rows have {QUALITY_CHECKS.get(each, each)}"
        for each in month.exceeded
    ]
    return f": {'; '.join(reasons)}" if reasons else ""


def _run(run: LastRun) -> str:
    text = f"{_time(run.began_at)}, {shortened(run.command)} on {shortened(run.host)}: {run.state}"
    if run.ended_at:
        text += f" after {(run.ended_at - run.began_at).total_seconds():,.0f} s"
    return f"{text}: {shortened(run.error, 200)}" if run.error else text


def _time(at: datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="minutes")
