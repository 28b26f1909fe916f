"""Read a published file of whatever era; write it with the catalog's columns and types.

    python -m luigi_tasks.transform RAW --taxi-type green --trips TRIPS --rejects REJECTS

A raw file may have any of the ``forms``. It is read in batches, so memory doesn't grow with it;
several are read as one. A row with a value that can't be read as its column's type goes to the
rejects, one JSON object a line: the file, its number there, the column, the value, the reason and
the whole row. What was done is reported on standard output as ``::{"outputs": {...}}::``.
"""

import argparse
import itertools
import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from luigi_tasks import forms
from luigi_tasks.catalog import (
    ARROW_TYPES,
    NEW_TYPES,
    RESERVED_NAMES,
    TAXI_TYPES,
    Column,
    Match,
    TaxiType,
    fold,
)
from luigi_tasks.errors import TaxiError
from luigi_tasks.texts import listed, printable, shortened

#: Bytes of a new column's name; PostgreSQL cuts names at 63, and another type's column adds to it.
_LONGEST_NAME = 40
#: How many rejects an error message shows; and after how many it is estimated, of a file that
#: doesn't say how many rows it has, whether there are too many.
SHOWN_REJECTS, MOST_REJECTS = 3, 10_000
#: The years a Python date knows, in microseconds from 1970. What lies outside is no pickup, and no
#: other program reads it.
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
#: The times of NYC Open Data, such as 2019 Jan 29 02:13:01 PM and 01/29/2019 02:13:01 PM.
_CLOCK = r" (?:0?[1-9]|1[0-2]):[0-5]\d:[0-5]\d [AaPp][Mm]$"
PORTAL_TIMES = {
    r"^\d{4} [A-Za-z]{3} (?P<day>\d{1,2})" + _CLOCK: "%Y %b %d %I:%M:%S %p",
    r"^\d{1,2}/(?P<day>\d{1,2})/\d{4}" + _CLOCK: "%m/%d/%Y %I:%M:%S %p",
}
#: What a text at least looks like that can be read as a type; whatever doesn't needn't be tried.
_LOOKS = {
    "number": r"^\s*([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(?i:nan|inf|infinity))?\s*$",
    "time": r"^\s*(\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?)?\s*$|"
    + "|".join(PORTAL_TIMES).replace("?P<day>", ""),
}
#: What PostgreSQL takes in no text, and what stands for bytes that weren't UTF-8.
_NO_TEXT = {"\0": "has a NUL character", "\ufffd": "has bytes that aren't UTF-8"}
#: How a text is written that loses nothing as a value of a new column's type.
_WRITTEN = {
    "bigint": r"^\s*[+-]?(0|[1-9]\d*)\s*$",
    "double precision": r"^\s*[+-]?(0|[1-9]\d{0,14})?(\.\d*)?([eE][+-]?\d\d?)?\s*$",
    "boolean": r"^\s*(?i:true|false)\s*$",
}


@dataclass
class Report:
    """What a transform did; ``rows_read`` = ``rows_rejected`` + ``rows_written``.

    ``quality`` tells how many of the rows written have what each of ``ODDITIES`` is about,
    ``new_columns`` the PostgreSQL types of those columns written that the catalog doesn't know.
    """

    rows_read: int = 0
    rows_written: int = 0
    rows_rejected: int = 0
    unknown_columns: list[str] = field(default_factory=list)
    quality: dict[str, int] = field(default_factory=dict)
    new_columns: dict[str, str] = field(default_factory=dict)


def _constant(value: float, kind: pa.DataType) -> pa.Scalar:
    """A number. pyarrow.scalar would import pandas where it is installed, for a quarter second."""
    packed = struct.pack("d" if kind == pa.float64() else "i", value)
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(packed)])[0]


