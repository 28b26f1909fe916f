"""What each taxi type is."""

from datetime import date

import pyarrow as pa
import pytest

from luigi_tasks import sample
from luigi_tasks.catalog import ARROW_TYPES, GREEN, TAXI_TYPES, YELLOW, TaxiType, common_columns
from luigi_tasks.errors import TaxiError

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
}

#: The tables' columns, in the order in which people get to see them.
ORDER = [
    "vendor_id",
    "pickup_datetime",
    "dropoff_datetime",
    "passenger_count",
    "trip_distance",
    "rate_code_id",
    "store_and_fwd_flag",
    "pickup_location_id",
    "dropoff_location_id",
    "payment_type",
    "fare_amount",
    "extra",
    "mta_tax",
    "tip_amount",
    "tolls_amount",
    "ehail_fee",
    "improvement_surcharge",
    "total_amount",
    "trip_type",
    "congestion_surcharge",
    "airport_fee",
    "cbd_congestion_fee",
]
NOT_IN = {"yellow": {"ehail_fee", "trip_type"}, "green": {"airport_fee"}}

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
    expected = [name for name in ORDER if name not in NOT_IN[kind.name]]
    assert [column.name for column in kind.columns] == expected


def test_the_common_columns_are_those_of_every_type() -> None:
    apart = NOT_IN["yellow"] | NOT_IN["green"]
    assert [column.name for column in common_columns()] == [n for n in ORDER if n not in apart]


@each_type
def test_every_column_has_a_comment_and_a_type(kind: TaxiType) -> None:
    for column in kind.columns:
        assert column.comment.strip()
        assert pa.type_for_alias(ARROW_TYPES[column.type])


@each_type
@pytest.mark.parametrize(
    "change", [str, str.upper, str.lower, str.title, " {}".format, "{} ".format]
)
def test_a_column_goes_by_each_of_its_names_in_any_case_and_with_blanks(
    kind: TaxiType, change: object
) -> None:
    others = {c.name: (*c.aliases, c.name)[0] for c in kind.columns}
    for column in kind.columns:
        for name in (column.name, *column.aliases):
            names = {**others, column.name: change(name)}  # type: ignore[operator]
            matched, unknown = kind.match(names.values())
            assert matched == names
            assert unknown == []


@each_type
@pytest.mark.parametrize("month", [date(2014, 1, 1), date(2020, 3, 1), date(2023, 2, 1)])
def test_every_era_is_matched_whole(kind: TaxiType, month: date) -> None:
    names = published(kind, month)
    matched, unknown = kind.match(names)
    assert sorted(matched.values()) == sorted(names)
    assert unknown == []


def test_columns_that_are_not_known_are_told() -> None:
    matched, unknown = YELLOW.match([*published(YELLOW), "request_source", "__index_level_0__"])
    assert unknown == ["request_source", "__index_level_0__"]
    assert len(matched) == len(YELLOW.columns)


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


def test_a_file_of_no_known_service_tells_its_columns() -> None:
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
    matched, _ = GREEN.match([each for each in published(GREEN) if each != name])
    assert name not in matched


@pytest.mark.parametrize(
    ("kind", "month", "told"),
    [
        (GREEN, date(2013, 7, 1), "green 2013-07: no trips are published .* from 2013-08 on"),
        (YELLOW, date(2008, 12, 1), "yellow 2008-12: no trips are published .* from 2011-01 on"),
        (YELLOW, date(2010, 12, 1), "yellow 2010-12: .*coordinates.* from 2011-01 on"),
    ],
)
def test_a_month_before_the_first_is_refused_with_the_first(
    kind: TaxiType, month: date, told: str
) -> None:
    with pytest.raises(TaxiError, match=told):
        kind.check_month(month)


@each_type
def test_the_first_month_is_not_refused(kind: TaxiType) -> None:
    kind.check_month(kind.reads_from)
    kind.check_month(date(2030, 1, 1))


def test_a_file_is_named_as_published() -> None:
    assert GREEN.filename(date(2024, 1, 1)) == "green_tripdata_2024-01.parquet"
