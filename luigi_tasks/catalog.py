"""What each taxi type is: its columns, their types, their names by era, its first month.

Everything that needs a column list takes it from here: the DDL, the staging table, COPY, MERGE,
the fingerprint and the Arrow schema of the canonical parquet. Names and meanings follow the TLC's
data dictionaries (www.nyc.gov/site/tlc/about/tlc-trip-record-data.page) and the published files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from luigi_tasks.errors import TaxiError
from luigi_tasks.texts import listed, shortened

#: PostgreSQL type -> Arrow type, by the alias that ``pyarrow.type_for_alias`` knows.
#: A column has one of these and nothing else.
ARROW_TYPES = {
    "integer": "int32",
    "double precision": "double",
    "timestamp": "timestamp[us]",
    "text": "string",
}
#: The types of columns that aren't the catalog's, in the order in which they are tried on text.
NEW_TYPES = {
    "bigint": "int64",
    "double precision": "double",
    "timestamp without time zone": "timestamp[us]",
    "boolean": "bool",
    "text": "string",
}


@dataclass(frozen=True)
class Lookup:
    """The names of a column's codes: a table of its own, and the column ``shown`` in views.

    By its ``comment`` a table is told from somebody else's of that name: it stays as it is.
    """

    table: str
    column: str
    type: str
    shown: str
    comment: str
    names: Mapping[int | str, str] = field(hash=False)


@dataclass(frozen=True)
class Column:
    """One canonical column of a trips table.

    ``tag`` stands for the column in the fingerprint: it's unique over all columns and never
    changes, so that a column added later, NULL in the trips that are there, leaves their
    fingerprints as they are. ``aliases`` are the names in published files, compared without case
    and surrounding blanks; the first is today's.

    A column that ``identifies`` a trip must be in a file, or the columns ``instead`` of it, or the
    file isn't one of this taxi type; a ``required`` one must also have a value in every row. A
    published column of a name in ``filled_from`` has the value where the column itself has none.
    ``words`` are what published files have in place of a value, folded.
    """

    name: str
    tag: int
    type: str
    comment: str
    aliases: tuple[str, ...] = ()
    identifies: bool = False
    required: bool = False
    instead: tuple[str, ...] = ()
    filled_from: tuple[str, ...] = ()
    words: Mapping[str, int | str] = field(default_factory=dict, hash=False)

    @property
    def published_names(self) -> frozenset[str]:
        """Every name this column goes by, folded."""
        return frozenset(map(fold, (self.name, *self.aliases)))


@dataclass(frozen=True)
class Match:
    """Which published columns of a file are which of the catalog's.

    ``columns`` and ``fillers`` are by canonical name; ``unknown`` are those that the catalog
    doesn't know.
    """

    columns: dict[str, str]
    fillers: dict[str, str]
    unknown: list[str]


@dataclass(frozen=True)
class TaxiType:
    """One TLC service. ``first_month`` is the first one published."""

    name: str
    comment: str
    first_month: date
    columns: tuple[Column, ...]

    @property
    def lookups(self) -> list[Lookup]:
        """The lookups of its columns."""
        names = {column.name for column in self.columns}
        return [lookup for lookup in LOOKUPS if lookup.column in names]

    @property
    def shown_names(self) -> dict[str, str]:
        """The columns that a view shows beside its own, all of type text, with their comments."""
        shown = {each.shown: f"Name of {each.column}" for each in self.lookups}
        for place in ("pickup", "dropoff"):
            shown[f"{place}_borough"] = f"Borough of {place}_location_id"
            shown[f"{place}_zone"] = f"Name of {place}_location_id"
        return shown

    def filename(self, month: date) -> str:
        """The TLC's name for a month's file, and the value of column ``filename``."""
        return f"{self.name}_tripdata_{month:%Y-%m}.parquet"

    def check_month(self, month: date) -> None:
        """Refuse a month that was never published.

        :raises TaxiError: names the first month that can be had.
        """
        if month < self.first_month:
            raise TaxiError(
                f"{self.name} {month:%Y-%m}: no trips are published for it; {self.name} trips can "
                f"be loaded from {self.first_month:%Y-%m} on"
            )

    def match(self, published: Iterable[str]) -> Match:
        """Match a file's column names with the catalog's.

        :raises TaxiError: two published columns stand for one, or have one name, or one that
            identifies a trip is missing; then it names the taxi type that the file looks like.
        """
        published = list(published)
        canonical = {name: c.name for c in self.columns for name in c.published_names}
        filled = {fold(name): c.name for c in self.columns for name in c.filled_from}
        columns: dict[str, str] = {}
        fillers: dict[str, str] = {}
        unknown: dict[str, str] = {}
        for name in published:
            folded = fold(name)
            if folded in canonical:
                known = canonical[folded]
                if known in columns:
                    both = f"{shortened(columns[known])!r} and {shortened(name)!r}"
                    raise TaxiError(f"columns {both} both stand for {known}")
                columns[known] = name
            elif folded in filled:
                fillers[filled[folded]] = name
            elif folded not in IGNORED:
                if folded in unknown:
                    raise TaxiError(f"it has two columns {shortened(name)!r}")
                unknown[folded] = name
        missing = self._missing(columns.keys())
        likely = _looks_like(published)
        if missing or (likely and likely.identified > self.identified):
            wanted = ", ".join((*column.aliases, column.name)[0] for column in missing)
            looks = f", it looks like {likely.name}" if likely and likely is not self else ""
            lacks = f"it has no column {wanted}; " if wanted else ""
            raise TaxiError(
                f"not a file of {self.name} trips{looks}: {lacks}"
                f"its columns are {listed(published)}"
            )
        return Match(columns, fillers, list(unknown.values()))

    @property
    def identified(self) -> int:
        """How many columns identify a trip."""
        return sum(column.identifies for column in self.columns)

    def _missing(self, there: Iterable[str]) -> list[Column]:
        """The columns that identify a trip and aren't there, nor what may be instead."""
        there = set(there)
        return [
            column
            for column in self.columns
            if column.identifies
            and column.name not in there
            and not (column.instead and there.issuperset(column.instead))
        ]


