"""The generator of made-up months keeps to the published shape, and to what was asked of it."""

import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from luigi_tasks import sample
from luigi_tasks.errors import TaxiError

JANUARY = date(2024, 1, 1)

#: One month for each time that the published columns or types changed.
ERAS = [
    ("yellow", date(2011, 1, 1)),
    ("yellow", date(2016, 1, 1)),
    ("yellow", date(2018, 7, 1)),
    ("yellow", date(2019, 2, 1)),
    ("yellow", date(2023, 2, 1)),
    ("yellow", date(2025, 1, 1)),
    ("yellow", date(2026, 6, 1)),
    ("green", date(2013, 8, 1)),
    ("green", date(2016, 1, 1)),
    ("green", date(2020, 3, 1)),
    ("green", date(2023, 2, 1)),
    ("green", date(2025, 1, 1)),
]

era = pytest.mark.parametrize(
    ("taxi_type", "month"), ERAS, ids=[f"{taxi_type}-{month:%Y-%m}" for taxi_type, month in ERAS]
)


def types_of(taxi_type: str, month: date) -> dict[str, pa.DataType]:
    published = sample.schema(taxi_type, month)
    return dict(zip(published.names, published.types, strict=True))


def count_distinct(table: pa.Table) -> int:
    # Grouping doesn't take columns of type null, and they tell no rows apart.
    names = [field.name for field in table.schema if not pa.types.is_null(field.type)]
    return table.group_by(names).aggregate([]).num_rows


def count_outside(table: pa.Table, start: date, stop: date) -> int:
    pickups = table[1]
    early = pc.less(pickups, pa.scalar(datetime(start.year, start.month, 1), pickups.type))
    late = pc.greater_equal(pickups, pa.scalar(datetime(stop.year, stop.month, 1), pickups.type))
    return int(pc.sum(pc.or_(early, late)).as_py() or 0)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luigi_tasks.sample", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_green_schemas_are_those_of_the_published_files(shared_data: Path) -> None:
    paths = sorted((shared_data / "parquet").glob("green_tripdata_*.parquet"))
    assert paths
    for path in paths:
        month = date.fromisoformat(f"{path.stem[-7:]}-01")
        published = pq.read_schema(path).remove_metadata()
        assert sample.schema("green", month).equals(published), path.name


def test_yellow_schemas_are_those_of_the_published_footers(shared_data: Path) -> None:
    paths = sorted((shared_data / "footers").glob("yellow_tripdata_*.parquet"))
    assert paths
    for path in paths:
        month = date.fromisoformat(f"{path.name[16:23]}-01")
        published = pq.read_schema(path).remove_metadata()
        assert sample.schema("yellow", month).equals(published), path.name


@pytest.mark.parametrize("taxi_type", sample.TAXI_TYPES)
def test_column_names_are_those_of_every_listed_month(shared_data: Path, taxi_type: str) -> None:
    from pyarrow import csv

    compared = 0
    for listing in sorted((shared_data / "lookup").glob(f"*/{taxi_type}_tripmetadata_*.csv")):
        for row in csv.read_csv(listing).to_pylist():
            month = date(row["file_year"], row["file_month"], 1)
            if month >= sample.FIRST_MONTH[taxi_type]:
                names = row["file_column_names"].split(",")
                assert sample.schema(taxi_type, month).names == names, row["file_name"]
                compared += 1
    assert compared > 100


def test_yellow_types_change_when_the_published_ones_do() -> None:
    assert types_of("yellow", date(2015, 12, 1))["congestion_surcharge"] == pa.null()
    assert types_of("yellow", date(2015, 12, 1))["airport_fee"] == pa.null()
    assert types_of("yellow", date(2016, 1, 1))["congestion_surcharge"] == pa.float64()
    assert types_of("yellow", date(2018, 6, 1))["passenger_count"] == pa.int64()
    assert types_of("yellow", date(2018, 7, 1))["RatecodeID"] == pa.float64()
    assert types_of("yellow", date(2023, 1, 1))["VendorID"] == pa.int64()
    assert types_of("yellow", date(2023, 2, 1))["VendorID"] == pa.int32()
    assert "cbd_congestion_fee" not in types_of("yellow", date(2024, 12, 1))
    assert types_of("yellow", date(2025, 1, 1))["cbd_congestion_fee"] == pa.float64()
    assert "request_source" not in types_of("yellow", date(2026, 5, 1))
    assert types_of("yellow", date(2026, 6, 1))["request_source"] == pa.string()


