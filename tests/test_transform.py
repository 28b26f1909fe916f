"""Files of every era in, one schema out; rows that can't be read are set aside with a reason."""

import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from luigi_tasks import forms, sample, transform
from luigi_tasks.catalog import GREEN, TAXI_TYPES, YELLOW, TaxiType
from luigi_tasks.errors import TaxiError
from luigi_tasks.transform import Report, arrow_schema

JANUARY = date(2024, 1, 1)

#: Published name, in lower case -> ours, where they differ by more than case. On purpose not
#: taken from the catalog.
RENAMED = {
    "vendorid": "vendor_id",
    "lpep_pickup_datetime": "pickup_datetime",
    "lpep_dropoff_datetime": "dropoff_datetime",
    "tpep_pickup_datetime": "pickup_datetime",
    "tpep_dropoff_datetime": "dropoff_datetime",
    "ratecodeid": "rate_code_id",
    "pulocationid": "pickup_location_id",
    "dolocationid": "dropoff_location_id",
}

ERAS = [
    (YELLOW, date(2011, 1, 1)),
    (YELLOW, date(2016, 1, 1)),
    (YELLOW, date(2018, 7, 1)),
    (YELLOW, date(2023, 2, 1)),
    (YELLOW, date(2025, 1, 1)),
    (YELLOW, date(2026, 6, 1)),
    (GREEN, date(2013, 8, 1)),
    (GREEN, date(2020, 3, 1)),
    (GREEN, date(2023, 2, 1)),
    (GREEN, date(2025, 1, 1)),
]


