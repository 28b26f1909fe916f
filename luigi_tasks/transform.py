"""Read a published file of whatever era; write it with the catalog's columns and types.

    python -m luigi_tasks.transform RAW --taxi-type green --trips TRIPS --rejects REJECTS

A raw file is read in batches, so memory doesn't grow with it; several are read as one. A row with
a value that can't be read as its column's type goes to the rejects, one JSON object a line: the
file, its number there, the column, the value, the reason and the whole row. What was done is
reported on standard output as ``::{"outputs": {...}}::``.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from luigi_tasks.catalog import ARROW_TYPES, TAXI_TYPES, Column, TaxiType
from luigi_tasks.errors import TaxiError

#: Rows of a batch, and of a row group written: some 20 MB of a trips table.
BATCH_ROWS = 131_072
#: How many rejects an error message shows.
SHOWN_REJECTS = 3
#: The years a Python date knows, in microseconds from 1970. What lies outside is no pickup, and no
#: other program reads it.
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999


@dataclass
class Report:
    """What a transform did; ``rows_read`` = ``rows_rejected`` + ``rows_written``."""

    rows_read: int = 0
    rows_written: int = 0
    rows_rejected: int = 0
    unknown_columns: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reject:
    """Why a row was set aside. ``row`` is its number in the file, from 1."""

    file: str
    row: int
    column: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}, {self.column} {self.value!r}: {self.reason}"


def arrow_schema(taxi_type: TaxiType) -> pa.Schema:
    """The schema of the canonical parquet: the catalog's columns, in its order."""
    return pa.schema([(column.name, _arrow_type(column)) for column in taxi_type.columns])


def transform(
    raws: Sequence[Path],
    trips: Path,
    rejects: Path,
    taxi_type: TaxiType,
    max_reject_ratio: float = 0.01,
) -> Report:
    """Write the readable rows of raw parquet files to ``trips``, the others to ``rejects``.

    The rejects file is there only if there are any.

    :raises TaxiError: a file isn't parquet or is broken, isn't of this taxi type, or more than
        ``max_reject_ratio`` of all rows can't be read.
    """
    report = Report()
    shown: list[Reject] = []
    total = sum(map(_count_rows, raws))
    partial = trips.with_name(f"{trips.name}.partial")
    try:
        with (
            _named(raws[0]),
            pq.ParquetWriter(
                partial, arrow_schema(taxi_type), compression="zstd", compression_level=1
            ) as writer,
            _RejectsFile(rejects) as rejects_file,
        ):
            for raw in raws:
                with _named(raw), opened(raw) as source:
                    for batch, rejected in _read(source, raw.name, taxi_type, report):
                        for reject, row in rejected:
                            rejects_file.write(reject, row)
                        shown += [reject for reject, _ in rejected[: SHOWN_REJECTS - len(shown)]]
                        if report.rows_rejected > max_reject_ratio * total:
                            told = _too_many(report, total, max_reject_ratio, shown)
                            raise TaxiError(f"{raw.name}: {told}")
                        writer.write_table(pa.Table.from_batches([batch]))
        partial.replace(trips)
    finally:
        partial.unlink(missing_ok=True)
    return report


def opened(path: Path) -> pq.ParquetFile:
    """Open a parquet file to be read in a few megabytes of memory, whatever its size."""
    # what pyarrow reads ahead, it keeps to the end
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


def batches(file: pq.ParquetFile, rows: int) -> Iterator[pa.RecordBatch]:
    """A parquet file's rows, so many at a time."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group])


def _count_rows(raw: Path) -> int:
    with _named(raw), pq.ParquetFile(raw) as source:
        return int(source.metadata.num_rows)


def _read(
    source: pq.ParquetFile, name: str, taxi_type: TaxiType, report: Report
) -> Iterator[tuple[pa.RecordBatch, list[tuple[Reject, pa.RecordBatch]]]]:
    """The readable rows of a file, batch by batch, with the others and why they aren't.

    Adds to the report what was read.
    """
    try:
        matched, unknown = taxi_type.match(source.schema_arrow.names)
    except TaxiError as error:
        raise TaxiError(f"{name}: {error}") from None
    report.unknown_columns += [each for each in unknown if each not in report.unknown_columns]
    rows_before = 0
    for batch in batches(source, BATCH_ROWS):
        readable, rejects = _convert(batch, taxi_type, matched, name, rows_before)
        report.rows_read += batch.num_rows
        report.rows_rejected += len(rejects)
        report.rows_written += readable.num_rows
        rows = [batch.slice(reject.row - 1 - rows_before, 1) for reject in rejects]
        yield readable, list(zip(rejects, rows, strict=True))
        rows_before += batch.num_rows


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Turn what is wrong with a file, or with the disk, into a message that names the file."""
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        happened = "transformed" if getattr(error, "errno", None) else "read as parquet"
        raise TaxiError(f"{file.name} can't be {happened}: {_first_line(error)}") from error


def _convert(
    batch: pa.RecordBatch,
    taxi_type: TaxiType,
    matched: dict[str, str],
    file: str,
    rows_before: int,
) -> tuple[pa.RecordBatch, list[Reject]]:
    """Cast a batch to the canonical schema, and single out the rows that resist."""
    rejects: dict[int, Reject] = {}
    arrays = []
    for column in taxi_type.columns:
        if column.name not in matched:
            arrays.append(pa.nulls(batch.num_rows, _arrow_type(column)))
            continue
        published = batch.column(matched[column.name])
        array, unreadable = _cast_what_can_be(published, column)
        arrays.append(array)
        for index, reason in unreadable:
            value = _as_python(published[index])
            reject = Reject(file, rows_before + index + 1, matched[column.name], value, reason)
            rejects.setdefault(index, reject)
    converted = pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(taxi_type))
    if rejects:
        kept = [index for index in range(batch.num_rows) if index not in rejects]
        converted = converted.take(pa.array(kept, pa.int64()))
    return converted, [rejects[index] for index in sorted(rejects)]


