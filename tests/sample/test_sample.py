"""Random months have the published shape, and the numbers of rows that were asked for."""

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
from luigi_tasks.sample import draw
from luigi_tasks.sample.write import _as_table

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
    ("fhv", date(2015, 1, 1)),
    ("fhv", date(2017, 1, 1)),
    ("fhv", date(2017, 7, 1)),
    ("fhv", date(2023, 1, 1)),
    ("fhv", date(2025, 1, 1)),
    ("fhvhv", date(2019, 2, 1)),
    ("fhvhv", date(2021, 1, 1)),
    ("fhvhv", date(2023, 2, 1)),
    ("fhvhv", date(2025, 1, 1)),
]


def each_of(eras: list[tuple[str, date]]) -> pytest.MarkDecorator:
    names = [f"{taxi_type}-{month:%Y-%m}" for taxi_type, month in eras]
    return pytest.mark.parametrize(("taxi_type", "month"), eras, ids=names)


era = each_of(ERAS)
taxi_era = each_of([each for each in ERAS if each[0] in ("yellow", "green")])


def types_of(taxi_type: str, month: date) -> dict[str, pa.DataType]:
    published = sample.schema(taxi_type, month)
    return dict(zip(published.names, published.types, strict=True))


def count_distinct(table: pa.Table) -> int:
    # Grouping doesn't take columns of type null, and they tell no rows apart.
    names = [field.name for field in table.schema if not pa.types.is_null(field.type)]
    return table.group_by(names).aggregate([]).num_rows


def count_outside(table: pa.Table, start: date, stop: date) -> int:
    (name,) = (name for name in table.column_names if name.endswith("pickup_datetime"))
    pickups = table[name]
    early = pc.less(pickups, pa.scalar(datetime(start.year, start.month, 1), pickups.type))
    late = pc.greater_equal(pickups, pa.scalar(datetime(stop.year, stop.month, 1), pickups.type))
    return int(pc.sum(pc.or_(early, late)).as_py() or 0)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luigi_tasks", "sample", *arguments]
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
            if month >= sample.SERVICES[taxi_type].first:
                names = row["file_column_names"].split(",")
                assert sample.schema(taxi_type, month).names == names, row["file_name"]
                compared += 1
    assert compared > 60


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


def test_fhv_types_change_when_the_published_ones_do() -> None:
    double, text, time = pa.float64(), pa.string(), pa.timestamp("us")
    names = sample.schema("fhv", JANUARY).names
    flagged = dict(zip(names, (text, time, time, double, double, double, text), strict=True))
    flagless = flagged | {"SR_Flag": pa.null()}
    assert types_of("fhv", date(2017, 6, 1)) == flagless
    assert types_of("fhv", date(2017, 7, 1)) == flagged
    assert types_of("fhv", date(2022, 12, 1)) == flagged
    assert types_of("fhv", date(2023, 1, 1)) == flagless
    assert types_of("fhv", date(2025, 1, 1)) == flagless


def test_fhvhv_types_change_when_the_published_ones_do() -> None:
    types = types_of("fhvhv", date(2019, 2, 1))
    assert len(types) == 24
    assert types["hvfhs_license_num"] == types["originating_base_num"] == pa.string()
    assert types["access_a_ride_flag"] == types["wav_match_flag"] == pa.string()
    assert types["request_datetime"] == types["on_scene_datetime"] == pa.timestamp("us")
    assert types["trip_time"] == pa.int64()
    assert types["trip_miles"] == types["driver_pay"] == types["bcf"] == pa.float64()
    assert types_of("fhvhv", date(2020, 12, 1))["airport_fee"] == pa.null()
    assert types_of("fhvhv", date(2021, 1, 1))["airport_fee"] == pa.float64()
    assert types_of("fhvhv", date(2023, 1, 1))["PULocationID"] == pa.int64()
    assert types_of("fhvhv", date(2023, 2, 1))["DOLocationID"] == pa.int32()
    assert "cbd_congestion_fee" not in types_of("fhvhv", date(2024, 12, 1))
    assert types_of("fhvhv", date(2025, 1, 1))["cbd_congestion_fee"] == pa.float64()


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
    reversals = 1_000 if sample.SERVICES[taxi_type].fare else 0
    sample.write_month(path, taxi_type, month, rows=5_000, reversals=reversals, twins=1_000)
    assert count_distinct(pq.read_table(path)) == 5_000


