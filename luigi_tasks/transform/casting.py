"""Cast published values to the types of the catalog's columns, and find those that can't be."""

import re
import struct
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from luigi_tasks.catalog import ARROW_TYPES, NEW_TYPES, Column, TaxiType, fold
from luigi_tasks.texts import shortened

#: The years that Python's dates have, in microseconds from 1970. A pickup outside of them is an
#: error, and most programs can't read it.
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
#: The times of NYC Open Data, such as 2019 Jan 29 02:13:01 PM and 01/29/2019 02:13:01 PM.
_CLOCK = r" (?:0?[1-9]|1[0-2]):[0-5]\d:[0-5]\d [AaPp][Mm]$"
PORTAL_TIMES = {
    r"^\d{4} [A-Za-z]{3} (?P<day>\d{1,2})" + _CLOCK: "%Y %b %d %I:%M:%S %p",
    r"^\d{1,2}/(?P<day>\d{1,2})/\d{4}" + _CLOCK: "%m/%d/%Y %I:%M:%S %p",
}
#: The blanks that are removed around a value.
_BLANKS = r"[\s\v\x1c-\x1f\x{85}\p{Z}]*"
_NUMBER = r"([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(?i:nan|inf|infinity))?"
_TIME = r"(\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?)?"
_PORTAL = "|".join(PORTAL_TIMES).replace("?P<day>", "").replace("^", "").replace("$", "")
#: The look of a text that may be a value of a type; any other text can't be, and isn't tried.
_PATTERNS = {
    "number": rf"^{_BLANKS}{_NUMBER}{_BLANKS}$",
    "time": rf"^{_BLANKS}({_TIME}|{_PORTAL}){_BLANKS}$",
}
#: Characters that no text may have, and why: PostgreSQL refuses the first, and the second stands
#: for bytes that aren't UTF-8.
_REFUSED = {"\0": "has a NUL character", "\ufffd": "has bytes that aren't UTF-8"}
_CAST_ERRORS = (pa.ArrowInvalid, UnicodeDecodeError)

#: Indexes of values that can't be cast, with the reasons.
Unreadable = list[tuple[int, str]]


def arrow_schema(taxi_type: TaxiType) -> pa.Schema:
    """Return the schema of the canonical parquet: the catalog's columns, in its order."""
    return schema_of(taxi_type.columns)


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([(column.name, _arrow_type(column)) for column in columns])


def _arrow_type(column: Column) -> pa.DataType:
    return pa.type_for_alias(ARROW_TYPES.get(column.type) or NEW_TYPES[column.type])


def number(value: float, arrow_type: pa.DataType) -> pa.Scalar:
    """Return a number of type double or int32.

    ``pyarrow.scalar`` would import pandas where that is installed, which takes a quarter second.
    """
    packed = struct.pack("d" if arrow_type == pa.float64() else "i", value)
    return pa.Array.from_buffers(arrow_type, 1, [None, pa.py_buffer(packed)])[0]


def _null(arrow_type: pa.DataType) -> pa.Scalar:
    """Return a NULL, without ``pyarrow.scalar`` as ``number`` does."""
    return pa.nulls(1, arrow_type)[0]


#: The integers of 32 bits: the least one, and the first one beyond them.
_LEAST, _BEYOND = number(-(2**31), pa.float64()), number(2**31, pa.float64())


def cast_readable(array: pa.Array, column: Column) -> tuple[pa.Array, Unreadable]:
    """Cast the values of an array that can be cast to its column's type.

    :returns: the array, NULL at unreadable values, and the index and reason of each of these.
    """
    unreadable: Unreadable = []
    try:
        cast = _cast(array, column)
    except _CAST_ERRORS:
        array, unreadable = _null_unparsable(array, column)
        cast, others = _cast_by_halves(array, column)
        unreadable += others
    if column.required and cast.null_count:
        known = {index for index, _ in unreadable}
        missing = set(pc.indices_nonzero(cast.is_null()).to_pylist()) - known
        unreadable += [(n, "has no value, and a trip can't be without one") for n in missing]
    return cast, unreadable


