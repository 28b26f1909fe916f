"""The fingerprint of trips, ``unique_row_id``, many at once.

A trip's fingerprint is the md5 of every column that has a value, in the catalog's order: one byte,
the column's ``tag``, then the value as PostgreSQL sends it in binary (an integer in four bytes, a
double in eight, a time in eight as microseconds since 2000, most significant byte first), and for a
text its own md5. A NULL adds nothing. Every form has a fixed width, so no two rows run into each
other, and rows with values in the same columns have messages of the same length: md5 goes over
all of these at once, step by step.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from luigi_tasks.catalog import Column

Bytes = npt.NDArray[np.uint8]

#: Microseconds from 1970, where Arrow's time begins, to 2000, where PostgreSQL's does.
EPOCH = 946_684_800_000_000
#: How a column's value goes into a message, by its type; a text as its md5.
SENT = {"integer": ">i4", "double precision": ">f8", "timestamp": ">i8", "text": "V16"}
#: The parts of a message that md5 itself asks for.
PADDING, BLANKS, LENGTH = "padding", "blanks", "length"
#: Rows that are worked on at once; what that takes stays in the processor's cache.
STRIDE = 16_384
#: RFC 1321: the state at first, the rotations of the four rounds, and what is added in each step.
_STATE = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_ROTATIONS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_ADDED = [np.uint32(int(abs(math.sin(step + 1)) * 2**32)) for step in range(64)]


def fingerprints(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.Array:
    """The fingerprints of a batch's rows, as binary of 16 bytes each."""
    digests = np.empty((batch.num_rows, 16), np.uint8)
    for start in range(0, batch.num_rows, STRIDE):
        piece = batch.slice(start, STRIDE)
        _digest(piece, columns, digests[start : start + STRIDE])
    offsets = np.arange(0, 16 * batch.num_rows + 1, 16, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(digests)]
    return pa.Array.from_buffers(pa.binary(), batch.num_rows, buffers)


def _digest(rows: pa.RecordBatch, columns: Sequence[Column], digests: Bytes) -> None:
    arrays = [rows.column(column.name) for column in columns]
    values = [_values(array, c.type) for array, c in zip(arrays, columns, strict=True)]
    for alike, having in _alike(arrays):
        fields = [(columns[index], SENT[columns[index].type]) for index in having]
        messages = np.zeros(rows.num_rows if alike is None else len(alike), _message(fields))
        messages[PADDING] = 0x80
        messages[LENGTH] = 8 * sum(1 + np.dtype(sent).itemsize for _, sent in fields)
        for index in having:
            messages[f"{columns[index].name} tag"] = columns[index].tag
            messages[columns[index].name] = values[index] if alike is None else values[index][alike]
        digests[slice(None) if alike is None else alike] = md5(messages)


def _message(fields: Sequence[tuple[Column, str]]) -> np.dtype[np.void]:
    """The form of messages with values in these columns, with md5's padding to whole blocks."""
    parts = [part for c, sent in fields for part in ((f"{c.name} tag", "u1"), (c.name, sent))]
    length = np.dtype(parts).itemsize
    blanks = -(length + 9) % 64
    return np.dtype([*parts, (PADDING, "u1"), (BLANKS, f"V{blanks}"), (LENGTH, "<u8")])


def _alike(arrays: list[pa.Array]) -> Iterator[tuple[npt.NDArray[np.intp] | None, list[int]]]:
    """The rows that have values in the same columns, and which columns these are.

    None for the rows stands for all.
    """
    always = [index for index, array in enumerate(arrays) if not array.null_count]
    at_times = [i for i, array in enumerate(arrays) if 0 < array.null_count < len(array)]
    if not at_times:
        yield None, always
        return
    pattern = np.zeros(len(arrays[0]), np.int64)
    for bit, index in enumerate(at_times):
        pattern |= is_valid(arrays[index]).astype(np.int64) << bit
    for each in np.unique(pattern):
        having = [index for bit, index in enumerate(at_times) if int(each) >> bit & 1]
        yield np.flatnonzero(pattern == each), sorted(always + having)


