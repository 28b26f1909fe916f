"""Every column of the trips tables, once: its name, its type, and its names by era.

Whatever needs a column list takes it from here: the DDL, the staging table, COPY, MERGE, the
fingerprint and the Arrow schema of the canonical parquet. Names and meanings follow the TLC's data
dictionaries (www.nyc.gov/site/tlc/about/tlc-trip-record-data.page) and the published files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: PostgreSQL type -> Arrow type, by the alias that ``pyarrow.type_for_alias`` knows.
#: Every column of the catalog has one of these types.
ARROW_TYPES = {
    "integer": "int32",
    "double precision": "double",
    "timestamp": "timestamp[us]",
    "text": "string",
}
#: The types of columns that the catalog doesn't know, in the order in which they are tried on text.
NEW_TYPES = {
    "bigint": "int64",
    "double precision": "double",
    "timestamp without time zone": "timestamp[us]",
    "boolean": "bool",
    "text": "string",
}


@dataclass(frozen=True)
class Column:
    """One canonical column of a trips table.

    ``tag`` stands for the column in the fingerprint. It is unique over all columns and never
    changes. A column that is added later is NULL in the trips that are already loaded, and so
    doesn't change their fingerprints. ``aliases`` are the names in published files, the first of
    them today's; they are compared without case and surrounding blanks.

    A file must have each column that ``identifies`` a trip, or the columns ``instead`` of it;
    otherwise it isn't a file of this taxi type. A ``required`` column must also have a value in
    every row. Where the column has no value, the value is taken from a published column named in
    ``filled_from``. ``words`` maps folded words, which some published files have instead of codes,
    to the codes.
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
        """Every name that this column has in published files, folded."""
        return frozenset(map(fold, (self.name, *self.aliases)))


def fold(name: str) -> str:
    """Return a name or word in lower case and without surrounding blanks, to compare it."""
    return name.strip().lower()


#: Must be raised when rows get other fingerprints than before. The ledger records it.
FINGERPRINT_VERSION = 1

#: Names that a new column, one that the catalog doesn't know, can't have in a trips table: those of
#: columns that the pipeline adds, of columns in its queries, and of PostgreSQL's system columns.
RESERVED_NAMES = frozenset(
    {"unique_row_id", "filename", "place", "pickup_month"}
    | {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"}
)
#: Published columns that are left out: pandas' row numbers, in two months of 2010.
IGNORED = {"__index_level_0__"}

# The words of published files from 2009 to 2014, with the codes of the TLC's data dictionary for
# yellow trips.
#: Files before 2015 name the provider: Creative Mobile Technologies (1), VeriFone Transportation
#: Systems (2), and Digital Dispatch Systems. The last one left in 2010 and has no code of the
#: TLC's; 3 is this project's choice, which no other provider has.
VENDOR_WORDS = {"cmt": 1, "vts": 2, "dds": 3}
#: Files of 2009 to 2014 name the payment: credit card (1), cash (2), no charge (3), dispute (4),
#: unknown (5).
PAYMENT_WORDS = {
    **dict.fromkeys(("credit", "crd", "cre"), 1),
    **dict.fromkeys(("cash", "csh", "cas"), 2),
    **dict.fromkeys(("no charge", "noc", "no"), 3),
    **dict.fromkeys(("dispute", "dis"), 4),
    **dict.fromkeys(("unknown", "unk", "na"), 5),
}
#: Files of 2009 and 2010 have a number as the flag "store and forward".
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
#: The columns that every trips table has, whatever columns are selected.
ALWAYS_SELECTED = {
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
    "request_datetime", 32, "timestamp", "Ride requested, New York wall-clock time",
)  # fmt: skip
ON_SCENE_DATETIME = Column(
    "on_scene_datetime", 33, "timestamp", "Driver at the pickup, New York wall-clock time",
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
    "access_a_ride_flag", 40, "text", "Y if the trip was for the MTA's Access-A-Ride",
)  # fmt: skip
WAV_REQUEST_FLAG = Column(
    "wav_request_flag", 41, "text", "Y if a wheelchair-accessible vehicle was requested",
)  # fmt: skip
WAV_MATCH_FLAG = Column(
    "wav_match_flag", 42, "text", "Y if the vehicle was wheelchair-accessible",
)  # fmt: skip
