"""Thrift's compact protocol, which Parquet's footers and page headers are written in.

Values are read without a schema and written again byte by byte, so that single ones can be changed,
whether the change makes sense or not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_INTEGERS = (I16, I32, I64)
#: How deep structs and lists may be nested, and how many values a list may have.
_DEEPEST, _MOST = 20, 100_000


@dataclass
class Value:
    """A value with its type; of a list, the type of its items as well."""

    type: int
    value: Any
    items: int = 0


@dataclass
class Struct:
    """Values by their numbers, in the order in which they are written."""

    values: dict[int, Value] = field(default_factory=dict)

    def __getitem__(self, number: int) -> Any:
        return self.values[number].value

    def __setitem__(self, number: int, value: Any) -> None:
        self.values[number].value = value


class _Reader:
    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at

    def byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]

    def varint(self) -> int:
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number
            if shift > 70:
                raise ValueError("a number has more than ten bytes")

    def zigzag(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def value(self, type_: int, depth: int) -> Value:  # noqa: PLR0911 - one for each type
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        if type_ in (TRUE, FALSE):
            return Value(type_, type_ == TRUE)
        if type_ == BYTE:
            return Value(type_, self.byte())
        if type_ in _INTEGERS:
            return Value(type_, self.zigzag())
        if type_ == DOUBLE:
            self.at += 8
            return Value(type_, struct.unpack("<d", self.content[self.at - 8 : self.at])[0])
        if type_ == BINARY:
            size = self.varint()
            self.at += size
            if self.at > len(self.content):
                raise ValueError("a text ends early")
            return Value(type_, self.content[self.at - size : self.at])
        if type_ in (LIST, SET):
            head = self.byte()
            size, items = head >> 4, head & 0xF
            size = self.varint() if size == 15 else size
            if size > _MOST:
                raise ValueError("a list is too long")
            return Value(type_, [self.item(items, depth) for _ in range(size)], items)
        if type_ == STRUCT:
            return Value(type_, self.struct(depth + 1))
        raise ValueError(f"no type {type_}")

    def item(self, type_: int, depth: int) -> Any:
        if type_ in (TRUE, FALSE):
            return self.byte()
        return self.value(type_, depth + 1).value

    def struct(self, depth: int = 0) -> Struct:
        found, number = Struct(), 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.zigzag()
            found.values[number] = self.value(head & 0xF, depth)
        return found


def read(content: bytes, at: int = 0) -> tuple[Struct, int]:
    """Read a struct.

    :returns: the struct, and where it ends.
    :raises ValueError, IndexError, struct.error: there is none.
    """
    reader = _Reader(content, at)
    return reader.struct(), reader.at


def write(found: Struct) -> bytes:
    """Write a struct, its integers cut to 64 bits."""
    written, before = bytearray(), 0
    for number, value in found.values.items():
        type_ = (TRUE if value.value else FALSE) if value.type in (TRUE, FALSE) else value.type
        if 0 < number - before < 16:
            written.append((number - before) << 4 | type_)
        else:
            written += bytes([type_]) + _varint(_zigzag(number))
        written += _written(value)
        before = number
    return bytes(written) + b"\0"


def _written(value: Value) -> bytes:  # noqa: PLR0911 - one for each type
    if value.type in (TRUE, FALSE):
        return b""
    if value.type == BYTE:
        return bytes([value.value & 0xFF])
    if value.type in _INTEGERS:
        return _varint(_zigzag(value.value))
    if value.type == DOUBLE:
        return struct.pack("<d", value.value)
    if value.type == BINARY:
        return _varint(len(value.value)) + bytes(value.value)
    if value.type in (LIST, SET):
        size = len(value.value)
        head = bytes([size << 4 | value.items]) if size < 15 else bytes([0xF0 | value.items])
        head += _varint(size) if size >= 15 else b""
        if value.items in (TRUE, FALSE):
            return head + bytes(value.value)
        return head + b"".join(_written(Value(value.items, each)) for each in value.value)
    return write(value.value)


def _zigzag(number: int) -> int:
    return ((number << 1) ^ (number >> 63)) & (2**64 - 1)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
