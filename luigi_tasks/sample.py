"""Write months of made-up taxi trips, in the shape in which the TLC publishes them.

    python -m luigi_tasks.sample FOLDER --taxi-type yellow --month 2024-01 --rows 3000000

The published files are large and their server isn't always there; these are for the quickstart,
the tests and the benchmark. Column names, types and codecs follow the TLC's parquet files era by
era; the kinds of dirt and their frequency were counted in 37 published months of green trips
(3 million rows). The values are plausible and nothing more: don't count taxis with them.

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
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from luigi_tasks.errors import TaxiError

Array = npt.NDArray[Any]

TAXI_TYPES = ("yellow", "green")

#: The first month that is published with zones and with timestamps that aren't strings.
FIRST_MONTH = {"yellow": date(2011, 1, 1), "green": date(2013, 8, 1)}

#: The columns that every such month has, in the published order.
COLUMNS = {
    "yellow": """VendorID tpep_pickup_datetime tpep_dropoff_datetime passenger_count trip_distance
        RatecodeID store_and_fwd_flag PULocationID DOLocationID payment_type fare_amount extra
        mta_tax tip_amount tolls_amount improvement_surcharge total_amount congestion_surcharge
        airport_fee""",
    "green": """VendorID lpep_pickup_datetime lpep_dropoff_datetime store_and_fwd_flag RatecodeID
        PULocationID DOLocationID passenger_count trip_distance fare_amount extra mta_tax
        tip_amount tolls_amount ehail_fee improvement_surcharge total_amount payment_type
        trip_type congestion_surcharge""",
}

#: The parts of total_amount. Money is made in cents: sums are exact, a negated zero stays zero.
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

#: Null together in a row that lacks the vendor's own record of the trip.
VENDOR_RECORD = {
    "yellow": "passenger_count ratecodeid store_and_fwd_flag congestion_surcharge airport_fee",
    "green": "passenger_count ratecodeid store_and_fwd_flag congestion_surcharge payment_type "
    "trip_type",
}

#: Rows made, held in memory and written at a time: the most that a row group has.
ROW_GROUP = 131_072

#: Columns of words are drawn as a position in these. The published request sources aren't known.
WORDS = {"store_and_fwd_flag": ["N", "Y"], "request_source": ["hail", "app"]}

#: Pickups in each hour of the day, relative to each other.
HOURS = (5, 3, 2, 2, 1, 1, 3, 6, 8, 9, 9, 10, 11, 11, 12, 12, 13, 14, 15, 13, 11, 11, 10, 8)


@dataclass(frozen=True)
class Counts:
    """What was put into a file, in rows.

    rows:       all of them, duplicates included
    trips:      rows that differ from each other: rows less duplicates
    strays:     pickups outside the month
    reversals:  rows that repeat another with the sign of all its money changed
    twins:      rows that repeat another's vendor, times, zones, distance and fare, not its extra
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
    those of 2020, apart from the null type that `congestion_surcharge` has until 2015.

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
    reversals:  default one in 450, as published, and at least one from 1,000 rows on
    twins:      default one in 4,000, as published, and at least one from 1,000 rows on
    schema:     columns and types to write instead of the month's own. Values are cast; a column
                that the month doesn't have, by name in whatever case, is null. Without the
                times, zones and money, rows may turn out alike

    Raises TaxiError where `schema()` does, and for counts that are negative or don't fit `rows`.
    """
    published = pa.schema(_fields(taxi_type, month))
    target = published if schema is None else schema
    strays = _one_in(7_000, rows) if strays is None else strays
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
    first = FIRST_MONTH[taxi_type]
    if month < first:
        before = "there are none before"
        if taxi_type == "yellow":
            before = "the months before have coordinates instead of zones and can't be written"
        raise TaxiError(f"{taxi_type} {month:%Y-%m}: the first month is {first:%Y-%m}; {before}")

    narrow = month >= date(2023, 2, 1)
    number, money, nothing = pa.int64(), pa.float64(), pa.null()
    identifier = pa.int32() if narrow else number
    early_count = number if taxi_type == "yellow" and month < date(2018, 7, 1) else money
    count = number if narrow else early_count
    late_money = nothing if month < date(2016, 1, 1) else money
    types = dict.fromkeys(("VendorID", "PULocationID", "DOLocationID"), identifier)
    types |= dict.fromkeys(("passenger_count", "RatecodeID", "trip_type"), count)
    types |= dict.fromkeys(("congestion_surcharge", "airport_fee"), late_money)
    types["payment_type"] = number if taxi_type == "yellow" else count
    types["store_and_fwd_flag"] = pa.large_string() if narrow else pa.string()
    types["ehail_fee"] = money if narrow else nothing
    names = COLUMNS[taxi_type].split()
    if month >= date(2025, 1, 1):
        names.append("cbd_congestion_fee")
    if taxi_type == "yellow" and month >= date(2026, 6, 1):
        names.append("request_source")
        types["request_source"] = pa.string()
    fields = []
    for name in names:
        default = pa.timestamp("us") if name.endswith("_datetime") else money
        published = "Airport_fee" if narrow and name == "airport_fee" else name
        fields.append((published, types.get(name, default)))
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

    entropy = (seed, TAXI_TYPES.index(taxi_type), month.year, month.month, group)
    stream = np.random.PCG64(entropy)
    rows, strays = share(counts.trips), share(counts.strays)
    reversals, twins = share(counts.reversals), share(counts.twins)
    singles = rows - reversals - twins

    pickup = _draw_pickups(stream, month, singles, strays, group=group, groups=groups)
    trips = _draw_trips(stream, taxi_type, month, pickup)
    _part(trips)

    # After the strays, the first rows are repeated with a change, the last as they are: all of
    # them are random, so any will do. A reversal of nothing would be a duplicate.
    original = np.arange(singles)
    copies = original[strays : strays + reversals + twins]
    fare = trips["fare_amount"]
    fare[copies] = np.maximum(np.abs(fare[copies]), 300)
    shuffle = np.argsort(_uniform(stream, rows), kind="stable")
    source = np.concatenate([original, copies])[shuffle]
    trips = {name: trips.pop(name)[source] for name in list(trips)}

    is_twin = shuffle >= singles + reversals
    trips["extra"] += 100 * is_twin
    if _null_share(taxi_type, month):
        trips["unrecorded"] |= is_twin
    for name in ("payment_type", *VENDOR_RECORD[taxi_type].split()):
        if name in trips:
            trips[name][trips["unrecorded"]] = 0
    parts = [name for name in PARTS if name in trips]
    sign = np.where((shuffle >= singles) & ~is_twin, -1, 1)
    for name in parts:
        trips[name] *= sign
    trips["total_amount"] = np.sum([trips[name] for name in parts], axis=0)
    repeat = np.flatnonzero((shuffle < singles) & (shuffle >= singles - share(counts.duplicates)))
    return trips, repeat


def _uniform(stream: np.random.PCG64, count: int) -> Array:
    raw: Array = stream.random_raw(count)
    uniform: Array = (raw >> np.uint64(11)) * 2.0**-53
    return uniform


_NORMAL = [NormalDist().inv_cdf((step + 0.5) / 1_000) for step in range(1_000)]


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


def _part(trips: dict[str, Array]) -> None:
    """Move dropoffs by a second until no two trips agree in times and zones.

    Different trips may have the same key (it wraps): one is moved for nothing, and none is missed.
    """
    while True:
        key = trips["pickup"] * 1_000_003 + trips["dropoff"]
        key = (key * 266 + trips["pulocationid"]) * 266 + trips["dolocationid"]
        again = np.ones(len(key), dtype=bool)
        again[np.unique(key, return_index=True)[1]] = False
        if not again.any():
            return
        trips["dropoff"][again] += 1


def _null_share(taxi_type: str, month: date) -> float:
    """Return the share of rows without a vendor's record: none while counts were int64."""
    if month < date(2018, 7, 1):
        return 0.0
    return {"yellow": 0.06, "green": 0.23}[taxi_type]


