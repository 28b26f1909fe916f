"""The four services of the TLC: their columns, their first months, and how a file is matched."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from luigi_tasks.catalog import columns
from luigi_tasks.catalog.columns import IGNORED, Column, fold
from luigi_tasks.catalog.lookups import LOOKUPS, Lookup
from luigi_tasks.errors import TaxiError
from luigi_tasks.texts import listed, shortened


@dataclass(frozen=True)
class Match:
    """The published names of a file's columns.

    ``columns`` and ``fillers`` map canonical names to published ones; ``unknown`` has the published
    names that the catalog doesn't know.
    """

    columns: dict[str, str]
    fillers: dict[str, str]
    unknown: list[str]


@dataclass(frozen=True)
class TaxiType:
    """One service of the TLC. ``first_month`` is its first published month."""

    name: str
    comment: str
    first_month: date
    columns: tuple[Column, ...]

    @property
    def lookups(self) -> list[Lookup]:
        """The lookups of this service's columns."""
        names = {column.name for column in self.columns}
        return [lookup for lookup in LOOKUPS if lookup.column in names]

    @property
    def shown_names(self) -> dict[str, str]:
        """The columns of names, all of type text, that a view adds, with their comments."""
        shown = {each.shown: f"Name of {each.column}" for each in self.lookups}
        for end in ("pickup", "dropoff"):
            shown[f"{end}_borough"] = f"Borough of {end}_location_id"
            shown[f"{end}_zone"] = f"Name of {end}_location_id"
        return shown

    def check_month(self, month: date) -> None:
        """Refuse a month that was never published.

        :raises TaxiError: the month is before the first one, which the message names.
        """
        if month < self.first_month:
            raise TaxiError(
                f"{self.name} {month:%Y-%m}: no trips are published for it; {self.name} trips can "
                f"be loaded from {self.first_month:%Y-%m} on"
            )

    def match(self, published: Iterable[str]) -> Match:
        """Match the names of a file's columns with the catalog's columns.

        :raises TaxiError: two published columns stand for the same one or have the same name, or a
            column that identifies a trip is missing; the message then names the taxi type that the
            file looks like.
        """
        published = list(published)
        canonical = {name: c.name for c in self.columns for name in c.published_names}
        filled = {fold(name): c.name for c in self.columns for name in c.filled_from}
        matched: dict[str, str] = {}
        fillers: dict[str, str] = {}
        unknown: dict[str, str] = {}
        for name in published:
            folded = fold(name)
            if folded in canonical:
                known = canonical[folded]
                if known in matched:
                    both = f"{shortened(matched[known])!r} and {shortened(name)!r}"
                    raise TaxiError(f"columns {both} both stand for {known}")
                matched[known] = name
            elif folded in filled:
                fillers[filled[folded]] = name
            elif folded not in IGNORED:
                if folded in unknown:
                    raise TaxiError(f"it has two columns {shortened(name)!r}")
                unknown[folded] = name
        missing = self._missing(matched.keys())
        likely = _looks_like(published)
        if missing or (likely and likely.identified > self.identified):
            wanted = ", ".join((*column.aliases, column.name)[0] for column in missing)
            looks = f", it looks like {likely.name}" if likely and likely is not self else ""
            lacks = f"it has no column {wanted}; " if wanted else ""
            raise TaxiError(
                f"not a file of {self.name} trips{looks}: {lacks}"
                f"its columns are {listed(published)}"
            )
        return Match(matched, fillers, list(unknown.values()))

    @property
    def identified(self) -> int:
        """The number of columns that identify a trip."""
        return sum(column.identifies for column in self.columns)

    def _missing(self, names: Iterable[str]) -> list[Column]:
        """Return the columns that identify a trip and that ``names`` lack, canonical names.

        A column isn't missing if all those that may be ``instead`` of it are among them.
        """
        names = set(names)
        return [
            column
            for column in self.columns
            if column.identifies
            and column.name not in names
            and not (column.instead and names.issuperset(column.instead))
        ]


def _looks_like(published: list[str]) -> TaxiType | None:
    """Return the taxi type that most columns identify, of those that miss none; None if all do."""
    names = set(map(fold, published))
    fitting = []
    for taxi_type in TAXI_TYPES.values():
        found = [c.name for c in taxi_type.columns if c.published_names & names]
        if not taxi_type._missing(found):
            fitting.append(taxi_type)
    return max(fitting, key=lambda each: each.identified, default=None)


YELLOW = TaxiType(
    name="yellow",
    comment="Trips of yellow taxis, the ones that may be hailed anywhere in New York City",
    first_month=date(2009, 1, 1),
    columns=(
        columns.VENDOR_ID,
        replace(columns.PICKUP_DATETIME, aliases=("tpep_pickup_datetime", "Trip_Pickup_DateTime")),
        replace(
            columns.DROPOFF_DATETIME, aliases=("tpep_dropoff_datetime", "Trip_Dropoff_DateTime")
        ),
        columns.PASSENGER_COUNT,
        columns.TRIP_DISTANCE,
        columns.RATE_CODE_ID,
        columns.STORE_AND_FWD_FLAG,
        columns.PICKUP_LOCATION_ID,
        columns.DROPOFF_LOCATION_ID,
        columns.PAYMENT_TYPE,
        columns.FARE_AMOUNT,
        columns.EXTRA,
        columns.MTA_TAX,
        columns.TIP_AMOUNT,
        columns.TOLLS_AMOUNT,
        columns.IMPROVEMENT_SURCHARGE,
        columns.TOTAL_AMOUNT,
        columns.CONGESTION_SURCHARGE,
        columns.AIRPORT_FEE,
        columns.CBD_CONGESTION_FEE,
        *columns.COORDINATES,
    ),
)

