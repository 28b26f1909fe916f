"""What each taxi type is: its columns, their types, their names by era, its first month.

Everything that needs a column list takes it from here: the DDL, the staging table, COPY, MERGE,
the fingerprint and the Arrow schema of the canonical parquet. Names and meanings follow the TLC's
data dictionaries and the published files themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

from luigi_tasks.errors import TaxiError

#: PostgreSQL type -> Arrow type, by the alias that ``pyarrow.type_for_alias`` knows.
#: A column has one of these and nothing else.
ARROW_TYPES = {
    "integer": "int32",
    "double precision": "double",
    "timestamp": "timestamp[us]",
    "text": "string",
}


@dataclass(frozen=True)
class Column:
    """One canonical column of a trips table.

    ``tag`` stands for the column in the fingerprint: it's unique over all columns and never
    changes, so that a column added later, NULL in the trips that are there, leaves their
    fingerprints as they are. ``aliases`` are the names in published files, compared without case
    and surrounding blanks. A column that ``identifies`` a trip must be in a file, or the file
    isn't one of this taxi type; a ``required`` one must also have a value in every row.
    """

    name: str
    tag: int
    type: str
    comment: str
    aliases: tuple[str, ...] = ()
    identifies: bool = False
    required: bool = False

    @property
    def published_names(self) -> frozenset[str]:
        """Every name this column goes by, folded."""
        return frozenset(map(_fold, (self.name, *self.aliases)))


@dataclass(frozen=True)
class TaxiType:
    """One TLC service.

    ``first_month`` is the first one published: partitions are made from there on. ``reads_from``
    is the first one whose files this version can read, and ``before`` says what comes earlier.
    """

    name: str
    comment: str
    first_month: date
    reads_from: date
    before: str
    columns: tuple[Column, ...]

    def filename(self, month: date) -> str:
        """The TLC's name for a month's file, and the value of column ``filename``."""
        return f"{self.name}_tripdata_{month:%Y-%m}.parquet"

    def check_month(self, month: date) -> None:
        """Refuse a month that was never published or can't be read yet.

        :raises TaxiError: names the first month that can be had.
        """
        if month < self.reads_from:
            reason = self.before if month >= self.first_month else "no trips are published for it"
            raise TaxiError(
                f"{self.name} {month:%Y-%m}: {reason}; {self.name} trips can be loaded "
                f"from {self.reads_from:%Y-%m} on"
            )

    def match(self, published: Iterable[str]) -> tuple[dict[str, str], list[str]]:
        """Match a file's column names with the catalog's.

        :returns: canonical name -> published name for those that are there, and the published
            names that the catalog doesn't know.
        :raises TaxiError: two published columns stand for one, or one that identifies a trip is
            missing; then it names the taxi type that the file looks like.
        """
        published = list(published)
        canonical = {
            name: column.name for column in self.columns for name in column.published_names
        }
        matched: dict[str, str] = {}
        unknown = []
        for name in published:
            known = canonical.get(_fold(name))
            if known is None:
                unknown.append(name)
            elif known in matched:
                raise TaxiError(f"columns {matched[known]!r} and {name!r} both stand for {known}")
            else:
                matched[known] = name
        missing = [c for c in self.columns if c.identifies and c.name not in matched]
        if missing:
            wanted = ", ".join((*column.aliases, column.name)[0] for column in missing)
            raise TaxiError(
                f"not a file of {self.name} trips{_looks_like(published)}: it has no column "
                f"{wanted}; its columns are {', '.join(published)}"
            )
        return matched, unknown


def _fold(name: str) -> str:
    return name.strip().lower()


def _looks_like(published: list[str]) -> str:
    names = set(map(_fold, published))
    for taxi_type in TAXI_TYPES.values():
        if all(c.published_names & names for c in taxi_type.columns if c.identifies):
            return f", it looks like {taxi_type.name}"
    return ""


VENDOR_ID = Column(
    "vendor_id", 1, "integer", "Provider of the record, by the TLC's code",
    ("VendorID",), identifies=True,
)  # fmt: skip
PICKUP_DATETIME = Column(
    "pickup_datetime", 2, "timestamp", "Meter engaged, New York wall-clock time",
    identifies=True, required=True,
)  # fmt: skip
DROPOFF_DATETIME = Column(
    "dropoff_datetime", 3, "timestamp", "Meter disengaged, New York wall-clock time",
    identifies=True,
)  # fmt: skip
PASSENGER_COUNT = Column(
    "passenger_count", 4, "integer", "Passengers, as entered by the driver",
)  # fmt: skip
TRIP_DISTANCE = Column(
    "trip_distance", 5, "double precision", "Miles, by the taximeter", identifies=True,
)  # fmt: skip
RATE_CODE_ID = Column(
    "rate_code_id", 6, "integer", "Rate in force at the end of the trip, by the TLC's code",
    ("RatecodeID",),
)  # fmt: skip
STORE_AND_FWD_FLAG = Column(
    "store_and_fwd_flag", 7, "text", "Y if the record was held in the vehicle and sent later",
)  # fmt: skip
PICKUP_LOCATION_ID = Column(
    "pickup_location_id", 8, "integer", "Taxi zone where the meter was engaged",
    ("PULocationID",), identifies=True,
)  # fmt: skip
DROPOFF_LOCATION_ID = Column(
    "dropoff_location_id", 9, "integer", "Taxi zone where the meter was disengaged",
    ("DOLocationID",), identifies=True,
)  # fmt: skip
PAYMENT_TYPE = Column(
    "payment_type", 10, "integer", "How the passenger paid, by the TLC's code",
)  # fmt: skip
FARE_AMOUNT = Column(
    "fare_amount", 11, "double precision", "USD, by time and distance", identifies=True,
)  # fmt: skip
EXTRA = Column(
    "extra", 12, "double precision", "USD, miscellaneous extras and surcharges",
)  # fmt: skip
MTA_TAX = Column("mta_tax", 13, "double precision", "USD, MTA tax")
TIP_AMOUNT = Column(
    "tip_amount", 14, "double precision", "USD, tips by card; cash tips aren't recorded",
)  # fmt: skip
TOLLS_AMOUNT = Column(
    "tolls_amount", 15, "double precision", "USD, all tolls paid on the trip",
)  # fmt: skip
EHAIL_FEE = Column(
    "ehail_fee", 16, "double precision", "USD, for trips ordered by app; hardly ever set",
)  # fmt: skip
IMPROVEMENT_SURCHARGE = Column(
    "improvement_surcharge", 17, "double precision", "USD, levied since 2015",
)  # fmt: skip
TOTAL_AMOUNT = Column(
    "total_amount", 18, "double precision", "USD, charged to the passenger, without cash tips",
)  # fmt: skip
TRIP_TYPE = Column(
    "trip_type", 19, "integer", "1 if hailed on the street, 2 if dispatched",
)  # fmt: skip
CONGESTION_SURCHARGE = Column(
    "congestion_surcharge", 20, "double precision", "USD, levied by New York State since 2019",
)  # fmt: skip
AIRPORT_FEE = Column(
    "airport_fee", 21, "double precision", "USD, for pickups at LaGuardia and JFK",
)  # fmt: skip
CBD_CONGESTION_FEE = Column(
    "cbd_congestion_fee", 22, "double precision", "USD, MTA congestion relief zone, since 2025",
)  # fmt: skip

YELLOW = TaxiType(
    name="yellow",
    comment="Trips of yellow taxis, the ones that may be hailed anywhere in New York City",
    first_month=date(2009, 1, 1),
    reads_from=date(2011, 1, 1),
    before="files before 2011 have coordinates in place of taxi zones, which aren't read",
    columns=(
        VENDOR_ID,
        replace(PICKUP_DATETIME, aliases=("tpep_pickup_datetime",)),
        replace(DROPOFF_DATETIME, aliases=("tpep_dropoff_datetime",)),
        PASSENGER_COUNT,
        TRIP_DISTANCE,
        RATE_CODE_ID,
        STORE_AND_FWD_FLAG,
        PICKUP_LOCATION_ID,
        DROPOFF_LOCATION_ID,
        PAYMENT_TYPE,
        FARE_AMOUNT,
        EXTRA,
        MTA_TAX,
        TIP_AMOUNT,
        TOLLS_AMOUNT,
        IMPROVEMENT_SURCHARGE,
        TOTAL_AMOUNT,
        CONGESTION_SURCHARGE,
        AIRPORT_FEE,
        CBD_CONGESTION_FEE,
    ),
)

GREEN = TaxiType(
    name="green",
    comment="Trips of green taxis, the ones for the boroughs outside central Manhattan",
    first_month=date(2013, 8, 1),
    reads_from=date(2013, 8, 1),
    before="",
    columns=(
        VENDOR_ID,
        replace(PICKUP_DATETIME, aliases=("lpep_pickup_datetime",)),
        replace(DROPOFF_DATETIME, aliases=("lpep_dropoff_datetime",)),
        PASSENGER_COUNT,
        TRIP_DISTANCE,
        RATE_CODE_ID,
        STORE_AND_FWD_FLAG,
        PICKUP_LOCATION_ID,
        DROPOFF_LOCATION_ID,
        PAYMENT_TYPE,
        FARE_AMOUNT,
        EXTRA,
        MTA_TAX,
        TIP_AMOUNT,
        TOLLS_AMOUNT,
        EHAIL_FEE,
        IMPROVEMENT_SURCHARGE,
        TOTAL_AMOUNT,
        TRIP_TYPE,
        CONGESTION_SURCHARGE,
        CBD_CONGESTION_FEE,
    ),
)

TAXI_TYPES = {taxi_type.name: taxi_type for taxi_type in (YELLOW, GREEN)}


def common_columns() -> list[Column]:
    """The columns that every taxi type has, in their order: those of view ``trips``."""
    shared = set.intersection(*({c.name for c in t.columns} for t in TAXI_TYPES.values()))
    return [column for column in YELLOW.columns if column.name in shared]