@era
def test_a_file_has_the_schema_and_codec_of_its_month(
    tmp_path: Path, taxi_type: str, month: date
) -> None:
    path = tmp_path / "month.parquet"
    counts = sample.write_month(path, taxi_type, month, rows=2_000)
    file = pq.ParquetFile(path)
    assert file.schema_arrow.equals(sample.schema(taxi_type, month))
    assert file.metadata.num_rows == counts.rows == 2_000
    codec = "ZSTD" if month >= date(2023, 2, 1) else "GZIP"
    assert file.metadata.row_group(0).column(0).compression == codec


@era
def test_no_two_rows_are_alike_unless_asked_for(
    tmp_path: Path, taxi_type: str, month: date
) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, taxi_type, month, rows=5_000, reversals=1_000, twins=1_000)
    assert count_distinct(pq.read_table(path)) == 5_000


def test_rows_in_the_same_second_between_the_same_zones_are_told_apart() -> None:
    import numpy as np

    columns = ("pickup", "dropoff", "pulocationid", "dolocationid")
    trips = {name: np.full(100, 7) for name in columns}
    sample._part(trips)
    assert sorted(trips["dropoff"]) == list(range(7, 107))


def test_as_many_duplicates_as_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    rows = sample.ROW_GROUP + 10
    counts = sample.write_month(path, "yellow", JANUARY, rows=rows, duplicates=321, strays=50)
    table = pq.read_table(path)
    assert counts.duplicates == 321
    assert table.num_rows == counts.rows == rows + 321
    assert count_distinct(table) == counts.trips == rows
    assert count_outside(table, JANUARY, date(2024, 2, 1)) == counts.strays == 50


def test_duplicates_lie_in_different_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    rows = sample.ROW_GROUP + 10
    sample.write_month(path, "yellow", JANUARY, rows=rows, duplicates=100)
    file = pq.ParquetFile(path)
    within = [count_distinct(file.read_row_group(k)) for k in range(file.num_row_groups)]
    assert sum(within) > rows


@pytest.mark.parametrize("taxi_type", sample.TAXI_TYPES)
@pytest.mark.parametrize("month", [JANUARY, date(2016, 2, 1), date(2023, 12, 1)])
@pytest.mark.parametrize("strays", [0, 1, 700, 1_000])
def test_strays_are_counted_and_lie_outside_the_month(
    tmp_path: Path, taxi_type: str, month: date, strays: int
) -> None:
    path = tmp_path / "month.parquet"
    counts = sample.write_month(path, taxi_type, month, rows=1_000, strays=strays)
    table = pq.read_table(path)
    stop = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    assert count_outside(table, month, stop) == counts.strays == strays
    assert count_distinct(table) == 1_000


def test_a_few_strays_are_there_by_default(tmp_path: Path) -> None:
    counts = sample.write_month(tmp_path / "a.parquet", "yellow", JANUARY, rows=70_000)
    assert counts.strays == 10
    assert sample.write_month(tmp_path / "b.parquet", "yellow", JANUARY, rows=1_000).strays == 1


def test_far_strays_come_from_the_past_and_the_future(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "yellow", JANUARY, rows=2_000, strays=1_000)
    extent = pc.min_max(pq.read_table(path)["tpep_pickup_datetime"]).as_py()
    assert extent["min"].date() == date(2008, 12, 31)
    assert extent["max"].date() == date(2041, 8, 17)


