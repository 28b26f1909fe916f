"""A file's trips by hour and by zone, counted while they are copied.

COPY waits for the server most of the time, so this takes next to none. ``sql/counts/`` has the
same as a query, for where what is stored isn't what was copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from luigi_tasks.catalog.features import AMOUNT_LIMIT, BY_HOUR, BY_ZONE, Sum
from luigi_tasks.months import bounds
from luigi_tasks.warehouse.fingerprint import as_mask, held_values, is_valid

#: Microseconds of an hour.
HOUR = 3_600_000_000
#: Zones from 0 on that have a place in an array; the TLC has 265. The next place is for none.
ZONES = 512
#: Rows that are counted one by one, as strays are; of a file with more, the server counts all.
MOST_APART = 100_000
_EPOCH = datetime(1970, 1, 1)
#: The columns of trips that are summed, and whether they are amounts, in whole hundredths.
_SUMMED = {each.of: each.is_amount for each in BY_HOUR if each.of}

Mask = npt.NDArray[np.bool_]
#: The number of trips and the sums, None of no values.
Row = list[int | None]
Key = TypeVar("Key")
#: What is added up, and where a row has it: a mask, or None for everywhere.
Amounts = tuple[npt.NDArray[np.float64], "Mask | None"]


class Counts:
    """Counts the trips of a month's file by hour of pickup, and by month and zone of pickup.

    Nearly all of them are in arrays, with a place for each hour of the month and for each zone.
    """

    def __init__(self, first_day: date, selected: Sequence[str]) -> None:
        """:param selected: the columns of the trips table; sums of others are NULL."""
        start, stop = bounds(first_day).values()
        self._month, self._first = first_day, _hours_to(start)
        self._hours = _hours_to(stop) - self._first if isinstance(stop, date) else 0
        self._summed = [name for name in _SUMMED if name in selected]
        self._by_hour = _Totals(self._hours, self._summed)
        by_zone = {each.of for each in BY_ZONE}
        self._by_zone = _Totals(ZONES + 1, [name for name in self._summed if name in by_zone])
        self._rows_apart = 0
        self._apart_by_hour: dict[int, Row] = {}
        self._apart_by_zone: dict[tuple[date, int | None], Row] = {}

    def add(self, rows: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        if not rows.num_rows or self._rows_apart > MOST_APART:
            return
        columns = [rows.column(name) for name in ("pickup_datetime", *self.columns)]
        pickups, locations, *values = columns
        hours = held_values(pickups) // HOUR - self._first
        has_place = (hours >= 0) & (hours < self._hours)
        zones = held_values(locations)
        is_zone = (zones >= 0) & (zones < ZONES)
        if locations.null_count:
            is_known = is_valid(locations)
            zones, is_zone = np.where(is_known, zones, ZONES), is_zone | ~is_known
        has_place &= is_zone
        if not has_place.all():
            apart = [column.filter(as_mask(~has_place)) for column in columns]
            apart[0] = apart[0].cast(pa.int64())
            self.add_apart(zip(*(column.to_pylist() for column in apart), strict=True))
            hours = np.where(has_place, hours, self._hours)
            zones = np.where(has_place, zones, ZONES + 1)
        amounts = dict(zip(self._summed, map(_amounts, values, self._summed), strict=True))
        self._by_hour.add(hours, amounts)
        self._by_zone.add(zones, amounts)

    @property
    def columns(self) -> list[str]:
        """The columns of trips that ``add_apart`` takes after the pickup's microseconds."""
        return ["pickup_location_id", *self._summed]

    def add_apart(self, rows: Iterable[Sequence[Any]]) -> None:
        """Count rows one by one: the microseconds from 1970 to the pickup, then ``columns``."""
        for pickup, zone, *values in rows:
            self._rows_apart += 1
            if self._rows_apart > MOST_APART:
                return
            totals = [1, *map(_amount, values, self._summed)]
            hour = pickup // HOUR
            try:
                month = (_EPOCH + timedelta(hours=hour)).date().replace(day=1)
            except OverflowError:  # Python's time ends with 9999
                self._rows_apart = MOST_APART + 1
                return
            _add(self._apart_by_hour, hour, totals)
            _add(self._apart_by_zone, (month, zone), totals)

    def result(self) -> dict[str, dict[str, list[Any]]] | None:
        """What was counted, as lists of equal lengths by column; None if the server is to count."""
        if self._rows_apart > MOST_APART:
            return None
        by_hour = {self._first + place: row for place, row in self._by_hour.found(self._summed)}
        by_zone: dict[tuple[date, int | None], Row] = {
            (self._month, place if place < ZONES else None): row
            for place, row in self._by_zone.found(self._summed)
        }
        for hour, totals in self._apart_by_hour.items():
            _add(by_hour, hour, totals)
        for zone, totals in self._apart_by_zone.items():
            _add(by_zone, zone, totals)
        hours = [(_EPOCH + timedelta(hours=hour)).isoformat() for hour in by_hour]
        return {
            "by_hour": {"pickup_hour": hours, **self._columns(BY_HOUR, by_hour.values())},
            "by_zone": {
                "month": [month.isoformat() for month, _ in by_zone],
                "location_id": [zone for _, zone in by_zone],
                **self._columns(BY_ZONE, by_zone.values()),
            },
        }

    def _columns(self, sums: Iterable[Sum], counted: Iterable[Row]) -> dict[str, Row]:
        rows = list(counted)
        places = {name: place for place, name in enumerate([None, *self._summed])}
        return {
            each.name: [row[places[each.of]] if each.of in places else None for row in rows]
            for each in sums
        }