def test_rows_in_the_same_second_between_the_same_zones_are_separated() -> None:
    import numpy as np

    columns = ("pickup", "dropoff", "pulocationid", "dolocationid")
    trips = {name: np.full(100, 7) for name in columns}
    draw.separate(trips)
    assert sorted(trips["dropoff"]) == list(range(7, 107))


def test_rows_without_a_dropoff_in_the_same_second_are_separated() -> None:
    import numpy as np

    month = date(2016, 1, 1)
    second = np.full(5_000, 1_451_606_400)
    trips = draw._draw_fhv(np.random.PCG64(1), "fhv", month, second)
    table = _as_table(trips, "fhv", sample.schema("fhv", month))
    assert count_distinct(table.drop_columns("Affiliated_base_number")) == 5_000
    assert 0 < pc.sum(trips["unrecorded"]).as_py() < 4_800


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
    month = max(month, sample.SERVICES[taxi_type].first)
    counts = sample.write_month(path, taxi_type, month, rows=1_000, strays=strays)
    table = pq.read_table(path)
    stop = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    assert count_outside(table, month, stop) == counts.strays == strays
    assert count_distinct(table) == 1_000


def test_a_month_has_a_few_strays_by_default(tmp_path: Path) -> None:
    counts = sample.write_month(tmp_path / "a.parquet", "yellow", JANUARY, rows=70_000)
    assert counts.strays == 10
    assert sample.write_month(tmp_path / "b.parquet", "yellow", JANUARY, rows=1_000).strays == 1


def test_fhv_has_twins_and_no_reversals_by_default(tmp_path: Path) -> None:
    counts = sample.write_month(tmp_path / "month.parquet", "fhv", JANUARY, rows=10_000)
    assert counts == sample.Counts(10_000, 10_000, strays=1, reversals=0, twins=2, duplicates=0)


def test_far_strays_come_from_the_past_and_the_future(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "yellow", JANUARY, rows=2_000, strays=1_000)
    extent = pc.min_max(pq.read_table(path)["tpep_pickup_datetime"]).as_py()
    assert extent["min"].date() == date(2008, 12, 31)
    assert extent["max"].date() == date(2041, 8, 17)


@pytest.mark.parametrize(
    ("taxi_type", "fare"), [("green", "fare_amount"), ("fhvhv", "base_passenger_fare")]
)
def test_a_reversal_differs_from_its_original_in_the_sign_of_money_alone(
    tmp_path: Path, taxi_type: str, fare: str
) -> None:
    path = tmp_path / "month.parquet"
    counts = sample.write_month(path, taxi_type, JANUARY, rows=3_000, reversals=200, twins=0)
    table = pq.read_table(path)
    rows = table.to_pylist()
    doubles = {field.name for field in table.schema if field.type == pa.float64()}
    money = doubles - {"trip_distance", "trip_miles"}

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
    reversals = [row for row in rows if row[fare] < 0 and signed(row, -1) in originals]
    assert len(reversals) == counts.reversals == 200