def _draw_trips(
    stream: np.random.PCG64, taxi_type: str, month: date, pickup: Array
) -> dict[str, Array]:
    """Draw the columns of trips, by lower-case name; times in seconds, money in cents.

    Odd durations and distances have their share of the published green months. Fees, and the
    months since when they are due, are from the TLC's data dictionaries.
    """
    count = len(pickup)
    yellow = taxi_type == "yellow"

    def chance(share: float) -> Array:
        return _uniform(stream, count) < share

    seconds = _lognormal(stream, count, 780, 0.65)
    miles = seconds / 3_600 * _lognormal(stream, count, 10.5, 0.4)
    step = 10 if month >= date(2023, 1, 1) else 50
    fare = np.floor((300 + 210 * miles + seconds / 2) / step).astype(np.int64) * step
    fare = np.where(chance(1 / 2_000), -fare, np.where(chance(1 / 1_500), 0, fare))

    odd, size = _uniform(stream, count), _uniform(stream, count)
    seconds = np.where(odd < 0.0014, 0, seconds)
    seconds = np.where(odd > 0.998, 86_400 - size * 3_600, seconds)
    seconds = np.where((odd > 0.5) & (odd < 0.500_05), -size * 3_600, seconds)
    miles = np.where(chance(0.02), 0, miles)
    miles = np.where((odd > 0.6) & (odd < 0.601), size * size * 400_000, miles)

    busiest = 237 if yellow else 75
    zones = {zone: 1 / (1 + (zone - busiest) * 97 % 265) for zone in range(1, 266)}
    rate = _choose(stream, count, {1: 950, 2: 30, 3: 3, 4: 2, 5: 12, 99: 3})
    payment = _choose(stream, count, {1: 700, 2: 270, 3: 17, 4: 12, 5: 1})
    hour, day = pickup // 3_600 % 24, (pickup // 86_400 + 4) % 7
    rush = (hour >= 16) & (hour < 20) & (day > 0) & (day < 6)
    night = (hour >= 20) | (hour < 6)
    evening = (250, 100) if month >= date(2023, 1, 1) else (100, 50)
    tip = np.abs(fare) * (0.1 + 0.2 * _uniform(stream, count))

    trips = {
        "pickup": pickup,
        "dropoff": pickup + seconds.astype(np.int64),
        "unrecorded": chance(_null_share(taxi_type, month)),
        "vendorid": _choose(stream, count, {1: 250, 2: 745, 6: 5}),
        "passenger_count": _choose(
            stream, count, {0: 10, 1: 730, 2: 150, 3: 40, 4: 25, 5: 25, 6: 20}
        ),
        "trip_distance": np.round(miles * 100) / 100,
        "ratecodeid": rate,
        "store_and_fwd_flag": chance(0.005),
        "pulocationid": _choose(stream, count, zones),
        "dolocationid": _choose(stream, count, zones),
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
    return trips


def _as_table(trips: dict[str, Array], taxi_type: str, target: pa.Schema) -> pa.Table:
    vendor_record = VENDOR_RECORD[taxi_type].split()
    arrays = []
    for field in target:
        name = re.sub("^[tl]pep_(pickup|dropoff)_datetime$", r"\1", field.name.lower())
        if name not in trips or pa.types.is_null(field.type):
            arrays.append(pa.nulls(len(trips["pickup"]), field.type))
            continue
        values = trips[name]
        if name in ("pickup", "dropoff"):
            values = (values * 1_000_000).astype("datetime64[us]")
        elif name in PARTS or name == "total_amount":
            values = values / 100
        array = pa.array(values, mask=trips["unrecorded"] if name in vendor_record else None)
        if name in WORDS:
            array = pa.array(WORDS[name]).take(array.cast(pa.int8()))
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
    add("--reversals", **number, help="rows that take back another; default: 1 row in 450")
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
