"""The forms in which months are published, told by their content, not by their names.

Parquet; CSV; JSON, an array of objects or one object after the other; and the latter two in gzip or
zip. Whatever the form, a file has columns with names, and rows that come in batches, each with its
number in the file. CSV and JSON have text in all columns, as nobody says what type they are of.
"""

import codecs
import csv
import functools
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from luigi_tasks.chunks import Chunks
from luigi_tasks.errors import TaxiError

#: Rows of a batch, and of a row group written: some 20 MB of a trips table. A block of CSV has
#: about as many.
BATCH_ROWS = 131_072
CSV_BLOCK = 16 << 20
#: Bytes that are read at once, and that tell a form.
PIECE, HEAD = 1 << 20, 512
#: Bytes that a packed file may unpack to: ten times the largest month there is.
LARGEST_UNPACKED = 32 << 30
#: Bytes of a line after which this is no CSV.
LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Broken:
    """A row that can't be told apart in columns."""

    number: int
    text: str
    reason: str


@dataclass(frozen=True)
class Rows:
    """Some rows of a file; ``numbers`` has the number in the file, from 1, of each in the batch."""

    batch: pa.RecordBatch
    numbers: Sequence[int]
    broken: list[Broken] = field(default_factory=list)


class Published(Protocol):
    """An open file: the names of its columns; and, where that is known, their types, and how many
    rows there are.

    ``may_have_more`` tells whether rows may have names that ``names`` hasn't, as in JSON.
    """

    names: list[str]
    may_have_more: bool
    schema: pa.Schema | None
    total: int | None

    def rows(self) -> Iterator[Rows]: ...


def form_of(head: bytes) -> str | None:
    """Tell a form by the first bytes: parquet, gzip, zip, json, csv; None for anything else."""
    for form, magic in (("parquet", b"PAR1"), ("gzip", b"\x1f\x8b"), ("zip", b"PK\x03\x04")):
        if head.startswith(magic):
            return form
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in (b"[", b"{"):
        return "json"
    line = text.partition(b"\n")[0]
    is_text = line and not line.startswith(b"<") and not set(line) & {*range(9), *range(14, 32)}
    return "csv" if is_text else None


@contextmanager
def opened(path: Path) -> Iterator[Published]:
    """Open a published file.

    :raises TaxiError: it is of no known form, or ends early, or is too large when it's unpacked.
    """
    with ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(path.open("rb"))
        head = raw.read(HEAD)
        raw.seek(0)
        form = form_of(head)
        if form == "parquet":
            yield _Parquet(stack.enter_context(parquet(path)))
            return
        stream = io.BufferedReader(_Unpacked(stack, raw, form), PIECE)
        if form in ("gzip", "zip"):
            head = stream.peek(HEAD)[:HEAD]
            form = form_of(head)
        if form == "csv":
            yield _Csv(stream)
        elif form == "json":
            yield _Json(stream)
        else:
            raise TaxiError(
                f"it isn't parquet, CSV or JSON, nor one of the latter in gzip or zip: it begins "
                f"with {head[:16]!r}"
            )


# --- parquet ----------------------------------------------------------------------------------


def parquet(path: Path) -> pq.ParquetFile:
    """Open a parquet file to be read in a few megabytes of memory, whatever its size."""
    # what pyarrow reads ahead, it keeps to the end
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