def _values(array: pa.Array, kind: str) -> npt.NDArray[Any]:
    """A column's values as numbers or, of texts, their md5; anything where there is none."""
    if kind == "text":
        distinct = array.dictionary_encode()
        texts = [text.as_py().encode() for text in distinct.dictionary]
        digests = [hashlib.md5(text, usedforsecurity=False).digest() for text in texts]
        places = np.where(is_valid(array), held_values(distinct.indices), len(digests))
        chosen: npt.NDArray[Any] = np.array([*digests, bytes(16)], "V16")[places]
        return chosen
    if kind == "timestamp":
        return held_values(array.cast(pa.int64())) - EPOCH
    return held_values(array)


def held_values(array: pa.Array) -> npt.NDArray[Any]:
    """The numbers that an array holds, as they are: to_numpy would make floats of NULLs.

    (``to_pandas_dtype`` would tell their type, but before pyarrow 26 it imports pandas.)
    """
    family = "f" if pa.types.is_floating(array.type) else "i"
    kind = np.dtype(f"{family}{array.type.bit_width // 8}")
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * kind.itemsize)


def is_valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Where an array has values. (``to_numpy`` imports pandas for truth values, if it is there.)"""
    valid: npt.NDArray[np.bool_] = held_values(array.is_valid().cast(pa.int8())).view(np.bool_)
    return valid


def as_mask(flags: npt.NDArray[np.bool_]) -> pa.BooleanArray:
    """Truth values as Arrow's. (``pa.array`` imports pandas for numpy's, if it is there.)"""
    packed = np.packbits(flags, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(flags), [None, pa.py_buffer(packed)])


def md5(messages: npt.NDArray[np.void]) -> Bytes:
    """The md5 of messages that have their padding; shapes (n,) and (n, 16)."""
    count = len(messages)
    # the words of one place side by side
    words = np.ascontiguousarray(messages.view("<u4").reshape(count, -1).T)
    state = [np.full(count, word, np.uint32) for word in _STATE]
    mixed, shifted = np.empty(count, np.uint32), np.empty(count, np.uint32)
    for block in words.reshape(-1, 16, count):
        a, b, c, d = (word.copy() for word in state)
        for step in range(64):
            _mix(step // 16, b, c, d, mixed)
            np.add(mixed, a, out=mixed)
            np.add(mixed, _ADDED[step], out=mixed)
            np.add(mixed, block[_word(step)], out=mixed)
            rotation = _ROTATIONS[step // 16][step % 4]
            np.left_shift(mixed, rotation, out=shifted)
            np.right_shift(mixed, 32 - rotation, out=mixed)
            np.bitwise_or(mixed, shifted, out=mixed)
            np.add(mixed, b, out=mixed)
            a, b, c, d, mixed = d, mixed, b, c, a
        for word, change in zip(state, (a, b, c, d), strict=True):
            np.add(word, change, out=word)
    return np.stack(state, axis=1).astype("<u4").view(np.uint8)


def _word(step: int) -> int:
    """Which word of a block a step takes."""
    factor, first = ((1, 0), (5, 1), (3, 5), (7, 0))[step // 16]
    return (factor * step + first) % 16


def _mix(
    turn: int,
    b: npt.NDArray[np.uint32],
    c: npt.NDArray[np.uint32],
    d: npt.NDArray[np.uint32],
    out: npt.NDArray[np.uint32],
) -> None:
    """The function of a round: F, G, H or I."""
    if turn == 0:
        np.bitwise_xor(c, d, out=out)
        np.bitwise_and(out, b, out=out)
        np.bitwise_xor(out, d, out=out)
    elif turn == 1:
        np.bitwise_xor(b, c, out=out)
        np.bitwise_and(out, d, out=out)
        np.bitwise_xor(out, c, out=out)
    elif turn == 2:
        np.bitwise_xor(b, c, out=out)
        np.bitwise_xor(out, d, out=out)
    else:
        np.bitwise_not(d, out=out)
        np.bitwise_or(out, b, out=out)
        np.bitwise_xor(out, c, out=out)
