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
import lzma
import re
import zipfile
import zlib
from collections import Counter
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

#: Rows of a batch, and of a row group written: some 20 MB of a trips table.
BATCH_ROWS = 131_072
#: Bytes of CSV that are parsed at once, at most.
CSV_BLOCK = 16 << 20
#: Rows of CSV in a row that may have another number of values than most.
MOST_RAGGED = 100_000
#: Bytes of JSON objects that are held at once.
JSON_BYTES = 32 << 20
#: Bytes that are read at once, and that tell a form.
PIECE, HEAD = 1 << 20, 512
#: Bytes that a packed file may unpack to: ten times the largest month there is.
LARGEST_UNPACKED = 32 << 30
#: Bytes of a line after which this is no CSV, and of an object after which it is no trip.
LONGEST_LINE = 1 << 20
#: Lines of CSV with quotation marks around whole values only.
_WELL_QUOTED = re.compile(rb'(?:(?:[^",\n]*|"(?:[^"\n]|"")*")(?:[,\n]|$))*')
#: Stand before a line that isn't so, and in place of each of its quotation marks.
_UNCLOSED, _QUOTE = b"\x01", b"\x02"


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

    ``may_have_more`` tells whether rows may have names that ``names`` hasn't, as in JSON;
    ``share`` how much of the file was read so far, from 0 to 1.
    """

    names: list[str]
    may_have_more: bool
    schema: pa.Schema | None
    total: int | None

    @property
    def share(self) -> float: ...

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
    """Open a parquet file to be read in a few megabytes of memory, whatever its size.

    Pages that have a checksum are verified by it.
    """
    # what pyarrow reads ahead, it keeps to the end
    return pq.ParquetFile(
        path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
    )


def batches(file: pq.ParquetFile, rows: int) -> Iterator[pa.RecordBatch]:
    """A parquet file's rows, so many at a time."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group])


class _Parquet:
    may_have_more = False
    share: float = 1.0

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
        self._packed, self._size = raw, raw.seek(0, io.SEEK_END)
        raw.seek(0)
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

    @property
    def share(self) -> float:
        """How much of the file was read so far."""
        return self._packed.tell() / max(1, self._size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._stream.read(min(len(buffer), PIECE))
        except (
            EOFError,
            zlib.error,
            lzma.LZMAError,
            gzip.BadGzipFile,
            zipfile.BadZipFile,
        ) as error:
            told = "it ends early" if isinstance(error, EOFError) else str(error)
            raise TaxiError(f"it can't be unpacked: {told}") from None
        self._bytes += len(piece)
        if self._form and self._bytes > LARGEST_UNPACKED:
            raise TaxiError(f"it can't be unpacked: it has more than {LARGEST_UNPACKED:,} bytes")
        buffer[: len(piece)] = piece
        return len(piece)


def _only_member(packed: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        member
        for member in packed.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:3]) or "none"
        raise TaxiError(f"it must have one file in it, and has {len(members)}: {names}")
    return members[0]


# --- CSV --------------------------------------------------------------------------------------


