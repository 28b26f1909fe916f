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
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from luigi_tasks.chunks import Chunks
from luigi_tasks.errors import TaxiError
from luigi_tasks.texts import shortened

#: Rows of a batch, and of a row group written: some 20 MB of a trips table.
BATCH_ROWS = 131_072
#: Bytes of a batch of parquet, by its footer: no trip has 500 bytes.
BATCH_BYTES = 64 << 20
#: Bytes of CSV that are parsed at once, at most.
CSV_BLOCK = 16 << 20
#: Rows of CSV in a row that may have another number of values than most.
MOST_RAGGED = 100_000
#: Bytes of JSON objects that are held at once, and values of them.
JSON_BYTES, JSON_VALUES = 32 << 20, 4 << 20
#: How deep a value of JSON may be nested.
DEEPEST = 100
#: Bytes that are read at once, and that tell a form.
PIECE, HEAD = 1 << 20, 512
#: Bytes that a packed file may unpack to: ten times the largest month there is.
LARGEST_UNPACKED = 32 << 30
#: How many times its size a packed file may have, and bytes from which on this is asked. Months
#: have 5 to 25 times.
MOST_PACKED, PACKED_FROM = 100, 32 << 20
#: Bytes of a line after which this is no CSV, of an object or value after which it is no trip, and
#: of blanks in a row after which nothing will come.
LONGEST_LINE = 1 << 20
#: Columns of a file, and characters of a column's name. A row of PostgreSQL has a page of 8 KB.
MOST_COLUMNS, LONGEST_NAME = 500, 250
#: Bytes of a parquet file's footer, and its row groups: real ones have some 20 KB and 20.
LARGEST_FOOTER, MOST_GROUPS = 32 << 20, 10_000
#: Bytes of a row, on average, that a row group may have for each column, beside one batch's.
LARGEST_AVERAGE = 1 << 10
#: Lines of CSV with quotation marks around whole values only.
_WELL_QUOTED = re.compile(rb'(?:(?:[^",\n]*|"(?:[^"\n]|"")*")(?:[,\n]|$))*')
_BLANK_LINES = re.compile(rb"\A(?:[ \t\f\v]*\n)+")
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
    """An open file: where that is known, the types of its columns, and how many rows there are.

    ``share`` tells how much of the file was read so far, from 0 to 1.
    """

    schema: pa.Schema | None
    total: int | None

    @property
    def share(self) -> float: ...

    def all_names(self) -> list[str]:
        """The names of all columns, for which JSON is read to its end: there are no rows then."""
        ...

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
            _check_footer(raw)
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
    """A parquet file's rows, so many at a time, fewer if they are large: as many row groups at
    once as have no more than that, for each costs some time."""
    groups: list[int] = []
    count = size = 0
    for group in range(file.num_row_groups):
        found = file.metadata.row_group(group)
        if groups and count + found.num_rows > rows:
            yield from file.iter_batches(_fitting(rows, count, size), row_groups=groups)
            groups, count, size = [], 0, 0
        groups.append(group)
        count += found.num_rows
        size += found.total_byte_size
    if groups:
        yield from file.iter_batches(_fitting(rows, count, size), row_groups=groups)


