"""CSV as the TLC publishes it: pyarrow splits lines at commas, Python repairs irregular rows."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from luigi_tasks.chunks import Chunks
from luigi_tasks.errors import TaxiError
from luigi_tasks.formats.compressed import Uncompressed
from luigi_tasks.formats.rows import (
    LONGEST_LINE,
    MOST_IRREGULAR,
    PIECE,
    Broken,
    Rows,
    check_names,
    name_all,
)

#: Bytes that are parsed at once, at most.
BLOCK = 16 << 20
#: A value whose quotation marks are around all of it.
_QUOTED = r'^"(?:[^"]|"")*"$'
_BLANK_LINES = re.compile(rb"\A(?:[ \t\f\v]*\n)+")


class CsvFile:
    """A published file of CSV, in which each line is a row; all values are text.

    Rows may have up to two commas too many, and the second line may be blank. Bytes that aren't
    UTF-8 become U+FFFD, which no column accepts. A line is split at every comma, whatever its
    quotation marks; it is split again, with them, if that gives another number of values than most
    lines have, or a value with an unmatched quotation mark. A quotation mark that isn't closed thus
    breaks its own row and no other.
    """

    schema: pa.Schema | None = None
    total: int | None = None

    def __init__(self, stream: "io.BufferedReader[Uncompressed]") -> None:
        self._stream = stream
        self._lines = _whole_lines(_pieces(stream))
        #: The first lines after the header, which are read already.
        header, self._begun = self._header()
        try:
            names = _fields(header, skipinitialspace=True)
        except csv.Error as error:
            raise TaxiError(f"it isn't CSV: {error}") from None
        widths = Counter(line.count(b",") + 1 for line in self._begun.split(b"\n") if line.strip())
        [(width, _)] = widths.most_common(1) or [(0, 0)]
        while len(names) > width and not names[-1].strip():
            names.pop()
        self._names = check_names(name_all(names))
        if 0 < width < len(names):
            raise TaxiError(
                f"it isn't CSV of {len(names):,} columns: most of its rows have {width:,} values"
            )
        #: How many values most rows have.
        self._width = max(width, len(names))
        #: Numbers and lines of rows that are to be repaired; and how many came without others.
        self._irregular: list[tuple[int, str]] = []
        self._in_a_row = 0

    @property
    def share(self) -> float:
        return self._stream.raw.share

    def all_names(self) -> list[str]:
        return self._names

    def rows(self) -> Iterator[Rows]:
        if not self._begun:
            return
        import pyarrow.csv

        columns = [str(number) for number in range(self._width)]
        reader = pyarrow.csv.open_csv(
            _Readable(self._limited(chain([self._begun], self._lines))),
            # one thread, or irregular rows have no numbers
            pyarrow.csv.ReadOptions(column_names=columns, block_size=BLOCK, use_threads=False),
            pyarrow.csv.ParseOptions(quote_char=False, invalid_row_handler=self._skip),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],  # "N/A" is a zone's name
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )
        done = 0
        skipped: set[int] = set()
        for batch in reader:
            skipped |= {number for number, _ in self._irregular}
            if batch.num_rows:
                numbers: Sequence[int] = range(done + 1, done + batch.num_rows + len(skipped) + 1)
                if skipped:
                    numbers = [number for number in numbers if number not in skipped]
                numbers = numbers[: batch.num_rows]
                done = numbers[-1]
                skipped = {number for number in skipped if number > done}
                yield self._regular(batch, numbers)
            if self._irregular:
                yield self._repaired()
        if self._irregular:
            yield self._repaired()

    def _header(self) -> tuple[bytes, bytes]:
        """The first line that isn't blank, and some of the lines after it."""
        begun = b""
        for lines in self._lines:
            if not begun:
                begun = lines.lstrip()
                header, _, lines = begun.partition(b"\n")  # noqa: PLW2901
            if rest := _BLANK_LINES.sub(b"", lines):
                return header, rest
        return begun.partition(b"\n")[0], b""

    def _limited(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Refuse a file that has nothing but irregular rows, which are held until others come."""
        for lines in pieces:
            if self._in_a_row > MOST_IRREGULAR:
                raise TaxiError(
                    f"it isn't CSV of {len(self._names)} columns: more than {MOST_IRREGULAR:,} "
                    "rows in a row have another number of values or an unmatched quotation mark"
                )
            yield lines

    def _skip(self, row: Any) -> str:
        self._set_aside(row.number, row.text)
        return "skip"

    def _set_aside(self, number: int, line: str) -> None:
        self._irregular.append((number, line))
        self._in_a_row += 1

    def _regular(self, batch: pa.RecordBatch, numbers: Sequence[int]) -> Rows:
        """Return a batch's regular rows; set aside the others, to be repaired."""
        unquoted = [_unquote(column) for column in batch.columns]
        columns = [values for values, _ in unquoted]
        irregular = [is_unmatched for _, is_unmatched in unquoted if is_unmatched is not None]
        # what has no name must have no value
        irregular += [c.is_valid() for c in columns[len(self._names) :] if c.null_count < len(c)]
        named = pa.RecordBatch.from_arrays(columns[: len(self._names)], names=self._names)
        if irregular:
            is_irregular = reduce(pc.or_, irregular)
            for index in pc.indices_nonzero(is_irregular).to_pylist():
                values = (column[index].as_py() or "" for column in batch.columns)
                self._set_aside(numbers[index], ",".join(values))
            regular = pc.invert(is_irregular)
            named = named.filter(regular)
            numbers = [numbers[index] for index in pc.indices_nonzero(regular).to_pylist()]
        if numbers:
            self._in_a_row = 0
        return Rows(named, numbers)

    def _repaired(self) -> Rows:
        """Split the rows that were set aside, with their quotation marks; some stay broken."""
        irregular, self._irregular = self._irregular, []
        rows, numbers, broken = [], [], []
        for number, line in irregular:
            try:
                row = [value or None for value in _fields(line.encode(), strict=True)]
            except csv.Error as error:
                is_open = str(error) == "unexpected end of data"
                reason = "a quotation mark without another" if is_open else f"an {error}"
                broken.append(Broken(number, line, reason))
                continue
            if len(row) < len(self._names) or any(row[len(self._names) :]):
                broken.append(self._broken(number, row))
            else:
                rows.append(row[: len(self._names)])
                numbers.append(number)
        arrays = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        arrays = arrays or [pa.array([], pa.string()) for _ in self._names]
        return Rows(pa.RecordBatch.from_arrays(arrays, names=self._names), numbers, broken)

    def _broken(self, number: int, values: list[str | None]) -> Broken:
        while values and values[-1] is None:
            values.pop()
        text = ",".join(value or "" for value in values)
        return Broken(number, text, f"{len(values)} values for {len(self._names)} columns")


class _Readable(Chunks):
    """Chunks of bytes as a file that pyarrow reads."""

    closed = False

    def readable(self) -> bool:
        return True


def _unquote(values: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Remove the quotation marks around values; what is empty then is NULL.

    :returns: the values, and which of them have an unmatched quotation mark; None if none has.
    """
    is_quoted = pc.starts_with(values, '"')
    if not pc.any(is_quoted).as_py():
        return values, None
    is_whole = pc.match_substring_regex(values, _QUOTED)
    inner = pc.replace_substring(pc.utf8_slice_codeunits(values, 1, -1), '""', '"')
    inner = pc.if_else(pc.equal(inner, ""), pa.nulls(1, pa.string())[0], inner)
    unquoted = pc.if_else(is_whole, inner, values)
    is_unmatched = pc.fill_null(pc.and_not(is_quoted, is_whole), False)
    return unquoted, is_unmatched if pc.any(is_unmatched).as_py() else None


def _pieces(stream: "io.BufferedReader[Uncompressed]") -> Iterator[bytes]:
    """The bytes of a file, as UTF-8 whatever they are, with one kind of line ends."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="replace")
    while piece := text.read(PIECE):
        yield piece.encode()


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that end with a line, without blank lines."""
    rest, blank = b"", 0
    for piece in pieces:
        lines, newline, begun = piece.rpartition(b"\n")
        if len(rest + piece.partition(b"\n")[0]) >= LONGEST_LINE:
            raise TaxiError(f"it isn't CSV: a line has more than {LONGEST_LINE:,} bytes")
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


def _fields(line: bytes, **dialect: Any) -> list[str]:
    """The values of one line."""
    text = line.decode(errors="replace").strip("\r\n")
    return next(csv.reader([text], **dialect), [])