_ZERO, _UNKNOWN_ZONE = _constant(0, pa.float64()), _constant(264, pa.int32())
#: The whole numbers of 32 bits, and the first one beyond them.
_LEAST, _MOST = _constant(-(2**31), pa.float64()), _constant(2**31, pa.float64())
#: How the kinds of ``quality`` are told, by the columns they take. The merge tells strays.
ODDITIES: dict[str, tuple[tuple[str, ...], Callable[..., pa.Array]]] = {
    "null_passenger_count": (("passenger_count",), lambda count: count.is_null()),
    "negative_total": (("total_amount",), lambda total: pc.less(total, _ZERO)),
    "zero_distance": (("trip_distance",), lambda miles: pc.equal(miles, _ZERO)),
    "dropoff_before_pickup": (("dropoff_datetime", "pickup_datetime"), pc.less),
    "unknown_zone": (
        ("pickup_location_id", "dropoff_location_id"),
        lambda *zones: pc.or_kleene(*(pc.greater_equal(zone, _UNKNOWN_ZONE) for zone in zones)),
    ),
}


@dataclass(frozen=True)
class Reject:
    """Why a row was set aside. ``row`` is its number in the file, from 1."""

    file: str
    row: int
    column: str
    value: Any
    reason: str

    def __str__(self) -> str:
        column, value = shortened(self.column), shortened(repr(self.value))
        return f"row {self.row}, {column} {value}: {shortened(self.reason, 200)}"


def arrow_schema(taxi_type: TaxiType) -> pa.Schema:
    """The schema of the canonical parquet: the catalog's columns, in its order."""
    return _schema(taxi_type.columns)