def _fitting(rows: int, count: int, size: int) -> int:
    """Rows of a batch, where so many of them have so many bytes."""
    return max(1, min(rows, BATCH_BYTES * count // max(1, size)))


def _check_footer(file: IO[bytes]) -> None:
    """Refuse a parquet file whose footer alone would take all memory."""
    end = file.seek(0, io.SEEK_END)
    file.seek(max(0, end - 8))
    size = int.from_bytes(file.read(4), "little")
    if LARGEST_FOOTER < size < end:
        raise TaxiError(f"it has a footer of {size:,} bytes, more than {LARGEST_FOOTER:,}")


class _Parquet:
    share: float = 1.0

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        found = file.metadata
        if found.num_row_groups > MOST_GROUPS:
            raise TaxiError(
                f"it has {found.num_row_groups:,} row groups, more than {MOST_GROUPS:,}"
            )
        self.schema: pa.Schema | None = file.schema_arrow
        self._names = _checked(file.schema_arrow.names, found.num_columns)
        self.total: int | None = found.num_rows
        for number in range(found.num_row_groups):
            group = found.row_group(number)
            most = BATCH_BYTES + group.num_rows * group.num_columns * LARGEST_AVERAGE
            if group.total_byte_size > most:
                raise TaxiError(
                    f"it has a row group of {group.num_rows:,} rows with "
                    f"{group.total_byte_size:,} bytes, more than {most:,}: those are no trips"
                )

    def all_names(self) -> list[str]:
        return self._names

    def rows(self) -> Iterator[Rows]:
        done = 0
        for batch in batches(self._file, BATCH_ROWS):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                _check_values(name, column)
            yield Rows(batch, range(done + 1, done + batch.num_rows + 1))
            done += batch.num_rows


def _check_values(name: str, values: pa.Array) -> None:
    """Refuse a column with a text that is too long, before anything is made of it."""
    if values.nbytes <= LONGEST_LINE:
        return
    if pa.types.is_dictionary(values.type):
        _check_values(name, values.dictionary)
    elif pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
        _check_values(name, values.cast(pa.large_binary()))
    elif (
        _is_text(values.type)
        and (longest := pc.max(pc.binary_length(values)).as_py() or 0) > LONGEST_LINE
    ):
        raise TaxiError(
            f"it has a value of {longest:,} bytes in column {shortened(name)}, more than "
            f"{LONGEST_LINE:,}"
        )


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


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
        if self._bytes > PACKED_FROM + MOST_PACKED * self._packed.tell():
            raise TaxiError(
                f"it unpacks to more than {MOST_PACKED} times its size: it has no trips"
            )
        buffer[: len(piece)] = piece
        return len(piece)


def _only_member(packed: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        member
        for member in packed.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        names = ", ".join(shortened(member.filename) for member in members[:3]) or "none"
        raise TaxiError(f"it must have one file in it, and has {len(members)}: {names}")
    return members[0]


# --- CSV --------------------------------------------------------------------------------------


class _Csv:
    """CSV as the TLC has it: rows may have up to two commas too many, and the second line nothing.

    Bytes that are no UTF-8 become U+FFFD, which no column takes. A value ends with its line: one
    whose quotation mark isn't closed breaks its own row and no other.
    """

    schema: pa.Schema | None = None
    total: int | None = None

    def __init__(self, stream: "io.BufferedReader[_Unpacked]") -> None:
        self._stream = stream
        self._lines = _whole_lines(_with_line_feeds(_pieces(stream)))
        #: The lines after the header that are read already.
        header, self._begun = self._header()
        try:
            names = _fields(header, skipinitialspace=True)
        except csv.Error as error:
            raise TaxiError(f"it isn't CSV: {error}") from None
        widths = Counter(line.count(b",") + 1 for line in self._begun.split(b"\n") if line.strip())
        [(width, _)] = widths.most_common(1) or [(0, 0)]
        while len(names) > width and not names[-1].strip():
            names.pop()
        self.names = _checked(_named(names))
        if 0 < width < len(names):
            raise TaxiError(
                f"it isn't CSV of {len(names)} columns: most of its rows have {width} values"
            )
        #: How many values most rows have.
        self._width = max(width, len(names))
        self._ragged: list[tuple[int, str]] = []

    def all_names(self) -> list[str]:
        return self.names

    def rows(self) -> Iterator[Rows]:
        if not self._begun:
            return
        import pyarrow.csv

        columns = [str(place) for place in range(self._width)]
        reader = pyarrow.csv.open_csv(
            _Readable(map(self._marked, chain([self._begun], self._lines))),
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

    def _header(self) -> tuple[bytes, bytes]:
        """The first line that isn't blank, and what comes next of those after it."""
        begun = b""
        for lines in self._lines:
            if not begun:
                begun = lines.removeprefix(codecs.BOM_UTF8).lstrip()
                header, _, lines = begun.partition(b"\n")  # noqa: PLW2901
            if rest := _BLANK_LINES.sub(b"", lines):
                return header, rest
        return begun.partition(b"\n")[0], b""

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


def _with_line_feeds(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, with one kind of line ends."""
    held = b""
    for piece in pieces:
        text = held + piece
        held = b"\r" if text.endswith(b"\r") else b""  # a line feed may follow
        text = text.removesuffix(held)
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        yield text
    if held:
        yield b"\n"


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces that end with a line, without blank ones."""
    rest, blank = b"", 0
    for piece in pieces:
        lines, newline, begun = piece.rpartition(b"\n")
        _check_length(rest + piece.partition(b"\n")[0])
        if not newline:
            rest += piece
        elif lines := _without_blank(rest + lines + newline):
            yield lines
            rest, blank = begun, 0
        else:
            rest, blank = begun, blank + len(piece)
        if blank > LONGEST_LINE:
            raise TaxiError(f"it isn't CSV: it has more than {LONGEST_LINE:,} blank lines in a row")
    if rest:
        yield rest


def _without_blank(lines: bytes) -> bytes:
    """Lines without those that have nothing, not even a blank."""
    while b"\n\n" in lines:
        lines = lines.replace(b"\n\n", b"\n")
    return lines.removeprefix(b"\n")


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


def _checked(names: list[str], count: int = 0) -> list[str]:
    """Names of columns, if those can be a month's.

    :param count: columns, where they are more than names.
    """
    count = max(count, len(names))
    if count > MOST_COLUMNS:
        raise TaxiError(f"it has {count:,} columns, more than {MOST_COLUMNS:,}")
    for name in names:
        if len(name) > LONGEST_NAME:
            raise TaxiError(
                f"it has a column whose name has {len(name):,} characters, more than "
                f"{LONGEST_NAME}: {shortened(name)}"
            )
    return names


# --- JSON -------------------------------------------------------------------------------------


class _Json:
    """Objects, in an array or one after the other; a name that an object lacks has no value.

    What breaks one of them, and no other, is what can be read and isn't JSON, or is more than a
    value can hold. NYC Open Data's own export has the names once, under ``meta``, and then rows of
    values.
    """

    schema: pa.Schema | None = None
    total: int | None = None

    def __init__(self, stream: "io.BufferedReader[_Unpacked]") -> None:
        self._stream = stream
        head = stream.peek(HEAD)[:HEAD].removeprefix(codecs.BOM_UTF8)
        self._is_export = bool(re.match(rb'\s*\{\s*"meta"\s*:', head))
        self._text = _JsonText(stream, is_exact=self._is_export)
        self._objects = self._exported() if self._is_export else self._text.values()
        self._done, self._names = 0, dict[str, None]()

    @property
    def share(self) -> float:
        return self._stream.raw.share

    def all_names(self) -> list[str]:
        while self._next():
            pass
        return list(self._names)

    def rows(self) -> Iterator[Rows]:
        while found := self._next():
            objects, sources, broken = found
            arrays = [_column([each.get(name) for each in objects]) for name in self._names]
            batch = pa.RecordBatch.from_arrays(arrays, names=list(self._names))
            beyond = [] if self._is_export else self._beyond(arrays, sources)
            if beyond:
                kept = sorted({*range(len(sources))} - {place for place, _ in beyond})
                batch = batch.take(pa.array(kept, pa.int64()))
                broken += [row for _, row in beyond]
                sources = [sources[place] for place in kept]
            yield Rows(batch, [number for number, _ in sources], broken)

    def _beyond(self, arrays: list[pa.Array], sources: list[tuple[int, str]]) -> "_Beyond":
        """The places of objects that have a number which is more than a value can hold."""
        found: set[int] = set()
        for array in arrays:
            found |= set(pc.indices_nonzero(pc.match_substring_regex(array, _LARGE)).to_pylist())
        looked = [
            (place, *sources[place], self._text.exactly(sources[place][1])[1]) for place in found
        ]
        return [
            (place, Broken(number, text, wrong)) for place, number, text, wrong in looked if wrong
        ]

    def _next(self) -> tuple[list[dict[str, Any]], list[tuple[int, str]], list[Broken]] | None:
        """Some more objects, their numbers and texts, and what is broken; None at the end."""
        objects: list[dict[str, Any]] = []
        sources: list[tuple[int, str]] = []
        broken: list[Broken] = []
        held = 0
        for found, text, wrong in self._objects:
            self._done += 1
            if not isinstance(found, dict):
                raise TaxiError(f"it has JSON, but {shortened(text, 40)} in place of an object")
            if "[" in text or text.count("{") > 1:
                if not self._is_export:
                    found, wrong = self._text.exactly(text)  # noqa: PLW2901
                found = {name: _as_text(value) for name, value in found.items()}  # noqa: PLW2901
            if not text.isascii() or "\\u" in text:
                wrong = wrong or _not_unicode(found, text)  # noqa: PLW2901
            if self._done > MOST_RAGGED and not self._names:
                raise TaxiError(f"it has JSON, but {MOST_RAGGED:,} objects without a value")
            if wrong or not found:
                shown = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
                broken.append(Broken(self._done, shown, wrong or "no values"))
            else:
                objects.append(found)
                sources.append((self._done, text))
                if not found.keys() <= self._names.keys():
                    self._names |= dict.fromkeys(found)
                    _checked(list(self._names))
            held += len(text)
            rows = len(objects) + len(broken)
            is_full = rows >= BATCH_ROWS // 4 or held > JSON_BYTES
            if is_full or rows * len(self._names) > JSON_VALUES:
                break
        return (objects, sources, broken) if objects or broken else None

    def _exported(self) -> Iterator["_Found"]:
        names: list[str] = []
        for member in self._text.members():
            if member == "data":
                yield from self._exported_rows(names)
                continue
            value, _, _ = self._text.value()
            if member == "meta":
                names = _names_of_export(value)
                # those with a colon are the portal's own
                self._names = dict.fromkeys(_checked([n for n in names if n[:1] != ":"]))
        self._text.end()

    def _exported_rows(self, names: list[str]) -> Iterator["_Found"]:
        for row, text, wrong in self._text.array():
            if not isinstance(row, list) or len(row) != len(names):
                raise TaxiError(f"a row has other values than the {len(names)} columns of its meta")
            found = {n: value for n, value in zip(names, row, strict=True) if n[:1] != ":"}
            yield found, text, wrong


#: A value of JSON, its text, and what is wrong with it, if anything.
_Found = tuple[Any, str, str | None]
_Beyond = list[tuple[int, Broken]]
#: How a number looks that may be more than 64 bits or a double can hold.
_LARGE = r"^-?[0-9]{19}|[eE]\+?[0-9]{3}"


class _Number(str):
    """A number as it is written, so that nothing is lost on the way to its column's type."""

    __slots__ = ()


_Parser = Callable[[str, int], tuple[Any, int]]


class _JsonText:
    """JSON that is read value by value, in the memory of one.

    Numbers are texts as they are written. Where that ``is_exact``, they are told from other texts,
    and what is too large is found; it takes twice the time.
    """

    _BLANKS = re.compile(r"[ \t\r\n]*")

    def __init__(self, stream: IO[bytes], *, is_exact: bool) -> None:
        self._stream = stream
        # bytes that aren't UTF-8 become half characters, which no text has
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._text, self._at, self._count = "", 0, 0
        self._wrong: str | None = None
        self._exact = self._parser(self._integer, self._float)
        self._parse = self._exact if is_exact else self._parser(str, str)

    def _parser(self, integer: Callable[[str], str], double: Callable[[str], str]) -> "_Parser":
        return json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=integer,
            parse_float=double,
            parse_constant=self._constant,
            strict=False,
        ).raw_decode

    def exactly(self, text: str) -> tuple[Any, str | None]:
        """A value that was read before, with its numbers told from texts; and what is wrong."""
        self._wrong = None
        value, _ = self._exact(text, 0)
        return value, self._wrong

    def values(self) -> Iterator[_Found]:
        """The values of an array, or those that stand one after the other."""
        if self._peek() == "[":
            yield from self.array()
            self.end()
        while self._peek():
            yield self.value()

    def array(self) -> Iterator[_Found]:
        """The values of an array."""
        self.take("[")
        if self._peek() != "]":
            yield self.value()
            while self._peek() == ",":
                self._at += 1
                yield self.value()
        self.take("]")

    def members(self) -> Iterator[str]:
        """The names of an object's members, whose values are to be taken."""
        self.take("{")
        while True:
            name, _, _ = self.value()
            self.take(":")
            yield name
            if self._peek() != ",":
                break
            self.take(",")
        self.take("}")

    def end(self) -> None:
        """See that there is nothing more."""
        if self._peek():
            raise self._error("something follows its end")

    def take(self, character: str) -> None:
        """Go past the next character, which must be this one."""
        if (found := self._peek()) != character:
            raise self._error(f"Expecting {character!r}" if found else "it ends early")
        self._at += 1

    def _peek(self) -> str:
        """The next character that isn't blank; nothing at the end."""
        character = self._text[self._at : self._at + 1]
        if character and character not in " \t\r\n":
            return character
        blank = 0
        while True:
            begin = self._at
            self._at = self._BLANKS.match(self._text, begin).end()  # type: ignore[union-attr]
            blank += self._at - begin
            if self._at < len(self._text):
                return self._text[self._at]
            if blank > LONGEST_LINE:
                raise self._error(f"more than {LONGEST_LINE:,} blanks in a row")
            if not self._read():
                return ""

    def value(self) -> _Found:
        """The next value, once all of it is there."""
        self._peek()
        self._count += 1
        is_more = True
        while True:
            self._wrong = None
            try:
                value, end = self._parse(self._text, self._at)
            except RecursionError:
                raise _too_deep() from None
            except json.JSONDecodeError as error:
                # the longest that can be cut is half a character, \ud83d\ude95
                is_unclosed = error.msg.startswith("Unterminated")
                if not is_unclosed and error.pos <= len(self._text) - 16:
                    raise self._error(error.msg) from None
                if len(self._text) - self._at > LONGEST_LINE:
                    raise _too_long() from None
                if not is_more:
                    is_early = is_unclosed or error.pos >= len(self._text.rstrip())
                    raise self._error("it ends early" if is_early else error.msg) from None
                is_more = self._read()
                continue
            text = self._text[self._at : end]
            if len(text) > LONGEST_LINE:
                raise _too_long()
            self._at = end
            return value, text, self._wrong

    def _read(self) -> bool:
        """Read some more of the text, if there is any."""
        piece = self._stream.read(PIECE)
        self._text = self._text[self._at :] + self._decode(piece, not piece)
        self._at = 0
        return bool(piece)

    def _error(self, told: str) -> TaxiError:
        return TaxiError(f"it can't be read as JSON: value {self._count}: {told}")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
            raise TaxiError(f"its object {self._count} has two values {shortened(name)!r}")
        return found

    def _integer(self, text: str) -> _Number:
        if len(text) > 18 and (len(text) > 20 or not -(2**63) <= int(text) < 2**64):
            self._wrong = "an integer beyond 64 bits"
        return _Number(text)

    def _float(self, text: str) -> _Number:
        if math.isinf(float(text)):
            self._wrong = "a number beyond what a double can be"
        return _Number(text)

    def _constant(self, name: str) -> None:
        self._wrong = f"{name}, which JSON doesn't know"


def _names_of_export(meta: Any) -> list[str]:
    """The names of the columns of NYC Open Data's export."""
    try:
        columns = meta["view"]["columns"]
        names = _named([str(column.get("fieldName") or "") for column in columns])
    except (LookupError, TypeError, AttributeError):
        return []
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TaxiError(f"it has two columns {shortened(twice[0])!r}")
    return names


def _too_deep() -> TaxiError:
    return TaxiError(f"it has JSON that is nested deeper than {DEEPEST}, which is no trip")


def _too_long() -> TaxiError:
    return TaxiError(
        f"it has JSON, but more than {LONGEST_LINE:,} characters in one object, which is no trip"
    )


def _not_unicode(found: dict[str, Any], text: str) -> str | None:
    """What is wrong with an object's texts, if they aren't Unicode."""
    try:
        "".join(f"{name}{value}" for name, value in found.items()).encode()
    except UnicodeEncodeError:
        try:
            text.encode()
        except UnicodeEncodeError:
            return "bytes that aren't UTF-8"
        return "half a character, a surrogate without the other"
    return None


def _column(values: list[Any]) -> pa.Array:
    """Values as text; an empty one is none."""
    try:
        array = pa.array(values, pa.string())
    except pa.ArrowException:  # some aren't text
        array = pa.array(map(_as_text, values), pa.string())
    return pc.if_else(pc.equal(array, ""), pa.nulls(1, pa.string())[0], array)


def _as_text(value: Any) -> str | None:
    """A value as text; what is nested as JSON, its numbers as they were written."""
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    return _as_json(value)


def _as_json(value: Any, depth: int = 1) -> str:
    if depth > DEEPEST:
        raise _too_deep()
    if isinstance(value, list):
        return f"[{', '.join(_as_json(each, depth + 1) for each in value)}]"
    if isinstance(value, dict):
        members = (f"{_as_json(n)}: {_as_json(v, depth + 1)}" for n, v in value.items())
        return f"{{{', '.join(members)}}}"
    return value if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)
