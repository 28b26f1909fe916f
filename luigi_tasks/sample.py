"""Write months of made-up taxi trips, in the shape in which the TLC publishes them.

    python -m luigi_tasks.sample FOLDER --taxi-type yellow --month 2024-01 --rows 3000000

The published files are large and their server isn't always there; these are for the quickstart,
the tests and the benchmark. Column names, types and codecs follow the TLC's parquet files era by
era; the kinds of dirt and their frequency were counted in 37 published months of green trips
(3 million rows), and what is null in fhv and fhvhv in 1,000 trips each of 2020-04. The values are
plausible and nothing more: don't count taxis with them.

A month depends on the seed, the taxi type and its name alone. Every value comes from the raw
stream of PCG64, which numpy promises to keep, so that other versions of numpy make equal rows.
"""

import argparse
import calendar
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from luigi_tasks.errors import TaxiError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Service:
    """What the months of a taxi type have in common.

    first:      the first month that is published with zones and with timestamps that aren't strings
    columns:    those that every such month has, in the published order
    record:     null together in a row that lacks the vendor's or base's own record of the trip
    unrecorded: the share of such rows from 2018-07 on; before that counts were int64, without nulls
    twin:       the column in which a twin differs from its original, and by how much
    fare:       None where no money is published
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

#: A type's place among these is part of its seed: a new one goes to the end.
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

#: Made in cents: sums are exact, a negated zero stays zero.
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

#: Rows made, held in memory and written at a time: the most that a row group has.
ROW_GROUP = 131_072

#: Numbers of bases look like these; a few hundred are at work in a published month.
BASES = [f"B{number:05}" for number in range(13, 3_400, 7)]

#: Columns of words are drawn as a position in these. The published request sources aren't known.
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

#: Columns in which 0 stands for null.
NULL_AS_ZERO = ("pulocationid", "dolocationid", "sr_flag")

#: Pickups in each hour of the day, relative to each other.
HOURS = (5, 3, 2, 2, 1, 1, 3, 6, 8, 9, 9, 10, 11, 11, 12, 12, 13, 14, 15, 13, 11, 11, 10, 8)


@dataclass(frozen=True)
class Counts:
    """What was put into a file, in rows.

    rows:       all of them, duplicates included
    trips:      rows that differ from each other: rows less duplicates
    strays:     pickups outside the month
    reversals:  rows that repeat another with the sign of all its money changed
    twins:      rows that repeat another's vendor, times, zones, distance and fare, not its extra;
                in fhvhv not its tips, in fhv not its affiliated base
    duplicates: rows that repeat another in every column
    """

    rows: int
    trips: int
    strays: int
    reversals: int
    twins: int
    duplicates: int


def schema(taxi_type: str, month: date) -> pa.Schema:
    """Return the columns and types of a month's file as the TLC published it.

    Between 2016 and 2023-01 `congestion_surcharge` and `airport_fee` are int32 in some published
    yellow months; here they are double in all. Green months before 2020 are taken to be like
    those of 2020, apart from the null type that `congestion_surcharge` has until 2015. `SR_Flag`
    is of type null in some months of fhv and double in others; here it is double from 2017-07,
    when it came up, to 2022-12.

    Raises TaxiError for an unknown taxi type and for a month before its first.
    """
    return pa.schema(_fields(taxi_type, month))


def write_month(
    path: Path,
    taxi_type: str,
    month: date,
    *,
    rows: int = 10_000,
    seed: int = 1,
    strays: int | None = None,
    duplicates: int = 0,
    reversals: int | None = None,
    twins: int | None = None,
    schema: pa.Schema | None = None,
) -> Counts:
    """Write a month's file to `path`, whole or not at all, and return what it holds.

    rows:       strays, reversals and twins included; no two of them alike in every column
    strays:     default one in 7,000, as published, and at least one from 1,000 rows on
    duplicates: as many rows are written a second time, beyond `rows`, in a later row group if
                there is one
    reversals:  default one in 450, as published, and at least one from 1,000 rows on; none in fhv,
                which has no money
    twins:      default one in 4,000, as published, and at least one from 1,000 rows on
    schema:     columns and types to write instead of the month's own. Values are cast; a column
                that the month doesn't have, by name in whatever case, is null. Without the
                times, zones, money and bases, rows may turn out alike

    Raises TaxiError where `schema()` does, for counts that are negative or don't fit `rows`, and
    for reversals of fhv.
    """
    published = pa.schema(_fields(taxi_type, month))
    target = published if schema is None else schema
    strays = _one_in(7_000, rows) if strays is None else strays
    if SERVICES[taxi_type].fare is None:
        if reversals:
            raise TaxiError(
                f"{taxi_type}: {reversals} reversals: must be 0; a reversal takes back money, and "
                f"{taxi_type} is published without"
            )
        reversals = 0
    reversals = _one_in(450, rows - strays) if reversals is None else reversals
    twins = _one_in(4_000, rows - strays) if twins is None else twins
    counts = Counts(rows + duplicates, rows, strays, reversals, twins, duplicates)
    groups = max(1, math.ceil(rows / ROW_GROUP))
    _check_fit(counts, seed, groups)

    codec: dict[str, Any] = {"compression": "zstd"}
    if month < date(2023, 2, 1):
        codec = {"compression": "gzip", "compression_level": 1}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with pq.ParquetWriter(partial, target, **codec) as writer:
            repeated = target.empty_table()
            for group in range(groups):
                trips, repeat = _make_group(
                    taxi_type, month, counts, seed=seed, group=group, groups=groups
                )
                table = _as_table(trips, taxi_type, target)
                tables = [table, repeated]
                repeated = table.take(pa.array(repeat))
                if group == groups - 1:
                    tables.append(repeated)
                writer.write_table(pa.concat_tables(tables), row_group_size=ROW_GROUP)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return counts


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
    # The zones of fhv are spelt PUlocationID and DOlocationID, and are double like all the rest.
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


def _one_in(many: int, rows: int) -> int:
    return max(rows // many, 1 if rows >= 1_000 else 0)


def _check_fit(counts: Counts, seed: int, groups: int) -> None:
    for name, value in {"seed": seed, **vars(counts), "rows": counts.trips}.items():
        if value < 0:
            raise TaxiError(f"{name} {value}: must not be negative")
    copies = counts.reversals + counts.twins
    needed = counts.strays + copies + max(copies, counts.duplicates)
    # A row group gets its share of each count, rounded up or down: six of them in the sum above.
    room = counts.trips - (6 * groups if groups > 1 else 0)
    if needed > room:
        raise TaxiError(
            f"{counts.trips} rows: too few for {counts.strays} strays, {counts.reversals} "
            f"reversals, {counts.twins} twins and {counts.duplicates} duplicates; strays stand "
            "alone, all others repeat an ordinary row"
        )


def _make_group(
    taxi_type: str, month: date, counts: Counts, *, seed: int, group: int, groups: int
) -> tuple[dict[str, Array], Array]:
    """Make the rows of one row group, and the positions of those to be written again.

    The group covers its own span of the month, and its strays have their own residue of seconds,
    so that rows of different groups differ and only those within a group are compared.
    """

    def share(total: int) -> int:
        return total * (group + 1) // groups - total * group // groups

    service = SERVICES[taxi_type]
    entropy = (seed, TAXI_TYPES.index(taxi_type), month.year, month.month, group)
    stream = np.random.PCG64(entropy)
    rows, strays = share(counts.trips), share(counts.strays)
    reversals, twins = share(counts.reversals), share(counts.twins)
    singles = rows - reversals - twins

    pickup = _draw_pickups(stream, month, singles, strays, group=group, groups=groups)
    trips = DRAW[taxi_type](stream, taxi_type, month, pickup)

    # After the strays, the first rows are repeated with a change, the last as they are: all of
    # them are random, so any will do. A reversal of nothing would be a duplicate.
    original = np.arange(singles)
    copies = original[strays : strays + reversals + twins]
    if service.fare is not None:
        fare = trips[service.fare]
        fare[copies] = np.maximum(np.abs(fare[copies]), 300)
    shuffle = np.argsort(_uniform(stream, rows), kind="stable")
    source = np.concatenate([original, copies])[shuffle]
    trips = {name: trips.pop(name)[source] for name in list(trips)}

    is_twin = shuffle >= singles + reversals
    column, difference = service.twin
    trips[column] += difference * is_twin
    if _null_share(service, month):
        trips["unrecorded"] |= is_twin
    for name in ("payment_type", *service.record.split()):
        if name in trips:
            trips[name][trips["unrecorded"]] = 0
    sign = np.where((shuffle >= singles) & ~is_twin, -1, 1)
    for name in MONEY:
        if name in trips:
            trips[name] *= sign
    if service.fare == "fare_amount":
        parts = [trips[name] for name in PARTS if name in trips]
        trips["total_amount"] = np.sum(parts, axis=0)
    repeat = np.flatnonzero((shuffle < singles) & (shuffle >= singles - share(counts.duplicates)))
    return trips, repeat


def _uniform(stream: np.random.PCG64, count: int) -> Array:
    raw: Array = stream.random_raw(count)
    uniform: Array = (raw >> np.uint64(11)) * 2.0**-53
    return uniform


_NORMAL = [NormalDist().inv_cdf((step + 0.5) / 1_000) for step in range(1_000)]


def _chance(stream: np.random.PCG64, count: int, share: float) -> Array:
    return _uniform(stream, count) < share


def _lognormal(stream: np.random.PCG64, count: int, median: float, sigma: float) -> Array:
    """Draw log-normal values from a table of quantiles; the ends are cut at 3.3 sigma."""
    quantiles = [median * math.exp(sigma * normal) for normal in _NORMAL]
    values: Array = np.interp(_uniform(stream, count) * 999, np.arange(1_000), quantiles)
    return values


def _choose(stream: np.random.PCG64, count: int, weights: Mapping[int, float]) -> Array:
    """Draw from the keys of `weights`, each as often as its weight says."""
    bounds = np.cumsum(list(weights.values()))
    at = np.searchsorted(bounds, _uniform(stream, count) * bounds[-1], side="right")
    chosen: Array = np.array(list(weights))[at]
    return chosen


def _epoch(day: date) -> int:
    return calendar.timegm(day.timetuple())


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _draw_pickups(
    stream: np.random.PCG64, month: date, count: int, strays: int, *, group: int, groups: int
) -> Array:
    """Draw times of pickup, in seconds since 1970, those of the strays first.

    Most strays are near: pickups of the last night, or dropoffs of the next month. As published,
    a few are as old as the meter's clock after a reset (from 2008-12-31), or years ahead.
    """
    start, stop = _epoch(month.replace(day=1)), _epoch(_next(month))
    marks = np.arange(start, stop + 1, 3_600)
    cumulated = np.append(0, np.cumsum(np.resize(HOURS, len(marks) - 1)))
    bounds = np.array([group, group + 1]) / groups * cumulated[-1]
    first, end = np.interp(bounds, cumulated, marks).astype(np.int64)
    at = (group + _uniform(stream, count)) / groups * cumulated[-1]
    seconds: Array = np.interp(at, cumulated, marks).astype(np.int64)
    np.clip(seconds, first, end - 1, out=seconds)

    kind, far = _uniform(stream, strays), _uniform(stream, strays)
    near = (far * far * far * 20 * 86_400).astype(np.int64)
    some = (far * 80_000).astype(np.int64)
    stray = np.where(kind < 0.6, start - 1 - near, stop + groups + near)
    stray = np.where(kind > 0.95, _epoch(date(2008, 12, 31)) + groups + some, stray)
    stray = np.where(kind > 0.99, _epoch(date(month.year + 17, 8, 17)) + groups + some, stray)
    seconds[:strays] = stray - (stray - group) % groups
    return seconds


def _repeats(seconds: Array, other: Array, pickup_zone: Array, dropoff_zone: Array) -> Array:
    """Return for each row whether the four of an earlier one are the same.

    They are compared as one number that wraps: a row may be said to repeat another that it
    doesn't, and none that does is missed.
    """
    key = seconds * 1_000_003 + other
    key = (key * 266 + pickup_zone) * 266 + dropoff_zone
    repeats = np.ones(len(key), dtype=bool)
    repeats[np.unique(key, return_index=True)[1]] = False
    return repeats


def _part(trips: dict[str, Array]) -> None:
    """Move dropoffs by a second until no two trips agree in times and zones."""
    columns = [trips[name] for name in ("pickup", "dropoff", "pulocationid", "dolocationid")]
    while (again := _repeats(*columns)).any():
        trips["dropoff"][again] += 1


def _null_share(service: Service, month: date) -> float:
    return 0.0 if month < date(2018, 7, 1) else service.unrecorded


def _draw_zones(stream: np.random.PCG64, count: int, busiest: int) -> Array:
    weights = {zone: 1 / (1 + (zone - busiest) * 97 % 265) for zone in range(1, 266)}
    return _choose(stream, count, weights)


def _distort_fare(stream: np.random.PCG64, fare: Array) -> Array:
    """Make some fares negative or nothing, as often as in the published green months."""
    negative, nothing = (_chance(stream, len(fare), 1 / many) for many in (2_000, 1_500))
    distorted: Array = np.where(negative, -fare, np.where(nothing, 0, fare))
    return distorted


def _distort_ride(stream: np.random.PCG64, seconds: Array, miles: Array) -> tuple[Array, Array]:
    """Make some rides as odd in duration and distance as in the published green months."""
    count = len(seconds)
    odd, size = _uniform(stream, count), _uniform(stream, count)
    seconds = np.where(odd < 0.0014, 0, seconds)
    seconds = np.where(odd > 0.998, 86_400 - size * 3_600, seconds)
    seconds = np.where((odd > 0.5) & (odd < 0.500_05), -size * 3_600, seconds)
    miles = np.where(_chance(stream, count, 0.02), 0, miles)
    miles = np.where((odd > 0.6) & (odd < 0.601), size * size * 400_000, miles)
    return seconds.astype(np.int64), np.round(miles * 100) / 100


def _draw_taxis(
    stream: np.random.PCG64, taxi_type: str, month: date, pickup: Array
) -> dict[str, Array]:
    """Draw the columns of trips, by lower-case name; times in seconds, money in cents.

    Fees, and the months since when they are due, are from the TLC's data dictionaries. This and
    the other services' make no two rows that agree in all of their times and zones.
    """
    count = len(pickup)
    chance = partial(_chance, stream, count)
    yellow = taxi_type == "yellow"

    seconds = _lognormal(stream, count, 780, 0.65)
    miles = seconds / 3_600 * _lognormal(stream, count, 10.5, 0.4)
    step = 10 if month >= date(2023, 1, 1) else 50
    fare = np.floor((300 + 210 * miles + seconds / 2) / step).astype(np.int64) * step
    fare = _distort_fare(stream, fare)
    seconds, miles = _distort_ride(stream, seconds, miles)

    busiest = 237 if yellow else 75
    rate = _choose(stream, count, {1: 950, 2: 30, 3: 3, 4: 2, 5: 12, 99: 3})
    payment = _choose(stream, count, {1: 700, 2: 270, 3: 17, 4: 12, 5: 1})
    hour, day = pickup // 3_600 % 24, (pickup // 86_400 + 4) % 7
    rush = (hour >= 16) & (hour < 20) & (day > 0) & (day < 6)
    night = (hour >= 20) | (hour < 6)
    evening = (250, 100) if month >= date(2023, 1, 1) else (100, 50)
    tip = np.abs(fare) * (0.1 + 0.2 * _uniform(stream, count))

    trips = {
        "pickup": pickup,
        "dropoff": pickup + seconds,
        "unrecorded": chance(_null_share(SERVICES[taxi_type], month)),
        "vendorid": _choose(stream, count, {1: 250, 2: 745, 6: 5}),
        "passenger_count": _choose(
            stream, count, {0: 10, 1: 730, 2: 150, 3: 40, 4: 25, 5: 25, 6: 20}
        ),
        "trip_distance": miles,
        "ratecodeid": rate,
        "store_and_fwd_flag": chance(0.005),
        "pulocationid": _draw_zones(stream, count, busiest),
        "dolocationid": _draw_zones(stream, count, busiest),
        "payment_type": payment,
        "trip_type": np.where(rate == 5, 2, 1),
        "fare_amount": fare,
        "extra": evening[0] * rush + evening[1] * night,
        "mta_tax": np.where(rate == 5, 0, 50),
        "tip_amount": np.where(payment == 1, tip, 0).astype(np.int64),
        "tolls_amount": 655 * chance(0.05),
        "improvement_surcharge": np.full(
            count, (month >= date(2015, 1, 1)) * (100 if month >= date(2023, 1, 1) else 30)
        ),
    }
    if month >= date(2019, 2, 1):
        trips["congestion_surcharge"] = (250 if yellow else 275) * chance(0.9 if yellow else 0.3)
    if yellow and month >= date(2022, 4, 1):
        trips["airport_fee"] = (175 if month >= date(2023, 4, 1) else 125) * chance(0.08)
    if month >= date(2025, 1, 1):
        trips["cbd_congestion_fee"] = 75 * chance(0.6 if yellow else 0.1)
    if yellow and month >= date(2026, 6, 1):
        trips["request_source"] = chance(0.3)
    _part(trips)
    return trips


def _draw_fhv(
    stream: np.random.PCG64, _taxi_type: str, month: date, pickup: Array
) -> dict[str, Array]:
    """Draw the columns of trips of fhv, as `_draw_taxis` does.

    Before 2017 most have neither the time nor the zone of their dropoff. Their zones are often
    unknown in all years.
    """
    count = len(pickup)
    chance = partial(_chance, stream, count)
    seconds = _lognormal(stream, count, 780, 0.65)
    seconds, _ = _distort_ride(stream, seconds, np.zeros(count))
    shares = {position: 1 / (5 + position * 97 % len(BASES)) for position in range(len(BASES))}
    base, affiliate = _choose(stream, count, shares), _choose(stream, count, shares)
    endless = chance(0.97 if month < date(2017, 1, 1) else 0)
    known = _uniform(stream, count)

    trips = {
        "pickup": pickup,
        "dropoff": pickup + seconds,
        "dispatching_base_num": base,
        "pulocationid": _draw_zones(stream, count, 264) * (known > 0.32),
        "dolocationid": _draw_zones(stream, count, 264) * (known > 0.06) * ~endless,
        "sr_flag": chance(0.1).astype(np.int64),
        "affiliated_base_number": np.where(chance(0.68), base, affiliate),
    }
    _part(trips)
    # Without their dropoffs some would be alike: these keep it.
    zones = trips["pulocationid"], trips["dolocationid"]
    trips["unrecorded"] = endless & ~_repeats(pickup, base, *zones)
    return trips


def _draw_fhvhv(
    stream: np.random.PCG64, _taxi_type: str, month: date, pickup: Array
) -> dict[str, Array]:
    """Draw the columns of trips of fhvhv, as `_draw_taxis` does.

    Only Uber (HV0003) has more than one base, and tells where a car came from and when. All bases
    are near B02764, which is one of Uber's.
    """
    count = len(pickup)
    chance = partial(_chance, stream, count)
    seconds = _lognormal(stream, count, 900, 0.65)
    miles = seconds / 3_600 * _lognormal(stream, count, 12, 0.4)
    fare = (300 + 150 * miles + 0.6 * seconds).astype(np.int64)
    fare = _distort_fare(stream, fare)
    seconds, miles = _distort_ride(stream, seconds, miles)

    company = _choose(stream, count, {0: 1, 1: 70, 2: 1, 3: 28})
    uber = company == 1
    shares = {position: 1 / position for position in range(4, 34)}
    base = 390 + np.where(uber, _choose(stream, count, shares), company)
    wait = _lognormal(stream, count, 260, 0.5)
    shared, accessible = chance(0.03), chance(0.002)
    tip = np.abs(fare) * (0.1 + 0.2 * _uniform(stream, count))

    trips = {
        "pickup": pickup,
        "dropoff": pickup + seconds,
        "unrecorded": ~uber,
        "hvfhs_license_num": company,
        "dispatching_base_num": base,
        "originating_base_num": base,
        "request": pickup - wait.astype(np.int64),
        "on_scene": pickup - (wait * _uniform(stream, count)).astype(np.int64),
        "pulocationid": _draw_zones(stream, count, 61),
        "dolocationid": _draw_zones(stream, count, 61),
        "trip_miles": miles,
        "base_passenger_fare": fare,
        "tolls": 655 * chance(0.08),
        "bcf": (0.025 * fare).astype(np.int64),
        "sales_tax": (0.08875 * fare).astype(np.int64),
        "congestion_surcharge": 275 * chance(0.3),
        "tips": np.where(chance(0.15), tip, 0).astype(np.int64),
        "driver_pay": (0.75 * np.abs(fare)).astype(np.int64),
        "shared_request_flag": shared,
        "shared_match_flag": shared & chance(0.3),
        "access_a_ride_flag": np.where(uber, 2, chance(0.001)),
        "wav_request_flag": accessible,
        "wav_match_flag": accessible | chance(0.03),
    }
    if month >= date(2021, 1, 1):
        trips["airport_fee"] = 250 * chance(0.07)
    if month >= date(2025, 1, 1):
        trips["cbd_congestion_fee"] = 150 * chance(0.3)
    _part(trips)
    trips["trip_time"] = trips["dropoff"] - pickup
    return trips


DRAW = {"yellow": _draw_taxis, "green": _draw_taxis, "fhv": _draw_fhv, "fhvhv": _draw_fhvhv}


def _as_table(trips: dict[str, Array], taxi_type: str, target: pa.Schema) -> pa.Table:
    record = SERVICES[taxi_type].record.split()
    arrays = []
    for field in target:
        name = re.sub(r"^([tl]pep_)?(\w+)_datetime$", r"\2", field.name.lower())
        if name not in trips or pa.types.is_null(field.type):
            arrays.append(pa.nulls(len(trips["pickup"]), field.type))
            continue
        values, null = trips[name], None
        if name in record:
            null = trips["unrecorded"]
        elif name in NULL_AS_ZERO:
            null = values == 0
        if name in ("request", "on_scene", "pickup", "dropoff"):
            values = (values * 1_000_000).astype("datetime64[us]")
        elif name in MONEY:
            values = values / 100
        array = pa.array(values, mask=null)
        if name in WORDS:
            array = pa.array(WORDS[name]).take(array.cast(pa.int16()))
        arrays.append(array.cast(field.type, safe=False))
    return pa.Table.from_arrays(arrays, schema=target)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m luigi_tasks.sample",
        description="Write months of made-up taxi trips as FOLDER/TYPE_tripdata_MONTH.parquet, "
        "in the shape in which the TLC publishes them.",
    )
    number: dict[str, Any] = {"metavar": "N", "type": _number}
    add = parser.add_argument
    add("folder", metavar="FOLDER", type=Path, help="made if it isn't there")
    add("--taxi-type", choices=TAXI_TYPES, default="yellow", help="default: %(default)s")
    add("--month", type=_month, required=True, help="the first month, such as 2024-01")
    add("--stop", type=_month, help="the month after the last; default: a single month")
    add("--rows", **number, default=10_000, help="rows in a file; default: %(default)s")
    add("--seed", **number, default=1, help="same seed, same rows; default: %(default)s")
    add("--duplicates", **number, default=0, help="rows to write twice, beyond --rows; default: 0")
    add("--strays", **number, help="pickups outside the month; default: 1 row in 7,000")
    add("--reversals", **number, help="rows that take back another; default: 1 row in 450 (fhv: 0)")
    add("--twins", **number, help="rows that all but repeat another; default: 1 row in 4,000")
    given = vars(parser.parse_args(arguments))
    folder, taxi_type = given.pop("folder"), given.pop("taxi_type")
    month, stop = given.pop("month"), given.pop("stop")
    stop = stop or _next(month)
    if stop <= month:
        parser.error(f"--stop {stop:%Y-%m}: must be after --month {month:%Y-%m}")
    while month < stop:
        path = folder / f"{taxi_type}_tripdata_{month:%Y-%m}.parquet"
        try:
            counts = write_month(path, taxi_type, month, **given)
        except (TaxiError, OSError) as error:
            parser.error(str(error))
        print(f"{path}: {counts.rows:,} rows, {path.stat().st_size:,} bytes", flush=True)
        month = _next(month)
    return 0


def _month(text: str) -> date:
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a month such as 2024-01")
    return date.fromisoformat(f"{text}-01")


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9][0-9_]*", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, 0 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