def _schema(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([(column.name, _arrow_type(column)) for column in columns])


def transform(
    raws: Sequence[Path],
    trips: Path,
    rejects: Path,
    taxi_type: TaxiType,
    max_reject_ratio: float = 0.01,
    *,
    schema_contract: str = "evolve",
) -> Report:
    """Write the readable rows of raw files to ``trips``, the others to ``rejects``.

    The rejects file is there only if there are any.

    :param schema_contract: whether columns that the catalog doesn't know are written after those
        that it does (``evolve``), left out (``discard``) or not let pass (``freeze``).
    :raises TaxiError: a file is of no known form or is broken, isn't of this taxi type, has a
        column that isn't let pass, or more than ``max_reject_ratio`` of all rows can't be read.
    """
    report = Report()
    shown: list[Reject] = []
    rejects.unlink(missing_ok=True)
    looked = _look(raws, taxi_type, schema_contract)
    report.new_columns = {column.name: column.type for column in looked.new}
    kind = replace(taxi_type, columns=(*taxi_type.columns, *looked.new))

    def check(total: int) -> None:
        if report.rows_rejected > max_reject_ratio * total:
            raise TaxiError(_too_many(report, total, max_reject_ratio, shown))

    partial = trips.with_name(f"{trips.name}.partial")
    try:
        with (
            _named(raws[0]),
            pq.ParquetWriter(
                partial,
                arrow_schema(kind),
                compression="zstd",
                compression_level=1,
                write_page_checksum=True,
            ) as writer,
            _RejectsFile(rejects) as rejects_file,
            _RowGroups(writer) as row_groups,
        ):
            for raw, names in zip(raws, looked.names, strict=True):
                match = kind.match(names)
                left_out = map(shortened, match.unknown)
                report.unknown_columns += [n for n in left_out if n not in report.unknown_columns]
                with _opened(raw) as source:
                    for batch, rejected in _read(source, raw.name, match, kind.columns, report):
                        for reject, record in rejected:
                            rejects_file.write(reject, record)
                        shown += [reject for reject, _ in rejected[: SHOWN_REJECTS - len(shown)]]
                        if looked.total is not None:
                            check(looked.total)
                        elif len(raws) == 1 and report.rows_rejected > MOST_REJECTS:
                            check(math.ceil(2 * report.rows_read / max(source.share, 0.001)))
                        row_groups.add(batch)
                    if raw == raws[-1]:
                        check(report.rows_read)
        partial.replace(trips)
    finally:
        partial.unlink(missing_ok=True)
    return report


@dataclass(frozen=True)
class _Looked:
    """What files have together: how many rows, if that can be known before they are read; the
    names of each one's columns; and the columns that the catalog doesn't know and are kept."""

    total: int | None
    names: list[list[str]]
    new: tuple[Column, ...]


def _look(raws: Sequence[Path], taxi_type: TaxiType, schema_contract: str) -> _Looked:
    total: int | None = 0
    all_names: list[list[str]] = []
    fitting: dict[str, list[str] | None] = {}
    for raw in raws:
        with _opened(raw) as source:
            total = None if total is None or source.total is None else total + source.total
            names = source.all_names()
            unknown = taxi_type.match(names).unknown
        all_names.append(names)
        if unknown and schema_contract == "freeze":
            raise TaxiError(
                f"{raw.name}: it has columns that aren't known, {listed(unknown)}, and "
                "[transform] schema_contract = freeze lets none pass; discard leaves them out"
            )
        if unknown and schema_contract == "evolve":
            with _opened(raw) as source:
                for name, types in _types(source, unknown).items():
                    fitting[fold(name)] = _common(fitting.get(fold(name)), types)
    found = {name: types[0] for name, types in fitting.items() if types}
    return _Looked(total, all_names, tuple(_new_columns(taxi_type, found)))


def _new_columns(taxi_type: TaxiType, types: Mapping[str, str]) -> Iterator[Column]:
    """Columns for published names, with names that a table can have beside the catalog's."""
    taken = {*RESERVED_NAMES, *taxi_type.shown_names, *(c.name for c in taxi_type.columns)}
    for published, kind in types.items():
        name = re.sub(r"\W+", "_", fold(published)).strip("_") or "column"
        name = name.encode()[:_LONGEST_NAME].decode(errors="ignore")
        others = (f"{name}_{number}" for number in itertools.count(2))
        name = next(
            each for each in itertools.chain([name, f"{name}_"], others) if each not in taken
        )
        taken.add(name)
        yield Column(name, 0, kind, f"Published as {shortened(published)}", (published,))


def _types(source: forms.Published, names: Sequence[str]) -> dict[str, list[str] | None]:
    """The types that all values of each column have, the narrowest first; None if it has no values.

    Only parquet says its types; anything else is read once for them.
    """
    fitting: dict[str, list[str] | None] = dict.fromkeys(names)
    if source.schema is not None:
        for name in names:
            kind = source.schema.field(name).type
            if not pa.types.is_null(kind):
                fitting[name] = _fitting_types(_sample(kind))
        return fitting
    for rows in source.rows():
        for name in set(names) & set(rows.batch.schema.names):
            array = rows.batch.column(name)
            fits = fitting[name]
            if array.null_count < len(array):  # what no longer fits isn't tried again
                fitting[name] = _fitting_types(array, NEW_TYPES if fits is None else fits)
    return fitting


def _common(types: list[str] | None, others: list[str] | None) -> list[str] | None:
    """The types that are among both, where both are known."""
    if types is None or others is None:
        return others if types is None else types
    return [kind for kind in types if kind in others]


def _fitting_types(array: pa.Array, types: Iterable[str] = tuple(NEW_TYPES)) -> list[str]:
    """Those types that all values have; none for lists and the like."""
    return [kind for kind in types if _fits(array, kind)]


def _sample(kind: pa.DataType) -> pa.Array:
    """A value of a type; text that is nothing else, since nobody wrote numbers into it."""
    array = _plain(pa.nulls(1, kind))
    return pa.array(["text"]) if pa.types.is_string(array.type) else array


_NUMBERS = ("bigint", "double precision")


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
        or isinstance(kind, pa.BaseExtensionType)
    )