class Folder:
    """A raw file and what a transform makes of it."""

    def __init__(self, path: Path) -> None:
        self.raw = path / "raw.parquet"
        self.trips = path / "trips.parquet"
        self.rejects = path / "rejects.jsonl"

    def transform(self, kind: TaxiType = GREEN, max_reject_ratio: float = 0.01) -> Report:
        report = transform.transform([self.raw], self.trips, self.rejects, kind, max_reject_ratio)
        assert report.rows_read == report.rows_written + report.rows_rejected
        assert report.rows_written == pq.read_metadata(self.trips).num_rows
        assert report.rows_rejected == len(self.read_rejects())
        schema, expected = pq.read_schema(self.trips), arrow_schema(kind)
        assert schema.names == [*expected.names, *report.new_columns]
        assert pa.schema(list(schema)[: len(expected)]).equals(expected)
        return report

    def read_rejects(self) -> list[dict[str, Any]]:
        """Read the rejects by the letter of JSON, which knows no NaN."""
        if not self.rejects.exists():
            return []

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} isn't JSON")

        lines = self.rejects.read_text(encoding="utf-8").splitlines()
        return [json.loads(line, parse_constant=refuse) for line in lines]

    def write(self, **columns: Any) -> None:
        """Write green trips, of whom these columns are given as lists or arrays; others are 1."""
        rows = len(next(iter(columns.values())))
        trip = {column.name: pa.array([1] * rows, pa.int64()) for column in GREEN.columns}
        trip["pickup_datetime"] = trip["dropoff_datetime"] = pa.array(
            [datetime(2024, 1, 1, 10) + timedelta(seconds=n) for n in range(rows)]
        )
        trip["store_and_fwd_flag"] = pa.array(["N"] * rows)
        pq.write_table(pa.table({**trip, **columns}), self.raw)

    def column(self, name: str) -> list[Any]:
        return list(pq.read_table(self.trips)[name].to_pylist())

    def refusal(self, *arguments: Any) -> str:
        """What a transform that fails says; one line."""
        with pytest.raises(TaxiError) as refused:
            transform.transform([self.raw], self.trips, self.rejects, *(arguments or (GREEN,)))
        assert "\n" not in str(refused.value)
        assert str(refused.value).startswith(self.raw.name)
        return str(refused.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def as_pandas_reads_it(raw: Path) -> pd.DataFrame:
    """Read a published file with pandas, under our names: the independent second opinion."""
    frame = pd.read_parquet(raw)
    frame.columns = pd.Index([RENAMED.get(name.lower(), name.lower()) for name in frame.columns])
    for name in frame.columns:
        if name.endswith("_datetime"):
            frame[name] = pd.to_datetime(frame[name]).astype("datetime64[us]")
        elif name == "store_and_fwd_flag":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        elif name in {column.name for kind in TAXI_TYPES.values() for column in kind.columns}:
            text = frame[name].astype(object)
            text = text.map(lambda value: value.strip() if isinstance(value, str) else value)
            frame[name] = pd.to_numeric(text.where(text != "", None)).astype("float64")
    return frame


def assert_unchanged(folder: Folder, kind: TaxiType) -> None:
    """Every value is the published one, and a column that isn't published is NULL."""
    published, canonical = as_pandas_reads_it(folder.raw), pd.read_parquet(folder.trips)
    for column in kind.columns:
        mine = canonical[column.name]
        if column.name not in published:
            assert mine.isna().all(), column.name
            continue
        theirs = published[column.name]
        if column.type in ("integer", "double precision"):
            mine = mine.astype("float64")
        elif column.type == "text":
            mine = mine.astype(object).where(mine.notna(), None)
        pd.testing.assert_series_equal(mine, theirs, check_names=False, check_exact=True)


# eras and types


@pytest.mark.parametrize(("kind", "month"), ERAS)
def test_every_era_comes_out_alike(folder: Folder, kind: TaxiType, month: date) -> None:
    sample.write_month(folder.raw, kind.name, month, rows=1_500)
    for _ in range(2):
        report = folder.transform(kind)
        assert (report.rows_read, report.rows_rejected) == (1_500, 0)
        assert_unchanged(folder, kind)
    new = {"request_source": "text"} if month >= date(2026, 6, 1) else {}
    assert (report.new_columns, report.unknown_columns) == (new, [])


def retyped(kind: TaxiType, types: dict[str, pa.DataType]) -> pa.Schema:
    """The published schema of 2024-01 with other types for some columns."""
    schema = sample.schema(kind.name, JANUARY)
    assert types.keys() <= set(schema.names)
    return pa.schema([(field.name, types.get(field.name, field.type)) for field in schema])


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        (GREEN, {"ehail_fee": pa.null(), "congestion_surcharge": pa.null()}),
        (GREEN, {"passenger_count": pa.null(), "store_and_fwd_flag": pa.null()}),
        (YELLOW, {"Airport_fee": pa.null(), "congestion_surcharge": pa.null()}),
        (YELLOW, {"Airport_fee": pa.int32(), "congestion_surcharge": pa.int32()}),
        (GREEN, {"fare_amount": pa.int32(), "trip_distance": pa.float32()}),
        (GREEN, {"VendorID": pa.float64(), "PULocationID": pa.int64()}),
        (GREEN, {"RatecodeID": pa.float64(), "payment_type": pa.float64()}),
        (GREEN, {"passenger_count": pa.int8(), "trip_type": pa.uint64()}),
        (YELLOW, {"store_and_fwd_flag": pa.string()}),
        (YELLOW, {"store_and_fwd_flag": pa.dictionary(pa.int32(), pa.string())}),
        (GREEN, {"RatecodeID": pa.string(), "fare_amount": pa.large_string()}),
        (GREEN, {"lpep_pickup_datetime": pa.timestamp("s")}),
        (GREEN, {"lpep_pickup_datetime": pa.timestamp("ms")}),
        (GREEN, {"lpep_pickup_datetime": pa.timestamp("ns")}),
        (GREEN, {"lpep_pickup_datetime": pa.string(), "lpep_dropoff_datetime": pa.string()}),
        (YELLOW, {"tpep_pickup_datetime": pa.large_string()}),
    ],
)
def test_a_column_of_another_type_comes_out_alike(
    folder: Folder, kind: TaxiType, types: dict[str, pa.DataType]
) -> None:
    sample.write_month(folder.raw, kind.name, JANUARY, rows=1_500, schema=retyped(kind, types))
    for _ in range(2):
        assert folder.transform(kind).rows_rejected == 0
        assert_unchanged(folder, kind)


