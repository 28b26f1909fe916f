"""Trips out of the warehouse: what is read is what the tables hold, and one sum tells it."""

import struct
import uuid
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from months import FEBRUARY, JANUARY, Months, trip, trips

from luigi_tasks import config, warehouse
from luigi_tasks.checksums import FingerprintSum, as_texts
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.warehouse import decoding, exporting

GREEN_JANUARY = Month("green", JANUARY)
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


class Collected:
    """A consumer that keeps what it gets."""

    def __init__(self) -> None:
        self.batches: list[pa.RecordBatch] = []
        self.is_closed = False

    def begin(self, schema: pa.Schema) -> None:
        self.schema = schema

    def write(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)

    def close(self) -> None:
        self.is_closed = True

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(pa.Table.from_batches(self.batches, self.schema).to_pylist())


def export(month: Month = GREEN_JANUARY) -> tuple[Collected, warehouse.Exported]:
    collected = Collected()
    exported = warehouse.export_trips(config.open_warehouse(), month, collected)
    assert collected.is_closed
    return collected, exported


def sum_of(ids: list[str]) -> FingerprintSum:
    """The sum of fingerprints by Python's own whole numbers."""
    numbers = [uuid.UUID(each).int for each in ids]
    upper, lower = sum(n >> 64 for n in numbers), sum(n & (2**64 - 1) for n in numbers)
    return FingerprintSum(len(ids), upper % 2**64, lower % 2**64)


# --- trips ----------------------------------------------------------------------------------------


def test_what_is_read_is_what_the_table_holds(months: Months) -> None:
    """NULL and the empty text, any text, all types, strays, and columns that somebody added."""
    new = {"n": "bigint", "f": "double precision", "b": "boolean", "t": "text"}
    new["at"] = "timestamp without time zone"
    rows = [
        trip(n=2**62, f=-0.0, b=True, t="naïve ☃", at=datetime(1, 1, 1)),
        trip(
            number=1, n=None, f=float("inf"), b=False, t="", at=datetime(9999, 12, 31, 23, 59, 59)
        ),
        trip(number=2, n=-1, f=1e-310, b=None, t="x" * 50_000, store_and_fwd_flag=""),
        trip(number=3, passenger_count=None, at=datetime(2024, 1, 1, 0, 0, 0, 123456)),
        trip("2024-02-03 00:00:00", 4, t="'\",\\\n\t"),
        trip("2009-01-01 00:00:00", 5),
    ]
    months.load(rows, new_columns=new)
    months.load(trips(3, "2024-02-10 00:00:00"), FEBRUARY)
    months.database.query(
        "ALTER TABLE green_trips ADD exact numeric DEFAULT 1.10, ADD facts jsonb DEFAULT '[1]', "
        "ADD small smallint DEFAULT -3, ADD short varchar(9) DEFAULT 'abc', ADD day date, "
        "ADD rough real DEFAULT 0.1"
    )
    collected, exported = export()
    names = [field.name for field in collected.schema]
    columns = [f"{n}::text" if n in ("unique_row_id", "exact", "facts") else n for n in names]
    wanted = months.database.query(
        f"SELECT {', '.join(columns)} FROM green_trips "
        "WHERE filename = 'green_tripdata_2024-01.parquet' ORDER BY pickup_datetime, unique_row_id"
    )
    found = [tuple(row.values()) for row in collected.rows]
    rough = names.index("rough")
    assert [repr(row) for row in found] == [
        repr((*row[:rough], float(np.float32(row[rough])), *row[rough + 1 :])) for row in wanted
    ]
    assert [row["pickup_datetime"].year for row in collected.rows] == [2009] + 5 * [2024]
    assert exported.sum == sum_of([row["unique_row_id"] for row in collected.rows])


def test_the_sums_of_server_and_client_agree(months: Months) -> None:
    months.load(trips(3000))
    months.load([*trips(10, "2024-02-10 00:00:00"), *trips(2)], FEBRUARY)  # two are January's
    opened = config.open_warehouse()
    whole = FingerprintSum()
    for month in (GREEN_JANUARY, Month("green", FEBRUARY)):
        _, exported = export(month)
        assert exported.sum == warehouse.sum_fingerprints(opened, month)
        whole += exported.sum
    assert whole.rows == months.count() == 3010
    asked = "SELECT unique_row_id::text FROM green_trips"
    assert whole == sum_of([each for (each,) in months.database.query(asked)])