def fold(name: str) -> str:
    """A name or word as it's compared: in whatever case, without surrounding blanks."""
    return name.strip().lower()


def _looks_like(published: list[str]) -> TaxiType | None:
    """The taxi type that most of the columns tell to be theirs."""
    names = set(map(fold, published))
    fitting = []
    for taxi_type in TAXI_TYPES.values():
        there = [c.name for c in taxi_type.columns if c.published_names & names]
        if not taxi_type._missing(there):
            fitting.append(taxi_type)
    return max(fitting, key=lambda each: each.identified, default=None)


#: Rises when rows get other fingerprints than before. The ledger keeps it.
FINGERPRINT_VERSION = 1

#: Names that a column which the catalog doesn't know can't have in a table: those of the table's
#: own columns, of the queries' own, and of PostgreSQL's.
RESERVED_NAMES = frozenset(
    {"unique_row_id", "filename", "place", "pickup_month"}
    | {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"}
)
#: Columns that say nothing of a trip: pandas' row numbers, in two months of 2010.
IGNORED = {"__index_level_0__"}

# Words as they stand in the published files of 2009 to 2014; codes by the TLC's data dictionary for
# yellow trips.
#: What files before 2015 have in place of a provider's code: Creative Mobile Technologies (1),
#: VeriFone Transportation Systems (2), and Digital Dispatch Systems, which left in 2010 and has no
#: code of the TLC's: 3 is ours, and no one else's.
VENDOR_WORDS = {"cmt": 1, "vts": 2, "dds": 3}
#: What files of 2009 to 2014 have in place of the codes of payment: credit card (1), cash (2), no
#: charge (3), dispute (4), unknown (5).
PAYMENT_WORDS = {
    **dict.fromkeys(("credit", "crd", "cre"), 1),
    **dict.fromkeys(("cash", "csh", "cas"), 2),
    **dict.fromkeys(("no charge", "noc", "no"), 3),
    **dict.fromkeys(("dispute", "dis"), 4),
    **dict.fromkeys(("unknown", "unk", "na"), 5),
}
#: Files of 2009 and 2010 have a number for "store and forward".
FLAG_WORDS = {"0": "N", "1": "Y"}

VENDOR_ID = Column(
    "vendor_id", 1, "integer", "Provider of the record, by the TLC's code",
    ("VendorID", "vendor_name"), identifies=True, words=VENDOR_WORDS,
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
    ("RatecodeID", "rate_code"),
)  # fmt: skip
STORE_AND_FWD_FLAG = Column(
    "store_and_fwd_flag", 7, "text", "Y if the record was held in the vehicle and sent later",
    ("store_and_forward",), words=FLAG_WORDS,
)  # fmt: skip
PICKUP_LOCATION_ID = Column(
    "pickup_location_id", 8, "integer", "Taxi zone where the meter was engaged",
    ("PULocationID",), identifies=True, instead=("pickup_longitude", "pickup_latitude"),
)  # fmt: skip
DROPOFF_LOCATION_ID = Column(
    "dropoff_location_id", 9, "integer", "Taxi zone where the meter was disengaged",
    ("DOLocationID",), identifies=True, instead=("dropoff_longitude", "dropoff_latitude"),
)  # fmt: skip
PAYMENT_TYPE = Column(
    "payment_type", 10, "integer", "How the passenger paid, by the TLC's code",
    words=PAYMENT_WORDS,
)  # fmt: skip
FARE_AMOUNT = Column(
    "fare_amount", 11, "double precision", "USD, by time and distance",
    ("fare_amount", "Fare_Amt"), identifies=True,
)  # fmt: skip
EXTRA = Column(
    "extra", 12, "double precision", "USD, miscellaneous extras and surcharges",
    ("surcharge",),
)  # fmt: skip
MTA_TAX = Column("mta_tax", 13, "double precision", "USD, MTA tax")
TIP_AMOUNT = Column(
    "tip_amount", 14, "double precision", "USD, tips by card; cash tips aren't recorded",
    ("Tip_Amt",),
)  # fmt: skip
TOLLS_AMOUNT = Column(
    "tolls_amount", 15, "double precision", "USD, all tolls paid on the trip",
    ("Tolls_Amt",),
)  # fmt: skip
EHAIL_FEE = Column(
    "ehail_fee", 16, "double precision", "USD, for trips ordered by app; hardly ever set",
)  # fmt: skip
IMPROVEMENT_SURCHARGE = Column(
    "improvement_surcharge", 17, "double precision", "USD, levied since 2015",
    ("imp_surcharge",),
)  # fmt: skip
TOTAL_AMOUNT = Column(
    "total_amount", 18, "double precision", "USD, charged to the passenger, without cash tips",
    ("Total_Amt",),
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
PICKUP_LONGITUDE = Column(
    "pickup_longitude", 23, "double precision", "Degrees; before zones, until 2016-06",
    ("Start_Lon",),
)  # fmt: skip
PICKUP_LATITUDE = Column(
    "pickup_latitude", 24, "double precision", "Degrees; before zones, until 2016-06",
    ("Start_Lat",),
)  # fmt: skip
DROPOFF_LONGITUDE = Column(
    "dropoff_longitude", 25, "double precision", "Degrees; before zones, until 2016-06",
    ("End_Lon",),
)  # fmt: skip
DROPOFF_LATITUDE = Column(
    "dropoff_latitude", 26, "double precision", "Degrees; before zones, until 2016-06",
    ("End_Lat",),
)  # fmt: skip
COORDINATES = (PICKUP_LONGITUDE, PICKUP_LATITUDE, DROPOFF_LONGITUDE, DROPOFF_LATITUDE)
#: What no table is without, whatever columns are to be kept.
ALWAYS_KEPT = {
    column.name
    for column in (PICKUP_DATETIME, PICKUP_LOCATION_ID, DROPOFF_LOCATION_ID, *COORDINATES)
}
DISPATCHING_BASE_NUM = Column(
    "dispatching_base_num", 27, "text", "Licence of the base that dispatched the trip",
    filled_from=("Dispatching_base_number",), identifies=True,
)  # fmt: skip
AFFILIATED_BASE_NUM = Column(
    "affiliated_base_num", 28, "text", "Licence of the base that the vehicle belongs to",
    ("Affiliated_base_number",),
)  # fmt: skip
SR_FLAG = Column(
    "sr_flag", 29, "integer", "1 if the ride was part of a chain of shared rides",
)  # fmt: skip
HVFHS_LICENSE_NUM = Column(
    "hvfhs_license_num", 30, "text", "Licence of the app company", identifies=True,
)  # fmt: skip
ORIGINATING_BASE_NUM = Column(
    "originating_base_num", 31, "text", "Licence of the base that took the order",
)  # fmt: skip
REQUEST_DATETIME = Column(
    "request_datetime", 32, "timestamp", "When it was asked for, New York wall-clock time",
)  # fmt: skip
ON_SCENE_DATETIME = Column(
    "on_scene_datetime", 33, "timestamp", "When the driver was there, New York wall-clock time",
)  # fmt: skip
TRIP_TIME = Column("trip_time", 34, "integer", "Seconds from pickup to dropoff")
BLACK_CAR_FUND = Column(
    "black_car_fund", 35, "double precision", "USD, for the Black Car Fund", ("bcf",),
)  # fmt: skip
SALES_TAX = Column("sales_tax", 36, "double precision", "USD, sales tax of New York State")
DRIVER_PAY = Column(
    "driver_pay", 37, "double precision", "USD, to the driver, without tolls and tips",
)  # fmt: skip
SHARED_REQUEST_FLAG = Column(
    "shared_request_flag", 38, "text", "Y if the passenger agreed to share the ride",
)  # fmt: skip
SHARED_MATCH_FLAG = Column(
    "shared_match_flag", 39, "text", "Y if the ride was shared with strangers",
)  # fmt: skip
ACCESS_A_RIDE_FLAG = Column(
    "access_a_ride_flag", 40, "text", "Y if it was for the MTA's Access-A-Ride",
)  # fmt: skip
WAV_REQUEST_FLAG = Column(
    "wav_request_flag", 41, "text", "Y if a vehicle for wheelchairs was asked for",
)  # fmt: skip
WAV_MATCH_FLAG = Column(
    "wav_match_flag", 42, "text", "Y if the vehicle was one for wheelchairs",
)  # fmt: skip

#: Codes and names by the TLC's data dictionaries of 2025; vendor 3 is ours, see VENDOR_WORDS.
LOOKUPS = (
    Lookup(
        "vendors", "vendor_id", "integer", "vendor_name", "Providers of trip records",
        {
            1: "Creative Mobile Technologies, LLC",
            2: "Curb Mobility, LLC",
            3: "Digital Dispatch Systems",
            6: "Myle Technologies Inc",
            7: "Helix",
        },
    ),
    Lookup(
        "rate_codes", "rate_code_id", "integer", "rate_code_name", "Rates of the taximeter",
        {
            1: "Standard rate",
            2: "JFK",
            3: "Newark",
            4: "Nassau or Westchester",
            5: "Negotiated fare",
            6: "Group ride",
            99: "Unknown",
        },
    ),
    Lookup(
        "payment_types", "payment_type", "integer", "payment_type_name", "Ways to pay",
        {
            0: "Flex fare",
            1: "Credit card",
            2: "Cash",
            3: "No charge",
            4: "Dispute",
            5: "Unknown",
            6: "Voided trip",
        },
    ),
    Lookup(
        "trip_types", "trip_type", "integer", "trip_type_name", "How a green taxi was found",
        {1: "Street-hail", 2: "Dispatch"},
    ),
    Lookup(
        "hvfhs_licenses", "hvfhs_license_num", "text", "hvfhs_license_name",
        "High-volume for-hire services",
        {"HV0002": "Juno", "HV0003": "Uber", "HV0004": "Via", "HV0005": "Lyft"},
    ),
)  # fmt: skip

YELLOW = TaxiType(
    name="yellow",
    comment="Trips of yellow taxis, the ones that may be hailed anywhere in New York City",
    first_month=date(2009, 1, 1),
    columns=(
        VENDOR_ID,
        replace(PICKUP_DATETIME, aliases=("tpep_pickup_datetime", "Trip_Pickup_DateTime")),
        replace(DROPOFF_DATETIME, aliases=("tpep_dropoff_datetime", "Trip_Dropoff_DateTime")),
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
        *COORDINATES,
    ),
)

GREEN = TaxiType(
    name="green",
    comment="Trips of green taxis, the ones for the boroughs outside central Manhattan",
    first_month=date(2013, 8, 1),
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
        *COORDINATES,
    ),
)

# Of a trip of this service no more is sure than who was asked for it and when it began: dropoffs
# came in 2017, and zones are often missing.
FHV = TaxiType(
    name="fhv",
    comment="Trips of for-hire vehicles: community cars, black cars and luxury limousines",
    first_month=date(2015, 1, 1),
    columns=(
        replace(PICKUP_DATETIME, aliases=("Pickup_date",)),
        replace(DROPOFF_DATETIME, identifies=False),
        replace(
            PICKUP_LOCATION_ID, aliases=("PUlocationID", "locationID"), identifies=False, instead=()
        ),
        replace(DROPOFF_LOCATION_ID, identifies=False, instead=()),
        DISPATCHING_BASE_NUM,
        AFFILIATED_BASE_NUM,
        SR_FLAG,
    ),
)

FHVHV = TaxiType(
    name="fhvhv",
    comment="Trips of high-volume for-hire services, such as Uber and Lyft",
    first_month=date(2019, 2, 1),
    columns=(
        PICKUP_DATETIME,
        DROPOFF_DATETIME,
        replace(TRIP_DISTANCE, aliases=("trip_miles",), comment="Miles", identifies=False),
        replace(PICKUP_LOCATION_ID, instead=()),
        replace(DROPOFF_LOCATION_ID, instead=()),
        replace(
            FARE_AMOUNT,
            aliases=("base_passenger_fare",),
            comment="USD, base fare before tolls, tips, taxes and fees",
            identifies=False,
        ),
        replace(TIP_AMOUNT, aliases=("tips",), comment="USD, tips"),
        replace(TOLLS_AMOUNT, aliases=("tolls",)),
        CONGESTION_SURCHARGE,
        AIRPORT_FEE,
        CBD_CONGESTION_FEE,
        replace(DISPATCHING_BASE_NUM, filled_from=()),
        SR_FLAG,
        HVFHS_LICENSE_NUM,
        ORIGINATING_BASE_NUM,
        REQUEST_DATETIME,
        ON_SCENE_DATETIME,
        TRIP_TIME,
        BLACK_CAR_FUND,
        SALES_TAX,
        DRIVER_PAY,
        SHARED_REQUEST_FLAG,
        SHARED_MATCH_FLAG,
        ACCESS_A_RIDE_FLAG,
        WAV_REQUEST_FLAG,
        WAV_MATCH_FLAG,
    ),
)

TAXI_TYPES = {taxi_type.name: taxi_type for taxi_type in (YELLOW, GREEN, FHV, FHVHV)}


def shared_columns(taxi_types: Iterable[TaxiType]) -> list[Column]:
    """The columns that more than one taxi type has, as the first of them has them, in their order:
    those of view ``trips``."""
    found: dict[str, list[Column]] = {}
    for taxi_type in taxi_types:
        for column in taxi_type.columns:
            found.setdefault(column.name, []).append(column)
    shared = [columns[0] for columns in found.values() if len(columns) > 1]
    return sorted(shared, key=lambda column: column.tag)
