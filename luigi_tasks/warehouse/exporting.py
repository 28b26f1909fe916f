"""Read the trips of a month's file out of the warehouse, in bounded memory, and sum them up.

``filename`` selects them, not the month of the pickup: these are the rows that the file's own loads
alone change, strays among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

import psycopg2

from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.records import LedgerLoad
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse.columns import columns_of
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.ledger import merged_months
from luigi_tasks.warehouse.session import query, transaction
from luigi_tasks.warehouse.sql import execute, render, rows

if TYPE_CHECKING:
    import pyarrow as pa

    from luigi_tasks.checksums import FingerprintSum

#: Rows, and bytes of messages, that are decoded at once.
BATCH_ROWS, BATCH_BYTES = 65_536, 1 << 24


class Consumer(Protocol):
    """Whoever takes trips. It is called in a thread, by one call after the other."""

    def begin(self, schema: pa.Schema) -> None:
        """Hear of the columns that all batches have."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch."""

    def close(self) -> None:
        """Hear that all have come."""


@dataclass(frozen=True)
class Exported:
    """What was read: which load of the month it is, and the sum of its fingerprints."""

    load: LedgerLoad
    sum: FingerprintSum


def merged_loads(
    warehouse: Warehouse, taxi_type: str, months: Sequence[date]
) -> dict[date, LedgerLoad]:
    """The last loads of those of the months that are merged, by two queries for all of them."""
    merged = merged_months(warehouse, taxi_type, months) if months else set()
    if not merged:
        return {}
    label = f"loads of {taxi_type}"
    names = {"taxi_type": taxi_type, "trips": warehouse.trips[taxi_type].name}
    found = query(warehouse, label, "lake/last_loads.sql", months=sorted(merged), **names)
    return {month: LedgerLoad(*facts) for month, *facts in found}


def export_trips(
    warehouse: Warehouse,
    month: Month,
    consumer: Consumer,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Hand the trips of a month's file over, batch by batch, in the order of their pickups.

    Trips and ledger are those of one moment. While a batch is consumed, the server sends the next.

    :param consumer: gets ``unique_row_id`` as text, ``filename``, and the other columns of the
        trips table in its order. What isn't a number, time, truth value or text is text as
        PostgreSQL prints it.
    :param report: is called with the rows read so far, and how many there should be.
    :raises TaxiError: the month isn't merged.
    """
    trips, label = warehouse.trips[month.taxi_type], f"TaxiLake {month}"
    with transaction(warehouse, label, is_snapshot=True) as cursor:
        names = {"taxi_type": month.taxi_type, "trips": trips.name}
        found = rows(cursor, "lake/last_loads.sql", months=[month.first_day], **names)
        if not found:
            raise TaxiError(f"{month}: isn't merged any more; run again")
        load = LedgerLoad(*found[0][1:])
        columns = {
            each.name: each.type
            for each in columns_of(cursor, trips.name)
            if each.name != "filename"
        }
        execute(cursor, "session/bulk_settings.sql")
        expected = sum(each["rows"] for each in load.pickup_months.values())
        with ThreadPoolExecutor(1) as thread:
            received = _Received(cursor, columns, month, consumer, thread)
            received.report = lambda done: report(done, expected)
            consumer.begin(received.schema)
            received.read(
                render(
                    cursor,
                    "lake/read_trips.sql",
                    sent=received.sent,
                    trips=trips.name,
                    filename=month.filename,
                    pickups=load.pickup_bounds,
                )
            )
            thread.submit(consumer.close).result()
        return Exported(load, received.sum)


def sum_fingerprints(warehouse: Warehouse, month: Month) -> FingerprintSum:
    """The sum of the fingerprints of a month's file, by the server; of no rows, if it isn't merged.

    It is the same as that of a record of the lake, and as any other way of summing up these trips.
    """
    from luigi_tasks.checksums import FingerprintSum

    trips, label = warehouse.trips[month.taxi_type], f"sum of {month}"
    names: dict[str, Any] = {"taxi_type": month.taxi_type, "trips": trips.name}
    with transaction(warehouse, label, is_snapshot=True) as cursor:
        found = rows(cursor, "lake/last_loads.sql", months=[month.first_day], **names)
        if not found:
            return FingerprintSum()
        pickups = LedgerLoad(*found[0][1:]).pickup_bounds
        names |= {"filename": month.filename, "pickups": pickups}
        return FingerprintSum.of_halves(*rows(cursor, "lake/sum_fingerprints.sql", **names)[0])


class _Received:
    """What the server sends for COPY, as a file that psycopg2 writes a row to at a time."""

    report: Callable[[int], None]

    def __init__(
        self,
        cursor: Cursor,
        columns: dict[str, str],
        month: Month,
        consumer: Consumer,
        thread: ThreadPoolExecutor,
    ) -> None:
        import pyarrow as pa

        from luigi_tasks.checksums import FingerprintSum
        from luigi_tasks.warehouse import decoding

        self.sum = FingerprintSum()
        self._cursor, self._consumer, self._thread = cursor, consumer, thread
        self._decoding, self._columns = decoding, columns
        as_it_is = decoding.is_sent_as_it_is
        self.sent = {name: not as_it_is(each) for name, each in columns.items()}
        fields = [pa.field(name, decoding.arrow_type(each)) for name, each in columns.items()]
        self._filename = pa.scalar(month.filename, pa.dictionary(pa.int8(), pa.string()))
        self._place = list(columns).index("unique_row_id") + 1
        fields.insert(self._place, pa.field("filename", self._filename.type))
        self.schema = pa.schema(fields)
        self._rows: list[bytes] = []
        self._bytes, self._done, self._has_begun = 0, 0, False
        self._pending: Future[FingerprintSum] | None = None

    def read(self, statement: str) -> None:
        """Have the server send all rows, and see that all are consumed."""
        try:
            self._cursor.copy_expert(statement, self)
        except BaseException:
            with suppress(psycopg2.Error):
                self._cursor.connection.cancel()  # or it would go on sending what nobody takes
            raise
        self._hand_over()
        self._wait()

    def write(self, message: bytes) -> int:
        size = len(message)
        if not self._has_begun:  # the header comes with the first row
            self._has_begun = True
            message = message[len(self._decoding.HEADER) :]
        if message != self._decoding.TRAILER:
            self._rows.append(message)
            self._bytes += size
            if len(self._rows) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
                self._hand_over()
        return size

    def _hand_over(self) -> None:
        """Have the rows consumed that have come, once those before them are."""
        self._wait()
        if self._rows:
            self._pending = self._thread.submit(self._consume, self._rows)
            self._rows, self._bytes = [], 0

    def _wait(self) -> None:
        if self._pending:
            self.sum += self._pending.result()
            self._pending = None
            self.report(self.sum.rows)

    def _consume(self, messages: list[bytes]) -> FingerprintSum:
        import pyarrow as pa

        from luigi_tasks.checksums import FingerprintSum

        batch = self._decoding.decode(messages, self._columns)
        places = pa.py_buffer(bytes(batch.num_rows))
        indices = pa.Array.from_buffers(pa.int8(), batch.num_rows, [None, places])
        name = pa.array([self._filename.as_py()], pa.string())
        arrays = batch.columns
        arrays.insert(self._place, pa.DictionaryArray.from_arrays(indices, name))
        self._consumer.write(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        return FingerprintSum.of_texts(batch.column("unique_row_id"))
