"""What each taxi type is."""

from datetime import date

import pyarrow as pa
import pytest

from luigi_tasks import sample
from luigi_tasks.catalog import (
    ARROW_TYPES,
    FHV,
    FHVHV,
    GREEN,
    TAXI_TYPES,
    YELLOW,
    TaxiType,
    fold,
    shared_columns,
)
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month

#: A trip's fingerprint has them in it: none may ever change, nor be given to another column.
TAGS = {
    "vendor_id": 1,
    "pickup_datetime": 2,
    "dropoff_datetime": 3,
    "passenger_count": 4,
    "trip_distance": 5,
    "rate_code_id": 6,
    "store_and_fwd_flag": 7,
    "pickup_location_id": 8,
    "dropoff_location_id": 9,
    "payment_type": 10,
    "fare_amount": 11,
    "extra": 12,
    "mta_tax": 13,
    "tip_amount": 14,
    "tolls_amount": 15,
    "ehail_fee": 16,
    "improvement_surcharge": 17,
    "total_amount": 18,
    "trip_type": 19,
    "congestion_surcharge": 20,
    "airport_fee": 21,
    "cbd_congestion_fee": 22,
    "pickup_longitude": 23,
    "pickup_latitude": 24,
    "dropoff_longitude": 25,
    "dropoff_latitude": 26,
    "dispatching_base_num": 27,
    "affiliated_base_num": 28,
    "sr_flag": 29,
    "hvfhs_license_num": 30,
    "originating_base_num": 31,
    "request_datetime": 32,
    "on_scene_datetime": 33,
    "trip_time": 34,
    "black_car_fund": 35,
    "sales_tax": 36,
    "driver_pay": 37,
    "shared_request_flag": 38,
    "shared_match_flag": 39,
    "access_a_ride_flag": 40,
    "wav_request_flag": 41,
    "wav_match_flag": 42,
}

#: Which of them each table has, by tag, and so in the order in which people get to see them.
COLUMNS = {
    "yellow": [*range(1, 16), 17, 18, *range(20, 27)],
    "green": [*range(1, 21), *range(22, 27)],
    "fhv": [2, 3, 8, 9, 27, 28, 29],
    "fhvhv": [2, 3, 5, 8, 9, 11, 14, 15, *range(20, 23), 27, *range(29, 43)],
}
#: The services whose files show by the names of their columns which one they are of.
CABS = [kind for kind in TAXI_TYPES.values() if kind in (YELLOW, GREEN)]

each_type = pytest.mark.parametrize("kind", TAXI_TYPES.values(), ids=list(TAXI_TYPES))


def published(kind: TaxiType, month: date = date(2025, 1, 1)) -> list[str]:
    return list(sample.schema(kind.name, month).names)


def test_no_tag_ever_changes() -> None:
    assert {c.name: c.tag for kind in TAXI_TYPES.values() for c in kind.columns} == TAGS


@each_type
def test_tags_are_one_byte_and_rise_as_the_columns_do(kind: TaxiType) -> None:
    tags = [column.tag for column in kind.columns]
    assert tags == sorted(set(tags))
    assert all(0 < tag < 256 for tag in tags)


@each_type
def test_a_table_has_its_columns_in_order(kind: TaxiType) -> None:
    assert [column.tag for column in kind.columns] == COLUMNS[kind.name]


def test_the_shared_columns_are_those_of_more_than_one_type() -> None:
    tags = [tag for tags in COLUMNS.values() for tag in tags]
    expected = sorted(tag for tag in set(tags) if tags.count(tag) > 1)
    assert [column.tag for column in shared_columns(TAXI_TYPES.values())] == expected


def test_what_one_column_has_for_words_is_folded_and_of_its_type() -> None:
    for column in (column for kind in TAXI_TYPES.values() for column in kind.columns):
        kinds = {type(value) for value in column.words.values()}
        assert kinds <= {int if column.type == "integer" else str}
        assert [fold(word) for word in column.words] == list(column.words)


@each_type
def test_every_column_has_a_comment_and_a_type(kind: TaxiType) -> None:
    for column in kind.columns:
        assert column.comment.strip()
        assert pa.type_for_alias(ARROW_TYPES[column.type])


@each_type
@pytest.mark.parametrize(
    "change", [str, str.upper, str.lower, str.title, " {}".format, "{} ".format]
)
def test_a_column_is_found_by_each_of_its_names_in_any_case_and_with_blanks(
    kind: TaxiType, change: object
) -> None:
    others = {c.name: (*c.aliases, c.name)[0] for c in kind.columns}
    for column in kind.columns:
        for name in (column.name, *column.aliases):
            names = {**others, column.name: change(name)}  # type: ignore[operator]
            match = kind.match(names.values())
            assert match.columns == names
            assert match.unknown == []