def plain(array: pa.Array) -> pa.Array:
    """Return an array without a dictionary, and text of any layout as Arrow's ``string``."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return array


def is_binary(arrow_type: pa.DataType) -> bool:
    return (
        pa.types.is_binary(arrow_type)
        or pa.types.is_large_binary(arrow_type)
        or pa.types.is_fixed_size_binary(arrow_type)
        or pa.types.is_binary_view(arrow_type)
        or isinstance(arrow_type, pa.BaseExtensionType)
    )


# --- values that can't be read ------------------------------------------------------------------


def _null_unparsable(array: pa.Array, column: Column) -> tuple[pa.Array, Unreadable]:
    """Set those unreadable values to NULL, all at once, that show it without a cast."""
    array, target = plain(array), _arrow_type(column)
    unreadable: Unreadable = []

    def drop(is_unparsable: pa.Array, reason: str) -> None:
        nonlocal array
        is_unparsable = pc.fill_null(is_unparsable, False)
        unreadable.extend((n, reason) for n in pc.indices_nonzero(is_unparsable).to_pylist())
        array = pc.if_else(is_unparsable, _null(array.type), array)

    if pa.types.is_string(array.type):
        for character, reason in _REFUSED.items():
            drop(pc.match_substring(array, character), reason)
        if pa.types.is_string(target):
            return array, unreadable
        wanted = "time" if pa.types.is_timestamp(target) else "number"
        words = "|".join(map(re.escape, column.words))
        pattern = _PATTERNS[wanted] + (rf"|^{_BLANKS}(?i:{words}){_BLANKS}$" if words else "")
        drop(pc.invert(pc.match_substring_regex(array, pattern)), f"is no {wanted}")
        array = _replace_words(array, column.words)
    is_number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    if pa.types.is_timestamp(target) and is_number:
        drop(array.is_valid(), "is a number, and no time")
    elif pa.types.is_string(array.type) and pa.types.is_floating(target):
        drop(_is_beyond(array, _cast_numbers(array)), "is beyond what a double can be")
    elif pa.types.is_int32(target) and (is_number or pa.types.is_string(array.type)):
        numbers = _cast_numbers(array)
        is_whole = pc.and_(pc.equal(pc.trunc(numbers), numbers), pc.is_finite(numbers))
        is_in = pc.and_(pc.greater_equal(numbers, _LEAST), pc.less(numbers, _BEYOND))
        is_missing = pc.is_nan(numbers) if pa.types.is_floating(array.type) else numbers.is_null()
        drop(
            pc.invert(pc.or_kleene(pc.and_(is_whole, is_in), is_missing)),
            "is no whole number of 32 bits",
        )
    return array, unreadable


def _cast_by_halves(array: pa.Array, column: Column) -> tuple[pa.Array, Unreadable]:
    """Halve an array until each value that can't be cast is alone."""
    try:
        return _cast(array, column), []
    except _CAST_ERRORS as error:
        if len(array) == 1:
            return pa.nulls(1, _arrow_type(column)), [(0, first_line(error))]
        half = len(array) // 2
        left, unreadable = _cast_by_halves(array.slice(0, half), column)
        right, unreadable_right = _cast_by_halves(array.slice(half), column)
        unreadable += [(half + index, reason) for index, reason in unreadable_right]
        return pa.concat_arrays([left, right]), unreadable


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its class if it has none."""
    lines = str(error)[:1_000].splitlines()
    return shortened(lines[0], 300) if lines else type(error).__name__


# --- casts --------------------------------------------------------------------------------------


def _cast(array: pa.Array, column: Column) -> pa.Array:
    """Cast an array to its column's type.

    :raises pyarrow.ArrowInvalid: some value can't be read as this type without loss.
    """
    array, target = plain(array), _arrow_type(column)
    if is_binary(array.type):
        array = array.cast(pa.string())  # text whose writer didn't mark it as such
    if pa.types.is_string(target) and column.words and not pa.types.is_null(array.type):
        array = array.cast(target)  # 2009 has numbers instead of Y and N
    if pa.types.is_string(array.type):
        array = _cast_text(array, target, column.words)
    elif pa.types.is_floating(array.type) and pa.types.is_integer(target):
        # pandas writes a missing count as NaN
        array = pc.if_else(pc.is_nan(array), _null(array.type), array).cast(target)
    elif pa.types.is_timestamp(target):
        array = _cast_moments(array, target)
    elif pa.types.is_floating(target):
        # integers beyond 2^53 lose digits that no fare has
        array = array.cast(target, safe=False)
    else:
        array = array.cast(target)
    if pa.types.is_timestamp(target):
        span = pc.min_max(array.cast(pa.int64())).as_py()
        if span["min"] is not None and not EARLIEST <= span["min"] <= span["max"] <= LATEST:
            raise pa.ArrowInvalid("outside the years 1 to 9999")
    return array


def _cast_moments(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Cast times to those that New York's clocks show."""
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        if array.null_count == len(array):  # those that had values are unreadable already
            return pa.nulls(len(array), target)
        raise pa.ArrowInvalid("is a number, and no time")
    if pa.types.is_timestamp(array.type) and array.type.tz:
        in_new_york = array.cast(pa.timestamp(array.type.unit, "America/New_York"))
        array = pc.local_timestamp(in_new_york)
    # no clock has nanoseconds; without care, seconds beyond the years become some other time
    has_nanoseconds = pa.types.is_timestamp(array.type) and array.type.unit == "ns"
    return array.cast(target, safe=not has_nanoseconds)


