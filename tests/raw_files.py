"""Raw files of trips, and what the transform writes for them: what tests of both share."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from luigi_tasks.catalog import GREEN, TaxiType
from luigi_tasks.errors import TaxiError
from luigi_tasks.transform import Report, arrow_schema, transform

#: Published name, folded -> ours. On purpose not taken from the catalog.
RENAMED = {
    "vendorid": "vendor_id",
    "vendor_name": "vendor_id",
    "lpep_pickup_datetime": "pickup_datetime",
    "lpep_dropoff_datetime": "dropoff_datetime",
    "tpep_pickup_datetime": "pickup_datetime",
    "tpep_dropoff_datetime": "dropoff_datetime",
    "trip_pickup_datetime": "pickup_datetime",
    "trip_dropoff_datetime": "dropoff_datetime",
    "pickup_date": "pickup_datetime",
    "ratecodeid": "rate_code_id",
    "rate_code": "rate_code_id",
    "store_and_forward": "store_and_fwd_flag",
    "pulocationid": "pickup_location_id",
    "dolocationid": "dropoff_location_id",
    "locationid": "pickup_location_id",
    "start_lon": "pickup_longitude",
    "start_lat": "pickup_latitude",
    "end_lon": "dropoff_longitude",
    "end_lat": "dropoff_latitude",
    "fare_amt": "fare_amount",
    "tip_amt": "tip_amount",
    "tolls_amt": "tolls_amount",
    "total_amt": "total_amount",
    "surcharge": "extra",
    "affiliated_base_number": "affiliated_base_num",
    "dispatching_base_number": "dispatching_base_num",
    "trip_miles": "trip_distance",
    "base_passenger_fare": "fare_amount",
    "tips": "tip_amount",
    "tolls": "tolls_amount",
    "bcf": "black_car_fund",
}


WORDS = {
    "vendor_id": {"CMT": 1, "VTS": 2, "DDS": 3},
    "store_and_fwd_flag": {"0": "N", "1": "Y"},
    "payment_type": {
        "CASH": 2, "Cash": 2, "CAS": 2, "Cas": 2, "CSH": 2, "Credit": 1, "CREDIT": 1, "CRE": 1,
        "Cre": 1, "CRD": 1, "NA ": 5, "UNK": 5, "No Charge": 3, "NOC": 3, "No": 3, "Dispute": 4,
        "DIS": 4, "Dis": 4,
    },
}  # fmt: skip


class Folder:
    """A raw file and what a transform makes of it."""

    def __init__(self, path: Path) -> None:
        self.raw = path / "raw.parquet"
        self.trips = path / "trips.parquet"
        self.rejects = path / "rejects.jsonl"

    def transform(self, kind: TaxiType = GREEN, max_reject_ratio: float = 0.01) -> Report:
        report = transform([self.raw], self.trips, self.rejects, kind, max_reject_ratio)
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
            transform([self.raw], self.trips, self.rejects, *(arguments or (GREEN,)))
        assert "\n" not in str(refused.value)
        assert str(refused.value).startswith(self.raw.name)
        return str(refused.value)


@pytest.fixture(name="folder")
def fixture_folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def as_csv_reads_it(text: str, kind: TaxiType) -> list[dict[str, Any]]:
    """The rows of a CSV, by Python's own module: the independent second opinion."""
    header, *lines = csv.reader(io.StringIO(text))
    names = [RENAMED.get(name.strip().lower(), name.strip().lower()) for name in header]
    types = {column.name: column.type for column in kind.columns}
    rows = []
    for line in filter(None, lines):
        row: dict[str, Any] = dict.fromkeys(types)
        for name, value in zip(names, line, strict=False):
            if value == "" or name == "__index_level_0__":
                continue
            value = WORDS.get(name, {}).get(value, value)  # noqa: PLW2901
            read: Callable[[Any], Any] = {
                "integer": int,
                "double precision": float,
                "timestamp": datetime.fromisoformat,
                "text": str,
            }[types[name]]
            row[name] = read(value)
        rows.append(row)
    return rows


def transformed(folder: Folder, content: bytes, kind: TaxiType = GREEN) -> list[dict[str, Any]]:
    """The rows that the transform writes for a file's bytes, none rejected."""
    folder.raw.write_bytes(content)
    report = folder.transform(kind, max_reject_ratio=0)
    assert report.rows_rejected == 0
    assert report.unknown_columns == []
    rows: list[dict[str, Any]] = pq.read_table(folder.trips).to_pylist()
    return rows


HEADER = (
    "VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Store_and_fwd_flag,RateCodeID,"
    "Pickup_longitude,Pickup_latitude,Dropoff_longitude,Dropoff_latitude,Passenger_count,"
    "Trip_distance,Fare_amount,Extra,MTA_tax,Tip_amount,Tolls_amount,Ehail_fee,Total_amount,"
    "Payment_type,Trip_type "
)


ROW = "2,2013-09-01 00:02:00,2013-09-01 00:54:51,N,1,-73.95,40.81,0,0,5,.50,50.5,,,0,0,,61.8,1,"


def green(*rows: str, end: str = "\n") -> bytes:
    return end.join([HEADER, *rows, ""]).encode()


def as_objects(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV as NYC Open Data gives them: without what has no value."""
    rows = csv.DictReader(line for line in content.decode().splitlines() if line)
    return [{n.strip().lower(): v for n, v in row.items() if n and v} for row in rows]


def zipped(content: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("folder/", b"")
        for name in names:
            packed.writestr(name, content)
    return file.getvalue()


def exported(content: bytes) -> bytes:
    """The rows of a CSV as NYC Open Data exports them: names once, rows as lists."""
    header, *rows = csv.reader(line for line in content.decode().splitlines() if line)
    names = [":sid", ":id", *(name.strip().lower() for name in header)]
    columns = [{"id": -1, "name": name.upper(), "fieldName": name} for name in names]
    data = [["row-1", "0-0", *(value or None for value in row)] for row in rows]
    return json.dumps({"meta": {"view": {"name": "x", "columns": columns}}, "data": data}).encode()


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


def command(raw: Path, folder: Path, taxi_type: str = "green", *flags: str) -> list[str | Path]:
    files = [f"--trips={folder / 'trips.parquet'}", f"--rejects={folder / 'rejects.jsonl'}"]
    module = [sys.executable, "-m", "luigi_tasks.transform"]
    return [*module, raw, f"--taxi-type={taxi_type}", *files, *flags]
