"""Canonical trips in PostgreSQL's binary format for COPY."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder

from luigi_tasks.catalog import ARROW_TYPES, Column
from luigi_tasks.formats import Trips
from luigi_tasks.warehouse.fingerprint import as_mask, fingerprints

#: Rows of a batch that is encoded and sent at once. Twice as many took 50 MB more and no less time;
#: half as many took a third longer.
BATCH_ROWS = 32_768
#: Rows that are encoded at a time: meanwhile no other thread runs, and the server would wait for
#: what is ready. A socket holds what it takes in about two milliseconds.
_ENCODED_ROWS = 2_048
#: At most so many words of 8 bytes remember which fingerprints came before: 64 MB.
MOST_WORDS = 1 << 23
#: Bits of a word that a fingerprint sets.
_BITS = 4


def encoded(
    trips: Trips,
    columns: Sequence[Column],
    selected: Sequence[str],
    new: Mapping[str, str],
    *,
    report: Callable[[int, int | None], None],
    repeated: IO[bytes],
    count: Callable[[pa.RecordBatch], None] = lambda rows: None,
) -> Iterator[bytes]:
    """Encode trips: the fingerprint of all columns, those that are selected, and new ones.

    What is selected and not in the trips' schema is NULL.

    Of rows with one fingerprint only the first is among them. All others, and a few that just look
    as if they had come before, are written to ``repeated`` in the same format; nothing is, if there
    are none.

    :param new: the Arrow types, by their aliases, that new columns get.
    :param report: is called with the rows encoded so far, and all of them, if that is known.
    :param count: is called with the rows of each batch, but for those that are ``repeated``.
    """
    types = {column.name: pa.type_for_alias(ARROW_TYPES[column.type]) for column in columns}
    known = [pa.field(name, types[name]) for name in selected]
    published = [column for column in columns if column.name in trips.schema.names]
    added = [pa.field(name, pa.type_for_alias(alias)) for name, alias in new.items()]
    schema = pa.schema([pa.field("unique_row_id", pa.binary()), *known, *added])
    encoder, apart = ArrowToPostgresBinaryEncoder(schema), ArrowToPostgresBinaryEncoder(schema)
    memory = Memory(trips.rows)
    read = 0
    yield encoder.write_header()
    for batch in trips.batches(BATCH_ROWS):
        ids = fingerprints(batch, published)
        arrays = [
            ids,
            *(_column(batch, field) for field in known),
            # a double may hold what isn't known to be one, with 15 digits
            *(batch.column(field.name).cast(field.type, safe=False) for field in added),
        ]
        rows = pa.RecordBatch.from_arrays(arrays, schema=schema)
        came_before = memory.came_before(ids)
        if came_before.any():
            if not repeated.tell():
                repeated.write(apart.write_header())
            repeated.write(apart.write_batch(rows.filter(as_mask(came_before))))
            rows = rows.filter(as_mask(~came_before))
        starts = range(0, rows.num_rows, _ENCODED_ROWS)
        yield b"".join(encoder.write_batch(rows.slice(at, _ENCODED_ROWS)) for at in starts)
        count(rows)
        read += batch.num_rows
        report(read, trips.rows)
    if repeated.tell():
        repeated.write(apart.finish())
    yield encoder.finish()


def _column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    """A column of a batch; NULLs, if the batch doesn't have it."""
    names = batch.schema.names
    return batch.column(field.name) if field.name in names else pa.nulls(len(batch), field.type)


class Memory:
    """Tells which fingerprints came before, in a fixed amount of memory, whatever the file's size.

    It misses none, and takes a few for known that aren't: a Bloom filter, whose bits for one
    fingerprint are all in one word, so that each costs one look. 23 to 82 of 3 million rows that
    are all different were taken for known, and some 20,000 of 20 million.
    """

    def __init__(self, rows: int | None) -> None:
        """:param rows: how many will come, at most, if that is known; fewer take less memory."""
        words = MOST_WORDS if rows is None else min(1 << rows.bit_length(), MOST_WORDS)
        self._words = np.zeros(words, np.uint64)

    def came_before(self, fingerprints: pa.Array) -> npt.NDArray[np.bool_]:
        """Whether each of these may have come before, in this call or another; they are known now.

        :param fingerprints: as ``fingerprint.fingerprints`` makes them.
        """
        halves = np.frombuffer(fingerprints.buffers()[2], "<u8").reshape(-1, 2)
        low, high = np.ascontiguousarray(halves.T)  # an md5's bits are as good as random
        places = (high & np.uint64(len(self._words) - 1)).astype(np.intp)
        bits = np.zeros(len(low), np.uint64)
        for number in range(_BITS):
            bits |= np.uint64(1) << ((low >> np.uint64(6 * number)) & np.uint64(63))
        held = self._words[places]
        known: npt.NDArray[np.bool_] = (held & bits) == bits
        self._words[places] = held | bits
        left = np.flatnonzero((self._words[places] & bits) != bits)
        while len(left):  # of several in one word, the last one was written
            self._words[places[left]] |= bits[left]
            left = left[(self._words[places[left]] & bits[left]) != bits[left]]
        ordered = np.sort(low)
        if (ordered[1:] == ordered[:-1]).any():  # two within this call
            order = np.argsort(low, kind="stable")
            known[order[1:]] |= low[order[1:]] == low[order[:-1]]
        return known
