"""The control tables (ledger, markers, lookups, zones), by numbered files in ``sql/migrations/``.

One row holds the number of the last one that was applied. Each file may be applied again: a
warehouse of an earlier version, which has no such row, gets all of them.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files

from luigi_tasks.catalog import LOOKUPS, ZONES_COMMENT
from luigi_tasks.errors import SystemicError
from luigi_tasks.tables import Table, Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.relations import Relation, create
from luigi_tasks.warehouse.sql import execute, own_tables, rows

#: Our tables are recognised by their comments.
LEDGER_COMMENT = "One row for each finished load of a month"
MARKERS_COMMENT = "Markers: the table work that is done"
RUNS_COMMENT = "One row for each run: who started what, and how it ended"
ATTEMPTS_COMMENT = "One row for each attempt of a run to load a month"
ALARMS_COMMENT = "One row for each alarm: what changed about a month, and who has yet to hear of it"
OUTLINES_COMMENT = "Outlines of the taxi zones, for a map"
SEEN_COMMENT = "What the source said of months that weren't complete when a run last asked"
COUNTED_COMMENT = "One row for each month whose last load the tables for analysts count"
VERSION_COMMENT = "How far the warehouse is: its last migration, and the newest package"


@dataclass(frozen=True)
class Version:
    """How far a warehouse is: its last migration, and the newest package that looked after it.

    ``migration`` is 0 for a warehouse of a package that had no migrations, or of none.
    """

    migration: int
    package: str

    @property
    def is_older(self) -> bool:
        """Whether this package comes after the one that last looked after the warehouse."""
        return self.migration < newest() or _comparable(self.package) < own_version()

    @property
    def is_newer(self) -> bool:
        """Whether a later package than this one has looked after the warehouse."""
        return _comparable(self.package) > own_version()


def control_tables(warehouse: Warehouse) -> dict[Table, str]:
    """The tables that the migrations create, and how the comments of ours begin. Luigi's table of
    markers is recognised by its columns."""
    own = own_tables(warehouse)
    return {
        own["ledger"]: LEDGER_COMMENT,
        own["marker_table"]: "",
        own["version_table"]: VERSION_COMMENT,
        own["zones_table"]: ZONES_COMMENT,
        own["runs_table"]: RUNS_COMMENT,
        own["attempts_table"]: ATTEMPTS_COMMENT,
        own["alarms_table"]: ALARMS_COMMENT,
        own["seen_table"]: SEEN_COMMENT,
        own["outlines_table"]: OUTLINES_COMMENT,
        own["counted_table"]: COUNTED_COMMENT,
        **{(warehouse.schema, lookup.table): lookup.comment for lookup in LOOKUPS},
    }


def read_version(cursor: Cursor, found: Container[Table]) -> Version:
    """The version of the warehouse.

    :param found: the tables that exist.
    :raises SystemicError: it was changed by a later package, which this one doesn't understand.
    """
    if own_tables(cursor.warehouse)["version_table"] not in found:
        return Version(0, "0")
    recorded = [Version(*facts) for facts in rows(cursor, "migrations/read_version.sql")]
    last = recorded[0] if recorded else Version(0, "0")
    if last.migration > newest():
        raise SystemicError(
            f"the warehouse is of luigi-tasks {last.package} (migration {last.migration}), and "
            f"this is {version('luigi-tasks')}, which knows migrations up to {newest()}: "
            "upgrade it (pip install --upgrade luigi-tasks)"
        )
    return last


def migrate(cursor: Cursor, last: Version, found: dict[Table, Relation]) -> None:
    """Apply the migrations that a warehouse lacks; all of them, if a control table is missing."""
    own = own_tables(cursor.warehouse)
    is_whole = control_tables(cursor.warehouse).keys() <= found.keys()
    markers = found.get(own["marker_table"])
    names = {
        # else it is Luigi's own, which other pipelines use as well
        "owns_markers": markers is None or markers.comment == MARKERS_COMMENT,
        "lookups": LOOKUPS,
        "ledger_comment": LEDGER_COMMENT,
        "markers_comment": MARKERS_COMMENT,
        "zones_comment": ZONES_COMMENT,
        "runs_comment": RUNS_COMMENT,
        "attempts_comment": ATTEMPTS_COMMENT,
        "alarms_comment": ALARMS_COMMENT,
        "seen_comment": SEEN_COMMENT,
        "outlines_comment": OUTLINES_COMMENT,
        "counted_comment": COUNTED_COMMENT,
    }
    for number, file in _migrations().items():
        if number > last.migration or not is_whole:
            create(cursor, own["ledger"], f"migrations/{file}", **names)


def record_version(cursor: Cursor, last: Version) -> None:
    """Record that the warehouse is as this package wants it, unless a later one was here."""
    package = last.package if last.is_newer else version("luigi-tasks")
    names = {"migration": newest(), "package": package, "comment": VERSION_COMMENT}
    execute(cursor, "migrations/record_version.sql", **names)


def newest() -> int:
    """The number of the last migration that this package knows."""
    return max(_migrations())


def own_version() -> tuple[list[int], bool]:
    """The version of this package, for comparison."""
    return _comparable(version("luigi-tasks"))


@lru_cache
def _migrations() -> dict[int, str]:
    """The file of each migration, by number and in order."""
    found = sorted(each.name for each in (files("luigi_tasks") / "sql" / "migrations").iterdir())
    return {int(name[:3]): name for name in found if re.match(r"\d{3}_", name)}


def _comparable(package_version: str) -> tuple[list[int], bool]:
    """A version for comparison: its numbers, and whether it is a release."""
    numbers = re.match(r"[\d.]*", package_version)
    release = numbers[0] if numbers else ""
    return [int(each) for each in release.split(".") if each], release == package_version