def _plain(array: pa.Array) -> pa.Array:
    """An array without a dictionary, and text of whatever layout as the one that all can read."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return array


def _fits(array: pa.Array, kind: str) -> bool:
    """Whether values are of a type already or, as text, are written as that type's are."""
    target = pa.type_for_alias(NEW_TYPES[kind])
    array = _plain(array)
    given = array.type
    is_text = pa.types.is_string(given)
    is_alike = (
        is_text
        or (kind == "text" and not _is_binary(given))
        or (pa.types.is_integer(given) and not pa.types.is_uint64(given) and kind in _NUMBERS)
        or ((pa.types.is_floating(given) or pa.types.is_decimal(given)) and kind == _NUMBERS[1])
        or (pa.types.is_temporal(given) and pa.types.is_timestamp(target))
        or given == target
    )
    if not is_alike:
        return False
    if is_text and kind in _WRITTEN:
        is_written = pc.match_substring_regex(array, _WRITTEN[kind])
        if not pc.all(is_written, min_count=0).as_py():
            return False
    try:
        array.cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


_Rejected = list[tuple[Reject, Mapping[str, Any]]]


def _read(
    source: forms.Published, file: str, match: Match, columns: Sequence[Column], report: Report
) -> Iterator[tuple[pa.RecordBatch, _Rejected]]:
    """The readable rows of a file, batch by batch, with the others, why they aren't, and what they
    are.

    Adds to the report what was read.
    """
    for rows in source.rows():
        readable, rejects = _convert(rows, columns, match, file)
        records = _records(rows.batch, list(rejects))
        rejected: _Rejected = list(zip(rejects.values(), records, strict=True))
        for row in rows.broken:
            reject = Reject(file, row.number, "", row.text, f"has {row.reason}")
            rejected.append((reject, {"line": row.text}))
        report.rows_read += rows.batch.num_rows + len(rows.broken)
        report.rows_rejected += len(rejected)
        report.rows_written += readable.num_rows
        _count_oddities(readable, report.quality)
        yield readable, sorted(rejected, key=lambda each: each[0].row)


def _count_oddities(batch: pa.RecordBatch, counts: dict[str, int]) -> None:
    for name, (columns, tell) in ODDITIES.items():
        if set(columns) <= set(batch.schema.names):
            odd = pc.sum(tell(*map(batch.column, columns))).as_py() or 0
            counts[name] = counts.get(name, 0) + odd


