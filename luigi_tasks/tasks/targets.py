"""What counts as complete: all targets."""

import logging
import os
from typing import Any

import luigi
from luigi.contrib.postgres import PostgresTarget
from psycopg2.extensions import connection

from luigi_tasks import config, source, warehouse
from luigi_tasks.months import Month
from luigi_tasks.operations import published, runs
from luigi_tasks.records import Edition, Load
from luigi_tasks.storage import MonthFiles
from luigi_tasks.tables import Table, Tables, Warehouse
from luigi_tasks.tasks import script
from luigi_tasks.urls import Url, redacted

logger = logging.getLogger("luigi-interface.published")


class PublishedTarget(luigi.Target):
    """A month's file at its source."""

    def __init__(self, month: Month) -> None:
        self.month = month

    @property
    def url(self) -> Url:
        """The URL that is tried first."""
        return published.urls(self.month)[0]

    def __str__(self) -> str:
        return str(self.url)

    def exists(self) -> bool:
        """Whether it is published.

        :raises TaxiError: neither this month nor any of some others is: the URL is wrong. The
            TLC answers 403 to both.
        """
        if published.find(self.month):
            return True
        published.check_source(self.month)
        logger.info("%s isn't published yet", self)
        return False


class RawTarget(luigi.LocalTarget):
    """A fetched file with the record of its edition, from the source of today's settings."""

    def __init__(self, files: MonthFiles) -> None:
        super().__init__(str(files.raw))
        self.files = files

    def exists(self) -> bool:
        edition = source.read_edition(self.files.raw)
        return edition is not None and is_of_source(edition, self.files)


class TripsTarget(luigi.LocalTarget):
    """A canonical file with the record of its load, from the source and the transform of today."""

    def __init__(self, files: MonthFiles) -> None:
        super().__init__(str(files.trips))
        self.files = files

    def exists(self) -> bool:
        load, edition = self.files.read_load(), source.read_edition(self.files.raw)
        is_of_raw = load is None or edition is None or edition.sha256 == load.sha256
        return is_of_raw and is_of_today(load, self.files)

    def outputs(self) -> dict[str, Any]:
        """The values that the transform's script reported."""
        load = self.files.read_load()
        if load:
            return load.outputs
        return MergedTarget(config.open_warehouse(), self.files.month).outputs()


class TableTarget(PostgresTarget):
    """A marker together with the table work that it promises.

    Unlike Luigi's, it uses this process's one session, and can be touched again.
    """

    def __init__(self, opened: Warehouse, table: Table, update_id: str) -> None:
        super().__init__("", "", "", "", ".".join(table), update_id)  # connect() knows the rest
        self.warehouse, self.table_name = opened, table

    def connect(self) -> connection:
        return warehouse.open_session(self.warehouse)

    def create_marker_table(self) -> None:
        warehouse.prepare(self.warehouse, self.update_id)

    def touch(self, connection: connection | None = None) -> None:
        """Set the marker, in the caller's transaction where there is one."""
        if connection is None:
            warehouse.prepare(self.warehouse, self.update_id)
            with warehouse.transaction(self.warehouse, self.update_id) as cursor:
                warehouse.set_marker(cursor, self.update_id, self.table_name)
        else:
            with connection.cursor(cursor_factory=warehouse.Cursor) as cursor:
                cursor.warehouse, cursor.label = self.warehouse, self.update_id
                warehouse.set_marker(cursor, self.update_id, self.table_name)


class StagedTarget(TableTarget):
    """A month whose staging table is complete."""

    def __init__(self, opened: Warehouse, tables: Tables) -> None:
        super().__init__(opened, tables.staging, tables.month.staged_id)
        self.tables = tables

    def exists(self, connection: connection | None = None) -> bool:
        return self.load() is not None

    def load(self) -> Load | None:
        """What is known of the staged load."""
        staged = warehouse.read_staged(self.warehouse, self.tables)
        return staged.load if staged else None

    def outputs(self) -> dict[str, Any]:
        """The values that the transform's script reported."""
        load = self.load()
        return load.outputs if load else MergedTarget(self.warehouse, self.tables.month).outputs()


class MergedTarget(TableTarget):
    """A month whose trips are in the trips table."""

    def __init__(self, opened: Warehouse, month: Month) -> None:
        super().__init__(opened, opened.trips[month.taxi_type].name, month.merged_id)
        self.month = month

    def exists(self, connection: connection | None = None) -> bool:
        first_day = self.month.first_day
        return bool(warehouse.merged_months(self.warehouse, self.month.taxi_type, [first_day]))

    def outputs(self) -> dict[str, Any]:
        """The values that the transform's script reported when the month was last loaded."""
        return warehouse.outputs_of(self.warehouse, self.month)


class ZonesTarget(TableTarget):
    """The taxi zones of a source, and their outlines.

    Outlines that can't be had are let off for the run that has tried: the next one tries again.
    """

    def __init__(self, opened: Warehouse, url: str, shapes_url: str = "") -> None:
        prefix, table = warehouse.ZONES_PREFIX, (opened.schema, "taxi_zones")
        super().__init__(opened, table, f"{prefix}{redacted(url)}")
        self.markers = warehouse.ZoneMarkers(self.update_id)
        if shapes_url:
            run = runs.current()
            self.markers = warehouse.ZoneMarkers(
                self.update_id,
                f"{prefix}outlines {redacted(shapes_url)}",
                f"{prefix}without outlines in run {run.ping_id if run else os.getpid()}",
            )

    def exists(self, connection: connection | None = None) -> bool:
        return warehouse.has_zones(self.warehouse, self.markers)


class DerivedTarget(luigi.Target):
    """A month's rows in a user's table, as of the month's last load."""

    def __init__(self, opened: Warehouse, table: warehouse.DerivedTable, month: Month) -> None:
        self.warehouse, self.table, self.month = opened, table, month

    def __str__(self) -> str:
        return f"{self.month} in {'.'.join(self.table.name)}"

    def exists(self) -> bool:
        months = [self.month.first_day]
        taxi_type = self.month.taxi_type
        return bool(warehouse.derived_months(self.warehouse, self.table, taxi_type, months))


def is_of_today(load: Load | None, files: MonthFiles) -> bool:
    """Whether something was loaded from the source and by the transform of today's settings."""
    return load is not None and load.script == script.identity() and is_of_source(load, files)


def is_of_source(edition: Edition | Load, files: MonthFiles) -> bool:
    """Whether something came from the source of today's settings; after a failure, also whether it
    is of the edition that is published now."""
    if edition.url not in [url.redacted for url in published.urls(files.month)]:
        return False
    return not (files.have_failed and published.was_replaced(files.month, edition))
