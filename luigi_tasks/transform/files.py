"""Raw files of any era and format in; trips with the catalog's schema, and rejects, out.

A row that has a value which can't be read as its column's type is a reject: the file, the row's
number in it, the column, the value, the reason and the whole row.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from luigi_tasks.catalog import Column, Match, TaxiType, fold
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.formats import PublishedFile, Rows, open_published, stream_schema
from luigi_tasks.texts import listed, shortened
from luigi_tasks.transform.casting import arrow_schema, cast_readable, first_line, schema_of
from luigi_tasks.transform.new_columns import common_types, fitting_types, new_columns
from luigi_tasks.transform.quality import count_failures
from luigi_tasks.transform.rejects import Reject, Rejected, RejectsFile, as_python, records
from luigi_tasks.transform.writing import writer

#: How many rejects an error message shows. A file that doesn't have its number of rows is checked
#: for too many rejects after MOST_REJECTS of them, by an estimate of its rows.
SHOWN_REJECTS, MOST_REJECTS = 3, 10_000


@dataclass
class Report:
    """What a transform did; ``rows_read`` = ``rows_rejected`` + ``rows_written``.

    ``unknown_columns`` were left out. ``quality`` has the number of written rows that fail each
    data quality check, and ``new_columns`` the PostgreSQL types of written columns that the catalog
    doesn't know.
    """

    rows_read: int = 0
    rows_written: int = 0
    rows_rejected: int = 0
    unknown_columns: list[str] = field(default_factory=list)
    quality: dict[str, int] = field(default_factory=dict)
    new_columns: dict[str, str] = field(default_factory=dict)


def transform(
    raws: Sequence[Path],
    trips: Path | IO[bytes],
    rejects: Path,
    taxi_type: TaxiType,
    max_reject_ratio: float = 0.01,
    *,
    schema_contract: str = "evolve",
) -> Report:
    """Write the readable rows of raw files to ``trips``, the others to ``rejects``.

    The files are read in batches, so that memory doesn't grow with them, and several are read as
    one. ``rejects`` isn't created if there are none.

    :param trips: a parquet file to write, or where a stream in Arrow's IPC format goes.
    :param max_reject_ratio: share of all rows, 0 to 1, that may be unreadable.
    :param schema_contract: whether columns that the catalog doesn't know are written after those
        that it knows (``evolve``), left out (``discard``) or refused (``freeze``).
    :raises TaxiError: a file has no known format, is broken or isn't of this taxi type, has a
        column that is refused, or more than ``max_reject_ratio`` of all rows can't be read.
    """
    report = Report()
    shown: list[Reject] = []
    rejects.unlink(missing_ok=True)
    inspected = _inspect(raws, taxi_type, schema_contract)
    report.new_columns = {column.name: column.type for column in inspected.new}
    taxi_type = replace(taxi_type, columns=(*taxi_type.columns, *inspected.new))

    def check(total: int) -> None:
        if report.rows_rejected > max_reject_ratio * total:
            raise TaxiError(_too_many(report, total, max_reject_ratio, shown))

    schema = arrow_schema(taxi_type)
    matches = [taxi_type.match(names) for names in inspected.names]
    published = {name for match in matches for name in (*match.columns, *match.fillers)}
    with (
        _naming(raws[0]),
        writer(
            trips,
            schema,
            stream_schema(schema, published, inspected.total, report.new_columns),
        ) as write,
        RejectsFile(rejects) as rejects_file,
    ):
        for raw, match in zip(raws, matches, strict=True):
            left_out = map(shortened, match.unknown)
            report.unknown_columns += [n for n in left_out if n not in report.unknown_columns]
            with _open(raw) as file:
                read = _read(file, raw.name, match, taxi_type.columns, report)
                for batch, rejected in read:
                    for reject, record in rejected:
                        rejects_file.write(reject, record)
                    shown += [reject for reject, _ in rejected[: SHOWN_REJECTS - len(shown)]]
                    if inspected.total is not None:
                        check(inspected.total)
                    elif len(raws) == 1 and report.rows_rejected > MOST_REJECTS:
                        check(math.ceil(2 * report.rows_read / max(file.share, 0.001)))
                    write(batch)
                if raw == raws[-1]:
                    check(report.rows_read)
    return report


@dataclass(frozen=True)
class _Inspected:
    """What several files have.

    ``total`` is the number of their rows, None if only reading them would show it; ``names`` are
    the published names of each one's columns; ``new`` are the columns that are written though the
    catalog doesn't know them.
    """

    total: int | None
    names: list[list[str]]
    new: tuple[Column, ...]


def _inspect(raws: Sequence[Path], taxi_type: TaxiType, schema_contract: str) -> _Inspected:
    total: int | None = 0
    all_names: list[list[str]] = []
    fitting: dict[str, list[str] | None] = {}
    for raw in raws:
        with _open(raw) as file:
            total = None if total is None or file.total is None else total + file.total
            names = file.all_names()
            unknown = taxi_type.match(names).unknown
        all_names.append(names)
        if unknown and schema_contract == "freeze":
            raise TaxiError(
                f"{raw.name}: it has columns that aren't known, {listed(unknown)}, and "
                "[transform] schema_contract = freeze lets none pass; discard leaves them out"
            )
        if unknown and schema_contract == "evolve":
            with _open(raw) as file:
                for name, types in fitting_types(file, unknown).items():
                    fitting[fold(name)] = common_types(fitting.get(fold(name)), types)
    narrowest = {name: types[0] for name, types in fitting.items() if types}
    return _Inspected(total, all_names, tuple(new_columns(taxi_type, narrowest)))


def _read(
    file: PublishedFile, name: str, match: Match, columns: Sequence[Column], report: Report
) -> Iterator[tuple[pa.RecordBatch, Rejected]]:
    """Yield the readable rows of a file, batch by batch, and the rejects of each batch.

    Adds the numbers of rows to the report.
    """
    for rows in file.rows():
        readable, rejects = _convert(rows, columns, match, name)
        whole = records(rows.batch, list(rejects))
        rejected: Rejected = list(zip(rejects.values(), whole, strict=True))
        for row in rows.broken:
            reject = Reject(name, row.number, "", row.text, f"has {row.reason}")
            rejected.append((reject, {"line": row.text}))
        report.rows_read += rows.batch.num_rows + len(rows.broken)
        report.rows_rejected += len(rejected)
        report.rows_written += readable.num_rows
        count_failures(readable, report.quality)
        yield readable, sorted(rejected, key=lambda each: each[0].row)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Turn an error of a file, or of the disk, into a message that names the file.

    :raises SystemicError: the error is the system's, as its number shows: pyarrow raises an OSError
        without one for what a file has in it.
    """
    try:
        yield
    except MemoryError:
        raise TaxiError(f"{file.name} can't be transformed: out of memory") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError, RecursionError) as error:
        if getattr(error, "errno", None):
            message = f"{file.name} can't be transformed: {first_line(error)}"
            raise SystemicError(message) from error
        raise TaxiError(f"{file.name} can't be read: {first_line(error)}") from error