def _records(batch: pa.RecordBatch, places: list[int]) -> list[dict[str, Any]]:
    """Some rows, as JSON can have them."""
    if not places:
        return []
    rows = batch.take(pa.array(places, pa.int64()))
    try:
        return [_as_json(row) for row in rows.to_pylist()]
    except (ValueError, OverflowError, LookupError):  # some value that Python doesn't have
        return [
            {name: _as_python(column[place]) for name, column in zip(names, rows, strict=True)}
            for names in [batch.schema.names]
            for place in range(len(places))
        ]


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Turn what is wrong with a file, or with the disk, into a message that names the file."""
    try:
        yield
    except MemoryError:
        raise TaxiError(f"{file.name} can't be transformed: out of memory") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError, RecursionError) as error:
        happened = "transformed" if getattr(error, "errno", None) else "read"
        raise TaxiError(f"{file.name} can't be {happened}: {_first_line(error)}") from error


@contextmanager
def _opened(raw: Path) -> Iterator[forms.Published]:
    """Open a raw file; whatever is wrong with it names the file."""
    with _named(raw):
        try:
            with forms.opened(raw) as source:
                yield source
        except TaxiError as error:
            raise TaxiError(f"{raw.name}: {error}") from None


def _convert(
    rows: forms.Rows, columns: Sequence[Column], match: Match, file: str
) -> tuple[pa.RecordBatch, dict[int, Reject]]:
    """Cast rows to the canonical schema, and single out those that resist, by their place."""
    rejects: dict[int, Reject] = {}
    names, count = rows.batch.schema.names, rows.batch.num_rows

    def cast(name: str | None, column: Column) -> pa.Array:
        published = rows.batch.column(names.index(name)) if name in names else pa.nulls(count)
        array, unreadable = _cast_what_can_be(published, column)
        for place, reason in unreadable:
            value = _as_python(published[place])
            reject = Reject(file, rows.numbers[place], name or column.name, value, reason)
            rejects.setdefault(place, reject)
        return array

    arrays = []
    for column in columns:
        array = cast(match.columns.get(column.name), column)
        filler = match.fillers.get(column.name)
        if filler in names:
            array = pc.coalesce(array, cast(filler, column))
        arrays.append(array)
    converted = pa.RecordBatch.from_arrays(arrays, schema=_schema(columns))
    if rejects:
        kept = [place for place in range(count) if place not in rejects]
        converted = converted.take(pa.array(kept, pa.int64()))
    return converted, dict(sorted(rejects.items()))


_Unreadable = list[tuple[int, str]]


def _cast_what_can_be(array: pa.Array, column: Column) -> tuple[pa.Array, _Unreadable]:
    """Cast an array, as far as that can be done.

    :returns: the array, NULL at unreadable values, and the place and reason of each of these.
    """
    try:
        cast = _cast(array, column)
        unreadable: _Unreadable = []
    except _UNREADABLE:
        array, unreadable = _without_hopeless(array, column)
        cast, others = _cast_by_halves(array, column)
        unreadable += others
    if column.required and cast.null_count:
        known = {place for place, _ in unreadable}
        missing = set(pc.indices_nonzero(cast.is_null()).to_pylist()) - known
        unreadable += [(n, "has no value, and a trip can't be without one") for n in missing]
    return cast, unreadable


_UNREADABLE = (pa.ArrowInvalid, UnicodeDecodeError)


def _without_hopeless(array: pa.Array, column: Column) -> tuple[pa.Array, _Unreadable]:
    """Set values to NULL, all at once, that can be told to be unreadable without a cast."""
    array, target = _plain(array), _arrow_type(column)
    unreadable: _Unreadable = []

    def drop(is_hopeless: pa.Array, reason: str) -> None:
        nonlocal array
        is_hopeless = pc.fill_null(is_hopeless, False)
        unreadable.extend((n, reason) for n in pc.indices_nonzero(is_hopeless).to_pylist())
        array = pc.if_else(is_hopeless, _null(array.type), array)

    if pa.types.is_string(array.type):
        for text, reason in _NO_TEXT.items():
            drop(pc.match_substring(array, text), reason)
        if pa.types.is_string(target):
            return array, unreadable
        looks = "time" if pa.types.is_timestamp(target) else "number"
        words = "|".join(map(re.escape, column.words))
        pattern = _LOOKS[looks] + (rf"|^\s*(?i:{words})\s*$" if words else "")
        drop(pc.invert(pc.match_substring_regex(array, pattern)), f"is no {looks}")
        array = _replace_words(array, column.words)
    is_number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    if pa.types.is_timestamp(target) and is_number:
        drop(array.is_valid(), "is a number, and no time")
    elif pa.types.is_string(array.type) and pa.types.is_floating(target):
        drop(_is_beyond(array, _cast_numbers(array)), "is beyond what a double can be")
    elif pa.types.is_int32(target) and (is_number or pa.types.is_string(array.type)):
        numbers = _cast_numbers(array)
        is_whole = pc.and_(pc.equal(pc.trunc(numbers), numbers), pc.is_finite(numbers))
        is_in = pc.and_(pc.greater_equal(numbers, _LEAST), pc.less(numbers, _MOST))
        is_missing = pc.is_nan(numbers) if pa.types.is_floating(array.type) else numbers.is_null()
        drop(
            pc.invert(pc.or_kleene(pc.and_(is_whole, is_in), is_missing)),
            "is no whole number of 32 bits",
        )
    return array, unreadable


def _cast_numbers(array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type):
        array = pc.utf8_trim_whitespace(array)
        array = pc.if_else(pc.equal(array, ""), _null(pa.string()), array)
    return array.cast(pa.float64(), safe=False)


def _is_beyond(texts: pa.Array, numbers: pa.Array) -> pa.Array:
    """Which numbers became infinite, though their digits aren't."""
    return pc.and_(pc.is_inf(numbers), pc.match_substring_regex(texts, "[0-9]"))