@pytest.mark.parametrize("name", ["Airport_fee", "airport_fee", "AIRPORT_FEE", " airport_fee "])
def test_a_name_may_be_written_in_any_way(folder: Folder, name: str) -> None:
    sample.write_month(folder.raw, "yellow", JANUARY, rows=1_500)
    table = pq.read_table(folder.raw)
    fees = table["Airport_fee"].to_pylist()
    named = [name if each == "Airport_fee" else each for each in table.column_names]
    pq.write_table(table.rename_columns(named), folder.raw)
    assert folder.transform(YELLOW).unknown_columns == []
    assert folder.column("airport_fee") == fees
    assert any(fees)


@pytest.mark.parametrize("name", ["passenger_count", "ehail_fee", "store_and_fwd_flag"])
def test_a_column_that_is_not_there_is_null(folder: Folder, name: str) -> None:
    sample.write_month(folder.raw, "green", JANUARY, rows=1_500)
    pq.write_table(pq.read_table(folder.raw).drop_columns(name), folder.raw)
    assert folder.transform().rows_rejected == 0
    assert folder.column(name) == [None] * 1_500


def test_columns_that_are_not_known_are_reported(folder: Folder) -> None:
    folder.write(request_source=["app", None], __index_level_0__=[0, 1])
    report = folder.transform()
    assert report.new_columns == {"request_source": "text"}  # the other one is pandas' own
    assert report.unknown_columns == []


def test_columns_in_another_order_come_out_alike(folder: Folder) -> None:
    sample.write_month(folder.raw, "green", JANUARY, rows=1_500)
    table = pq.read_table(folder.raw)
    pq.write_table(table.select(table.column_names[::-1]), folder.raw)
    folder.transform()
    assert_unchanged(folder, GREEN)


# values


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


# rejects


@pytest.mark.parametrize(
    ("column", "values", "shown"),
    [
        ("passenger_count", [1.5, 1.0], 1.5),
        ("passenger_count", [float("inf"), 1.0], None),
        ("passenger_count", [2**31, 1], 2**31),
        ("passenger_count", [-(2**31) - 1, 1], -(2**31) - 1),
        ("passenger_count", pa.array([2**64 - 1, 1], pa.uint64()), 2**64 - 1),
        ("passenger_count", ["two", "1"], "two"),
        ("passenger_count", ["1.5", "1"], "1.5"),
        ("passenger_count", ["9999999999", "1"], "9999999999"),
        ("fare_amount", ["$12", "12"], "$12"),
        ("pickup_datetime", ["yesterday", "2024-01-01 10:00:00"], "yesterday"),
        ("pickup_datetime", ["2024-02-30 10:00:00", "2024-01-01 10:00:00"], "2024-02-30 10:00:00"),
        ("pickup_datetime", [None, datetime(2024, 1, 1)], None),
        ("pickup_datetime", ["", "2024-01-01 10:00:00"], ""),
        ("store_and_fwd_flag", ["N\0", "N"], "N\0"),
    ],
)
def test_a_row_that_cannot_be_read_is_set_aside_whole(
    folder: Folder, column: str, values: Any, shown: Any
) -> None:
    folder.write(**{column: values}, trip_type=[7, 8])
    for _ in range(2):
        assert folder.transform(max_reject_ratio=0.5).rows_rejected == 1
        [reject] = folder.read_rejects()
        assert (reject["row"], reject["column"]) == (1, column)
        assert reject["reason"].strip()
        if shown is not None:
            assert reject["value"] == shown
        assert set(reject["record"]) == {each.name for each in GREEN.columns}
        assert reject["record"]["trip_type"] == 7
        assert folder.column("trip_type") == [8]


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


def test_a_column_without_a_name_stands_for_no_other(folder: Folder) -> None:
    folder.write(passenger_count=pa.array([None, 7], pa.int64()), **{"": pa.array([100, 101])})
    table = pq.read_table(folder.raw).drop_columns(["tip_amount"])
    pq.write_table(table, folder.raw)
    for _ in range(2):
        report = folder.transform(max_reject_ratio=0)
        assert report.new_columns == {"column": "bigint"}
        assert folder.column("passenger_count") == [None, 7]
        assert folder.column("tip_amount") == [None, None]
        assert folder.column("column") == [100, 101]


