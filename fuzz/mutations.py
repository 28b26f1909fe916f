"""Mutations of Parquet that keep it readable as far as the number that was changed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from fuzz import parquet_parts as parts
from fuzz import thrift
from fuzz.thrift import Struct

#: What a number may become, beside a neighbour of it and a random one.
_NUMBERS = (0, 1, -1, 2, 7, 127, 255, 2**15, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1)
_NO_PARQUET = (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error)


def mutated(data: bytes, most: int, seed: int, otherwise: Callable[[bytes, int], bytes]) -> bytes:
    """Change some value of a Parquet file's footer or page headers, or any bytes of it.

    :param otherwise: mutates bytes without regard to what they are.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    try:
        choice = draw.randrange(4)
        if choice == 0:
            return otherwise(data, most)
        if choice == 1:
            return _with_other_body(data, draw, otherwise)
        if choice == 2:
            chunk = draw.randrange(sum(1 for _ in parts.chunks(parts.footer_of(data))))
            has_dictionary = draw.random() < 0.3
            return parts.with_page(
                data, chunk, lambda header: _change(header, draw), dictionary=has_dictionary
            )[:most]
        footer = parts.footer_of(data)
        for _ in range(draw.choice([1, 1, 2, 5])):
            _change(footer, draw)
        return parts.with_footer(data, footer)[:most]
    except _NO_PARQUET:
        return otherwise(data, most)


def _with_other_body(
    data: bytes, draw: random.Random, otherwise: Callable[[bytes, int], bytes]
) -> bytes:
    """Change bytes before the footer, but not how many."""
    size = int.from_bytes(data[-8:-4], "little") + 8
    start = draw.randrange(4, max(5, len(data) - size))
    end = min(len(data) - size, start + draw.choice([1, 4, 64]))
    changed = otherwise(data[start:end], end - start)[: end - start]
    return data[:start] + changed.ljust(end - start, b"\0") + data[end:]


def _change(found: Struct, draw: random.Random) -> None:
    """Change one value, whichever it is."""
    holder, key, type_ = draw.choice(list(_values(found)))
    value = holder[key]
    if type_ in (thrift.I16, thrift.I32, thrift.I64):
        holder[key] = draw.choice([*_NUMBERS, value + 1, value - 1, value * 2, -value])
    elif type_ in (thrift.TRUE, thrift.FALSE):
        holder[key] = not value
    elif type_ == thrift.BINARY:
        holder[key] = draw.choice([b"", b"\xff", value * 2, value[:-1], draw.randbytes(8)])
    elif type_ == thrift.LIST:
        holder[key] = draw.choice([[], value[:-1], value * 2, value[::-1], value[1:]])
    elif isinstance(holder, Struct):
        del holder.values[key]


def _values(found: Any) -> Iterator[tuple[Any, int, int]]:
    """Everything in a struct: what holds it, where, and its type."""
    for number, value in list(found.values.items()):
        yield found, number, value.type
        if value.type == thrift.STRUCT:
            yield from _values(value.value)
        elif value.type == thrift.LIST:
            for index, item in enumerate(value.value):
                yield value.value, index, value.items
                if value.items == thrift.STRUCT:
                    yield from _values(item)
