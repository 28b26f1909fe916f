"""Values of every era, type and layout become those of their column, or a reject."""

import struct
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import (
    ROW,
    WORDS,
    Folder,
    fixture_folder,  # noqa: F401
    green,
    transformed,
)

from luigi_tasks.catalog import FHV, GREEN, YELLOW
from luigi_tasks.transform.casting import cast_readable


def test_a_count_of_nan_is_null(folder: Folder) -> None:
    folder.write(passenger_count=[2.0, float("nan"), None, 0.0])
    assert folder.transform().rows_rejected == 0
    assert folder.column("passenger_count") == [2, None, None, 0]


def test_numbers_written_as_text_are_read(folder: Folder) -> None:
    folder.write(
        passenger_count=["1", " 2 ", "3.0", "", "  ", None],
        fare_amount=["1", " 2.5", "-.50", "", "2.6299999999999999", None],
    )
    assert folder.transform().rows_rejected == 0
    assert folder.column("passenger_count") == [1, 2, 3, None, None, None]
    assert folder.column("fare_amount") == [1.0, 2.5, -0.5, None, 2.63, None]


def test_a_column_that_is_a_dictionary_is_read(folder: Folder) -> None:
    folder.write(passenger_count=pa.array(["1", " 2", None, ""]).dictionary_encode())
    assert pa.types.is_dictionary(pq.read_schema(folder.raw).field("passenger_count").type)
    assert folder.transform().rows_rejected == 0
    assert folder.column("passenger_count") == [1, 2, None, None]


def test_times_written_as_text_are_read(folder: Folder) -> None:
    folder.write(
        pickup_datetime=["2024-01-01 10:00:00", " 2024-01-01T10:00:01.5 ", "2024-01-01 10:00"],
        dropoff_datetime=["", None, "2024-01-01 10:20:00.123456"],
    )
    assert folder.transform().rows_rejected == 0
    assert folder.column("pickup_datetime") == [
        datetime(2024, 1, 1, 10),
        datetime(2024, 1, 1, 10, 0, 1, 500_000),
        datetime(2024, 1, 1, 10),
    ]
    assert folder.column("dropoff_datetime") == [
        None,
        None,
        datetime(2024, 1, 1, 10, 20, 0, 123_456),
    ]


def test_text_stays_as_it_is(folder: Folder) -> None:
    flags = ["N", "", " Y ", None, "N/A", "naïve 🚕"]
    folder.write(store_and_fwd_flag=flags)
    folder.transform()
    assert folder.column("store_and_fwd_flag") == flags


IN_NEW_YORK = datetime(2024, 1, 1, 10)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        (
            "pickup_datetime",
            pa.array([IN_NEW_YORK] * 2).cast(pa.timestamp("us", "America/New_York")),
            [datetime(2024, 1, 1, 5)] * 2,
        ),
        (
            "dropoff_datetime",
            pa.array([datetime(2024, 7, 1, 14), None], pa.timestamp("ms", "UTC")),
            [datetime(2024, 7, 1, 10), None],
        ),
        ("store_and_fwd_flag", pa.array([b"N", b"1"]), ["N", "Y"]),
        ("store_and_fwd_flag", pa.array(["N", None], pa.string_view()), ["N", None]),
        ("vendor_id", pa.array([b"CMT", b"VTS"], pa.large_binary()), [1, 2]),
        ("vendor_id", pa.array([" 2 ", "CMT"], pa.string_view()), [2, 1]),
        ("lpep_pickup_datetime", pa.array(["2024-01-01 10:00:00"] * 2), [IN_NEW_YORK] * 2),
    ],
    ids=lambda value: str(getattr(value, "type", ""))[:40] or None,
)
def test_values_of_whatever_layout_are_read(
    folder: Folder, name: str, values: pa.Array, expected: list[Any]
) -> None:
    """Moments with a time zone become what the clocks of New York show."""
    folder.write(**{name: values})
    if name.startswith("lpep"):
        pq.write_table(pq.read_table(folder.raw).drop_columns(["pickup_datetime"]), folder.raw)
    folder.transform(max_reject_ratio=0)
    assert folder.column(name.removeprefix("lpep_")) == expected


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array([1704103200, 1704103201]), "is a number, and no time"),
        (pa.array(["02/30/2020 01:30:00 PM", "2020 Feb 30 01:30:00 PM"]), "a day that its month"),
        (pa.array(["01/29/2020 14:13:01", "01/29/2020"]), "is no time"),
        (pa.array(["2020 Jan 29 02:13:60 PM", "2020-02-30 10:00:00"]), "2020-02-30"),
        (pa.array(["", None]), "has no value"),
    ],
    ids=["numbers", "days", "hours", "seconds", "nothing"],
)
def test_what_is_no_pickup_is_a_reject(folder: Folder, values: pa.Array, reason: str) -> None:
    folder.write(lpep_pickup_datetime=values)
    pq.write_table(pq.read_table(folder.raw).drop_columns(["pickup_datetime"]), folder.raw)
    assert folder.transform(max_reject_ratio=1).rows_rejected == 2
    assert any(reason in reject["reason"] for reject in folder.read_rejects())


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("year", [200_000, 10_000, -1])
def test_a_pickup_that_no_calendar_knows_is_set_aside(folder: Folder, unit: str, year: int) -> None:
    seconds = (year - 1970) * 31_556_952
    ticks = seconds * {"s": 1, "ms": 1_000, "us": 1_000_000}[unit]
    folder.write(pickup_datetime=pa.array([ticks, 0], pa.timestamp(unit)), trip_type=[7, 8])
    assert folder.transform(max_reject_ratio=0.5).rows_rejected == 1
    [reject] = folder.read_rejects()
    assert (reject["row"], reject["column"]) == (1, "pickup_datetime")
    assert reject["record"]["trip_type"] == 7


