"""Draw random trips, one numpy array a column.

Every value comes from the raw stream of PCG64, which numpy promises never to change, so that other
versions of numpy draw the same rows.
"""

import calendar
import math
from collections.abc import Mapping
from datetime import date
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from luigi_tasks.sample.services import BASES, SERVICES, Service

Array = npt.NDArray[Any]

#: Pickups in each hour of the day, relative to each other.
HOURS = (5, 3, 2, 2, 1, 1, 3, 6, 8, 9, 9, 10, 11, 11, 12, 12, 13, 14, 15, 13, 11, 11, 10, 8)


def uniform(stream: np.random.PCG64, count: int) -> Array:
    """Draw from 0 to 1, without 1."""
    raw: Array = stream.random_raw(count)
    uniform: Array = (raw >> np.uint64(11)) * 2.0**-53
    return uniform


_NORMAL = [NormalDist().inv_cdf((step + 0.5) / 1_000) for step in range(1_000)]


def _chance(stream: np.random.PCG64, count: int, share: float) -> Array:
    return uniform(stream, count) < share


def _lognormal(stream: np.random.PCG64, count: int, median: float, sigma: float) -> Array:
    """Draw log-normal values from a table of quantiles; the ends are cut at 3.3 sigma."""
    quantiles = [median * math.exp(sigma * normal) for normal in _NORMAL]
    values: Array = np.interp(uniform(stream, count) * 999, np.arange(1_000), quantiles)
    return values


def _choose(stream: np.random.PCG64, count: int, weights: Mapping[int, float]) -> Array:
    """Draw from the keys of `weights`, each as often as its weight says."""
    bounds = np.cumsum(list(weights.values()))
    at = np.searchsorted(bounds, uniform(stream, count) * bounds[-1], side="right")
    chosen: Array = np.array(list(weights))[at]
    return chosen


def _epoch(day: date) -> int:
    return calendar.timegm(day.timetuple())


def next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def draw_pickups(
    stream: np.random.PCG64, month: date, count: int, strays: int, *, group: int, groups: int
) -> Array:
    """Draw pickup times, in seconds since 1970, those of the strays first.

    Most strays are near the month: of the night before, or of the days after. As published, a few
    are as old as a meter's clock after a reset (2008-12-31), or years ahead.
    """
    start, stop = _epoch(month.replace(day=1)), _epoch(next_month(month))
    marks = np.arange(start, stop + 1, 3_600)
    cumulated = np.append(0, np.cumsum(np.resize(HOURS, len(marks) - 1)))
    bounds = np.array([group, group + 1]) / groups * cumulated[-1]
    first, end = np.interp(bounds, cumulated, marks).astype(np.int64)
    at = (group + uniform(stream, count)) / groups * cumulated[-1]
    seconds: Array = np.interp(at, cumulated, marks).astype(np.int64)
    np.clip(seconds, first, end - 1, out=seconds)

    kind, far = uniform(stream, strays), uniform(stream, strays)
    near = (far * far * far * 20 * 86_400).astype(np.int64)
    some = (far * 80_000).astype(np.int64)
    stray = np.where(kind < 0.6, start - 1 - near, stop + groups + near)
    stray = np.where(kind > 0.95, _epoch(date(2008, 12, 31)) + groups + some, stray)
    stray = np.where(kind > 0.99, _epoch(date(month.year + 17, 8, 17)) + groups + some, stray)
    seconds[:strays] = stray - (stray - group) % groups
    return seconds


def _repeats(seconds: Array, other: Array, pickup_zone: Array, dropoff_zone: Array) -> Array:
    """Return for each row whether an earlier one has the same four values.

    They are compared as one number that wraps, which finds every row that repeats another one, and
    perhaps some that don't.
    """
    key = seconds * 1_000_003 + other
    key = (key * 266 + pickup_zone) * 266 + dropoff_zone
    repeats = np.ones(len(key), dtype=bool)
    repeats[np.unique(key, return_index=True)[1]] = False
    return repeats


def separate(trips: dict[str, Array]) -> None:
    """Move dropoffs by a second until no two trips agree in times and zones."""
    columns = [trips[name] for name in ("pickup", "dropoff", "pulocationid", "dolocationid")]
    while (again := _repeats(*columns)).any():
        trips["dropoff"][again] += 1


def null_share(service: Service, month: date) -> float:
    """Return the share of rows without a record of their own."""
    return 0.0 if month < date(2018, 7, 1) else service.unrecorded


def _draw_zones(stream: np.random.PCG64, count: int, busiest: int) -> Array:
    weights = {zone: 1 / (1 + (zone - busiest) * 97 % 265) for zone in range(1, 266)}
    return _choose(stream, count, weights)


def _distort_fare(stream: np.random.PCG64, fare: Array) -> Array:
    """Make some fares negative or 0, as often as in the published green months."""
    negative, nothing = (_chance(stream, len(fare), 1 / many) for many in (2_000, 1_500))
    distorted: Array = np.where(negative, -fare, np.where(nothing, 0, fare))
    return distorted


def _distort_ride(stream: np.random.PCG64, seconds: Array, miles: Array) -> tuple[Array, Array]:
    """Make some rides as odd in duration and distance as in the published green months."""
    count = len(seconds)
    odd, size = uniform(stream, count), uniform(stream, count)
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

    Fees, and their first months, are from the TLC's data dictionaries. As in the functions of the
    other services, no two rows have the same times and zones.
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
    tip = np.abs(fare) * (0.1 + 0.2 * uniform(stream, count))

    trips = {
        "pickup": pickup,
        "dropoff": pickup + seconds,
        "unrecorded": chance(null_share(SERVICES[taxi_type], month)),
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
    separate(trips)
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
    known = uniform(stream, count)

    trips = {
        "pickup": pickup,
        "dropoff": pickup + seconds,
        "dispatching_base_num": base,
        "pulocationid": _draw_zones(stream, count, 264) * (known > 0.32),
        "dolocationid": _draw_zones(stream, count, 264) * (known > 0.06) * ~endless,
        "sr_flag": chance(0.1).astype(np.int64),
        "affiliated_base_number": np.where(chance(0.68), base, affiliate),
    }
    separate(trips)
    # Some would be alike without their dropoffs; those aren't left out.
    zones = trips["pulocationid"], trips["dolocationid"]
    trips["unrecorded"] = endless & ~_repeats(pickup, base, *zones)
    return trips


def _draw_fhvhv(
    stream: np.random.PCG64, _taxi_type: str, month: date, pickup: Array
) -> dict[str, Array]:
    """Draw the columns of trips of fhvhv, as `_draw_taxis` does.

    Only Uber (HV0003) has more than one base, and publishes the originating base and the time on
    scene. The numbers of all bases are near B02764, which is one of Uber's.
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
    tip = np.abs(fare) * (0.1 + 0.2 * uniform(stream, count))

    trips = {
        "pickup": pickup,
        "dropoff": pickup + seconds,
        "unrecorded": ~uber,
        "hvfhs_license_num": company,
        "dispatching_base_num": base,
        "originating_base_num": base,
        "request": pickup - wait.astype(np.int64),
        "on_scene": pickup - (wait * uniform(stream, count)).astype(np.int64),
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
    separate(trips)
    trips["trip_time"] = trips["dropoff"] - pickup
    return trips


#: How the columns of each taxi type are drawn.
DRAW = {"yellow": _draw_taxis, "green": _draw_taxis, "fhv": _draw_fhv, "fhvhv": _draw_fhvhv}
