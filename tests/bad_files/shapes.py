"""What a bad file is, and the good ones that they are made of."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from raw_files import HEADER, ROW, green

from luigi_tasks.catalog import GREEN

#: Rows of a good file, and the share of them that may be rejects.
ROWS, MOST_REJECTS = 20, 0.5


@dataclass(frozen=True)
class Bad:
    """A file, and what becomes of it: it is refused with a message that has the words ``refused``,
    or it is loaded, with ``rows`` in the table or counted as duplicates and so many ``rejects``.

    If both are given, either is right: no two versions of Arrow find the same damage.
    """

    make: Callable[[], bytes]
    refused: str | None = None
    rows: int | None = None
    rejects: int = 0


def refused(make: Callable[[], bytes] | bytes, words: str) -> Bad:
    return Bad(_making(make), refused=words)


def loaded(make: Callable[[], bytes] | bytes, rows: int | None = None, rejects: int = 0) -> Bad:
    return Bad(_making(make), rows=ROWS - rejects if rows is None else rows, rejects=rejects)


def either(make: Callable[[], bytes] | bytes, words: str, rows: int = ROWS) -> Bad:
    return Bad(_making(make), refused=words, rows=rows)


def _making(make: Callable[[], bytes] | bytes) -> Callable[[], bytes]:
    return (lambda: make) if isinstance(make, bytes) else make


# --- CSV ----------------------------------------------------------------------------------------


def rows(*last: str, count: int = ROWS) -> list[str]:
    """Good rows of CSV, and after them others, that many in all."""
    good = [ROW.replace("00:02:00", f"00:{n // 60:02}:{n % 60:02}") for n in range(count)]
    return [*good[: count - len(last)], *last]


def csv(*last: str, count: int = ROWS, end: str = "\n", header: str = HEADER) -> bytes:
    """A good CSV but for its last rows."""
    return green(*rows(*last, count=count), end=end).replace(HEADER.encode(), header.encode(), 1)


def csv_with(column: str, *values: str, count: int = ROWS) -> bytes:
    """A good CSV with a further column, whose last values are these; the others are 1."""
    lines = rows(count=count)
    given = ["1"] * (count - len(values)) + list(values)
    return green(*map(",".join, zip(lines, given, strict=True))).replace(
        HEADER.encode(), f"{HEADER},{column}".encode(), 1
    )


# --- Parquet ------------------------------------------------------------------------------------


def trips(count: int = ROWS, **columns: Any) -> pa.Table:
    """Green trips, some of whose columns are given as arrays or lists; others are 1."""
    trip = {column.name: pa.array([1] * count, pa.int64()) for column in GREEN.columns}
    trip["pickup_datetime"] = trip["dropoff_datetime"] = pa.array(
        [datetime(2024, 1, 1, 10) + timedelta(seconds=n) for n in range(count)], pa.timestamp("us")
    )
    trip["store_and_fwd_flag"] = pa.array(["N"] * count)
    return pa.table({**trip, **columns})


def parquet(table: pa.Table | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(trips() if table is None else table, file, **options)
    return file.getvalue()


def last(value: Any, arrow_type: pa.DataType, good: Any = 1) -> pa.Array:
    """A column whose last value is this one."""
    return pa.array([good] * (ROWS - 1) + [value], arrow_type)
