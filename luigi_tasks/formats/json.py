"""JSON, read object by object with Python's own parser, in bounded memory."""

import codecs
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from luigi_tasks.errors import TaxiError
from luigi_tasks.formats.compressed import Uncompressed
from luigi_tasks.formats.rows import (
    BATCH_ROWS,
    HEAD,
    LONGEST_LINE,
    MOST_IRREGULAR,
    PIECE,
    Broken,
    Rows,
    check_names,
    name_all,
)
from luigi_tasks.texts import shortened

#: Bytes of objects that are held at once, and values of them.
MOST_BYTES, MOST_VALUES = 32 << 20, 4 << 20
#: How deep a value may be nested.
DEEPEST = 100


class JsonFile:
    """A published file of JSON: objects, in an array or one after the other; all values are text.

    A name that an object lacks has no value in its row. An object is broken, and no other with it,
    if it has what Python reads though it isn't JSON, or a number beyond 64 bits or a double. NYC
    Open Data's own export has the names once, under ``meta``, and then rows of values.
    """

    schema: pa.Schema | None = None
    total: int | None = None

    def __init__(self, stream: "io.BufferedReader[Uncompressed]") -> None:
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
                good = sorted({*range(len(sources))} - {index for index, _ in beyond})
                batch = batch.take(pa.array(good, pa.int64()))
                broken += [row for _, row in beyond]
                sources = [sources[index] for index in good]
            yield Rows(batch, [number for number, _ in sources], broken)

    def _beyond(self, arrays: list[pa.Array], sources: list[tuple[int, str]]) -> "_Beyond":
        """Return the indexes of objects that have a number beyond what a value can be."""
        suspects: set[int] = set()
        for array in arrays:
            suspects |= set(pc.indices_nonzero(pc.match_substring_regex(array, _LARGE)).to_pylist())
        beyond = []
        for index in suspects:
            number, text = sources[index]
            _, wrong = self._text.exactly(text)
            if wrong:
                beyond.append((index, Broken(number, text, wrong)))
        return beyond

    def _next(self) -> tuple[list[dict[str, Any]], list[tuple[int, str]], list[Broken]] | None:
        """Read more objects, with their numbers and texts, and broken ones; None at the end."""
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
            if self._done > MOST_IRREGULAR and not self._names:
                raise TaxiError(f"it has JSON, but {MOST_IRREGULAR:,} objects without a value")
            if wrong or not found:
                printable = text.encode(errors="surrogateescape")
                line = printable.decode(errors="backslashreplace")
                broken.append(Broken(self._done, line, wrong or "no values"))
            else:
                objects.append(found)
                sources.append((self._done, text))
                if not found.keys() <= self._names.keys():
                    self._names |= dict.fromkeys(found)
                    check_names(list(self._names))
            held += len(text)
            rows = len(objects) + len(broken)
            is_full = rows >= BATCH_ROWS // 4 or held > MOST_BYTES
            if is_full or rows * len(self._names) > MOST_VALUES:
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
                # columns with a colon are the portal's own
                self._names = dict.fromkeys(check_names([n for n in names if n[:1] != ":"]))
        self._text.end()

    def _exported_rows(self, names: list[str]) -> Iterator["_Found"]:
        for row, text, wrong in self._text.array():
            if not isinstance(row, list) or len(row) != len(names):
                raise TaxiError(
                    f"a row has other values than the {len(names):,} columns of its meta"
                )
            found = {n: value for n, value in zip(names, row, strict=True) if n[:1] != ":"}
            yield found, text, wrong


#: A value of JSON, its text, and the reason why it is broken, if it is.
_Found = tuple[Any, str, str | None]
_Beyond = list[tuple[int, Broken]]
#: The look of a number that may be beyond 64 bits or a double.
_LARGE = r"^-?[0-9]{19}|[eE]\+?[0-9]{3}"


class _Number(str):
    """A number as it is written: no digit is lost before it is cast to its column's type."""

    __slots__ = ()


_Parser = Callable[[str, int], tuple[Any, int]]


class _JsonText:
    """JSON that is read value by value, in the memory of one value.

    Numbers are read as text, as they are written. If ``is_exact``, they are distinguished from
    other texts, and those that are too large are found; this takes twice the time.
    """

    _BLANKS = re.compile(r"[ \t\r\n]*")

    def __init__(self, stream: IO[bytes], *, is_exact: bool) -> None:
        self._stream = stream
        # bytes that aren't UTF-8 become surrogates, which no valid text has
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
        """Read the text of a value again, with ``is_exact``: the value, and why it is broken."""
        self._wrong = None
        value, _ = self._exact(text, 0)
        return value, self._wrong

    def values(self) -> Iterator[_Found]:
        """Yield the values of an array, or those that follow each other."""
        if self._peek() == "[":
            yield from self.array()
            self.end()
        while self._peek():
            yield self.value()

    def array(self) -> Iterator[_Found]:
        """Yield the values of an array."""
        self.take("[")
        if self._peek() != "]":
            yield self.value()
            while self._peek() == ",":
                self._at += 1
                yield self.value()
        self.take("]")

    def members(self) -> Iterator[str]:
        """Yield the names of an object's members; the caller reads each one's value."""
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
        """Check that nothing follows."""
        if self._peek():
            raise self._error("something follows its end")

    def take(self, character: str) -> None:
        """Skip the next character, which must be this one."""
        if (found := self._peek()) != character:
            raise self._error(f"Expecting {character!r}" if found else "it ends early")
        self._at += 1

    def _peek(self) -> str:
        """Return the next character that isn't blank; an empty string at the end."""
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
        """Read the next value, and as much more of the file as it takes."""
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
                # the longest token that a piece's end can cut is a character: \ud83d\ude95
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
        """Read another piece of the text; whether there was one."""
        piece = self._stream.read(PIECE)
        self._text = self._text[self._at :] + self._decode(piece, not piece)
        self._at = 0
        return bool(piece)

    def _error(self, reason: str) -> TaxiError:
        return TaxiError(f"it can't be read as JSON: value {self._count:,}: {reason}")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
            raise TaxiError(f"its object {self._count:,} has two values {shortened(name)!r}")
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
    """Return the names of the columns of NYC Open Data's export."""
    try:
        columns = meta["view"]["columns"]
        names = name_all([str(column.get("fieldName") or "") for column in columns])
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
    """Return why an object's texts aren't Unicode; None if they are."""
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
    """Return values as an array of text, NULL for empty ones."""
    try:
        array = pa.array(values, pa.string())
    except pa.ArrowException:  # some aren't text
        array = pa.array(map(_as_text, values), pa.string())
    return pc.if_else(pc.equal(array, ""), pa.nulls(1, pa.string())[0], array)


def _as_text(value: Any) -> str | None:
    """Return a value as text: nested ones as JSON, with numbers as they were written."""
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
