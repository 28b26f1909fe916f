"""A warehouse as the settings describe it: where it is, and what its tables are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from luigi_tasks.catalog import TaxiType
from luigi_tasks.months import Month

#: The schema and name of a table or view.
Table = tuple[str, str]


@dataclass(frozen=True)
class TripsTable:
    """The table of a taxi type's trips; ``taxi_type`` has the columns that are selected of it."""

    taxi_type: TaxiType
    name: Table

    @property
    def other(self) -> Table:
        """The default partition: pickups of months that have no partition of their own."""
        return self._suffixed("other")

    @property
    def named_view(self) -> Table:
        """The view with names beside the codes."""
        return self._suffixed("named")

    def partition(self, month: Month) -> Table:
        """The partition of a month of pickups."""
        return self._suffixed(f"{month.first_day:%Y_%m}")

    def new_partition(self, month: Month) -> str:
        """What a month's partition is called until it is attached, in the schema of its staging
        table."""
        return self._suffixed(f"{month.first_day:%Y_%m}_new")[1]

    def _suffixed(self, suffix: str) -> Table:
        schema, name = self.name
        return schema, f"{name}_{suffix}"


@dataclass(frozen=True)
class Warehouse:
    """A warehouse, and how long it is waited for.

    ``url`` is ``embedded``, for a server of our own under the folder ``root``, or a URL such as
    ``postgresql://user@host/database``. ``schema`` is that of ledger, markers, lookups and views.
    ``lock_timeout``, of a wait, and ``time_limit``, of a statement, are in minutes, 0 for no limit;
    ``retries`` counts further attempts after the connection failed. ``trips`` is by taxi type.
    """

    url: str
    root: Path
    schema: str
    lock_timeout: float
    time_limit: float
    retries: int
    trips: Mapping[str, TripsTable]

    @property
    def is_embedded(self) -> bool:
        return self.url == "embedded"

    def __repr__(self) -> str:  # the URL may have a password
        return f"Warehouse(schema={self.schema!r})"


@dataclass(frozen=True)
class Tables:
    """The tables of one month: where it is staged, and where it is merged to."""

    month: Month
    trips: TripsTable
    staging: Table