def batches(file: pq.ParquetFile, rows: int) -> Iterator[pa.RecordBatch]:
    """A parquet file's rows, so many at a time."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group])


class _Parquet:
    may_have_more = False

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self.schema: pa.Schema | None = file.schema_arrow
        self.names = list(file.schema_arrow.names)
        self.total: int | None = file.metadata.num_rows

    def rows(self) -> Iterator[Rows]:
        done = 0
        for batch in batches(self._file, BATCH_ROWS):
            yield Rows(batch, range(done + 1, done + batch.num_rows + 1))
            done += batch.num_rows


# --- packed files -----------------------------------------------------------------------------


class _Unpacked(io.RawIOBase):
    """A file's bytes, unpacked if they are packed."""

    def __init__(self, stack: ExitStack, raw: IO[bytes], form: str | None) -> None:
        self._bytes, self._form = 0, form
        self._stream: IO[bytes] = raw
        try:
            if form == "gzip":
                unpacked: Any = gzip.GzipFile(fileobj=raw)
                self._stream = stack.enter_context(unpacked)
            elif form == "zip":
                packed = stack.enter_context(zipfile.ZipFile(raw))
                self._stream = stack.enter_context(packed.open(_only_member(packed)))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise TaxiError(f"it can't be unpacked: {error}") from None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._stream.read(min(len(buffer), PIECE))
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            told = "it ends early" if isinstance(error, EOFError) else str(error)
            raise TaxiError(f"it can't be unpacked: {told}") from None
        self._bytes += len(piece)
        if self._form and self._bytes > LARGEST_UNPACKED:
            raise TaxiError(f"it can't be unpacked: it has more than {LARGEST_UNPACKED:,} bytes")
        buffer[: len(piece)] = piece
        return len(piece)


def _only_member(packed: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [member for member in packed.infolist() if not member.is_dir()]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:3]) or "none"
        raise TaxiError(f"it must have one file in it, and has {len(members)}: {names}")
    return members[0]


# --- CSV --------------------------------------------------------------------------------------


class _Csv:
    """CSV as the TLC has it: rows may have up to two commas too many, and the second line nothing.

    Bytes that are no UTF-8 become U+FFFD, which no column takes.
    """

    may_have_more = False
    schema: pa.Schema | None = None
    total: int | None = None

    def __init__(self, stream: "io.BufferedReader[_Unpacked]") -> None:
        self._stream = stream
        header = self._line().removeprefix(codecs.BOM_UTF8)
        self.names = _named(_fields(header))
        self._first = b""
        while line := self._line():
            if line.strip():
                self._first = line
                break
        #: How many values most rows have.
        self._width = max(len(self.names), len(_fields(self._first)))
        self._ragged: list[tuple[int, str]] = []

    def rows(self) -> Iterator[Rows]:
        if not self._first:
            return
        import pyarrow.csv

        columns = [str(place) for place in range(self._width)]
        reader = pyarrow.csv.open_csv(
            _Readable(chain([self._first], _pieces(self._stream))),
            # one thread, or rows have no numbers
            pyarrow.csv.ReadOptions(column_names=columns, block_size=CSV_BLOCK, use_threads=False),
            pyarrow.csv.ParseOptions(invalid_row_handler=self._keep_ragged),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],  # "N/A" is a zone's name
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                check_utf8=False,
            ),
        )
        done = 0
        ragged: set[int] = set()
        for batch in reader:
            ragged |= {number for number, _ in self._ragged}
            numbers: Sequence[int] = range(done + 1, done + batch.num_rows + len(ragged) + 1)
            if ragged:
                numbers = [number for number in numbers if number not in ragged]
            numbers = numbers[: batch.num_rows]
            if batch.num_rows:
                done = numbers[-1]
                ragged = {number for number in ragged if number > done}
                yield self._without_surplus(batch, numbers)
            if self._ragged:
                yield self._mended()
        if self._ragged:
            yield self._mended()

    def _line(self) -> bytes:
        line = self._stream.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE:
            raise TaxiError(f"it isn't CSV: a line has more than {LONGEST_LINE:,} bytes")
        return line

    def _keep_ragged(self, row: Any) -> str:
        self._ragged.append((row.number, row.text))
        return "skip"

    def _without_surplus(self, batch: pa.RecordBatch, numbers: Sequence[int]) -> Rows:
        """A batch without the columns that have no name; rows with a value there are broken."""
        named = pa.RecordBatch.from_arrays(batch.columns[: len(self.names)], names=self.names)
        surplus = [c for c in batch.columns[len(self.names) :] if c.null_count < len(c)]
        if not surplus:
            return Rows(named, numbers)
        is_broken = functools.reduce(pc.or_, (column.is_valid() for column in surplus))
        broken, kept = [], []
        for place, is_surplus in enumerate(is_broken.to_pylist()):
            if is_surplus:
                values = [column[place].as_py() for column in batch.columns]
                broken.append(self._broken(numbers[place], values))
            else:
                kept.append(numbers[place])
        return Rows(named.filter(pc.invert(is_broken)), kept, broken)

    def _mended(self) -> Rows:
        """The rows that had other numbers of values than most, if nothing but commas was off."""
        ragged, self._ragged = self._ragged, []
        values, numbers, broken = [], [], []
        for number, text in ragged:
            row = [value or None for value in _fields(text.encode())]
            if len(row) < len(self.names) or any(row[len(self.names) :]):
                broken.append(self._broken(number, row))
            else:
                values.append(row[: len(self.names)])
                numbers.append(number)
        arrays = [pa.array(column, pa.string()) for column in zip(*values, strict=True)]
        arrays = arrays or [pa.array([], pa.string()) for _ in self.names]
        batch = pa.RecordBatch.from_arrays(arrays, names=self.names)
        return Rows(batch, numbers, broken)

    def _broken(self, number: int, values: list[str | None]) -> Broken:
        while values and values[-1] is None:
            values.pop()
        text = ",".join(value or "" for value in values)
        return Broken(number, text, f"{len(values)} values for {len(self.names)} columns")


