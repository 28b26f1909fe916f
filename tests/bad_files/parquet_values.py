"""Parquet that is sound, of columns, types and values that no month should have."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from bad_files.shapes import ROWS, Bad, either, last, loaded, parquet, refused, trips

_ALL = [1] * ROWS


def _with(count: int = ROWS, **columns: Any) -> bytes:
    return parquet(trips(count, **columns))


def _new(column: Any) -> Bad:
    """A column that the catalog doesn't know: as one of the table, or left out."""
    return loaded(lambda: _with(lane=column))


def _named(*names: str) -> bytes:
    """With further columns of these names."""
    table = trips()
    columns = [*table.columns, *[pa.array(_ALL)] * len(names)]
    return parquet(pa.Table.from_arrays(columns, [*table.column_names, *names]))


def _times(value: int, unit: str) -> pa.Array:
    good = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit] * 1_700_000_000
    return pa.array([good] * (ROWS - 1) + [value], pa.int64()).cast(pa.timestamp(unit))


def _time(value: int, unit: str, *, is_read: bool = False, **options: Any) -> Bad:
    """A last pickup that is so many units from 1970."""
    rows, rejects = (ROWS, 0) if is_read else (ROWS - 1, 1)
    return loaded(
        lambda: parquet(trips(pickup_datetime=_times(value, unit)), **options), rows, rejects
    )


class _Money(pa.ExtensionType):
    def __init__(self) -> None:
        super().__init__(pa.float64(), "tests.money")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> "_Money":
        return cls()


