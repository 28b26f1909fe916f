"""Rows that couldn't be read, by reason and with examples, from the files on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luigi_tasks.storage import MonthFiles
from luigi_tasks.texts import shortened
from luigi_tasks.warehouse import LoadFacts

#: At most so much of a month's file is read, and of a line.
MOST_BYTES, LONGEST_LINE = 4_000_000, 100_000
#: Files whose lines are read; the newest ones.
MOST_BYTES_IN_ALL = 32_000_000
#: Reasons that are listed, and examples of each.
MOST_REASONS, EXAMPLES = 25, 3
#: Characters of a name, a value, and a reason.
LONGEST_NAME, LONGEST_VALUE, LONGEST_REASON = 40, 60, 120


@dataclass
class Reason:
    """Why rows of a service were rejected: how many, in which months, and some of them."""

    taxi_type: str
    column: str
    reason: str
    rows: int = 0
    months: set[str] = field(default_factory=set)
    examples: list[tuple[str, int | str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Rejects:
    """Rejected rows by reason, most first: of ``total`` by the ledger, ``read`` were looked at."""

    total: int
    read: int
    reasons: Sequence[Reason]
    more: int


def read_rejects(root: Path, loads: Sequence[LoadFacts]) -> Rejects:
    """Look at the files of rejects of the loads, the newest months first."""
    reasons: dict[tuple[str, str, str], Reason] = {}
    read, left = 0, MOST_BYTES_IN_ALL
    with_rejects = [load for load in loads if load.rejects]
    for load in sorted(with_rejects, key=lambda each: each.month.first_day, reverse=True):
        path = MonthFiles(root, load.month).rejects
        for size, reject in _lines(path, min(left, MOST_BYTES)):
            left -= size
            read += 1
            column = shortened(reject.get("column", ""), LONGEST_NAME)
            text = shortened(reject.get("reason", ""), LONGEST_REASON)
            key = (load.month.taxi_type, column, text)
            reason = reasons.setdefault(key, Reason(*key))
            reason.rows += 1
            reason.months.add(load.month.text)
            if len(reason.examples) < EXAMPLES:
                value = shortened(_shown(reject.get("value")), LONGEST_VALUE)
                row = reject.get("row")
                reason.examples.append(
                    (load.month.text, row if isinstance(row, int) else "?", value)
                )
    found = sorted(reasons.values(), key=lambda each: (-each.rows, each.taxi_type, each.column))
    total = sum(load.rejects for load in loads)
    return Rejects(total, read, found[:MOST_REASONS], max(0, len(found) - MOST_REASONS))


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lines(path: Path, most: int) -> Iterator[tuple[int, dict[str, object]]]:
    """The lines of a file that can be read, with their sizes; none if it isn't here."""
    try:
        with path.open("rb") as file:
            while most > 0 and (line := file.readline(LONGEST_LINE)):
                most -= len(line)
                try:
                    reject = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(reject, dict):
                    yield len(line), reject
    except OSError:
        return