class _Totals:
    """Numbers of trips, sums and how many values each sum is of, in arrays.

    The place after the last one is for rows that are counted elsewhere.
    """

    def __init__(self, places: int, summed: Iterable[str]) -> None:
        self._length = places + 1
        self._trips = np.zeros(self._length, np.int64)
        self._sums = {name: np.zeros(self._length, np.int64) for name in summed}
        self._values = {name: np.zeros(self._length, np.int64) for name in self._sums}

    def add(self, places: npt.NDArray[Any], amounts: Mapping[str, Amounts]) -> None:
        """Add rows whose totals are in these places."""
        trips = np.bincount(places, minlength=self._length)
        self._trips += trips
        for name in self._sums:
            values, is_there = amounts[name]
            # exact: a batch's rows times the limit, in hundredths, are less than 2 ** 53
            self._sums[name] += np.bincount(places, values, self._length).astype(np.int64)
            self._values[name] += (
                trips if is_there is None else np.bincount(places[is_there], minlength=self._length)
            )

    def found(self, summed: Sequence[str]) -> Iterable[tuple[int, Row]]:
        """Each place that has trips: their number and the sums, None of no values."""
        for place in np.flatnonzero(self._trips[:-1]).tolist():
            sums = [
                int(self._sums[name][place])
                if name in self._sums and self._values[name][place]
                else None
                for name in summed
            ]
            yield place, [int(self._trips[place]), *sums]


def _amounts(column: pa.Array, name: str) -> Amounts:
    """A column's values as whole numbers, and where they count; 0 elsewhere."""
    values = held_values(column)
    counts = is_valid(column) if column.null_count else None
    if _SUMMED[name]:
        is_amount = np.abs(values) < AMOUNT_LIMIT  # not so for NaN
        if not is_amount.all():
            counts = is_amount if counts is None else counts & is_amount
    if counts is not None:
        values = np.where(counts, values, 0)
    return (np.rint(values * 100) if _SUMMED[name] else values.astype(np.float64)), counts


def _amount(value: float | None, name: str) -> int | None:
    """One value as a whole number, if it counts."""
    if value is None or not _SUMMED[name]:
        return None if value is None else int(value)
    return round(value * 100) if abs(value) < AMOUNT_LIMIT else None


def _add(found: dict[Key, Row], key: Key, totals: Row) -> None:
    """Add a row's totals to those of its key."""
    before = found.get(key)
    found[key] = (
        [a if b is None else b if a is None else a + b for a, b in zip(before, totals, strict=True)]
        if before
        else totals
    )


def _hours_to(day: date) -> int:
    """Hours from 1970 to a day's beginning."""
    return (day - _EPOCH.date()).days * 24