GREEN = TaxiType(
    name="green",
    comment="Trips of green taxis, the ones for the boroughs outside central Manhattan",
    first_month=date(2013, 8, 1),
    columns=(
        columns.VENDOR_ID,
        replace(columns.PICKUP_DATETIME, aliases=("lpep_pickup_datetime",)),
        replace(columns.DROPOFF_DATETIME, aliases=("lpep_dropoff_datetime",)),
        columns.PASSENGER_COUNT,
        columns.TRIP_DISTANCE,
        columns.RATE_CODE_ID,
        columns.STORE_AND_FWD_FLAG,
        columns.PICKUP_LOCATION_ID,
        columns.DROPOFF_LOCATION_ID,
        columns.PAYMENT_TYPE,
        columns.FARE_AMOUNT,
        columns.EXTRA,
        columns.MTA_TAX,
        columns.TIP_AMOUNT,
        columns.TOLLS_AMOUNT,
        columns.EHAIL_FEE,
        columns.IMPROVEMENT_SURCHARGE,
        columns.TOTAL_AMOUNT,
        columns.TRIP_TYPE,
        columns.CONGESTION_SURCHARGE,
        columns.CBD_CONGESTION_FEE,
        *columns.COORDINATES,
    ),
)

# Only the base that dispatched a trip and its pickup time are always published: dropoffs came in
# 2017, and zones are often missing.
FHV = TaxiType(
    name="fhv",
    comment="Trips of for-hire vehicles: community cars, black cars and luxury limousines",
    first_month=date(2015, 1, 1),
    columns=(
        replace(columns.PICKUP_DATETIME, aliases=("Pickup_date",)),
        replace(columns.DROPOFF_DATETIME, identifies=False),
        replace(
            columns.PICKUP_LOCATION_ID,
            aliases=("PUlocationID", "locationID"),
            identifies=False,
            instead=(),
        ),
        replace(columns.DROPOFF_LOCATION_ID, identifies=False, instead=()),
        columns.DISPATCHING_BASE_NUM,
        columns.AFFILIATED_BASE_NUM,
        columns.SR_FLAG,
    ),
)

FHVHV = TaxiType(
    name="fhvhv",
    comment="Trips of high-volume for-hire services, such as Uber and Lyft",
    first_month=date(2019, 2, 1),
    columns=(
        columns.PICKUP_DATETIME,
        columns.DROPOFF_DATETIME,
        replace(columns.TRIP_DISTANCE, aliases=("trip_miles",), comment="Miles", identifies=False),
        replace(columns.PICKUP_LOCATION_ID, instead=()),
        replace(columns.DROPOFF_LOCATION_ID, instead=()),
        replace(
            columns.FARE_AMOUNT,
            aliases=("base_passenger_fare",),
            comment="USD, base fare before tolls, tips, taxes and fees",
            identifies=False,
        ),
        replace(columns.TIP_AMOUNT, aliases=("tips",), comment="USD, tips"),
        replace(columns.TOLLS_AMOUNT, aliases=("tolls",)),
        columns.CONGESTION_SURCHARGE,
        columns.AIRPORT_FEE,
        columns.CBD_CONGESTION_FEE,
        replace(columns.DISPATCHING_BASE_NUM, filled_from=()),
        columns.SR_FLAG,
        columns.HVFHS_LICENSE_NUM,
        columns.ORIGINATING_BASE_NUM,
        columns.REQUEST_DATETIME,
        columns.ON_SCENE_DATETIME,
        columns.TRIP_TIME,
        columns.BLACK_CAR_FUND,
        columns.SALES_TAX,
        columns.DRIVER_PAY,
        columns.SHARED_REQUEST_FLAG,
        columns.SHARED_MATCH_FLAG,
        columns.ACCESS_A_RIDE_FLAG,
        columns.WAV_REQUEST_FLAG,
        columns.WAV_MATCH_FLAG,
    ),
)

TAXI_TYPES = {taxi_type.name: taxi_type for taxi_type in (YELLOW, GREEN, FHV, FHVHV)}


def shared_columns(taxi_types: Iterable[TaxiType]) -> list[Column]:
    """Return the columns of the view ``trips``: those that more than one taxi type has, by tag.

    Each is as the first of these taxi types has it.
    """
    found: dict[str, list[Column]] = {}
    for taxi_type in taxi_types:
        for column in taxi_type.columns:
            found.setdefault(column.name, []).append(column)
    shared = [columns[0] for columns in found.values() if len(columns) > 1]
    return sorted(shared, key=lambda column: column.tag)