class _Readable(Chunks):
    """Chunks of bytes for pyarrow, as UTF-8 whatever they are."""

    closed = False

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(_as_utf8(pieces))

    def readable(self) -> bool:
        return True


def _as_utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for piece in pieces:
        if decoded := decoder.decode(piece):
            yield decoded.encode()
    if rest := decoder.decode(b"", final=True):
        yield rest.encode()


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        yield piece


def _fields(line: bytes) -> list[str]:
    """The values of one line."""
    text = line.decode(errors="replace").strip("\r\n")
    return next(csv.reader([text]), [])


def _named(names: list[str]) -> list[str]:
    """The names of columns; those without one go by their place."""
    return [name if name.strip() else f"column {place}" for place, name in enumerate(names, 1)]


# --- JSON -------------------------------------------------------------------------------------


class _Json:
    """Objects, in an array or one after the other; a name that an object lacks has no value."""

    may_have_more = True
    schema: pa.Schema | None = None
    total: int | None = None

    def __init__(self, stream: "io.BufferedReader[_Unpacked]") -> None:
        import ijson

        head = stream.peek(HEAD)[:HEAD]
        if head.startswith(codecs.BOM_UTF8):
            stream.read(len(codecs.BOM_UTF8))
            head = head[len(codecs.BOM_UTF8) :]
        is_array = head.lstrip().startswith(b"[")
        self._failed = ijson.JSONError
        self._objects = ijson.items(
            stream, "item" if is_array else "", multiple_values=not is_array, use_float=True
        )
        self._first = self._next()
        self.names = _names(self._first)

    def rows(self) -> Iterator[Rows]:
        objects, done = self._first, 0
        while objects:
            names = _names(objects)
            columns = [[_as_text(each.get(name)) for each in objects] for name in names]
            arrays = [pa.array(column, pa.string()) for column in columns]
            batch = pa.RecordBatch.from_arrays(arrays, names=names)
            yield Rows(batch, range(done + 1, done + len(objects) + 1))
            done += len(objects)
            objects = self._next()

    def _next(self) -> list[dict[str, Any]]:
        try:
            objects = list(islice(self._objects, BATCH_ROWS // 4))
        except self._failed as error:
            told = " ".join(str(error).split("\n")[0].split())
            raise TaxiError(f"it can't be read as JSON: {told}") from None
        for each in objects:
            if not isinstance(each, dict):
                raise TaxiError(f"it has JSON, but {str(each)[:40]!r} in place of an object")
        return objects


def _names(objects: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for each in objects for name in each))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return repr(value) if isinstance(value, float) else json.dumps(value)
