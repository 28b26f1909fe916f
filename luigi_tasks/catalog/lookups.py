"""The names of codes: lookups, which the catalog has, and taxi zones, which the TLC publishes."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from luigi_tasks.errors import TaxiError


@dataclass(frozen=True)
class Lookup:
    """The names of a column's codes: a table of its own, and the column ``shown`` in views.

    The pipeline recognises its own table by the ``comment``, which must therefore never change.
    """

    table: str
    column: str
    type: str
    shown: str
    comment: str
    names: Mapping[int | str, str] = field(hash=False)


#: Codes and names by the TLC's data dictionaries of 2025; for vendor 3 see VENDOR_WORDS.
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

#: The comment of the table of zones, by which the pipeline recognises it.
ZONES_COMMENT = "Taxi zones of the TLC"
_HEADER = ["LocationID", "Borough", "Zone", "service_zone"]


class Zone(NamedTuple):
    """A taxi zone, as the TLC publishes it."""

    location_id: int
    borough: str
    zone: str
    service_zone: str


class Outline(NamedTuple):
    """A zone on a map: the data of an SVG path in whole units of ``view_box``, y downwards.

    ``view_box`` is that of the map, such as ``0 0 2000 1981``, and the same for all its zones.
    """

    location_id: int
    outline: str
    view_box: str


def read_zones(file: Path) -> list[Zone]:
    """Read a published file of taxi zones, in which "N/A" is a name like any other.

    :raises TaxiError: the file isn't one of taxi zones, or has a zone twice.
    """
    zones: dict[int, Zone] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            header, *rows = filter(None, csv.reader(opened, strict=True))
            if header != _HEADER:
                raise ValueError(f"its columns are {', '.join(header)}, not {', '.join(_HEADER)}")
            for location_id, borough, zone, service_zone in rows:
                if int(location_id) in zones:
                    raise ValueError(f"it has zone {location_id} twice")
                zones[int(location_id)] = Zone(int(location_id), borough, zone, service_zone)
    except (ValueError, csv.Error) as error:
        raise TaxiError(f"{file.name} has no taxi zones: {error}") from None
    if not zones:
        raise TaxiError(f"{file.name} has no taxi zones: it has no rows")
    return list(zones.values())