def _cast_by_halves(array: pa.Array, column: Column) -> tuple[pa.Array, _Unreadable]:
    """Halve an array until the values that can't be cast are alone."""
    try:
        return _cast(array, column), []
    except _UNREADABLE as error:
        if len(array) == 1:
            return pa.nulls(1, _arrow_type(column)), [(0, _first_line(error))]
        half = len(array) // 2
        left, unreadable = _cast_by_halves(array.slice(0, half), column)
        right, unreadable_right = _cast_by_halves(array.slice(half), column)
        unreadable += [(half + index, reason) for index, reason in unreadable_right]
        return pa.concat_arrays([left, right]), unreadable


def _cast(array: pa.Array, column: Column) -> pa.Array:
    """Cast an array to its column's type.

    :raises pyarrow.ArrowInvalid: some value can't be read as this type without loss.
    """
    array, target = _plain(array), _arrow_type(column)
    if _is_binary(array.type):
        array = array.cast(pa.string())  # text of a writer that didn't say so
    if pa.types.is_string(target) and column.words and not pa.types.is_null(array.type):
        array = array.cast(target)  # 2009 has numbers in place of Y and N
    if pa.types.is_string(array.type):
        array = _cast_text(array, target, column.words)
    elif pa.types.is_floating(array.type) and pa.types.is_integer(target):
        # pandas writes a missing count as NaN
        array = pc.if_else(pc.is_nan(array), _null(array.type), array).cast(target)
    elif pa.types.is_timestamp(target):
        array = _cast_moments(array, target)
    elif pa.types.is_floating(target):
        # whole numbers beyond 2^53 lose digits that no fare has
        array = array.cast(target, safe=False)
    else:
        array = array.cast(target)
    if pa.types.is_timestamp(target):
        span = pc.min_max(array.cast(pa.int64())).as_py()
        if span["min"] is not None and not EARLIEST <= span["min"] <= span["max"] <= LATEST:
            raise pa.ArrowInvalid("outside the years 1 to 9999")
    return array


