"""What is fuzzed: a function of bytes for each target, which raises if something is wrong.

Wrong is any error but a ``TaxiError`` of one line, a row that isn't accounted for, and more memory
or time of the processor than a small file may take.
"""

from __future__ import annotations

import io
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from luigi_tasks import formats
from luigi_tasks.catalog import GREEN, NEW_TYPES, TAXI_TYPES, Column
from luigi_tasks.errors import TaxiError
from luigi_tasks.transform import transform
from luigi_tasks.transform.casting import cast_readable, schema_of

#: Bytes of memory that one input may add.
MOST_MEMORY = 1 << 30
#: Seconds of the processor that one input may take.
MOST_SECONDS = 30
#: Bytes that are read at once, in one of two runs over the same input.
SMALL_PIECES = (1, 3, 16, 61)


class FindingError(Exception):
    """Something is wrong with what an input became."""


def fuzz_csv(data: bytes) -> None:
    """Each line after the header is a row, whatever pieces the file is read in."""
    _text(data, "csv", _count_lines)


def fuzz_json(data: bytes) -> None:
    """Each value is a row, whatever pieces the file is read in."""
    _text(data, "json", _count_values)


def fuzz_parquet(data: bytes) -> None:
    """The footer tells the number of rows, or the file is refused."""
    if formats.detect_format(data[: formats.HEAD]) == "parquet":
        counts = _transformed(data)
        if counts and counts[0] != pq.read_metadata(io.BytesIO(data)).num_rows:
            raise FindingError(f"{counts} rows, and others by the footer")


def fuzz_casting(data: bytes) -> None:
    """A value becomes the same, or can't be read, whatever values are beside it."""
    for array, column in _drawn(data):
        try:
            cast, unreadable = cast_readable(array, column)
        except pa.ArrowNotImplementedError:  # a type that no value of can be read: the file's fault
            continue
        wrong = [index for index, _ in unreadable]
        if len(cast) != len(array) or not cast.type.equals(schema_of([column])[0].type):
            raise FindingError(f"{array.type} as {column.name}: {cast.type}, {len(cast)} values")
        if len(set(wrong)) < len(wrong) or any(cast[index].is_valid for index in wrong):
            raise FindingError(f"{array.type} as {column.name}: unreadable {wrong}: {cast}")
        for index in range(len(array)):
            alone, refused = cast_readable(array.slice(index, 1), column)
            if bool(refused) != (index in wrong) or not alone.equals(cast.slice(index, 1)):
                same = str(alone) == str(cast.slice(index, 1))  # NaN isn't equal to itself
                if bool(refused) != (index in wrong) or not same:
                    raise FindingError(f"{array[index]!r} as {column.name}: {alone} or {cast}")
        _encode(cast, column)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "csv": fuzz_csv,
    "json": fuzz_json,
    "parquet": fuzz_parquet,
    "casting": fuzz_casting,
}

# --- files ---------------------------------------------------------------------------------------

Counts = tuple[int, int]


def _text(data: bytes, name: str, count: Callable[[bytes], int | None]) -> None:
    if formats.detect_format(data[: formats.HEAD]) != name:
        return
    whole = _transformed(data)
    with _small_pieces(SMALL_PIECES[len(data) % len(SMALL_PIECES)]):
        pieces = _transformed(data)
        # how many columns there are is decided by the first piece, so either may be refused
        if pieces and whole and pieces != whole:
            raise FindingError(f"rows and rejects: {whole} as a whole, {pieces} in small pieces")
    if whole and (rows := count(data)) is not None and rows != whole[0]:
        raise FindingError(f"{whole[0]} rows were read of {rows}")