def test_a_twin_agrees_in_the_usual_seven_columns_alone(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    counts = sample.write_month(path, "yellow", JANUARY, rows=3_000, reversals=0, twins=150)
    seven = ["VendorID", "tpep_pickup_datetime", "tpep_dropoff_datetime", "trip_distance"]
    seven += ["PULocationID", "DOLocationID", "fare_amount"]
    table = pq.read_table(path)
    assert counts.rows - table.group_by(seven).aggregate([]).num_rows == counts.twins == 150
    assert count_distinct(table) == 3_000


@pytest.mark.parametrize(
    ("taxi_type", "month", "column"),
    [
        ("fhv", date(2016, 1, 1), "Affiliated_base_number"),
        ("fhv", date(2018, 7, 1), "Affiliated_base_number"),
        ("fhvhv", JANUARY, "tips"),
    ],
)
def test_a_for_hire_twin_differs_in_a_single_column(
    tmp_path: Path, taxi_type: str, month: date, column: str
) -> None:
    path = tmp_path / "month.parquet"
    counts = sample.write_month(path, taxi_type, month, rows=3_000, reversals=0, twins=150)
    table = pq.read_table(path)
    assert counts.rows - count_distinct(table.drop_columns(column)) == counts.twins == 150
    assert count_distinct(table) == 3_000


@taxi_era
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


def share_of_nulls(table: pa.Table) -> dict[str, float]:
    return {name: table[name].null_count / table.num_rows for name in table.column_names}


def test_fhv_dropoffs_are_mostly_missing_before_2017_and_zones_often_to_this_day(
    tmp_path: Path,
) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "fhv", date(2016, 12, 1), rows=3_000)
    early = share_of_nulls(pq.read_table(path))
    assert 0.9 < early["dropOff_datetime"] < 1
    assert 0.9 < early["DOlocationID"] < 1
    sample.write_month(path, "fhv", date(2017, 1, 1), rows=3_000)
    late = share_of_nulls(pq.read_table(path))
    assert late["dropOff_datetime"] == 0
    assert 0.01 < late["DOlocationID"] < 0.1
    assert 0.2 < early["PUlocationID"] < 0.4
    assert 0.2 < late["PUlocationID"] < 0.4


def test_fhv_shared_rides_are_flagged_and_the_others_null(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "fhv", date(2018, 7, 1), rows=3_000)
    flags = pq.read_table(path)["SR_Flag"]
    assert set(pc.unique(flags).to_pylist()) == {None, 1.0}
    assert flags.null_count > 2_000


def test_a_few_hundred_bases_look_like_published_ones(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "fhv", JANUARY, rows=10_000)
    table = pq.read_table(path)
    for name in ("dispatching_base_num", "Affiliated_base_number"):
        bases = pc.unique(table[name].drop_null())
        assert pc.all(pc.match_substring_regex(bases, "^B[0-9]{5}$")).as_py()
        assert 200 < len(bases) < 1_000


def test_only_one_fhvhv_company_publishes_where_its_cars_came_from(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "fhvhv", JANUARY, rows=3_000)
    table = pq.read_table(path)
    licenses = table["hvfhs_license_num"]
    assert set(licenses.to_pylist()) == {"HV0002", "HV0003", "HV0004", "HV0005"}
    untold = pc.not_equal(licenses, "HV0003")
    assert pc.is_null(table["originating_base_num"]).equals(untold)
    assert pc.is_null(table["on_scene_datetime"]).equals(untold)
    assert pc.not_equal(table["access_a_ride_flag"], " ").equals(untold)


def test_fhvhv_times_follow_each_other_and_make_up_trip_time(tmp_path: Path) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, "fhvhv", JANUARY, rows=3_000)
    for row in pq.read_table(path).to_pylist():
        ride = row["dropoff_datetime"] - row["pickup_datetime"]
        assert ride.total_seconds() == row["trip_time"]
        on_scene = row["on_scene_datetime"] or row["pickup_datetime"]
        assert row["request_datetime"] <= on_scene <= row["pickup_datetime"]


def test_fhvhv_trip_time_follows_a_dropoff_that_was_moved() -> None:
    import numpy as np

    second = np.full(20_000, 1_704_067_200)
    trips = draw._draw_fhvhv(np.random.PCG64(1), "fhvhv", JANUARY, second)
    assert (trips["trip_time"] == trips["dropoff"] - second).all()