def _cast_moments(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Times as New York's clocks show them."""
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        raise pa.ArrowInvalid("is a number, and no time")
    if pa.types.is_timestamp(array.type) and array.type.tz:
        there = array.cast(pa.timestamp(array.type.unit, "America/New_York"))
        array = pc.local_timestamp(there)
    return array.cast(target, safe=False)  # no clock has nanoseconds


def _cast_text(array: pa.Array, target: pa.DataType, words: Mapping[str, int | str]) -> pa.Array:
    if pa.types.is_string(target) or words:
        array = _replace_words(array, words)
    if pa.types.is_string(target):
        return array
    array = pc.utf8_trim_whitespace(array)
    array = pc.if_else(pc.equal(array, ""), _null(pa.string()), array)
    if pa.types.is_timestamp(target):
        return _cast_times(array, target)
    if pa.types.is_int32(target):
        array = array.cast(pa.float64())  # counts are published as 1.0, too
    cast = array.cast(target)
    has_infinite = pa.types.is_floating(target) and pc.any(pc.is_inf(cast)).as_py()
    if has_infinite and pc.any(_is_beyond(array, cast)).as_py():
        raise pa.ArrowInvalid("is beyond what a double can be")
    return cast


def _replace_words(array: pa.Array, words: Mapping[str, int | str]) -> pa.Array:
    """Put what words stand for in their place.

    :raises pyarrow.ArrowInvalid: a text has a character that PostgreSQL doesn't take, or that
        stands for bytes which weren't UTF-8.
    """
    encoded = array.dictionary_encode()  # few texts are distinct
    texts = encoded.dictionary.to_pylist()
    for text in texts:
        for part, reason in _NO_TEXT.items():
            if part in text:
                raise pa.ArrowInvalid(reason)
    replaced = [str(words.get(fold(text), text)) for text in texts]
    if replaced == texts:
        return array
    return pa.array(replaced, pa.string()).take(encoded.indices)


def _cast_times(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Read times as ISO 8601 has them, or as NYC Open Data does."""
    cast = pa.nulls(len(array), target)
    for pattern, form in PORTAL_TIMES.items():
        is_such = pc.match_substring_regex(array, pattern)
        if pc.any(is_such).as_py():
            such = pc.if_else(is_such, array, _null(pa.string()))
            array = pc.if_else(is_such, _null(pa.string()), array)
            read = pc.strptime(such, form, "us")
            day = pc.struct_field(pc.extract_regex(such, pattern), "day").cast(pa.int64())
            if not pc.all(pc.equal(pc.day(read), day), min_count=0).as_py():
                raise pa.ArrowInvalid("is a day that its month doesn't have")
            cast = pc.coalesce(cast, read)
    return pc.coalesce(cast, array.cast(target))


def _null(kind: pa.DataType) -> pa.Scalar:
    """A NULL, like ``_constant``."""
    return pa.nulls(1, kind)[0]


def _arrow_type(column: Column) -> pa.DataType:
    return pa.type_for_alias(ARROW_TYPES.get(column.type) or NEW_TYPES[column.type])


def _first_line(error: Exception) -> str:
    told = str(error)[:1_000].splitlines()
    return shortened(told[0], 300) if told else type(error).__name__


def _too_many(report: Report, total: int, ratio: float, shown: list[Reject]) -> str:
    return (
        f"{report.rows_rejected} of the first {report.rows_read} rows can't be read, and "
        f"max_reject_ratio {ratio:g} lets at most {int(ratio * total)} of {total} pass; "
        f"the first: {'; '.join(map(str, shown))}"
    )


def _as_python(value: pa.Scalar) -> Any:
    """A value as JSON can have it: what Python or JSON has nothing for, as text."""
    try:
        return _as_json(value.as_py())
    except UnicodeDecodeError:
        return value.as_buffer().to_pybytes().decode(errors="replace")
    except (ValueError, OverflowError, LookupError):  # a time outside the years 1 to 9999
        with suppress(pa.ArrowException):
            return str(value.cast(pa.int64()))
        return f"a {value.type} that can't be shown"


def _as_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _as_json(each) for name, each in value.items()}
    return value


class _RowGroups:
    """Batches of whatever size as row groups of a size, each of which costs some time to read."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> "_RowGroups":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._batches and kind is None:
            self._write()

    def add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= forms.BATCH_ROWS // 2 or self._bytes >= forms.BATCH_BYTES:
            self._write()

    def _write(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches, self._rows, self._bytes = [], 0, 0


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

    def write(self, reject: Reject, record: Mapping[str, Any]) -> None:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        line = {**asdict(reject), "record": record}
        self._file.write(json.dumps(line, default=str, allow_nan=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m luigi_tasks.transform",
        description="Write a published file with the catalog's columns and types.",
    )
    parser.add_argument(
        "raw", type=Path, nargs="+", help="the published file, or several that make it up"
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
    parser.add_argument(
        "--schema-contract",
        choices=["evolve", "discard", "freeze"],
        default="evolve",
        help="columns that aren't known are written, left out or not let pass (default: evolve)",
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
            schema_contract=options.schema_contract,
        )
    except TaxiError as error:
        print(printable(error), file=sys.stderr)
        return 1
    print("::" + json.dumps({"outputs": asdict(report)}) + "::")
    return 0


if __name__ == "__main__":
    sys.exit(main())