def _cast_what_can_be(array: pa.Array, column: Column) -> tuple[pa.Array, list[tuple[int, str]]]:
    """Cast an array; where that fails, halve it until the values that can't be cast are alone.

    :returns: the array, NULL at unreadable values, and the place and reason of each of these.
    """
    try:
        return _cast(array, column), []
    except pa.ArrowInvalid as error:
        if len(array) == 1:
            return pa.nulls(1, _arrow_type(column)), [(0, _first_line(error))]
        half = len(array) // 2
        left, unreadable = _cast_what_can_be(array.slice(0, half), column)
        right, unreadable_right = _cast_what_can_be(array.slice(half), column)
        unreadable += [(half + index, reason) for index, reason in unreadable_right]
        return pa.concat_arrays([left, right]), unreadable


def _cast(array: pa.Array, column: Column) -> pa.Array:
    """Cast an array to its column's type.

    :raises pyarrow.ArrowInvalid: some value can't be read as this type without loss, or a
        required one is missing.
    """
    target = _arrow_type(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = _cast_text(array, target)
    elif pa.types.is_floating(array.type) and pa.types.is_integer(target):
        # pandas writes a missing count as NaN
        array = pc.if_else(pc.is_nan(array), _null(array.type), array).cast(target)
    elif pa.types.is_floating(target) or pa.types.is_timestamp(target):
        # whole numbers beyond 2^53 and nanoseconds lose digits that no fare and no clock has
        array = array.cast(target, safe=False)
    else:
        array = array.cast(target)
    if pa.types.is_timestamp(target):
        span = pc.min_max(array.cast(pa.int64())).as_py()
        if span["min"] is not None and not EARLIEST <= span["min"] <= span["max"] <= LATEST:
            raise pa.ArrowInvalid("outside the years 1 to 9999")
    if column.required:
        _require(array.is_valid(), "has no value, and a trip can't be without one")
    return array


def _cast_text(array: pa.Array, target: pa.DataType) -> pa.Array:
    array = array.cast(pa.string())
    if pa.types.is_string(target):
        _require(pc.invert(pc.match_substring(array, "\0")), "has a NUL character")
        return array
    array = pc.utf8_trim_whitespace(array)
    array = pc.if_else(pc.equal(array, ""), _null(pa.string()), array)
    if pa.types.is_integer(target):
        array = array.cast(pa.float64())
    return array.cast(target)


def _null(kind: pa.DataType) -> pa.Scalar:
    """A NULL. pyarrow.scalar would import pandas where that is installed, for a quarter second."""
    return pa.nulls(1, kind)[0]


def _require(holds: pa.Array, otherwise: str) -> None:
    if not pc.all(holds, min_count=0).as_py():
        raise pa.ArrowInvalid(otherwise)


def _arrow_type(column: Column) -> pa.DataType:
    return pa.type_for_alias(ARROW_TYPES[column.type])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _too_many(report: Report, total: int, ratio: float, shown: list[Reject]) -> str:
    return (
        f"{report.rows_rejected} of the first {report.rows_read} rows can't be read, and "
        f"max_reject_ratio {ratio:g} lets at most {int(ratio * total)} of {total} pass; "
        f"the first: {'; '.join(map(str, shown))}"
    )


def _as_python(value: pa.Scalar) -> Any:
    """A value as JSON can have it: what Python or JSON has nothing for, as text."""
    try:
        converted = value.as_py()
    except (ValueError, OverflowError):  # a time outside the years 1 to 9999
        return str(value.cast(pa.int64()))
    if isinstance(converted, float) and not math.isfinite(converted):
        return str(converted)
    return converted


class _RejectsFile:
    """JSON lines, in a file that is made with the first of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def __enter__(self) -> "_RejectsFile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def write(self, reject: Reject, row: pa.RecordBatch) -> None:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        record = {name: _as_python(row.column(name)[0]) for name in row.schema.names}
        line = {**asdict(reject), "record": record}
        self._file.write(json.dumps(line, default=str, allow_nan=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m luigi_tasks.transform",
        description="Write a published file with the catalog's columns and types.",
    )
    parser.add_argument(
        "raw", type=Path, nargs="+", help="the published parquet file, or several that make it up"
    )
    parser.add_argument("--taxi-type", required=True, choices=list(TAXI_TYPES))
    parser.add_argument("--trips", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--rejects", type=Path, required=True, help="JSON lines, if there are any")
    parser.add_argument(
        "--max-reject-ratio",
        type=float,
        default=0.01,
        help="share of rows, 0 to 1, that may be unreadable (default: 0.01)",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 1 with one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        report = transform(
            options.raw,
            options.trips,
            options.rejects,
            TAXI_TYPES[options.taxi_type],
            options.max_reject_ratio,
        )
    except TaxiError as error:
        print(error, file=sys.stderr)
        return 1
    print("::" + json.dumps({"outputs": asdict(report)}) + "::")
    return 0


if __name__ == "__main__":
    sys.exit(main())