class _Csv:
    """CSV as the TLC has it: rows may have up to two commas too many, and the second line nothing.

    Bytes that are no UTF-8 become U+FFFD, which no column takes. A value ends with its line: one
    whose quotation mark isn't closed breaks its own row and no other.
    """

    may_have_more = False
    schema: pa.Schema | None = None
    total: int | None = None

    def __init__(self, stream: "io.BufferedReader[_Unpacked]") -> None:
        self._stream = stream
        header = self._line().removeprefix(codecs.BOM_UTF8)
        self._first = self._line()
        try:
            names = _fields(header, skipinitialspace=True)
        except csv.Error as error:
            raise TaxiError(f"it isn't CSV: {error}") from None
        begun = [self._first, *stream.peek(PIECE).split(b"\n")[:-1]]
        widths = Counter(line.count(b",") + 1 for line in begun if line.strip())
        [(width, _)] = widths.most_common(1) or [(0, 0)]
        while len(names) > width and not names[-1].strip():
            names.pop()
        self.names = _named(names)
        if 0 < width < len(names):
            raise TaxiError(
                f"it isn't CSV of {len(names)} columns: most of its rows have {width} values"
            )
        #: How many values most rows have.
        self._width = max(width, len(names))
        self._ragged: list[tuple[int, str]] = []

    def rows(self) -> Iterator[Rows]:
        if not self._first:
            return
        import pyarrow.csv

        columns = [str(place) for place in range(self._width)]
        reader = pyarrow.csv.open_csv(
            _Readable(map(self._marked, _whole_lines(chain([self._first], _pieces(self._stream))))),
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
            if batch.num_rows:
                numbers: Sequence[int] = range(done + 1, done + batch.num_rows + len(ragged) + 1)
                if ragged:
                    numbers = [number for number in numbers if number not in ragged]
                numbers = numbers[: batch.num_rows]
                done = numbers[-1]
                ragged = {number for number in ragged if number > done}
                yield self._without_surplus(batch, numbers)
            if self._ragged:
                yield self._mended()
        if self._ragged:
            yield self._mended()

    def _line(self) -> bytes:
        """The next line that isn't blank."""
        while line := self._stream.readline(LONGEST_LINE):
            _check_length(line)
            if line.strip():
                break
        return line

    @property
    def share(self) -> float:
        return self._stream.raw.share

    def _marked(self, lines: bytes) -> bytes:
        """Mark the lines whose quotation marks aren't around whole values, by making them ragged:
        such a mark may take in all lines up to the next one."""
        if len(self._ragged) > MOST_RAGGED:
            raise TaxiError(
                f"it isn't CSV of {len(self.names)} columns: {MOST_RAGGED:,} rows in a row have "
                "another number of values"
            )
        if b"\r" in lines:
            lines = lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        for mark in (_UNCLOSED, _QUOTE):
            if mark in lines:
                lines = lines.replace(mark, b"\xef\xbf\xbd")
        if b'"' not in lines or _WELL_QUOTED.fullmatch(lines):
            return lines

        def marked(line: bytes) -> bytes:
            if b'"' not in line or _WELL_QUOTED.fullmatch(line):
                return line
            return _UNCLOSED + line.replace(b'"', _QUOTE) + b"," * (self._width + 1)

        return b"\n".join(map(marked, lines.split(b"\n")))

    def _keep_ragged(self, row: Any) -> str:
        text = row.text
        if text.startswith(_UNCLOSED.decode()):
            text = text[1 : -self._width - 1].replace(_QUOTE.decode(), '"')
        self._ragged.append((row.number, text))
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
            try:
                row = [value or None for value in _fields(text.encode(), strict=True)]
            except csv.Error as error:
                is_open = str(error) == "unexpected end of data"
                told = "a quotation mark without another" if is_open else f"an {error}"
                broken.append(Broken(number, text, told))
                continue
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


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces that end with a line."""
    rest = b""
    for piece in pieces:
        lines, newline, begun = piece.rpartition(b"\n")
        if newline:
            yield rest + lines + newline
            rest = begun
        else:
            rest += piece
        _check_length(rest)
    if rest:
        yield rest


def _check_length(line: bytes) -> None:
    if len(line) >= LONGEST_LINE:
        raise TaxiError(f"it isn't CSV: a line has more than {LONGEST_LINE:,} bytes")


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


def _fields(line: bytes, **dialect: Any) -> list[str]:
    """The values of one line."""
    text = line.decode(errors="replace").strip("\r\n")
    return next(csv.reader([text], **dialect), [])


def _named(names: list[str]) -> list[str]:
    """The names of columns; those without one go by their place."""
    return [name if name.strip() else f"column {place}" for place, name in enumerate(names, 1)]


# --- JSON -------------------------------------------------------------------------------------


class _Json:
    """Objects, in an array or one after the other; a name that an object lacks has no value.

    NYC Open Data's own export has the names once, under ``meta``, and then rows of values.
    """

    may_have_more = True
    schema: pa.Schema | None = None
    total: int | None = None

    def __init__(self, stream: "io.BufferedReader[_Unpacked]") -> None:
        import ijson

        head = stream.peek(HEAD)[:HEAD]
        if head.startswith(codecs.BOM_UTF8):
            stream.read(len(codecs.BOM_UTF8))
            head = head[len(codecs.BOM_UTF8) :]
        self._failed = ijson.JSONError
        self._stream = _Limited(stream)
        if re.match(rb'\s*\{\s*"meta"\s*:', head):
            self._objects = self._exported()
        else:
            is_array = head.lstrip().startswith(b"[")
            self._objects = ijson.items(
                self._stream,
                "item" if is_array else "",
                multiple_values=not is_array,
                use_float=True,
            )
        self._first = self._next()
        self.names = _names(self._first)

    @property
    def share(self) -> float:
        return self._stream.share

    def _exported(self) -> Iterator[dict[str, Any]]:
        import ijson

        events, names = ijson.parse(self._stream, use_float=True), []
        for prefix, event, value in events:
            if prefix == "meta.view.columns.item.fieldName":
                names.append(value)
            if (prefix, event) == ("data", "start_array"):
                break
        for row in ijson.items(events, "data.item"):
            if not isinstance(row, list) or len(row) != len(names):
                raise TaxiError(f"a row has other values than the {len(names)} columns of its meta")
            # those with a colon are the portal's own
            yield {n: value for n, value in zip(names, row, strict=True) if n[:1] != ":"}

    def rows(self) -> Iterator[Rows]:
        objects, done = self._first, 0
        while objects:
            names = _names(objects) or self.names[:1]
            columns = [[_as_text(each.get(name)) for each in objects] for name in names]
            arrays = [pa.array(column, pa.string()) for column in columns]
            batch = pa.RecordBatch.from_arrays(arrays, names=names)
            yield Rows(batch, range(done + 1, done + len(objects) + 1))
            done += len(objects)
            objects = self._next()

    def _next(self) -> list[dict[str, Any]]:
        objects: list[dict[str, Any]] = []
        try:
            held = 0
            for each in islice(self._objects, BATCH_ROWS // 4):
                held += self._stream.taken
                self._stream.taken = 0
                objects.append(each)
                if held > JSON_BYTES:
                    break
        except self._failed as error:
            told = " ".join(str(error).split("\n")[0].split())
            raise TaxiError(f"it can't be read as JSON: {told}") from None
        for each in objects:
            if not isinstance(each, dict):
                raise TaxiError(f"it has JSON, but {str(each)[:40]!r} in place of an object")
        return objects


class _Limited:
    """A stream that must be set back before too much is taken from it."""

    def __init__(self, stream: "io.BufferedReader[_Unpacked]") -> None:
        self._stream, self.taken = stream, 0

    @property
    def share(self) -> float:
        return self._stream.raw.share

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self.taken += len(piece)
        if self.taken > LONGEST_LINE:
            raise TaxiError(
                f"it has JSON, but more than {LONGEST_LINE:,} bytes in one object, which is no trip"
            )
        return piece


def _names(objects: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for each in objects for name in each))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return repr(value) if isinstance(value, float) else json.dumps(value)