@on_one_server
def test_batches_come_in_the_order_of_pickups(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "BATCH_ROWS", 40)
    at = datetime(2024, 1, 1)
    months.load([trip(str(at + timedelta(minutes=n * 7919 % 40_000))) for n in range(500)])
    collected, exported = export()
    assert [batch.num_rows for batch in collected.batches] == 12 * [40] + [20]
    pickups = [row["pickup_datetime"] for row in collected.rows]
    assert pickups == sorted(pickups)
    assert exported.sum.rows == 500


@on_one_server
def test_trips_and_load_are_of_one_moment(months: Months, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others commit after the load was read isn't seen."""
    months.load(trips(20))
    columns_of = exporting.columns_of

    def meanwhile(*names: Any) -> Any:
        months.database.query("DELETE FROM green_trips")
        return columns_of(*names)

    monkeypatch.setattr(exporting, "columns_of", meanwhile)
    _, exported = export()
    assert exported.sum.rows == 20
    assert months.count() == 0


@on_one_server
def test_a_month_without_trips_has_its_columns(months: Months) -> None:
    months.load([])
    collected, exported = export()
    assert (collected.rows, exported.sum) == ([], FingerprintSum())
    assert "total_amount" in collected.schema.names


@on_one_server
def test_what_stops_the_consumer_stops_the_server(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the session can be used afterwards."""
    monkeypatch.setattr(exporting, "BATCH_ROWS", 40)
    monkeypatch.setattr(Collected, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    months.load(trips(2000))
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            export()
        assert warehouse.sum_fingerprints(config.open_warehouse(), GREEN_JANUARY).rows == 2000


@on_one_server
def test_a_month_that_was_never_loaded_is_refused(months: Months) -> None:
    months.load([])
    with pytest.raises(TaxiError, match="green 2024-02: isn't merged any more"):
        export(Month("green", FEBRUARY))


# --- the format, and the sum ----------------------------------------------------------------------

#: How PostgreSQL sends a value, by type, and what comes of it.
SENT: dict[str, Any] = {
    "smallint": lambda v: struct.pack(">h", v),
    "integer": lambda v: struct.pack(">i", v),
    "bigint": lambda v: struct.pack(">q", v),
    "double precision": lambda v: struct.pack(">d", v),
    "boolean": lambda v: bytes([v]),
    "uuid": lambda v: v.bytes,
    "text": lambda v: v.encode(),
}
VALUES = {
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double precision": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "uuid": st.uuids(),
    "text": st.text("aé☃\U0001f695", max_size=20),
}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_row_is_decoded(data: st.DataObject) -> None:
    types = data.draw(st.lists(st.sampled_from(list(SENT)), min_size=1, max_size=6))
    row = st.tuples(*(st.none() | VALUES[each] for each in types))
    rows = data.draw(st.lists(row, max_size=12))

    def field(value: Any, column_type: str) -> bytes:
        sent = b"" if value is None else SENT[column_type](value)
        return struct.pack(">i", -1 if value is None else len(sent)) + sent

    messages = [
        struct.pack(">h", len(types)) + b"".join(map(field, values, types)) for values in rows
    ]
    batch = decoding.decode(messages, {f"c{n}": each for n, each in enumerate(types)})
    batch.validate(full=True)
    found = [tuple(each.values()) for each in batch.to_pylist()]
    assert found == [
        tuple(str(value) if isinstance(value, uuid.UUID) else value for value in values)
        for values in rows
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.uuids(), max_size=30), st.randoms())
def test_the_sum_knows_no_order_and_no_place(ids: list[uuid.UUID], random: Any) -> None:
    texts = list(map(str, ids))
    wanted = sum_of(texts)
    random.shuffle(texts)
    whole = pa.array(["x" * 36, *texts], pa.string())[1:]
    middle = random.randint(0, len(texts))
    halves = [FingerprintSum.of_texts(each) for each in (whole[:middle], whole[middle:])]
    assert halves[0] + halves[1] == FingerprintSum.of_texts(whole) == wanted
    raw = np.frombuffer(b"".join(each.bytes for each in ids), np.uint8).reshape(-1, 16)
    assert FingerprintSum.of_bytes(raw) == wanted
    assert as_texts(raw).tobytes().decode() == "".join(map(str, ids))


@pytest.mark.parametrize("wrong", [[None], ["0" * 35]])
def test_what_is_no_fingerprint_is_refused(wrong: list[str | None]) -> None:
    with pytest.raises(ValueError, match="a fingerprint"):
        FingerprintSum.of_texts(pa.array(wrong, pa.string()))


def test_halves_may_be_signed() -> None:
    assert FingerprintSum.of_halves(3, -1, None) == FingerprintSum(3, 2**64 - 1, 0)
    assert str(FingerprintSum(1, 2**64 - 1, 5)) == "ffffffffffffffff0000000000000005"
