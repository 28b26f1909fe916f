"""Random rows of every era and form: none is lost, and what comes out is read back as it is."""

import csv
import io
import json
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_files import RENAMED, as_csv_reads_it

from luigi_tasks.catalog import FHV, FHVHV, GREEN, YELLOW, TaxiType
from luigi_tasks.transform import transform

whole = st.integers(-(2**31), 2**31 - 1)
money = st.floats(allow_nan=False, allow_infinity=False, width=32)
times = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
flags = st.sampled_from(["N", "Y", " ", "0", "1", "*"])
bases = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)
payments = st.sampled_from(["CASH", "Credit", "CSH", "NOC", "Dis", "UNK", "NA "])

COORDINATES = dict.fromkeys(
    ("pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude"), money
)
MONEY = dict.fromkeys(("mta_tax", "tip_amount", "tolls_amount", "total_amount"), money)

#: Service and columns, as they were published, by era.
ERAS: dict[str, tuple[TaxiType, dict[str, st.SearchStrategy[Any]]]] = {
    "yellow 2009": (
        YELLOW,
        {
            "vendor_name": st.sampled_from(["CMT", "VTS", "DDS"]),
            "Trip_Pickup_DateTime": times,
            "Trip_Dropoff_DateTime": times,
            "Passenger_Count": whole,
            "Trip_Distance": money,
            "Start_Lon": money,
            "Start_Lat": money,
            "Rate_Code": whole,
            "store_and_forward": flags,
            "End_Lon": money,
            "End_Lat": money,
            "Payment_Type": payments,
            "Fare_Amt": money,
            "surcharge": money,
            "Total_Amt": money,
        },
    ),
    "yellow 2010": (
        YELLOW,
        {
            "vendor_id": st.sampled_from(["CMT", "VTS", "DDS"]),
            "pickup_datetime": times,
            "dropoff_datetime": times,
            "passenger_count": whole,
            "trip_distance": money,
            **COORDINATES,
            "rate_code": whole,
            "store_and_fwd_flag": flags,
            "payment_type": payments,
            "fare_amount": money,
            "surcharge": money,
            **MONEY,
            "__index_level_0__": whole,
        },
    ),
    "yellow 2014": (
        YELLOW,
        {
            "vendor_id": st.sampled_from(["CMT", "VTS"]),
            " pickup_datetime": times,
            " dropoff_datetime": times,
            " passenger_count": whole,
            " trip_distance": money,
            **COORDINATES,
            " payment_type": payments,
            " fare_amount": money,
            " surcharge": money,
            **MONEY,
        },
    ),
    "green 2013": (
        GREEN,
        {
            "VendorID": whole,
            "lpep_pickup_datetime": times,
            "Lpep_dropoff_datetime": times,
            "Store_and_fwd_flag": flags,
            "RateCodeID": whole,
            **COORDINATES,
            "Trip_distance": money,
            "Fare_amount": money,
            "Ehail_fee": money,
            **MONEY,
            "Payment_type": whole,
            "Trip_type ": whole,
        },
    ),
    "green 2016": (
        GREEN,
        {
            "VendorID": whole,
            "lpep_pickup_datetime": times,
            "Lpep_dropoff_datetime": times,
            "Store_and_fwd_flag": flags,
            "RateCodeID": whole,
            "PULocationID": whole,
            "DOLocationID": whole,
            "Trip_distance": money,
            "Fare_amount": money,
            "improvement_surcharge": money,
            **MONEY,
            "Trip_type ": whole,
        },
    ),
    "yellow 2025": (
        YELLOW,
        {
            "VendorID": whole,
            "tpep_pickup_datetime": times,
            "tpep_dropoff_datetime": times,
            "passenger_count": whole,
            "trip_distance": money,
            "PULocationID": whole,
            "DOLocationID": whole,
            "payment_type": whole,
            "fare_amount": money,
            "Airport_fee": money,
            "cbd_congestion_fee": money,
            **MONEY,
        },
    ),
    "fhv 2015": (FHV, {"Dispatching_base_num": bases, "Pickup_date": times, "locationID": whole}),
    "fhv 2018": (
        FHV,
        {
            "Pickup_DateTime": times,
            "DropOff_datetime": times,
            "PUlocationID": whole,
            "DOlocationID": whole,
            "SR_Flag": whole,
            "Dispatching_base_number": bases,
            "Dispatching_base_num": bases,
        },
    ),
    "fhvhv 2024": (
        FHVHV,
        {
            "hvfhs_license_num": bases,
            "dispatching_base_num": bases,
            "request_datetime": times,
            "pickup_datetime": times,
            "dropoff_datetime": times,
            "PULocationID": whole,
            "DOLocationID": whole,
            "trip_miles": money,
            "trip_time": whole,
            "base_passenger_fare": money,
            "bcf": money,
            "tips": money,
            "access_a_ride_flag": flags,
        },
    ),
}

