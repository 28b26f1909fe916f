"""The columns and types that the files of each service have, by era, and the codes in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from luigi_tasks.errors import TaxiError


@dataclass(frozen=True)
class Service:
    """What all months of a taxi type have.

    ``first`` is the first month that is published with zones and with timestamps that aren't
    strings, ``columns`` are those of every such month, in the published order. ``record`` has the
    columns that are NULL together in a row that lacks the vendor's or base's own record of the
    trip, ``unrecorded`` the share of such rows from 2018-07 on; before, counts were int64, without
    NULLs. ``twin`` is the column in which a twin differs from its original, and by how much.
    ``fare`` is None if no money is published.
    """

    first: date
    columns: str
    record: str
    twin: tuple[str, int]
    unrecorded: float = 0
    fare: str | None = "fare_amount"


SERVICES = {
    "yellow": Service(
        first=date(2011, 1, 1),
        columns="""VendorID tpep_pickup_datetime tpep_dropoff_datetime passenger_count
            trip_distance RatecodeID store_and_fwd_flag PULocationID DOLocationID payment_type
            fare_amount extra mta_tax tip_amount tolls_amount improvement_surcharge total_amount
            congestion_surcharge airport_fee""",
        record="passenger_count ratecodeid store_and_fwd_flag congestion_surcharge airport_fee",
        unrecorded=0.06,
        twin=("extra", 100),
    ),
    "green": Service(
        first=date(2013, 8, 1),
        columns="""VendorID lpep_pickup_datetime lpep_dropoff_datetime store_and_fwd_flag
            RatecodeID PULocationID DOLocationID passenger_count trip_distance fare_amount extra
            mta_tax tip_amount tolls_amount ehail_fee improvement_surcharge total_amount
            payment_type trip_type congestion_surcharge""",
        record="passenger_count ratecodeid store_and_fwd_flag congestion_surcharge payment_type "
        "trip_type",
        unrecorded=0.23,
        twin=("extra", 100),
    ),
    "fhv": Service(
        first=date(2015, 1, 1),
        columns="""dispatching_base_num pickup_datetime dropOff_datetime PUlocationID
            DOlocationID SR_Flag Affiliated_base_number""",
        record="dropoff",
        twin=("affiliated_base_number", 1),
        fare=None,
    ),
    "fhvhv": Service(
        first=date(2019, 2, 1),
        columns="""hvfhs_license_num dispatching_base_num originating_base_num request_datetime
            on_scene_datetime pickup_datetime dropoff_datetime PULocationID DOLocationID
            trip_miles trip_time base_passenger_fare tolls bcf sales_tax congestion_surcharge
            airport_fee tips driver_pay shared_request_flag shared_match_flag access_a_ride_flag
            wav_request_flag wav_match_flag""",
        record="originating_base_num on_scene",
        twin=("tips", 100),
        fare="base_passenger_fare",
    ),
}

#: A taxi type's index here is part of its seed: append new ones.
TAXI_TYPES = tuple(SERVICES)

#: The parts of total_amount.
PARTS = [
    "fare_amount",
    "extra",
    "mta_tax",
    "tip_amount",
    "tolls_amount",
    "improvement_surcharge",
    "congestion_surcharge",
    "airport_fee",
    "cbd_congestion_fee",
]

#: Columns that are drawn in cents, so that sums are exact and a negated zero stays zero.
MONEY = [
    *PARTS,
    "total_amount",
    "base_passenger_fare",
    "tolls",
    "bcf",
    "sales_tax",
    "tips",
    "driver_pay",
]

#: Licences of bases look like these; a published month has a few hundred of them.
BASES = [f"B{number:05}" for number in range(13, 3_400, 7)]

#: Columns of words, drawn as an index into these. The published request sources aren't known.
WORDS: dict[str, Sequence[str | None]] = {
    "store_and_fwd_flag": ["N", "Y"],
    "request_source": ["hail", "app"],
    "hvfhs_license_num": ["HV0002", "HV0003", "HV0004", "HV0005"],
    "dispatching_base_num": BASES,
    "originating_base_num": BASES,
    "affiliated_base_number": [*BASES, None],
    "shared_request_flag": ["N", "Y"],
    "shared_match_flag": ["N", "Y"],
    "access_a_ride_flag": ["N", "Y", " "],
    "wav_request_flag": ["N", "Y"],
    "wav_match_flag": ["N", "Y"],
}

#: Columns in which a drawn 0 stands for NULL.
NULL_AS_ZERO = ("pulocationid", "dolocationid", "sr_flag")


def schema(taxi_type: str, month: date) -> pa.Schema:
    """Return the columns and types of a month's file as the TLC published it.

    Between 2016 and 2023-01 ``congestion_surcharge`` and ``airport_fee`` are int32 in some
    published yellow months; here they are double in all. Green months before 2020 are like those of
    2020 here, apart from the null type that ``congestion_surcharge`` has until 2015. ``SR_Flag`` is
    of type null in some months of fhv and double in others; here it is double from 2017-07, its
    first month, to 2022-12.

    :raises TaxiError: the taxi type is unknown, or the month is before its first one.
    """
    return pa.schema(_fields(taxi_type, month))


def _fields(taxi_type: str, month: date) -> list[tuple[str, pa.DataType]]:
    if taxi_type not in TAXI_TYPES:
        raise TaxiError(f"taxi type {taxi_type}: must be one of {', '.join(TAXI_TYPES)}")
    service = SERVICES[taxi_type]
    if month < service.first:
        before = "there are none before"
        if taxi_type == "yellow":
            before = "the months before have coordinates instead of zones and can't be written"
        raise TaxiError(
            f"{taxi_type} {month:%Y-%m}: the first month is {service.first:%Y-%m}; {before}"
        )

    narrow = month >= date(2023, 2, 1)
    number, money, nothing = pa.int64(), pa.float64(), pa.null()
    identifier = pa.int32() if narrow else number
    early_count = number if taxi_type == "yellow" and month < date(2018, 7, 1) else money
    count = number if narrow else early_count
    first_airport_fee = date(2021 if taxi_type == "fhvhv" else 2016, 1, 1)
    shared_ride = date(2017, 7, 1) <= month < date(2023, 1, 1)
    # fhv spells its zones PUlocationID and DOlocationID; they are double like all its numbers.
    types = dict.fromkeys(("VendorID", "PULocationID", "DOLocationID"), identifier)
    types |= dict.fromkeys(("passenger_count", "RatecodeID", "trip_type"), count)
    types["congestion_surcharge"] = nothing if month < date(2016, 1, 1) else money
    types["airport_fee"] = nothing if month < first_airport_fee else money
    types["payment_type"] = number if taxi_type == "yellow" else count
    types["store_and_fwd_flag"] = pa.large_string() if narrow else pa.string()
    types["ehail_fee"] = money if narrow else nothing
    types["trip_time"] = number
    types["SR_Flag"] = money if shared_ride else nothing
    names = service.columns.split()
    if taxi_type == "yellow" and narrow:
        names[names.index("airport_fee")] = "Airport_fee"
    if "congestion_surcharge" in names and month >= date(2025, 1, 1):
        names.append("cbd_congestion_fee")
    if taxi_type == "yellow" and month >= date(2026, 6, 1):
        names.append("request_source")
    fields = []
    for name in names:
        default = pa.timestamp("us") if name.endswith("_datetime") else money
        default = pa.string() if name.lower() in WORDS else default
        fields.append((name, types.get(name, default)))
    return fields