def test_text_that_is_no_utf8_is_a_reject_of_its_row(folder: Folder) -> None:
    """Parquet doesn't keep a writer from it."""
    offsets, data = pa.py_buffer(struct.pack("3i", 0, 1, 2)), pa.py_buffer(b"N\xff")
    folder.write(store_and_fwd_flag=pa.Array.from_buffers(pa.string(), 2, [None, offsets, data]))
    assert folder.transform(max_reject_ratio=1).rows_written == 1
    [reject] = folder.read_rejects()
    assert (reject["row"], reject["value"]) == (2, "\ufffd")


def test_whatever_is_in_the_row_of_a_reject_is_shown(folder: Folder) -> None:
    far = pa.array([[2**62], [1]], pa.list_(pa.timestamp("us")))
    lists = pa.array([[float("nan")], [1.0]])
    folder.write(passenger_count=["x", "1"], lists=lists, far=far)
    assert folder.transform(max_reject_ratio=1).rows_rejected == 1
    [reject] = folder.read_rejects()
    assert reject["record"]["lists"] == ["nan"]


def test_many_rejects_end_a_csv_early(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transform, "MOST_REJECTS", 1_000)
    folder.write(passenger_count=[1])
    header = ",".join(pq.read_schema(folder.raw).names)
    row = ",".join(map(str, pq.read_table(folder.raw).to_pylist()[0].values()))
    wrong = row.replace("2024-01-01", "1 January")
    folder.raw.write_text("\n".join([header, *[wrong] * 200_000]))
    told = re.search(r"of the first (\d+) rows can't be read", folder.refusal())
    assert told
    assert 1_000 < int(told[1]) < 100_000
    assert len(folder.read_rejects()) <= int(told[1])


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


def test_several_bad_values_are_one_reject(folder: Folder) -> None:
    folder.write(passenger_count=["x", "1"], fare_amount=["y", "1"], extra=["z", "1"])
    assert folder.transform(max_reject_ratio=0.5).rows_rejected == 1
    [reject] = folder.read_rejects()
    assert (reject["column"], reject["value"]) == ("passenger_count", "x")
    assert reject["record"]["fare_amount"] == "y"


def test_a_reject_is_json_whatever_is_in_its_row(folder: Folder) -> None:
    folder.write(
        passenger_count=["x", "1"],
        fare_amount=[float("nan"), 1.0],
        total_amount=[float("-inf"), 1.0],
        store_and_fwd_flag=["🚕\n\0", "N"],
        request_source=pa.array([b"\xff", b""]),
    )
    folder.transform(max_reject_ratio=0.5)
    assert len(folder.read_rejects()) == 1


def test_without_rejects_there_is_no_file(folder: Folder) -> None:
    folder.write(trip_type=[1, 2])
    folder.transform()
    assert not folder.rejects.exists()


def test_a_reject_has_its_row_number_in_any_batch(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "BATCH_ROWS", 100)
    bad = {1, 100, 101, 517, 1_000}
    counts = ["x" if row in bad else str(row) for row in range(1, 1_001)]
    folder.write(passenger_count=counts)
    assert folder.transform().rows_rejected == 5
    assert [(reject["row"], reject["value"]) for reject in folder.read_rejects()] == [
        (row, "x") for row in sorted(bad)
    ]
    assert folder.column("passenger_count") == [n for n in range(1, 1_001) if n not in bad]


# the limit


def test_as_many_rejects_as_the_limit_pass(folder: Folder) -> None:
    folder.write(passenger_count=["x"] * 10 + ["1"] * 990)
    assert folder.transform(max_reject_ratio=0.01).rows_rejected == 10


def test_one_reject_more_fails_and_shows_the_first(folder: Folder) -> None:
    folder.write(passenger_count=["a", "b", "c", "d", *["x"] * 7, *["1"] * 989])
    told = folder.refusal(GREEN, 0.01)
    assert "11 of the first 1000 rows" in told
    assert "lets at most 10 of 1000 pass" in told
    for shown in ("row 1, passenger_count 'a'", "row 2, passenger_count 'b'", "row 3,"):
        assert shown in told
    assert "row 4" not in told


def test_with_a_limit_of_0_one_reject_fails(folder: Folder) -> None:
    folder.write(passenger_count=["x"] + ["1"] * 999)
    assert "1 of the first 1000 rows" in folder.refusal(GREEN, 0.0)


def test_with_a_limit_of_1_all_may_be_rejects(folder: Folder) -> None:
    folder.write(passenger_count=["x"] * 10)
    assert folder.transform(max_reject_ratio=1.0).rows_written == 0


