"""What is loaded: the states that a run begins in, and the run that is disturbed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from luigi_tasks.sample import write_month

#: Rows of a month.
ROWS = 300
#: The month that the disturbed run is about.
MONTH = "2024-02"


@dataclass(frozen=True)
class Scenario:
    """A state, and a run that is to be disturbed in it.

    ``before`` are the tasks and months that lead to the state, ``publish`` writes what is published
    for them, and ``republish`` what is published for the run itself.
    """

    name: str
    way: str
    task: str
    publish: Callable[[Path], None]
    before: tuple[tuple[str, str], ...] = ()
    republish: Callable[[Path], None] = lambda folder: None
    flags: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        return f"{self.name}/{self.way}"


def _file(folder: Path, month: str) -> Path:
    return folder / f"green_tripdata_{month}.parquet"


def _write(folder: Path, month: str, *, rows: int = ROWS, seed: int = 1, strays: int = 4) -> None:
    write_month(
        _file(folder, month),
        "green",
        date.fromisoformat(f"{month}-01"),
        rows=rows,
        seed=seed,
        strays=strays,
        duplicates=3,
        reversals=2,
        twins=2,
    )


def _three(folder: Path) -> None:
    for month in ("2024-01", "2024-02", "2024-03"):
        _write(folder, month)


def _correct(folder: Path) -> None:
    """Another edition of the month: a third of its rows is gone, and some are new."""
    before = pq.read_table(_file(folder, MONTH))
    _write(folder, MONTH, rows=40, seed=9, strays=1)
    new = pq.read_table(_file(folder, MONTH))
    pq.write_table(pa.concat_tables([before.slice(ROWS // 3), new]), _file(folder, MONTH))


def _publish_dirt(folder: Path) -> None:
    """A month with many strays and duplicates, two rows that can't be read, and thirty that the
    neighbours have, too."""
    _three(folder)
    _write(folder, MONTH, strays=60)
    own = pq.read_table(_file(folder, MONTH))
    shared = [pq.read_table(_file(folder, m)).slice(20, 15) for m in ("2024-01", "2024-03")]
    table = pa.concat_tables([own, own.slice(0, 20), *shared])
    index = table.schema.get_field_index("passenger_count")
    counts = ["x", "y", *["1"] * (table.num_rows - 2)]
    table = table.set_column(index, "passenger_count", pa.array(counts))
    pq.write_table(table, _file(folder, MONTH))


def _publish_columns(folder: Path) -> None:
    _three(folder)
    table = pq.read_table(_file(folder, MONTH))
    table = table.append_column("source", pa.array(["app"] * table.num_rows))
    table = table.append_column("places", pa.array(range(table.num_rows), pa.int64()))
    pq.write_table(table, _file(folder, MONTH))


_LAKE = ("--lake-url=data/lake",)
_JANUARY = (("TaxiMerge", "2024-01"),)
_NEIGHBOURS = (*_JANUARY, ("TaxiMerge", "2024-03"))

SCENARIOS = [
    Scenario("first", "chain", "TaxiMerge", _three),
    Scenario("first", "pass", "TaxiMonth", _three),
    Scenario(
        "edition", "refresh", "TaxiRefresh", _three, (("TaxiLake", MONTH),), _correct, flags=_LAKE
    ),
    Scenario("strays", "chain", "TaxiMerge", _publish_dirt, _NEIGHBOURS),
    Scenario("strays", "pass", "TaxiMonth", _publish_dirt, _NEIGHBOURS),
    Scenario("column", "chain", "TaxiMerge", _publish_columns, _JANUARY),
    Scenario("column", "pass", "TaxiMonth", _publish_columns, _JANUARY),
    Scenario(
        "reset",
        "reset",
        "TaxiReset",
        _three,
        (*_JANUARY, ("TaxiLake", MONTH)),
        flags=_LAKE,
    ),
    Scenario("lake", "lake", "TaxiLake", _three, (("TaxiMonth", MONTH),), flags=_LAKE),
]
NAMES = tuple(dict.fromkeys(each.name for each in SCENARIOS))