@contextmanager
def _open(raw: Path) -> Iterator[PublishedFile]:
    """Open a raw file; every error names it."""
    with _naming(raw):
        try:
            with open_published(raw) as file:
                yield file
        except SystemicError:
            raise
        except TaxiError as error:
            raise TaxiError(f"{raw.name}: {error}") from None


def _convert(
    rows: Rows, columns: Sequence[Column], match: Match, file: str
) -> tuple[pa.RecordBatch, dict[int, Reject]]:
    """Cast rows to the canonical schema.

    :returns: the rows that can be cast, and the rejects by their index in the batch.
    """
    rejects: dict[int, Reject] = {}
    names, count = rows.batch.schema.names, rows.batch.num_rows

    def cast(name: str | None, column: Column) -> pa.Array:
        published = rows.batch.column(names.index(name)) if name in names else pa.nulls(count)
        array, unreadable = cast_readable(published, column)
        for index, reason in unreadable:
            value = as_python(published[index])
            reject = Reject(file, rows.numbers[index], name or column.name, value, reason)
            rejects.setdefault(index, reject)
        return array

    arrays = []
    for column in columns:
        array = cast(match.columns.get(column.name), column)
        filler = match.fillers.get(column.name)
        if filler in names:
            array = pc.coalesce(array, cast(filler, column))
        arrays.append(array)
    converted = pa.RecordBatch.from_arrays(arrays, schema=schema_of(columns))
    if rejects:
        readable = [index for index in range(count) if index not in rejects]
        converted = converted.take(pa.array(readable, pa.int64()))
    return converted, dict(sorted(rejects.items()))


def _too_many(report: Report, total: int, ratio: float, shown: list[Reject]) -> str:
    return (
        f"{report.rows_rejected:,} of the first {report.rows_read:,} rows can't be read, and "
        f"max_reject_ratio {ratio:g} lets at most {int(ratio * total):,} of {total:,} pass; "
        f"the first: {'; '.join(map(str, shown))}"
    )
