"""Columns that the catalog doesn't know: their types, by all their values, and their names."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from luigi_tasks.catalog import NEW_TYPES, RESERVED_NAMES, Column, TaxiType, fold
from luigi_tasks.formats import PublishedFile
from luigi_tasks.texts import shortened
from luigi_tasks.transform.casting import is_binary, plain

#: Bytes of a new column's name. PostgreSQL cuts names at 63, and a further column of the same name
#: but another type gets a suffix.
_LONGEST_NAME = 40
#: The look of a text that loses nothing as a value of a new column's type.
_PATTERNS = {
    "bigint": r"^\s*[+-]?(0|[1-9]\d*)\s*$",
    "double precision": r"^\s*[+-]?(0|[1-9]\d{0,14})?(\.\d*)?([eE][+-]?\d\d?)?\s*$",
    "boolean": r"^\s*(?i:true|false)\s*$",
}
_NUMBERS = ("bigint", "double precision")


def new_columns(taxi_type: TaxiType, types: Mapping[str, str]) -> Iterator[Column]:
    """Yield a column for each published name, with a name that is free in a trips table.

    :param types: PostgreSQL types by published name.
    """
    taken = {*RESERVED_NAMES, *taxi_type.shown_names, *(c.name for c in taxi_type.columns)}
    for published, column_type in types.items():
        name = re.sub(r"\W+", "_", fold(published)).strip("_") or "column"
        name = name.encode()[:_LONGEST_NAME].decode(errors="ignore")
        others = (f"{name}_{number}" for number in itertools.count(2))
        name = next(
            each for each in itertools.chain([name, f"{name}_"], others) if each not in taken
        )
        taken.add(name)
        yield Column(name, 0, column_type, f"Published as {shortened(published)}", (published,))


def fitting_types(file: PublishedFile, names: Sequence[str]) -> dict[str, list[str] | None]:
    """Return the PostgreSQL types that all values of each column fit, the narrowest first.

    Parquet has the types in its schema; any other file is read to its end for them.

    :returns: types by published name; None for a column without values.
    """
    fitting: dict[str, list[str] | None] = dict.fromkeys(names)
    if file.schema is not None:
        for name in names:
            arrow_type = file.schema.field(name).type
            if not pa.types.is_null(arrow_type):
                fitting[name] = _types_of(_sample(arrow_type))
        return fitting
    for rows in file.rows():
        for name in set(names) & set(rows.batch.schema.names):
            array = rows.batch.column(name)
            types = fitting[name]
            if array.null_count < len(array):  # a type that no longer fits isn't tried again
                fitting[name] = _types_of(array, NEW_TYPES if types is None else types)
    return fitting


def common_types(types: list[str] | None, others: list[str] | None) -> list[str] | None:
    """Return the types that are in both lists, or the one list that isn't None."""
    if types is None or others is None:
        return others if types is None else types
    return [each for each in types if each in others]


def _types_of(array: pa.Array, types: Iterable[str] = tuple(NEW_TYPES)) -> list[str]:
    """Return those of some types that all values fit; none for lists and the like."""
    return [each for each in types if _fits(array, each)]


def _sample(arrow_type: pa.DataType) -> pa.Array:
    """Return an array of this type; a text that fits no other type, since its writer chose text."""
    array = plain(pa.nulls(1, arrow_type))
    return pa.array(["text"]) if pa.types.is_string(array.type) else array


def _fits(array: pa.Array, column_type: str) -> bool:
    """Whether values have a type already or, as text, look like values of it."""
    target = pa.type_for_alias(NEW_TYPES[column_type])
    array = plain(array)
    given = array.type
    is_text = pa.types.is_string(given)
    is_alike = (
        is_text
        or (column_type == "text" and not is_binary(given))
        or (
            pa.types.is_integer(given) and not pa.types.is_uint64(given) and column_type in _NUMBERS
        )
        or (
            (pa.types.is_floating(given) or pa.types.is_decimal(given))
            and column_type == "double precision"
        )
        or (pa.types.is_temporal(given) and pa.types.is_timestamp(target))
        or given == target
    )
    if not is_alike:
        return False
    if is_text and column_type in _PATTERNS:
        matches = pc.match_substring_regex(array, _PATTERNS[column_type])
        if not pc.all(matches, min_count=0).as_py():
            return False
    try:
        array.cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