Table = dict[str, list[Any]]


def write_parquet(path: Path, table: Table) -> None:
    pq.write_table(pa.table(table), path)


def write_csv(path: Path, table: Table) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def write_json(path: Path, table: Table) -> None:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    path.write_text(json.dumps(rows, default=str))


def tables(
    columns: dict[str, st.SearchStrategy[Any]], broken: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[Table]:
    """Rows in which anything may be missing, or broken."""

    def column(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(strategy, st.none(), *([broken] if broken is not None else []))

    rows = st.lists(st.tuples(*map(column, columns.values())), min_size=1, max_size=12)
    return rows.map(
        lambda found: dict(zip(columns, map(list, zip(*found, strict=True)), strict=True))
    )


era = pytest.mark.parametrize("name", ERAS)
#: What is no value of any column but one of text, where only the second isn't.
BROKEN = ["x", "\x00", "2024-02-30 00:00:00", "é"]


def rows_to_reject(kind: TaxiType, table: Table) -> set[int]:
    """The numbers of rows without a pickup, or with a broken value."""
    types = {column.name: column.type for column in kind.columns}
    found = set()
    for published, values in table.items():
        folded = published.strip().lower()
        name = RENAMED.get(folded, folded)
        for number, value in enumerate(values, 1):
            is_text = types.get(name) == "text"
            is_broken = name in types and value in (["\x00"] if is_text else BROKEN)
            if is_broken or (name == "pickup_datetime" and value is None):
                found.add(number)
    return found


@era
@pytest.mark.parametrize("write", [write_parquet, write_csv, write_json])
def test_every_row_arrives_or_is_a_reject(name: str, write: Callable[[Path, Table], None]) -> None:
    kind, columns = ERAS[name]
    broken = st.sampled_from(BROKEN)
    is_text = write is not write_parquet

    @settings(max_examples=30, deadline=None)
    @given(tables(columns, broken if is_text else None))
    def check(table: Table) -> None:
        rows = len(next(iter(table.values())))
        with tempfile.TemporaryDirectory() as folder:
            raw, trips, rejects = (Path(folder) / each for each in ("raw", "trips", "rejects"))
            write(raw, table)
            report = transform([raw], trips, rejects, kind, 1.0)
            lines = rejects.read_text().splitlines() if rejects.exists() else []
            assert report.rows_read == rows
            assert report.rows_written == pq.read_metadata(trips).num_rows
            assert report.rows_rejected == len(lines)
            assert report.rows_read == report.rows_written + report.rows_rejected
            numbers = [json.loads(line)["row"] for line in lines]
            assert sorted(numbers) == sorted(rows_to_reject(kind, table))
            # what came out goes in again, and is the same
            again, none = trips.with_name("again"), trips.with_name("none")
            assert transform([trips], again, none, kind, 0).rows_read == report.rows_written
            assert pq.read_table(again).equals(pq.read_table(trips))

    check()


@era
def test_every_form_says_what_pythons_csv_says(name: str) -> None:
    kind, columns = ERAS[name]

    @settings(max_examples=20, deadline=None)
    @given(tables(columns))
    def check(table: Table) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = []
            for write in (write_parquet, write_csv, write_json):
                raw, trips = Path(folder) / write.__name__, Path(folder) / "trips"
                write(raw, table)
                transform([raw], trips, Path(folder) / "rejects", kind, 1.0)
                found.append(pq.read_table(trips).to_pylist())
            text = (Path(folder) / "write_csv").read_bytes().decode()
            expected = as_csv_reads_it(text, kind)
            expected = [row for row in expected if row["pickup_datetime"]]
            assert found[0] == found[1] == found[2] == expected

    check()


def test_a_csv_of_python_is_what_it_was(tmp_path: Path) -> None:
    """That the check itself writes what it means to."""
    write_csv(tmp_path / "raw", {"a": [1, None], "b": ["x", "y,z"]})
    rows = list(csv.reader(io.StringIO((tmp_path / "raw").read_text())))
    assert rows == [["a", "b"], ["1", "x"], ["", "y,z"]]