def test_a_reversal_differs_from_its_original_in_the_sign_of_money_alone(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    counts = sample.write_month(path, "green", JANUARY, rows=3_000, reversals=200, twins=0)
    rows = pq.read_table(path).to_pylist()
    money = {*sample.PARTS, "total_amount"}

    def signed(row: dict[str, object], sign: int) -> str:
        return json.dumps(
            {
                name: round(sign * float(str(value)), 2) + 0
                if name in money and value is not None
                else value
                for name, value in row.items()
            },
            default=str,
        )

    originals = {signed(row, 1) for row in rows}
    reversals = [row for row in rows if row["fare_amount"] < 0 and signed(row, -1) in originals]
    assert len(reversals) == counts.reversals == 200


def test_a_twin_agrees_in_the_usual_seven_columns_alone(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    counts = sample.write_month(path, "yellow", JANUARY, rows=3_000, reversals=0, twins=150)
    seven = ["VendorID", "tpep_pickup_datetime", "tpep_dropoff_datetime", "trip_distance"]
    seven += ["PULocationID", "DOLocationID", "fare_amount"]
    table = pq.read_table(path)
    assert counts.rows - table.group_by(seven).aggregate([]).num_rows == counts.twins == 150
    assert count_distinct(table) == 3_000


@era
def test_a_total_is_the_sum_of_its_parts(tmp_path: Path, taxi_type: str, month: date) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, taxi_type, month, rows=3_000)
    for row in pq.read_table(path).to_pylist():
        parts = [value or 0 for name, value in row.items() if name.lower() in sample.PARTS]
        assert row["total_amount"] == pytest.approx(sum(parts), abs=0.001)


def test_the_vendors_record_is_missing_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "yellow", JANUARY, rows=3_000)
    table = pq.read_table(path)
    missing = pc.is_null(table["passenger_count"])
    assert 0 < pc.sum(missing).as_py() < 1_000
    for name in ("RatecodeID", "store_and_fwd_flag", "congestion_surcharge", "Airport_fee"):
        assert pc.is_null(table[name]).equals(missing), name
    assert pc.equal(table["payment_type"], 0).equals(missing)


@era
def test_the_same_seed_makes_the_same_bytes(tmp_path: Path, taxi_type: str, month: date) -> None:
    paths = [tmp_path / name for name in ("one.parquet", "two.parquet", "other.parquet")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        sample.write_month(path, taxi_type, month, rows=1_500, seed=seed, duplicates=10)
    one, two, other = (path.read_bytes() for path in paths)
    assert one == two
    assert one != other


def test_known_rows_are_made_whatever_the_libraries(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "yellow", JANUARY, rows=2, seed=1)
    names = ["tpep_pickup_datetime", "PULocationID", "DOLocationID", "total_amount"]
    rows = pq.read_table(path, columns=names).to_pylist()
    assert [" ".join(map(str, row.values())) for row in rows] == [
        "2024-01-09 07:42:53 125 237 11.91",
        "2024-01-22 21:43:52 147 227 11.94",
    ]


def test_a_month_is_the_same_whatever_the_range(tmp_path: Path) -> None:
    for folder, month in (("range", "2023-12"), ("single", "2024-01")):
        result = run(folder, "--month", month, "--stop", "2024-02", "--rows", "500", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "range").iterdir())
    assert names == ["yellow_tripdata_2023-12.parquet", "yellow_tripdata_2024-01.parquet"]
    ranged, single = (tmp_path / folder / names[1] for folder in ("range", "single"))
    assert ranged.read_bytes() == single.read_bytes()
    december, january = (pq.read_table(tmp_path / "range" / name) for name in names)
    assert not december["trip_distance"].equals(january["trip_distance"])


def test_each_file_is_reported_with_rows_and_bytes(tmp_path: Path) -> None:
    result = run("out", "--taxi-type", "green", "--month", "2020-03", cwd=tmp_path)
    path = tmp_path / "out" / "green_tripdata_2020-03.parquet"
    size = path.stat().st_size
    assert result.stdout == f"{path.relative_to(tmp_path)}: 10,000 rows, {size:,} bytes\n"
    assert not result.stderr


def test_row_groups_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    rows = 2 * sample.ROW_GROUP + 1
    sample.write_month(path, "green", JANUARY, rows=rows, duplicates=sample.ROW_GROUP)
    metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    assert sum(sizes) == rows + sample.ROW_GROUP
    assert max(sizes) <= sample.ROW_GROUP <= 1_000_000