@pytest.mark.parametrize("kind", CABS, ids=["yellow", "green"])
@pytest.mark.parametrize("month", [date(2014, 1, 1), date(2020, 3, 1), date(2023, 2, 1)])
def test_every_era_is_matched_whole(kind: TaxiType, month: date) -> None:
    names = published(kind, month)
    match = kind.match(names)
    assert sorted(match.columns.values()) == sorted(names)
    assert match.unknown == []


def test_unknown_columns_are_returned() -> None:
    match = YELLOW.match([*published(YELLOW), "request_source", "__index_level_0__"])
    assert match.unknown == ["request_source"]
    assert len(match.columns) == len(published(YELLOW))


@pytest.mark.parametrize("kind", CABS, ids=["yellow", "green"])
def test_a_file_may_have_coordinates_instead_of_zones(kind: TaxiType) -> None:
    names = [n for n in published(kind) if n not in ("PULocationID", "DOLocationID")]
    ends = ["Pickup_longitude", "Pickup_latitude", "Dropoff_longitude", "Dropoff_latitude"]
    assert kind.match([*names, *ends]).columns["pickup_latitude"] == "Pickup_latitude"
    with pytest.raises(TaxiError, match="has no column DOLocationID;"):
        kind.match([*names, *ends[:-1]])


FHV_NAMES = ["Dispatching_base_num", "Pickup_date", "locationID"]
FHVHV_NAMES = [
    "hvfhs_license_num",
    "dispatching_base_num",
    "pickup_datetime",
    "dropoff_datetime",
    "PULocationID",
    "DOLocationID",
    "SR_Flag",
]


def test_a_base_has_two_columns_in_2018() -> None:
    match = FHV.match([*FHV_NAMES, "Dispatching_base_number"])
    assert match.columns["dispatching_base_num"] == "Dispatching_base_num"
    assert match.fillers == {"dispatching_base_num": "Dispatching_base_number"}
    assert match.unknown == []


def test_fhv_and_fhvhv_are_distinguished() -> None:
    assert FHV.match(FHV_NAMES).columns["pickup_location_id"] == "locationID"
    assert FHVHV.match(FHVHV_NAMES).unknown == []
    with pytest.raises(TaxiError, match="not a file of fhv trips, it looks like fhvhv: its colu"):
        FHV.match(FHVHV_NAMES)
    with pytest.raises(TaxiError, match="not a file of fhvhv trips, it looks like fhv: it has no"):
        FHVHV.match(FHV_NAMES)


def test_two_columns_for_one_are_refused() -> None:
    with pytest.raises(
        TaxiError, match="'Airport_fee' and 'airport_fee' both stand for airport_fe"
    ):
        YELLOW.match([*published(YELLOW), "airport_fee"])


@pytest.mark.parametrize(("kind", "other"), [(YELLOW, GREEN), (GREEN, YELLOW)])
def test_a_file_of_another_service_is_named(kind: TaxiType, other: TaxiType) -> None:
    with pytest.raises(
        TaxiError, match=f"not a file of {kind.name} trips, it looks like {other.name}: "
    ):
        kind.match(published(other))


def test_the_columns_of_a_file_of_no_known_service_are_named() -> None:
    with pytest.raises(TaxiError, match=r"not a file of green trips: .* are dropOff_datetime, x$"):
        GREEN.match(["dropOff_datetime", "x"])


@pytest.mark.parametrize(
    "name", ["VendorID", "lpep_pickup_datetime", "DOLocationID", "fare_amount", "trip_distance"]
)
def test_a_missing_column_that_identifies_a_trip_is_named(name: str) -> None:
    with pytest.raises(TaxiError, match=f"has no column {name};"):
        GREEN.match([each for each in published(GREEN) if each != name])


@pytest.mark.parametrize("name", ["passenger_count", "ehail_fee", "congestion_surcharge"])
def test_a_file_may_lack_other_columns(name: str) -> None:
    match = GREEN.match([each for each in published(GREEN) if each != name])
    assert name not in match.columns


@pytest.mark.parametrize(
    ("kind", "month", "told"),
    [
        (GREEN, date(2013, 7, 1), "green 2013-07: no trips are published .* from 2013-08 on"),
        (YELLOW, date(2008, 12, 1), "yellow 2008-12: no trips are published .* from 2009-01 on"),
        (FHV, date(2014, 12, 1), "fhv 2014-12: no trips are published .* from 2015-01 on"),
        (FHVHV, date(2019, 1, 1), "fhvhv 2019-01: no trips are published .* from 2019-02 on"),
    ],
)
def test_a_month_before_the_first_is_refused_with_the_first(
    kind: TaxiType, month: date, told: str
) -> None:
    with pytest.raises(TaxiError, match=told):
        kind.check_month(month)


@each_type
def test_the_first_month_is_not_refused(kind: TaxiType) -> None:
    kind.check_month(kind.first_month)
    kind.check_month(date(2030, 1, 1))


def test_a_file_is_named_as_published() -> None:
    assert Month("green", date(2024, 1, 1)).filename == "green_tripdata_2024-01.parquet"
