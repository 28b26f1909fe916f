"""The names of the taxi zones, as the TLC publishes them."""

import csv
from pathlib import Path
from typing import NamedTuple

from luigi_tasks.errors import TaxiError

#: Of the table of zones; tells it from somebody else's.
ZONES_COMMENT = "Taxi zones of the TLC"
_HEADER = ["LocationID", "Borough", "Zone", "service_zone"]


class Zone(NamedTuple):
    location_id: int
    borough: str
    zone: str
    service_zone: str


def read_zones(file: Path) -> list[Zone]:
    """Read a published lookup; "N/A" is a name like any other.

    :raises TaxiError: it isn't one, or names a zone twice.
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