_INDEXES = pa.array([0, 1] * (ROWS // 2), pa.int32())

FILES: dict[str, Bad] = {
    # --- columns
    "no rows": loaded(lambda: _with(0), rows=0),
    "no columns": refused(lambda: parquet(pa.table({})), "not a file of green trips"),
    "one column": refused(lambda: parquet(pa.table({"VendorID": _ALL})), "green trips"),
    "10,000 columns": refused(lambda: _named(*(f"c{n}" for n in range(10_000))), "more than 500"),
    "a struct of 10,000 columns": refused(
        lambda: parquet(pa.table({"a": pa.array([{f"c{n}": 1 for n in range(10_000)}])})),
        "more than 500",
    ),
    "two columns of one name": refused(
        lambda: _named("lane", "lane"),
        "two columns 'lane'",
    ),
    "two columns for one": refused(lambda: _named(" VendorID"), "both stand for vendor_id"),
    "a column without a name": loaded(lambda: _named("")),
    "names of SQL, templates and paths": loaded(
        lambda: _named("'; DROP TABLE green_trips; --", "{{ 7 * 7 }}", "../../x", "%s", "a.b.c")
    ),
    "a name of control characters": loaded(lambda: _named('::{"outputs": {}}::\n\x1b[31m\0x')),
    "a name of 5 MB": refused(lambda: _named("n" * 5_000_000), "whose name has"),
    # --- types
    "a null type": _new(pa.nulls(ROWS)),
    "lists": _new(pa.array([[1, 2]] * ROWS)),
    "lists for a fare": refused(lambda: _with(fare_amount=[[1.5]] * ROWS), "can't be read"),
    "a struct": _new(pa.array([{"a": {"b": [1]}}] * ROWS)),
    "a struct for a pickup": refused(lambda: _with(pickup_datetime=[{"a": 1}] * ROWS), "raw"),
    "a map": _new(pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64()))),
    "lists nested 60 deep": either(lambda: _with(lane=[_deep(60)] * ROWS), "raw"),
    "bytes": _new(pa.array([b"\xff\0"] * ROWS)),
    "bytes of a fixed size": _new(pa.array([b"\xff\0"] * ROWS, pa.binary(2))),
    "bytes for a flag": loaded(
        lambda: _with(store_and_fwd_flag=last(b"\xff", pa.binary(), b"N")), 19, 1
    ),
    "text that isn't UTF-8": loaded(
        lambda: _with(store_and_fwd_flag=_not_utf8(), pickup_location_id=_ALL), 19, 1
    ),
    "new text that isn't UTF-8": loaded(lambda: _with(note=_not_utf8()), 19, 1),
    "a NUL in a text": loaded(
        lambda: _with(store_and_fwd_flag=last("a\0", pa.string(), "N")), 19, 1
    ),
    "a NUL in a new text": loaded(lambda: _with(note=last("a\0", pa.string(), "x")), 19, 1),
    "large text": _new(pa.array(["x"] * ROWS, pa.large_string())),
    "text by view": _new(pa.array(["x"] * ROWS, pa.string_view())),
    "a dictionary of text": _new(pa.DictionaryArray.from_arrays(_INDEXES, pa.array(["a", "b"]))),
    "a dictionary of times for a pickup": loaded(
        lambda: _with(
            pickup_datetime=pa.DictionaryArray.from_arrays(
                _INDEXES, pa.array([datetime(2024, 1, 1), datetime(2024, 1, 2)])
            )
        )
    ),
    "an extension type": _new(pa.ExtensionArray.from_storage(_Money(), pa.array([1.5] * ROWS))),
    "an extension type for a fare": either(
        lambda: _with(fare_amount=pa.ExtensionArray.from_storage(_Money(), pa.array([1.5] * ROWS))),
        "raw",
    ),
    "half floats": loaded(lambda: _with(fare_amount=last(1.5, pa.float16()))),
    "times of the day": _new(pa.array([time(1)] * ROWS)),
    "a time of the day for a pickup": refused(
        lambda: _with(pickup_datetime=[time(1)] * ROWS), "raw"
    ),
    "a duration for a pickup": refused(lambda: _with(pickup_datetime=[timedelta(1)] * ROWS), "raw"),
    "a date for a pickup": loaded(lambda: _with(pickup_datetime=[date(2024, 1, 1)] * ROWS)),
    "true for a vendor": either(lambda: _with(vendor_id=[True] * ROWS), "raw"),
    # --- values
    "NaN and infinities": loaded(
        lambda: _with(fare_amount=[float("nan"), float("inf"), -float("inf"), -0.0] * 5)
    ),
    "a vendor that is NaN": loaded(lambda: _with(vendor_id=last(float("nan"), pa.float64()))),
    "a vendor that is infinite": loaded(
        lambda: _with(vendor_id=last(float("inf"), pa.float64())), 19, 1
    ),
    "a vendor beyond 32 bits": loaded(lambda: _with(vendor_id=last(2**40, pa.int64())), 19, 1),
    "a vendor of 64 bits without a sign": loaded(
        lambda: _with(vendor_id=last(2**64 - 1, pa.uint64())), 19, 1
    ),
    "a new number of 64 bits without a sign": _new(last(2**64 - 1, pa.uint64())),
    "a fare of 38 digits": loaded(
        lambda: _with(fare_amount=last(Decimal("9" * 38), pa.decimal128(38, 0)))
    ),
    "a fare of 76 digits": loaded(
        lambda: _with(fare_amount=last(Decimal("9" * 76), pa.decimal256(76, 0)))
    ),
    "a vendor of 38 digits": loaded(
        lambda: _with(vendor_id=last(Decimal("9" * 38), pa.decimal128(38, 0))), 19, 1
    ),
    "a new decimal": _new(last(Decimal("1.123456789012345678901234567890"), pa.decimal128(38, 30))),
    "a pickup in the year 9999": _time(253_402_300_799, "s", is_read=True),
    "a pickup in the year 10000": _time(253_402_300_800, "s"),
    "a pickup in the year 1": _time(-62_135_596_800, "s", is_read=True),
    "a pickup before the year 1": _time(-62_135_596_801, "s"),
    "the last second that Parquet has": _time((2**63 - 1) // 1_000, "s"),
    "the last millisecond there is": _time(2**63 - 1, "ms"),
    "the last microsecond there is": _time(2**63 - 1, "us"),
    "the last nanosecond there is": _time(2**63 - 1, "ns", is_read=True),
    "PostgreSQL's infinity": _time(-(2**63) + 1, "us"),
    "a pickup of 96 bits in the year 3000": _time(
        32_503_680_000, "s", is_read=True, use_deprecated_int96_timestamps=True
    ),
    "a pickup with a zone": loaded(
        lambda: _with(pickup_datetime=_times(2**62, "us").cast(pa.timestamp("us", "Asia/Tokyo"))),
        19,
        1,
    ),
    "a pickup with a zone that there isn't": either(
        lambda: _with(pickup_datetime=_times(1, "us").cast(pa.timestamp("us", "Mars/Olympus"))),
        "raw",
    ),
    "a pickup at the edge of time with a zone": loaded(
        lambda: _with(pickup_datetime=_times(-(2**63) + 1, "us").cast(pa.timestamp("us", "UTC"))),
        19,
        1,
    ),
    "a new date beyond the years": loaded(
        lambda: _with(day=last(2**31 - 1, pa.int32()).cast(pa.date32())), 19, 1
    ),
    "a new time beyond the years": loaded(lambda: _with(seen=_times(2**63 - 1, "us")), 19, 1),
    "a new time in nanoseconds": _new(_times(2**63 - 1, "ns")),
    "no pickup": loaded(
        lambda: _with(pickup_datetime=pa.array([None] + [datetime(2024, 1, 1)] * 19)), 19, 1
    ),
    "no pickups": refused(lambda: _with(pickup_datetime=pa.nulls(ROWS)), "rows can't be read"),
    "every row alike": loaded(
        lambda: _with(
            pickup_datetime=[datetime(2024, 1, 1)] * ROWS,
            dropoff_datetime=[datetime(2024, 1, 1)] * ROWS,
        )
    ),
    # --- size
    "a text of 80 MB": refused(
        lambda: parquet(trips(1, note=["x" * 80_000_000])), "row group of 1 rows"
    ),
    "a text of 2 MB in a dictionary": refused(
        lambda: _with(note=["x" * 2_000_000] * ROWS), "value of 2,000,000 bytes"
    ),
    "a list of 20,000,000 numbers": loaded(
        lambda: parquet(
            trips(
                1, lane=pa.ListArray.from_arrays([0, 20_000_000], pa.nulls(20_000_000, pa.int8()))
            )
        ),
        1,
    ),
    "1,000 row groups": loaded(lambda: parquet(trips(1_000), row_group_size=1), 1_000),
    "10,001 row groups": refused(lambda: _many_groups(10_001), "row groups, more than"),
}


def _deep(levels: int) -> Any:
    return 1 if not levels else [_deep(levels - 1)]


def _not_utf8() -> pa.Array:
    """Text whose last value is a byte that isn't UTF-8."""
    raw = pa.array([b"N"] * (ROWS - 1) + [b"\xff"], pa.binary())
    return pa.Array.from_buffers(pa.string(), ROWS, raw.buffers())


def _many_groups(count: int) -> bytes:
    return parquet(pa.table({"VendorID": [1] * count}), row_group_size=1)