def test_a_given_schema_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    given = pa.schema(
        {
            "vendorid": pa.int16(),
            "tpep_pickup_datetime": pa.timestamp("ns"),
            "tpep_dropoff_datetime": pa.string(),
            "passenger_count": pa.int32(),
            "store_and_fwd_flag": pa.large_string(),
            "congestion_surcharge": pa.int32(),
            "AIRPORT_FEE": pa.null(),
            "total_amount": pa.float32(),
            "surprise": pa.string(),
        }
    )
    sample.write_month(path, "yellow", JANUARY, rows=2_000, schema=given)
    table = pq.read_table(path)
    assert table.schema.equals(given)
    assert table["surprise"].null_count == 2_000
    assert 0 < table["passenger_count"].null_count < 1_000
    assert set(pc.unique(table["congestion_surcharge"]).to_pylist()) >= {None, 0, 2}
    assert table["vendorid"].null_count == 0


def test_no_rows_make_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    counts = sample.write_month(path, "yellow", JANUARY, rows=0)
    assert counts == sample.Counts(0, 0, 0, 0, 0, 0)
    assert pq.read_table(path).num_rows == 0


def test_a_failed_write_leaves_nothing_behind_and_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    path.write_text("old")
    unwritable = pa.schema({"tpep_pickup_datetime": pa.list_(pa.int64())})
    with pytest.raises(pa.ArrowException):
        sample.write_month(path, "yellow", JANUARY, rows=10, schema=unwritable)
    assert [each.name for each in tmp_path.iterdir()] == ["month.parquet"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("taxi_type", "month", "counts", "message"),
    [
        ("yellow", date(2010, 12, 1), {}, "yellow 2010-12: the first month is 2011-01; .*coord"),
        ("green", date(2013, 7, 1), {}, "green 2013-07: the first month is 2013-08"),
        ("fhv", JANUARY, {}, "taxi type fhv: must be one of yellow, green"),
        ("yellow", JANUARY, {"rows": -1}, "rows -1: must not be negative"),
        ("yellow", JANUARY, {"seed": -1}, "seed -1: must not be negative"),
        ("yellow", JANUARY, {"duplicates": -1}, "duplicates -1: must not be negative"),
        ("yellow", JANUARY, {"rows": 9, "strays": 10}, "9 rows: too few for 10 strays"),
        ("yellow", JANUARY, {"rows": 9, "duplicates": 10}, "9 rows: too few"),
        ("yellow", JANUARY, {"rows": 9, "reversals": 5}, "9 rows: too few"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, taxi_type: str, month: date, counts: dict[str, int], message: str
) -> None:
    with pytest.raises(TaxiError, match=message):
        sample.write_month(tmp_path / "month.parquet", taxi_type, month, **counts)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--month", "2024-13"], "2024-13: must be a month such as 2024-01"),
        (["--month", "January"], "January: must be a month such as 2024-01"),
        (["--month", "2024-01", "--rows", "-5"], "-5: must be a whole number, 0 or more"),
        (["--month", "2024-01", "--seed", "x"], "x: must be a whole number, 0 or more"),
        (["--month", "2024-01", "--stop", "2024-01"], "--stop 2024-01: must be after"),
        (["--month", "2024-01", "--taxi-type", "fhv"], "invalid choice: 'fhv'"),
        (["--month", "2009-01"], "yellow 2009-01: the first month is 2011-01"),
        ([], "the following arguments are required: --month"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run("out", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("out/*"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("file/out", "--month", "2024-01", cwd=tmp_path)
    assert result.returncode == 2
    assert "file/out" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_script_keeps_the_callers_folder(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    if not (root / ".venv" / "bin" / "python").exists():
        pytest.skip("no .venv in the project's folder: run scripts/bootstrap")
    command = [str(root / "scripts" / "make-sample"), "here", "--month", "2024-01", "--rows", "10"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert pq.read_table(tmp_path / "here" / "yellow_tripdata_2024-01.parquet").num_rows == 10