def _cast_text(array: pa.Array, target: pa.DataType, words: Mapping[str, int | str]) -> pa.Array:
    if pa.types.is_string(target) or words:
        array = _replace_words(array, words)
    if pa.types.is_string(target):
        return array
    array = _null_blank(array)
    if pa.types.is_timestamp(target):
        return _cast_times(array, target)
    if pa.types.is_int32(target):
        array = array.cast(pa.float64())  # counts are published as 1.0, too
    cast = array.cast(target)
    has_infinite = pa.types.is_floating(target) and pc.any(pc.is_inf(cast)).as_py()
    if has_infinite and pc.any(_is_beyond(array, cast)).as_py():
        raise pa.ArrowInvalid("is beyond what a double can be")
    return cast


def _null_blank(array: pa.Array) -> pa.Array:
    """Return text without surrounding blanks, NULL where nothing is left."""
    array = pc.utf8_trim_whitespace(array)
    return pc.if_else(pc.equal(array, ""), _null(pa.string()), array)


def _cast_numbers(array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type):
        array = _null_blank(array)
    return array.cast(pa.float64(), safe=False)


def _is_beyond(texts: pa.Array, numbers: pa.Array) -> pa.Array:
    """Return which numbers are infinite though they are written with digits."""
    return pc.and_(pc.is_inf(numbers), pc.match_substring_regex(texts, "[0-9]"))


def _replace_words(array: pa.Array, words: Mapping[str, int | str]) -> pa.Array:
    """Replace words by the codes that they stand for.

    :raises pyarrow.ArrowInvalid: a text has a NUL character, or bytes that weren't UTF-8.
    """
    encoded = array.dictionary_encode()  # few texts are distinct
    texts = encoded.dictionary.to_pylist()
    for text in texts:
        for character, reason in _REFUSED.items():
            if character in text:
                raise pa.ArrowInvalid(reason)
    replaced = [str(words.get(fold(text), text)) for text in texts]
    if replaced == texts:
        return array
    return pa.array(replaced, pa.string()).take(encoded.indices)


def _cast_times(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Read times as ISO 8601 or NYC Open Data writes them."""
    cast = pa.nulls(len(array), target)
    for pattern, time_format in PORTAL_TIMES.items():
        matches = pc.match_substring_regex(array, pattern)
        if pc.any(matches).as_py():
            matching = pc.if_else(matches, array, _null(pa.string()))
            array = pc.if_else(matches, _null(pa.string()), array)
            times = pc.strptime(matching, time_format, "us")
            day = pc.struct_field(pc.extract_regex(matching, pattern), "day").cast(pa.int64())
            if not pc.all(pc.equal(pc.day(times), day), min_count=0).as_py():
                raise pa.ArrowInvalid("is a day that its month doesn't have")
            cast = pc.coalesce(cast, times)
    return pc.coalesce(cast, array.cast(target))