def _transformed(data: bytes) -> Counts | None:
    """Transform a file, and count its rows and rejects; None if it is refused."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        raw, trips, rejects = (folder / each for each in ("raw", "trips", "rejects"))
        raw.write_bytes(data)
        try:
            report = transform([raw], trips, rejects, GREEN, 1)
        except TaxiError as error:
            if "\n" in str(error) or trips.exists():
                raise FindingError(f"refused with {str(error)!r}") from error
            return None
        finally:
            more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            if more << 10 > MOST_MEMORY:
                raise FindingError(f"{more >> 10} MB of memory")
            if (seconds := time.process_time() - began) > MOST_SECONDS:
                raise FindingError(f"{seconds:.0f} s")
        lines = rejects.read_bytes().splitlines() if rejects.exists() else []
        written = pq.read_metadata(trips).num_rows
        if (written, len(lines)) != (report.rows_written, report.rows_rejected):
            raise FindingError(f"{written} rows, {len(lines)} rejects: {report}")
        if report.rows_read != written + len(lines):
            raise FindingError(f"rows are lost: {report}")
        list(map(json.loads, lines))
        with formats.open_trips(trips, report.new_columns) as opened:
            _copied(opened, report.new_columns)
        return report.rows_read, report.rows_rejected


def _copied(trips: formats.Trips, new_columns: dict[str, str]) -> None:
    """Encode trips as they are sent to PostgreSQL."""
    from luigi_tasks.warehouse.encoding import encoded

    selected = [column.name for column in GREEN.columns]
    new = {name: NEW_TYPES[column_type] for name, column_type in new_columns.items()}
    chunks = encoded(
        trips, GREEN.columns, selected, new, report=lambda *_: None, repeated=io.BytesIO()
    )
    for _ in chunks:
        pass


@contextmanager
def _small_pieces(size: int) -> Iterator[None]:
    from luigi_tasks.formats import csv, json

    modules = (csv, json)
    before = [module.PIECE for module in modules]
    for module in modules:
        module.PIECE = size  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, piece in zip(modules, before, strict=True):
            module.PIECE = piece  # type: ignore[attr-defined]


def _count_lines(data: bytes) -> int:
    """The lines of a CSV after its header, without those that have nothing; blank ones that follow
    the header don't count."""
    text = data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    _, _, rest = text.lstrip(" \t\n\r\f\v").partition("\n")
    lines = [line for line in rest.split("\n") if line]
    while lines and not lines[0].strip(" \t\f\v"):
        del lines[0]
    return len(lines)


def _count_values(data: bytes) -> int | None:
    """The values of a file that is one array of JSON; None for any other file."""
    try:
        found = json.loads(data.decode("utf-8-sig", errors="surrogateescape"), strict=False)
    except (ValueError, RecursionError):
        return None
    return len(found) if isinstance(found, list) else None


# --- values --------------------------------------------------------------------------------------

_TYPES: dict[str, pa.DataType] = {
    str(each): each
    for each in (
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64()),
        *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
        *(pa.timestamp("us", zone) for zone in ("UTC", "America/New_York", "+07:30")),
        *(pa.date32(), pa.date64(), pa.decimal128(38, 9), pa.bool_()),
    )
}
_COLUMNS: list[Column] = [
    column for taxi_type in TAXI_TYPES.values() for column in taxi_type.columns
]


def _drawn(data: bytes) -> Iterator[tuple[pa.Array, Column]]:
    """The values of an input: of text, one a line, or of a fixed size; and a column for them."""
    if len(data) < 3:
        return
    column, kind, rest = _COLUMNS[data[0] % len(_COLUMNS)], data[1], data[2:]
    if kind >= 128:
        text = rest[:2_000].decode(errors="replace")
        yield pa.array([line or None for line in text.split("\n")], pa.string()), column
        return
    arrow_type = list(_TYPES.values())[kind % len(_TYPES)]
    width = max(1, arrow_type.bit_width // 8)
    count = min(64, len(rest) // width)
    if arrow_type == pa.bool_():
        count = min(64, len(rest) * 8)
    if arrow_type == pa.date64():  # whole days, or Arrow itself refuses it
        days = pa.Array.from_buffers(pa.int32(), len(rest) // 4, [None, pa.py_buffer(rest)])
        yield days.cast(pa.date32()).cast(pa.date64()), column
        return
    if count:
        array: Any = pa.Array.from_buffers(arrow_type, count, [None, pa.py_buffer(rest)])
        yield array, column


def _encode(array: pa.Array, column: Column) -> None:
    """Encode values that could be read as they are sent to PostgreSQL."""
    batch = pa.RecordBatch.from_arrays([array], schema=schema_of([column]))
    from luigi_tasks.warehouse.encoding import encoded

    trips = formats.Trips("it", batch.schema, None, {}, lambda _: iter([batch]))
    chunks = encoded(
        trips, [column], [column.name], {}, report=lambda *_: None, repeated=io.BytesIO()
    )
    for _ in chunks:
        pass