@era
def test_the_same_seed_makes_the_same_bytes(tmp_path: Path, taxi_type: str, month: date) -> None:
    paths = [tmp_path / name for name in ("one.parquet", "two.parquet", "other.parquet")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        sample.write_month(path, taxi_type, month, rows=1_500, seed=seed, duplicates=10)
    one, two, other = (path.read_bytes() for path in paths)
    assert one == two
    assert one != other


@pytest.mark.parametrize(
    ("taxi_type", "names", "known"),
    [
        (
            "yellow",
            ["tpep_pickup_datetime", "PULocationID", "DOLocationID", "total_amount"],
            ["2024-01-09 07:42:53 125 237 11.91", "2024-01-22 21:43:52 147 227 11.94"],
        ),
        (
            "fhv",
            ["dispatching_base_num", "pickup_datetime", "PUlocationID", "Affiliated_base_number"],
            ["B00293 2024-01-02 17:32:06 None B00258", "B01413 2024-01-01 18:10:52 264.0 B01413"],
        ),
        (
            "fhvhv",
            ["hvfhs_license_num", "request_datetime", "PULocationID", "trip_time", "driver_pay"],
            [
                "HV0005 2024-01-16 03:52:22 61 1320 12.16",
                "HV0003 2024-01-28 21:28:44 219 2212 18.63",
            ],
        ),
    ],
)
def test_known_rows_are_drawn_whatever_the_libraries(
    tmp_path: Path, taxi_type: str, names: list[str], known: list[str]
) -> None:
    path = tmp_path / "month.parquet"
    sample.write_month(path, taxi_type, JANUARY, rows=2, seed=1)
    rows = pq.read_table(path, columns=names).to_pylist()
    assert [" ".join(map(str, row.values())) for row in rows] == known


def test_a_month_is_the_same_whatever_the_range(tmp_path: Path) -> None:
    for folder, month in (("range", "2023-12"), ("single", "2024-01")):
        result = run(folder, "--month", month, "--stop", "2024-02", "--rows", "500", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    zones, shapes, *names = sorted(path.name for path in (tmp_path / "range").iterdir())
    assert (zones, shapes) == ("taxi_zone_lookup.csv", "taxi_zones.zip")
    assert names == ["yellow_tripdata_2023-12.parquet", "yellow_tripdata_2024-01.parquet"]
    ranged, single = (tmp_path / folder / names[1] for folder in ("range", "single"))
    assert ranged.read_bytes() == single.read_bytes()
    december, january = (pq.read_table(tmp_path / "range" / name) for name in names)
    assert not december["trip_distance"].equals(january["trip_distance"])


@pytest.mark.parametrize("taxi_type", sample.TAXI_TYPES)
def test_each_file_is_reported_with_rows_and_bytes(tmp_path: Path, taxi_type: str) -> None:
    result = run("out", "--taxi-type", taxi_type, "--month", "2020-03", cwd=tmp_path)
    path = tmp_path / "out" / f"{taxi_type}_tripdata_2020-03.parquet"
    size = path.stat().st_size
    assert result.stdout == (
        f"{path.relative_to(tmp_path)}: 10,000 rows, {size:,} bytes\n"
        "out/taxi_zone_lookup.csv: 265 zones\n"
        "out/taxi_zones.zip: their outlines\n"
    )
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
        ("fhv", date(2014, 12, 1), {}, "fhv 2014-12: the first month is 2015-01; there are none"),
        ("fhvhv", date(2019, 1, 1), {}, "fhvhv 2019-01: the first month is 2019-02"),
        ("limo", JANUARY, {}, "taxi type limo: must be one of yellow, green, fhv, fhvhv"),
        ("fhv", JANUARY, {"reversals": 5}, "fhv: 5 reversals: must be 0; a reversal takes back"),
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
        (["--month", "2024-01", "--taxi-type", "limo"], "'limo' is not one of 'yellow'"),
        (["--month", "2024-01", "--taxi-type", "fhv", "--reversals", "5"], "fhv: 5 reversals"),
        (["--month", "2009-01"], "yellow 2009-01: the first month is 2011-01"),
        ([], "Missing option '--month'"),
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


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("file/out", "--month", "2024-01", cwd=tmp_path)
    assert result.returncode == 1
    assert "file/out" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_script_keeps_the_callers_folder(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".venv" / "bin" / "python").exists():
        pytest.skip("no .venv in the project's folder: run scripts/bootstrap")
    command = [str(root / "scripts" / "make-sample"), "here", "--month", "2024-01", "--rows", "10"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert pq.read_table(tmp_path / "here" / "yellow_tripdata_2024-01.parquet").num_rows == 10
