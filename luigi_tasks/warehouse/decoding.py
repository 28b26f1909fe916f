"""Rows in PostgreSQL's binary format for COPY as Arrow batches: what ``encoding`` does, backwards.

The server sends a message a row: the number of its columns in two bytes, then for each column the
length of its value in four, -1 for NULL, and the value, most significant byte first. All rows of a
batch are read at once, a column at a time: where a column begins in each row follows from where
the one before began, and how long it is there.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from luigi_tasks import checksums
from luigi_tasks.warehouse.fingerprint import EPOCH, as_mask

#: By PostgreSQL's type, how it sends a value and what becomes of it. Other types are sent as text.
SENT: Mapping[str, tuple[str, pa.DataType]] = {
    "smallint": (">i2", pa.int16()),
    "integer": (">i4", pa.int32()),
    "bigint": (">i8", pa.int64()),
    "real": (">f4", pa.float32()),
    "double precision": (">f8", pa.float64()),
    "timestamp without time zone": (">i8", pa.timestamp("us")),
}
#: What begins the first message: the format's name, and two numbers that are 0.
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
#: What the last message has in place of the number of columns.
TRAILER = b"\xff\xff"
#: The bytes of the number of columns, and of a length.
_COUNT, _LENGTH = 2, 4
#: As many bytes as the longest value that is read at once, so that one may begin at the last byte.
_BEYOND = bytes(16)

Places = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def arrow_type(column_type: str) -> pa.DataType:
    """The Arrow type of a column of this type of PostgreSQL."""
    if column_type == "boolean":
        return pa.bool_()
    return SENT[column_type][1] if column_type in SENT else pa.string()


def is_sent_as_it_is(column_type: str) -> bool:
    """Whether a column needn't be cast to text in the query."""
    return column_type in SENT or column_type in ("boolean", "uuid", "text")


def decode(rows: Sequence[bytes], columns: Mapping[str, str]) -> pa.RecordBatch:
    """Decode messages, each of a row, without header and trailer.

    :param columns: the type of each column, in the order of the query; others than those of which
        ``is_sent_as_it_is`` is true were cast to text. A uuid becomes a text of 36 characters.
    """
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    message = np.frombuffer(b"".join([*rows, _BEYOND]), np.uint8)
    places = np.cumsum(lengths) - lengths + _COUNT
    arrays = []
    for column_type in columns.values():
        held = _values(message, places, ">i4").astype(np.int64)
        places += _LENGTH
        arrays.append(_array(message, places, held, column_type))
        places += np.maximum(held, 0)
    fields = [pa.field(name, array.type) for name, array in zip(columns, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _array(message: Bytes, places: Places, lengths: Places, column_type: str) -> pa.Array:
    """A column's values, which begin at these places; those of length -1 are NULL."""
    valid, null_count = lengths >= 0, int((lengths < 0).sum())
    mask = as_mask(valid).buffers()[1] if null_count else None
    if column_type == "boolean":
        flags = as_mask(_values(message, places, "u1") != 0)
        return pa.Array.from_buffers(
            pa.bool_(), len(places), [mask, flags.buffers()[1]], null_count
        )
    if column_type in SENT:
        sent, arrow = SENT[column_type]
        values = _values(message, places, sent)
        values = values.astype(values.dtype.newbyteorder("="))
        if column_type.startswith("timestamp"):
            values = _since_1970(values)
        return pa.Array.from_buffers(arrow, len(places), [mask, pa.py_buffer(values)], null_count)
    if column_type == "uuid":
        texts = checksums.as_texts(_strips(message, places, 16))
        lengths = np.where(valid, 36, 0)
        data = texts[valid].reshape(-1) if null_count else texts.reshape(-1)
    else:
        lengths = np.maximum(lengths, 0)
        data = _texts(message, places, lengths)
    ends = np.zeros(len(places) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    buffers = [mask, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.string(), len(places), buffers, null_count)


def _values(message: Bytes, places: Places, sent: str) -> npt.NDArray[np.generic]:
    """The numbers that begin at these places, wherever in memory that is."""
    dtype = np.dtype(sent)
    everywhere: npt.NDArray[np.generic] = np.ndarray(
        (len(message) - dtype.itemsize + 1,), dtype, message.data, strides=(1,)
    )
    return everywhere[places]


def _strips(message: Bytes, places: Places, width: int) -> Bytes:
    """So many bytes from each of these places, shape (n, width)."""
    strips: Bytes = np.lib.stride_tricks.sliding_window_view(message, width)[places]
    return strips


def _texts(message: Bytes, places: Places, lengths: Places) -> Bytes:
    """The bytes of texts of any length, one after the other."""
    if not len(lengths) or not lengths.any():
        return np.empty(0, np.uint8)
    if (width := int(lengths[0])) <= len(_BEYOND) and (lengths == width).all():
        return _strips(message, places, width).reshape(-1)
    before = np.cumsum(lengths) - lengths
    within = np.arange(lengths.sum()) - np.repeat(before, lengths)
    texts: Bytes = message[np.repeat(places, lengths) + within]
    return texts


def _since_1970(values: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Microseconds since 2000 as those since 1970; infinity stays at the end of all numbers."""
    since_2000 = values.astype(np.int64)
    limits = np.iinfo(np.int64)
    is_infinite = (since_2000 == limits.max) | (since_2000 == limits.min)
    return np.where(is_infinite, since_2000, since_2000 + EPOCH)
