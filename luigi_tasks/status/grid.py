"""The overview on a terminal: years by months for each service, then what needs somebody.

A state has a letter besides its colour. The colours are Okabe and Ito's, each with the text that is
read well on it, so that they do on dark and light terminals. What is well has none.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.console import Console
from rich.text import Text

from luigi_tasks import config
from luigi_tasks.operations import due
from luigi_tasks.status import colours
from luigi_tasks.status.needs import needs, news
from luigi_tasks.status.overview import Overview
from luigi_tasks.texts import counted, printable, sized
from luigi_tasks.warehouse import MonthState

#: The letter and the style of each state, in the order in which they need somebody.
STATES = {
    state: (letter, f"{ink} on {ground}" if ground else "dim" if state == due.UNPUBLISHED else "")
    for state, (letter, ink, ground) in colours.STATES.items()
}
#: Columns of a service's grid, and between two.
WIDTH, GAP = 28, 3
#: Columns of a label.
LABEL = 11
_INITIALS = "JFMAMJJASOND"


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
    for label, text, is_command in (*_needs(overview), *news(overview)):
        if is_command:
            # where it isn't read by a person, it is one line, however wide
            parts = _command(text, console.width - 2) if console.is_terminal else [text]
            for part in parts:
                console.print(Text(f"  {part}", style="dim"), soft_wrap=True)
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


def _needs(overview: Overview) -> Iterator[tuple[str, str, bool]]:
    found = list(needs(overview))
    yield from found
    if config.hides_password() and any(is_command for _, _, is_command in found):
        yield "password", "it isn't shown: PGPASSWORD or ~/.pgpass has to give it", False


def _side_by_side(services: Sequence[list[Text]]) -> Iterator[Text]:
    for parts in zip_longest(*services, fillvalue=Text()):
        line = Text()
        for number, part in enumerate(parts):
            line.append(" " * (number * (WIDTH + GAP) - len(line)))
            line.append_text(part)
        line.rstrip()
        yield line


def _command(text: str, width: int) -> list[str]:
    """A command for a shell, on several lines where it is too wide, so that it can be copied."""
    if len(text) <= width or "'" in text:
        return [text]
    lines: list[str] = []
    for part in re.split(r" (?=--)", text):
        if lines and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}" if lines else part)
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


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