@pytest.mark.parametrize(
    ("value", "arrow_type"),
    [
        (2**63 - 1, pa.timestamp("s")),  # as microseconds, it would be the end of 1969
        (2**63 // 1_000, pa.timestamp("ms")),
        (2**31 - 1, pa.date32()),
    ],
)
def test_a_pickup_is_set_aside_and_becomes_no_other_one(
    value: int, arrow_type: pa.DataType
) -> None:
    storage = pa.int32() if arrow_type == pa.date32() else pa.int64()
    times = pa.array([value, 0], storage).cast(arrow_type)
    [pickup] = [column for column in GREEN.columns if column.name == "pickup_datetime"]
    cast, [(index, _)] = cast_readable(times, pickup)
    assert (index, cast.to_pylist()) == (0, [None, datetime(1970, 1, 1)])


@pytest.mark.parametrize("value", ["\v", "\u00a09.5", "9.5\u3000", "\x1c\x85 9.5\u2003", "\u2028"])
def test_a_value_is_read_alike_whatever_is_beside_it(value: str) -> None:
    """A fast way and a careful one, which is taken if some value can't be read."""
    [fare] = [column for column in GREEN.columns if column.name == "fare_amount"]
    alone, _ = cast_readable(pa.array([value]), fare)
    together, [(index, _)] = cast_readable(pa.array([value, "x"]), fare)
    assert (together.slice(0, 1).equals(alone), index) == (True, 1)


def test_a_time_of_the_portal_may_have_blanks_beside_another_value() -> None:
    [pickup] = [column for column in GREEN.columns if column.name == "pickup_datetime"]
    for time in (" 2019 Jan 29 02:13:01 PM", "01/29/2019 02:13:01 PM\u00a0"):
        cast, [(index, _)] = cast_readable(pa.array([time, "x"]), pickup)
        assert (cast[0].as_py(), index) == (datetime(2019, 1, 29, 14, 13, 1), 1)


def test_a_number_for_a_pickup_is_unreadable_once() -> None:
    [pickup] = [column for column in GREEN.columns if column.name == "pickup_datetime"]
    cast, unreadable = cast_readable(pa.array([1, 2, 3]), pickup)
    assert [index for index, _ in unreadable] == [0, 1, 2]
    assert cast.to_pylist() == [None] * 3


def test_times_of_96_bits_keep_their_years(folder: Folder) -> None:
    """Read as nanoseconds, the year 3000 would be 1830."""
    times = [datetime(3000, 1, 1), datetime(1500, 1, 1), datetime(2024, 1, 1)]
    folder.write(pickup_datetime=pa.array(times, pa.timestamp("us")))
    pq.write_table(pq.read_table(folder.raw), folder.raw, use_deprecated_int96_timestamps=True)
    assert folder.transform().rows_rejected == 0
    assert folder.column("pickup_datetime") == times


def test_text_that_is_no_utf8_is_a_reject_of_its_row(folder: Folder) -> None:
    """Parquet doesn't keep a writer from it."""
    offsets, data = pa.py_buffer(struct.pack("3i", 0, 1, 2)), pa.py_buffer(b"N\xff")
    folder.write(store_and_fwd_flag=pa.Array.from_buffers(pa.string(), 2, [None, offsets, data]))
    assert folder.transform(max_reject_ratio=1).rows_written == 1
    [reject] = folder.read_rejects()
    assert (reject["row"], reject["value"]) == (2, "\ufffd")


def yellow(**values: Any) -> dict[str, Any]:
    row = {
        "vendor_name": "VTS",
        "Trip_Pickup_DateTime": "2009-01-04 02:52:00",
        "Trip_Dropoff_DateTime": "2009-01-04 03:02:00",
        "Trip_Distance": 2.63,
        "Start_Lon": -73.99,
        "Start_Lat": 40.72,
        "End_Lon": -73.99,
        "End_Lat": 40.69,
        "Fare_Amt": 8.9,
    }
    return {**row, **values}


def of_yellow(folder: Folder, **values: Any) -> dict[str, Any]:
    """One row of 2009, in parquet, as it comes out."""
    table = pa.table({name: [value] for name, value in yellow(**values).items()})
    pq.write_table(table, folder.raw)
    assert folder.transform(YELLOW, 0).unknown_columns == []
    row: dict[str, Any] = pq.read_table(folder.trips).to_pylist()[0]
    return row


@pytest.mark.parametrize(
    ("name", "column", "word", "code"),
    [
        *(("vendor_name", "vendor_id", word, code) for word, code in WORDS["vendor_id"].items()),
        *(("Payment_Type", "payment_type", w, code) for w, code in WORDS["payment_type"].items()),
        ("store_and_forward", "store_and_fwd_flag", 0.0, "N"),
        ("store_and_forward", "store_and_fwd_flag", 1.0, "Y"),
        ("store_and_forward", "store_and_fwd_flag", "*", "*"),
        ("store_and_forward", "store_and_fwd_flag", None, None),
        ("Rate_Code", "rate_code_id", "1", 1),
        ("Rate_Code", "rate_code_id", 1, 1),
        ("surcharge", "extra", 0.5, 0.5),
    ],
)
def test_what_early_files_have_instead_of_codes(
    folder: Folder, name: str, column: str, word: Any, code: Any
) -> None:
    assert of_yellow(folder, **{name: word})[column] == code


def test_a_word_that_nobody_knows_is_a_reject(folder: Folder) -> None:
    pq.write_table(pa.table({n: [v] for n, v in yellow(vendor_name="XYZ").items()}), folder.raw)
    folder.transform(YELLOW, 1)
    assert folder.read_rejects()[0]["value"] == "XYZ"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2019 Jan 29 02:13:01 PM", datetime(2019, 1, 29, 14, 13, 1)),
        ("2019 Jan 29 12:13:01 AM", datetime(2019, 1, 29, 0, 13, 1)),
        ("01/29/2019 02:13:01 PM", datetime(2019, 1, 29, 14, 13, 1)),
        ("2019-01-29T02:13:01.000", datetime(2019, 1, 29, 2, 13, 1)),
        ("2019-01-29 02:13:01.250000", datetime(2019, 1, 29, 2, 13, 1, 250_000)),
        (" 2019-01-29 02:13:01", datetime(2019, 1, 29, 2, 13, 1)),
    ],
)
def test_times_as_they_are_written(folder: Folder, time: str, expected: datetime) -> None:
    table = pa.table({n: [v] * 2 for n, v in yellow().items()})
    table = table.set_column(1, table.schema[1].name, pa.array(["2019-01-01 00:00:00", time]))
    pq.write_table(table, folder.raw)
    folder.transform(YELLOW, 0)
    assert folder.column("pickup_datetime") == [datetime(2019, 1, 1), expected]


