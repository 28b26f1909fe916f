"""What became of the months of a run, on a terminal: a line a month, and a total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.text import Text

from luigi_tasks.operations import due
from luigi_tasks.status.colours import STATES
from luigi_tasks.texts import counted, shortened
from luigi_tasks.warehouse import RunMonth

#: Lines of months; where a run has more, its oldest ones are summed up by year.
MOST = 38
#: Columns of numbers.
_NUMBERS = (("rows", 13), ("rejects", 9), ("seconds", 9))


@dataclass(frozen=True)
class _Line:
    """A line: what it is about, its sums, the rest as text."""

    label: str
    rows: int
    rejects: int
    seconds: float
    note: str = ""
    has_failed: bool = False


def draw(months: Sequence[RunMonth], console: Console) -> None:
    """Draw them, as wide as the terminal has room.

    :param months: by service and in order.
    """
    lines = _lines(months)
    total = _sum("total", months)
    width = max(len(each.label) for each in (*lines, total))
    head = "".join(f"{name:>{columns}}" for name, columns in _NUMBERS)
    console.print()
    console.print(Text(f"{'':<{width}}{head}", style="dim"), soft_wrap=True)
    for each in lines:
        console.print(_drawn(each, width, console.width), soft_wrap=True)
    console.print(_drawn(total, width, console.width, style="bold"), soft_wrap=True)
    console.print()


def _lines(months: Sequence[RunMonth]) -> list[_Line]:
    """A line a month, and one for each of the oldest years where that would be too many."""
    years = {(each.month.taxi_type, each.month.first_day.year) for each in months}
    summed: set[tuple[str, int]] = set()
    for taxi_type, year in sorted(years, key=lambda each: each[1]):
        left = sum((m.month.taxi_type, m.month.first_day.year) not in summed for m in months)
        if left + len(summed) <= MOST:
            break
        summed.add((taxi_type, year))
    lines: list[_Line] = []
    for (taxi_type, year), found in groupby(
        months, key=lambda each: (each.month.taxi_type, each.month.first_day.year)
    ):
        group = list(found)
        if (taxi_type, year) in summed:
            lines.append(_sum(f"{taxi_type} {year}", group))
        else:
            lines += [
                _Line(str(m.month), m.rows, m.rejects, m.seconds, _error(m), m.error is not None)
                for m in group
            ]
    return lines


def _sum(label: str, months: Sequence[RunMonth]) -> _Line:
    failed = sum(each.error is not None for each in months)
    note = counted(len(months) - failed, "month") + (f", {failed:,} failed" if failed else "")
    return _Line(
        label,
        sum(each.rows for each in months),
        sum(each.rejects for each in months),
        sum(each.seconds for each in months),
        note,
    )


def _error(month: RunMonth) -> str:
    return shortened((month.error or "").removeprefix(f"{month.month}: "), 200)


def _drawn(line: _Line, width: int, columns: int, style: str = "") -> Text:
    """A line, cut where the terminal ends."""
    if line.has_failed:
        letter, ink, ground = STATES[due.FAILED]
        text = Text.assemble(f"{line.label:<{width}}  ", (f" {letter} ", f"{ink} on {ground}"), " ")
    else:
        text = Text(f"{line.label:<{width}}{line.rows:>13,}{line.rejects:>9,}", style=style)
        text.append(f"{line.seconds:>9,.1f}  ")
    text.append(line.note, style="" if line.has_failed else "dim")
    text.truncate(columns, overflow="ellipsis")
    text.rstrip()
    return text
