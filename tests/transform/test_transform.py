"""Files of every era in, one schema out."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from raw_files import (
    RENAMED,
    Folder,
    command,
    fixture_folder,  # noqa: F401
    peak_memory,
)

from luigi_tasks import sample
from luigi_tasks.catalog import GREEN, TAXI_TYPES, YELLOW, TaxiType
from luigi_tasks.transform import Report

JANUARY = date(2024, 1, 1)


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
def test_a_missing_column_is_null(folder: Folder, name: str) -> None:
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


@pytest.mark.parametrize("month", [date(2013, 8, 1), JANUARY])
def test_a_file_without_rows_is_a_file_without_trips(folder: Folder, month: date) -> None:
    sample.write_month(folder.raw, "green", month, rows=0)
    for _ in range(2):
        assert asdict(folder.transform(max_reject_ratio=0)) == asdict(Report())


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
def test_a_broken_file_is_reported_on_one_line(
    folder: Folder, breakage: Callable[[Path], None], told: str
) -> None:
    breakage(folder.raw)
    for _ in range(2):
        assert told in folder.refusal()


def test_a_missing_file_is_reported_on_one_line(folder: Folder) -> None:
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