@pytest.mark.parametrize(
    "time", ["2019 Jan 32 02:13:01 PM", "13/29/2019 02:13:01 PM", "2019-01-29T02:13:01Z", "noon"]
)
def test_a_time_that_is_none_is_a_reject(folder: Folder, time: str) -> None:
    rows = [ROW, ROW.replace("2013-09-01 00:02:00", time)]
    folder.raw.write_bytes(green(*rows))
    assert folder.transform(max_reject_ratio=1).rows_written == 1
    assert folder.read_rejects()[0]["value"] == time


def test_a_base_is_taken_from_the_column_that_has_it(folder: Folder) -> None:
    content = (
        b'"Pickup_DateTime","DropOff_datetime","PUlocationID","DOlocationID","SR_Flag",'
        b'"Dispatching_base_number","Dispatching_base_num"\r\n'
        b'"2018-01-30 21:06:50","2018-01-30 21:15:34","56","129","","B02884",""\r\n'
        b'"2018-01-30 21:06:51","","","","1","B02884","B00001"\r\n'
    )
    bases = [row["dispatching_base_num"] for row in transformed(folder, content, FHV)]
    assert bases == ["B02884", "B00001"]


def test_parquet_of_2010_is_read(folder: Folder) -> None:
    names = {
        "vendor_name": "vendor_id",
        "Trip_Pickup_DateTime": "pickup_datetime",
        "Trip_Dropoff_DateTime": "dropoff_datetime",
        "Start_Lon": "pickup_longitude",
        "Start_Lat": "pickup_latitude",
        "End_Lon": "dropoff_longitude",
        "End_Lat": "dropoff_latitude",
        "Fare_Amt": "fare_amount",
        "Trip_Distance": "trip_distance",
    }
    row = {names[name]: [value] for name, value in yellow(vendor_name="CMT").items()}
    row |= {"rate_code": ["1"], "surcharge": [0.5], "__index_level_0__": [7]}
    pq.write_table(pa.table({**row, "ehail_fee": pa.nulls(1)}).drop(["ehail_fee"]), folder.raw)
    assert folder.transform(YELLOW, 0).unknown_columns == []
    [trip] = pq.read_table(folder.trips).to_pylist()
    assert (trip["vendor_id"], trip["rate_code_id"], trip["extra"]) == (1, 1, 0.5)
    assert trip["pickup_datetime"] == datetime(2009, 1, 4, 2, 52)
    assert (trip["pickup_latitude"], trip["pickup_location_id"]) == (40.72, None)
