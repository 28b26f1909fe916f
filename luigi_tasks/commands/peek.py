"""Look at a month's published file without fetching it."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from luigi_tasks import config
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.commands.settings import setting
from luigi_tasks.config import MonthParameter
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.texts import counted, printable, shortened, sized

if TYPE_CHECKING:
    from luigi_tasks.status.peek import Peeked

#: What becomes of a column that the catalog doesn't know, by ``[transform] schema_contract``.
_UNKNOWN = {
    "evolve": "unknown: a new column",
    "discard": "unknown: left out",
    "freeze": "unknown: the month will fail",
}


@click.command()
@setting(config.source, "url")
@click.argument("taxi_type", type=click.Choice([*TAXI_TYPES]))
@click.argument("month")
def peek(taxi_type: str, month: str) -> None:
    """Look at a month's published file: edition, columns, ten rows.

    TAXI_TYPE is a service, and MONTH is like 2024-01. Less than a megabyte of the file is fetched,
    and nothing is stored. The exit code is 1 if it is no file of that service.
    """
    from luigi_tasks.status.peek import peek as look

    config.check()
    wanted = Month(taxi_type, MonthParameter().parse(month))
    TAXI_TYPES[taxi_type].check_month(wanted.first_day)
    found = look(wanted)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    for line in _file(found):
        click.echo(line)
    becomes: dict[str, str] = {}
    refused = ""
    try:
        becomes = _becomes(found)
    except TaxiError as error:
        refused = str(error)
    for line in (*_columns(found, becomes), *_missing(found, width), *_rows(found, width)):
        click.echo(line)
    if refused:
        raise TaxiError(f"{found.month}: {refused}")


def _file(found: Peeked) -> Iterator[str]:
    facts = found.facts
    yield f"{found.month}: {found.url}"
    edition = [f"published {facts.last_modified}"] if facts.last_modified else []
    edition += [f"ETag {facts.etag}"] if facts.etag else []
    edition.append(f"{facts.bytes:,} bytes, {sized(found.fetched)} of them fetched")
    yield ", ".join(edition)
    count = f"{found.format}, {len(found.columns)} columns"
    if found.row_groups is None:
        yield f"{count}; only the whole file would show its number of rows"
    else:
        groups = len(found.row_groups)
        count += f", {found.rows:,} rows in {counted(groups, 'row group')}"
        largest = max(found.row_groups, default=0)
        yield f"{count} of at most {largest:,}" if groups > 1 else count


def _becomes(found: Peeked) -> dict[str, str]:
    """What becomes of each published column.

    :raises TaxiError: it isn't a file of the month's service.
    """
    taxi_type = TAXI_TYPES[found.month.taxi_type]
    selected = {column.name for column in config.selected(found.month.taxi_type).columns}
    match = found.match(taxi_type)
    types = {column.name: column.type for column in taxi_type.columns}
    becomes = {
        published: f"{name}, {types[name]}{'' if name in selected else ' (not selected)'}"
        for name, published in match.columns.items()
    }
    becomes |= {
        published: f"{name}, where that is empty" for name, published in match.fillers.items()
    }
    return becomes | dict.fromkeys(match.unknown, _UNKNOWN[config.schema_contract()])


def _columns(found: Peeked, becomes: dict[str, str]) -> Iterator[str]:
    shown = {name: shortened(name, 40) for name in found.columns}
    widest = max([len("column"), *map(len, shown.values())])
    yield ""
    yield f"{'column':<{widest}}  {'type':<14}  becomes"
    for name, kind in found.columns.items():
        known = becomes.get(name, "left out" if becomes else "-")
        yield f"{shown[name]:<{widest}}  {printable(kind):<14}  {known}"


def _missing(found: Peeked, width: int) -> Iterator[str]:
    """The columns of the table that the file lacks."""
    from luigi_tasks.status.peek import missing_columns

    taxi_type = TAXI_TYPES[found.month.taxi_type]
    with suppress(TaxiError):
        missing = missing_columns(taxi_type, found.match(taxi_type))
        if missing:
            yield ""
            yield from textwrap.wrap(
                f"missing, and so NULL: {', '.join(column.name for column in missing)}", width
            )


def _rows(found: Peeked, width: int) -> Iterator[str]:
    from luigi_tasks.status.peek import ROWS, shown

    lacking = [name for name in found.columns if found.sizes and name not in found.values]
    count = max(map(len, found.values.values()), default=0)
    group = f" of row group {found.shown_group}" if len(found.row_groups or ()) > 1 else ""
    yield ""
    yield f"the first {min(count, ROWS)} rows{group}, by column"
    widest = max((len(shortened(name, 40)) for name in found.columns), default=0)
    for name in found.columns:
        values = shown(found.values.get(name, ()))
        if name in lacking:
            values = ["(not fetched)"]
            if name in found.ranges:
                least, most = shown(found.ranges[name])
                values = [f"from {least} to {most}"]
        # what belongs together isn't divided: a time has a blank in it
        joined = "  ".join(value.replace(" ", "\0") for value in values) or "-"
        lines = textwrap.wrap(
            joined, max(20, width - widest - 2), break_on_hyphens=False, break_long_words=False
        )
        for number, line in enumerate(lines):
            label = "" if number else shortened(name, 40)
            yield f"{label:<{widest}}  {line}".replace("\0", " ")
    if lacking:
        yield ""
        yield from textwrap.wrap(_why(found, lacking), width)


def _why(found: Peeked, lacking: Sequence[str]) -> str:
    """Why some columns have no rows, and what is shown of them in place of these."""
    from luigi_tasks.status.peek import MOST_BYTES

    size = sum(found.sizes.get(name, 0) for name in lacking)
    instead = (
        " Shown is what the footer says: the smallest and the largest value of the whole file."
    )
    return (
        f"{counted(len(lacking), 'column')} without rows: a column's first value takes its "
        f"dictionary and its first page, which are up to {sized(size)} of the file in all; at most "
        f"{sized(MOST_BYTES)} are fetched.{instead if found.ranges.keys() & {*lacking} else ''}"
    )
