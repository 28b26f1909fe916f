"""What a run would do: the months that are due, with what each will cost."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from luigi_tasks import warehouse
from luigi_tasks.months import Month
from luigi_tasks.operations.due import DueMonth, in_ranges
from luigi_tasks.tables import Warehouse
from luigi_tasks.texts import sized

#: Loads of a service whose medians are taken.
MOST_LOADS = 24
#: Rows and seconds for a byte of a published file, where no load of the service is known: those of
#: yellow months of 2023 on two cores.
USUAL = (0.06, 2.4e-7)
#: Bytes of a table, with its key, for a trip; and of all work files for a byte of a published one.
TABLE_BYTES, WORK_BYTES = 262, 2.7


def describe(
    opened: Warehouse, due: Mapping[str, Sequence[DueMonth]], lacking: Sequence[Month] = ()
) -> str:
    """List the months that are due, and what each will take by the last loads of its service.

    :param lacking: months that are merged and will be written to the lake.
    """
    medians = warehouse.medians(opened, most=MOST_LOADS)
    lines, totals, largest = [], [0, 0, 0.0, 0], 0
    for taxi_type, months in due.items():
        rows_per_byte, seconds_per_byte = medians.get(taxi_type, USUAL)
        for each in months:
            label = f"{each.month!s:<16}{each.reason:<19}"
            if not each.is_to_be_loaded:
                by = f"by {each.deadline}" if each.deadline else each.error
                lines.append(f"{label}{by}".rstrip())
                continue
            size = each.bytes or 0
            rows = round(size * rows_per_byte)
            costs = (size, rows, size * seconds_per_byte, rows * TABLE_BYTES)
            totals = [total + cost for total, cost in zip(totals, costs, strict=True)]
            largest = max(largest, size)
            lines.append(label + _shown(*costs))
    count = sum(each.is_to_be_loaded for months in due.values() for each in months)
    if not count:
        return "\n".join([*lines, "nothing is to be loaded", *_to_be_written(lacking)])
    header = f"{'':<35}{'file':>10}{'rows':>14}{'seconds':>9}{'table':>10}"
    total = f"{f'{count:,} to be loaded':<35}{_shown(*totals)}"
    room = _room(opened, round(totals[3]), largest)
    return "\n".join([header, *lines, total, *room, *_to_be_written(lacking)])


def _to_be_written(lacking: Sequence[Month]) -> list[str]:
    """The months that the lake lacks, a line a service."""
    return [
        f"{taxi_type}: to be written to the lake: {in_ranges([each.first_day for each in months])}"
        for taxi_type, months in groupby(lacking, key=lambda each: each.taxi_type)
    ]


def _shown(size: float, rows: float, seconds: float, table: float) -> str:
    return f"{sized(size):>10}{rows:>14,.0f}{seconds:>9,.0f}{sized(table):>10}"


def _room(opened: Warehouse, table: int, largest: int) -> list[str]:
    """A line on what is free, and a warning where that won't do."""
    needed = round(largest * WORK_BYTES) + (table if opened.is_embedded else 0)
    free = shutil.disk_usage(_existing(opened.root)).free
    what = "tables and work files" if opened.is_embedded else "work files"
    line = f"{sized(free)} are free below {opened.root}; {what} need {sized(needed)}"
    if needed > free:
        return [f"warning: {line}: the disk won't do"]
    return [line]


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder
