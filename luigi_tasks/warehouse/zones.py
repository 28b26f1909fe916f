"""The names and outlines of the taxi zones, and the role that reads a served warehouse."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2.extensions import encrypt_password

from luigi_tasks.catalog import Outline, Zone
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse.locks import DDL
from luigi_tasks.warehouse.markers import set_marker
from luigi_tasks.warehouse.session import labelled_cursor, query, transaction
from luigi_tasks.warehouse.sql import execute, own_tables, rows
from luigi_tasks.warehouse.tables import prepare

logger = logging.getLogger("luigi-interface.warehouse")

#: Precedes the source's URL, in the marker of the zones.
ZONES_PREFIX = "TaxiZones "


@dataclass(frozen=True)
class ZoneMarkers:
    """The markers of zones: that of their names, and those of their outlines, if any are wanted.

    ``without_outlines`` is set in place of ``outlines`` where these can't be had, for the run that
    has tried. Each begins with ``ZONES_PREFIX``.
    """

    names: str
    outlines: str = ""
    without_outlines: str = ""


def load_zones(
    warehouse: Warehouse,
    markers: ZoneMarkers,
    zones: Sequence[Zone],
    outlines: Sequence[Outline] = (),
) -> int:
    """Load these zones, delete the others unless rows of other tables refer to them, replace the
    outlines if there are any, and set the markers of their sources.

    :returns: how many zones there were before.
    """
    prepare(warehouse, "TaxiZones")
    with transaction(warehouse, "TaxiZones", DDL) as cursor:
        [(before,)] = rows(cursor, "zones/count.sql")
        execute(cursor, "zones/load.sql", zones=zones, update_id_prefix=ZONES_PREFIX)
        if outlines:
            execute(cursor, "zones/load_outlines.sql", outlines=outlines)
        location_ids = [zone.location_id for zone in zones]
        if rows(cursor, "zones/others.sql", location_ids=location_ids):
            references = rows(cursor, "zones/references.sql")
            names = {"location_ids": location_ids, "references": references}
            execute(cursor, "zones/remove.sql", **names)
            left = rows(cursor, "zones/others.sql", **names)
            if ids := ", ".join(str(location_id) for (location_id,) in left):
                logger.warning("zones that other tables refer to stay, though gone: %s", ids)
        own = own_tables(warehouse)
        set_marker(cursor, markers.names, own["zones_table"])
        if of_outlines := markers.outlines if outlines else markers.without_outlines:
            set_marker(cursor, of_outlines, own["outlines_table"])
    return int(before)


def has_zones(warehouse: Warehouse, markers: ZoneMarkers) -> bool:
    """Whether the zones of a source are loaded, with their outlines if any are wanted."""
    return bool(query(warehouse, "TaxiZones", "zones/exist.sql", markers=markers))


def zone_outlines(warehouse: Warehouse) -> list[Outline]:
    """The outlines of the zones, in their order; none if none were loaded."""
    found = query(warehouse, "outlines of zones", "zones/outlines.sql")
    return [Outline(*facts) for facts in found]


def set_reader(warehouse: Warehouse, role: str, password: str) -> None:
    """Create or alter a role that may read everything, and logs in by a password."""
    with labelled_cursor(warehouse, f"set_reader {role}") as cursor:
        hashed = encrypt_password(password, role, cursor, "scram-sha-256")
        is_new = not rows(cursor, "session/has_role.sql", role=role)
        execute(cursor, "session/set_reader.sql", role=role, hashed=hashed, is_new=is_new)