def test_a_column_that_cannot_be_read_fails_at_its_first_batch(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "BATCH_ROWS", 1_000)
    folder.write(passenger_count=["x"] * 50_000)
    assert "of the first 1000 rows" in folder.refusal()


@pytest.mark.parametrize("month", [date(2013, 8, 1), JANUARY])
def test_a_file_without_rows_is_a_file_without_trips(folder: Folder, month: date) -> None:
    sample.write_month(folder.raw, "green", month, rows=0)
    for _ in range(2):
        assert asdict(folder.transform(max_reject_ratio=0)) == asdict(Report())


# broken files


def write_page(path: Path) -> None:
    path.write_text("<html><body>403 Forbidden</body></html>\n" * 20)


def write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def write_csv(path: Path) -> None:
    path.write_text("VendorID,lpep_pickup_datetime\n2,2024-01-01 00:00:00\n")


def cut_off(path: Path) -> None:
    sample.write_month(path, "green", JANUARY, rows=5_000)
    path.write_bytes(path.read_bytes()[:-1_000])


def cut_out_of_the_middle(path: Path) -> None:
    sample.write_month(path, "green", JANUARY, rows=5_000)
    content = path.read_bytes()
    path.write_bytes(content[:20_000] + content[30_000:])


def overwrite_pages(path: Path) -> None:
    sample.write_month(path, "green", JANUARY, rows=5_000)
    content = path.read_bytes()
    path.write_bytes(content[:1_000] + b"\xa5" * 60_000 + content[61_000:])


@pytest.mark.parametrize(
    ("breakage", "told"),
    [
        (write_page, "isn't parquet, CSV or JSON"),
        (write_nothing, "isn't parquet, CSV or JSON"),
        (write_csv, "not a file of green trips: it has no column"),
        (cut_off, "raw.parquet can't be read: "),
        (cut_out_of_the_middle, "raw.parquet can't be read: "),
        (overwrite_pages, "raw.parquet can't be read: "),
    ],
)
def test_a_broken_file_is_one_line(
    folder: Folder, breakage: Callable[[Path], None], told: str
) -> None:
    breakage(folder.raw)
    for _ in range(2):
        assert told in folder.refusal()


def test_a_file_that_is_not_there_is_one_line(folder: Folder) -> None:
    assert "raw.parquet" in folder.refusal()


def test_a_file_of_another_service_is_refused(folder: Folder) -> None:
    sample.write_month(folder.raw, "yellow", JANUARY, rows=100)
    assert "it looks like yellow" in folder.refusal()


def test_a_column_of_lists_is_refused_in_one_line(folder: Folder) -> None:
    folder.write(fare_amount=pa.array([[1.0], [2.0]]))
    folder.refusal()


@pytest.mark.parametrize("breakage", [None, overwrite_pages])
def test_a_transform_that_fails_leaves_nothing_that_reads_as_whole(
    folder: Folder, breakage: Callable[[Path], None] | None
) -> None:
    if breakage:
        breakage(folder.raw)
    else:
        folder.write(passenger_count=["1"] * 9 + ["x"])
    folder.refusal(GREEN, 0.0)
    assert not folder.trips.exists()


# memory


MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak // 1024 if sys.platform == "darwin" else peak)
"""


def peak_memory(*command: str | Path) -> int:
    """The most memory a command had at once, in KiB.

    A process begins with the peak of the one that starts it, so a small one stands between.
    """
    printed = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True
    )
    return int(printed.stdout)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    sample.write_month(tmp_path / "group.parquet", "yellow", JANUARY, rows=125_000)
    group = pq.read_table(tmp_path / "group.parquet")
    peaks = []
    for groups in (4, 32):
        raw = tmp_path / f"{groups}.parquet"
        with pq.ParquetWriter(raw, group.schema, compression="zstd") as writer:
            for _ in range(groups):
                writer.write_table(group)
        peaks.append(peak_memory(*command(raw, tmp_path, "yellow")))
    assert peaks[1] < 350 * 1024
    assert peaks[1] < 1.2 * peaks[0]


# the command line


def command(raw: Path, folder: Path, taxi_type: str = "green", *flags: str) -> list[str | Path]:
    files = [f"--trips={folder / 'trips.parquet'}", f"--rejects={folder / 'rejects.jsonl'}"]
    module = [sys.executable, "-m", "luigi_tasks.transform"]
    return [*module, raw, f"--taxi-type={taxi_type}", *files, *flags]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_command_reports_what_it_did(folder: Folder) -> None:
    folder.write(passenger_count=["x"] + ["1"] * 199, request_source=["app"] * 200)
    for _ in range(2):
        done = run(*command(folder.raw, folder.raw.parent))
        assert (done.returncode, done.stderr) == (0, "")
        [line] = done.stdout.splitlines()
        assert json.loads(line.removeprefix("::").removesuffix("::")) == {
            "outputs": {
                "rows_read": 200,
                "rows_written": 199,
                "rows_rejected": 1,
                "unknown_columns": [],
                "quality": {
                    "null_passenger_count": 0,
                    "negative_total": 0,
                    "zero_distance": 0,
                    "dropoff_before_pickup": 0,
                    "unknown_zone": 0,
                },
                "new_columns": {"request_source": "text"},
            }
        }


def test_the_command_fails_with_one_line(folder: Folder) -> None:
    folder.write(passenger_count=["x"] + ["1"] * 199)
    done = run(*command(folder.raw, folder.raw.parent, "green", "--max-reject-ratio=0"))
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "1 of the first 200 rows" in line


@pytest.mark.parametrize("flag", ["--taxi-type=blue", "--max-reject-ratio=some", "--unknown"])
def test_a_wrong_flag_is_exit_code_2(folder: Folder, flag: str) -> None:
    done = run(*command(folder.raw, folder.raw.parent, "green", flag))
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: python -m luigi_tasks.transform" in done.stderr


def test_the_command_tells_its_flags() -> None:
    done = run(sys.executable, "-m", "luigi_tasks.transform", "--help")
    assert done.returncode == 0
    for flag in (
        "--taxi-type {yellow,green,fhv,fhvhv}",
        "--trips",
        "--rejects",
        "--max-reject-ratio",
    ):
        assert flag in done.stdout


# real files


def test_the_footers_of_real_yellow_files_are_matched_whole(shared_data: Path) -> None:
    footers = sorted((shared_data / "footers").glob("yellow_*.parquet"))
    assert footers
    for footer in footers:
        names = pq.read_schema(footer).names
        match = YELLOW.match(names)
        assert sorted(match.columns.values()) == sorted(names)
        assert match.unknown == []


@pytest.mark.parametrize("month", ["2020-04", "2023-01", "2023-02"])
def test_a_real_file_comes_out_as_pandas_reads_it(
    shared_data: Path, folder: Folder, month: str
) -> None:
    folder.raw = shared_data / "parquet" / f"green_tripdata_{month}.parquet"
    report = folder.transform(max_reject_ratio=0)
    assert report.rows_written == pq.read_metadata(folder.raw).num_rows
    assert report.unknown_columns == []
    assert_unchanged(folder, GREEN)


def test_every_real_file_is_read_without_a_reject(shared_data: Path, folder: Folder) -> None:
    files = sorted((shared_data / "parquet").glob("green_*.parquet"))
    assert len(files) == 37
    for raw in files:
        folder.raw = raw
        assert folder.transform(max_reject_ratio=0).unknown_columns == []
        totals = pq.read_table(folder.trips, columns=["total_amount"])["total_amount"]
        published = pq.read_table(raw, columns=["total_amount"])["total_amount"]
        assert pc.sum(totals) == pc.sum(published)


def test_a_transform_imports_neither_luigi_nor_pandas(tmp_path: Path) -> None:
    raw = tmp_path / "raw.parquet"
    sample.write_month(raw, "green", date(2020, 3, 1), rows=100)
    code = (
        "import sys; from luigi_tasks import transform; transform.main(sys.argv[1:]); "
        "print(*{'luigi', 'pandas', 'psycopg2'} & sys.modules.keys())"
    )
    flags = ["--taxi-type=green", f"--trips={tmp_path / 't'}", f"--rejects={tmp_path / 'r'}"]
    command = [sys.executable, "-c", code, raw, *flags]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[1:] == [""]
