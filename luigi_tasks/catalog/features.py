"""The tables for analysts: what each counts, by what, and the comments of their columns.

``sql/features/`` has a SELECT of the same name for each: what the trips of one month's file add to
it. ``docs/your-own-tasks.md`` says how to add one.
"""

from __future__ import annotations

from dataclasses import dataclass

#: A value that is this large, NaN or infinite is no amount of money and no distance: a sum leaves
#: it out as it does NULL.
AMOUNT_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class Key:
    """A column by which trips are counted, with its PostgreSQL type."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Sum:
    """A column that is summed over the files that have trips of the same keys.

    An amount, of money or distance, is summed in whole hundredths: each trip's value is rounded
    first, so that no order of summing gives another result. ``of`` is the column of trips that is
    summed in ``by_hour`` and ``by_zone``.
    """

    name: str
    comment: str
    of: str | None = None
    is_amount: bool = False

    @property
    def described(self) -> str:
        """The comment of the column."""
        if not (self.is_amount and self.of):
            return self.comment
        return (
            f"{self.comment}: sum(round({self.of} * 100)) / 100, without values of a billion and "
            "more; NULL if none is published"
        )


@dataclass(frozen=True)
class Feature:
    """A table for analysts; its rows have one ``taxi_type`` and one value of each key."""

    name: str
    comment: str
    keys: tuple[Key, ...]
    sums: tuple[Sum, ...]

    @property
    def columns(self) -> list[str]:
        """The names of keys and sums."""
        return [*(each.name for each in self.keys), *(each.name for each in self.sums)]

    @property
    def by_file_comment(self) -> str:
        """The comment of the table that has what each file adds."""
        return f"What the file of each month adds to {self.name}"


TRIPS = Sum("trips", "Trips")
PASSENGERS = Sum("passengers", "Passengers; NULL if none is published", "passenger_count")
DISTANCE = Sum("distance", "Miles", "trip_distance", is_amount=True)
FARES = Sum("fares", "USD, fares by time and distance", "fare_amount", is_amount=True)
TIPS = Sum("tips", "USD, tips", "tip_amount", is_amount=True)
REVENUE = Sum("revenue", "USD, charged to passengers", "total_amount", is_amount=True)
#: What is counted while a month is copied: of each hour of pickup, in ``by_hour``, and of each
#: month and zone of pickup, in ``by_zone``.
BY_HOUR = (TRIPS, PASSENGERS, DISTANCE, FARES, TIPS, REVENUE)
BY_ZONE = (TRIPS, REVENUE)

MONTH = Key("month", "date", "First day of the month of pickup")

FEATURES = (
    Feature(
        "daily_trips",
        "Trips by day of pickup",
        keys=(Key("day", "date", "Day of pickup"),),
        sums=BY_HOUR,
    ),
    Feature(
        "monthly_trips",
        "Trips by month of pickup",
        keys=(MONTH,),
        sums=BY_HOUR,
    ),
    Feature(
        "zone_pickups",
        "Trips by month and taxi zone of pickup",
        keys=(
            MONTH,
            Key("location_id", "integer", "Taxi zone of pickup; NULL for trips without one"),
        ),
        sums=BY_ZONE,
    ),
    Feature(
        "hourly_trips",
        "Trips by month, day of the week and hour of pickup",
        keys=(
            MONTH,
            Key("weekday", "integer", "Day of the week, from 1 for Monday to 7 for Sunday"),
            Key("hour", "integer", "Hour of the day, from 0 to 23"),
        ),
        sums=(TRIPS,),
    ),
)
