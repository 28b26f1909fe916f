"""Tasks that keep a warehouse right: refresh, reset, the taxi zones."""

import logging
from collections.abc import Iterable
from datetime import date

import luigi

from luigi_tasks import config, source, storage, warehouse
from luigi_tasks.catalog import TAXI_TYPES, Outline, read_zones
from luigi_tasks.errors import TaxiError, is_systemic
from luigi_tasks.operations import published, runs
from luigi_tasks.tables import Warehouse
from luigi_tasks.tasks.chain import TaxiDownload, TaxiMerge, TaxiStageLoad, TaxiTransform
from luigi_tasks.tasks.lake import TaxiLake, configured_lake, stale_months
from luigi_tasks.tasks.month import CheckedTask, LockedTask
from luigi_tasks.tasks.targets import ZonesTarget

logger = logging.getLogger("luigi-interface.tasks")


class TaxiRefresh(LockedTask, luigi.Task):
    """Load a merged month again if its file was replaced at the source, and write it to the lake.

    Until the new edition is merged the old one stays; one transaction replaces it. A month that the
    lake has of an earlier load, since a run was stopped in between, is written again as well.
    """

    resources = {"copy": 1}
    ends_attempt = "succeeded"

    def complete(self) -> bool:
        return not (
            published.changed(self.taxi_type, [self.month])
            or stale_months(self.warehouse, self.taxi_type, [self.month])
        )

    def work(self) -> None:
        opened = self.warehouse
        merged = warehouse.merged_editions(opened, self.taxi_type, [self.month]).get(self.month)
        if merged is None:
            logger.info("%s: isn't merged any more", self.label)
            return
        is_stale = stale_months(opened, self.taxi_type, [self.month])
        if is_stale and not published.changed(self.taxi_type, [self.month]):
            self.do(TaxiLake)
            return
        self.do(TaxiDownload)
        edition = source.read_edition(self.files.raw)
        if edition and edition.sha256 == merged.sha256:
            warehouse.record_edition(opened, self.taxi_month, merged.load_id, edition)
            logger.info("%s: published again, with the same bytes", self.label)
            self.remove_files()
            return
        for task in (TaxiTransform, TaxiStageLoad, TaxiMerge):
            self.do(task)
        if configured_lake():
            self.do(TaxiLake)

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Those of the months that have today's edition, also in the lake if that has them, or
        aren't merged."""
        months = list(parameter_tuples)
        if not months:
            return []
        task = cls(months[0])
        changed = published.changed(task.taxi_type, months)
        runs.record_corrected(task.taxi_type, months, changed)
        stale = stale_months(task.warehouse, task.taxi_type, months)
        return [month for month in months if month not in changed and month not in stale]


class TaxiReset(LockedTask, luigi.Task):
    """Take a month out of the lake and the warehouse, so that the next run loads it again."""

    resources = {"merge": 1}

    def check(self) -> None:
        TAXI_TYPES[self.taxi_type].check_month(self.month)
        config.check(self.taxi_type, self.month)  # a script doesn't matter here

    def complete(self) -> bool:
        lake = configured_lake()
        return not (
            warehouse.month_exists(self.warehouse, self.taxi_month)
            or self._has_files_to_remove()
            or warehouse.last_failures(self.warehouse, self.taxi_type, [self.month])
            or (lake and lake.has(self.taxi_month))
        )

    def work(self) -> None:
        if lake := configured_lake():  # first, so that it never holds what no load stands for
            warehouse.check_locks()
            lake.withdraw(self.taxi_month)
        removed = warehouse.reset(self.warehouse, self.tables)
        warehouse.forget_failures(self.warehouse, self.taxi_month)
        logger.info("%s: removed %s rows", self.label, f"{removed:,}")
        if self._has_files_to_remove():
            warehouse.check_locks()
            self.files.remove()

    def _has_files_to_remove(self) -> bool:
        """Whether the month has files that clean-up removes, or that a step failed on."""
        return self.files.have_failed or (config.cleanup().enabled and self.files.exist())


class TaxiZones(CheckedTask, luigi.Task):
    """Load the names of the taxi zones, for the views, and their outlines, for the map.

    Names are loaded without outlines where these can't be had. The next run tries again.
    """

    def output(self) -> ZonesTarget:
        settings = config.source()
        urls = settings.render("zones_url"), settings.render("zone_shapes_url")
        return ZonesTarget(self.warehouse, *urls)

    def run(self) -> None:
        opened = self.warehouse
        warehouse.with_retries(opened, lambda: self._run(opened))

    def _run(self, opened: Warehouse) -> None:
        settings, url = config.source(), config.source().render("zones_url")
        file = storage.zones_file(opened.root)
        with warehouse.month_lock(opened, "taxi zones"):
            source.fetch(url, file, timeout=settings.timeout, retries=settings.retries)
            zones, outlines = read_zones(file), self._outlines(opened)
            before = warehouse.load_zones(opened, self.output().markers, zones, outlines)
            level = logging.WARNING if len(zones) < before else logging.INFO
            logger.log(level, "loaded %d taxi zones in place of %d", len(zones), before)
            if outlines:
                logger.info("loaded the outlines of %d taxi zones", len(outlines))
            if config.cleanup().enabled:
                storage.remove(file, storage.zone_shapes_file(opened.root))

    def _outlines(self, opened: Warehouse) -> list[Outline]:
        """The outlines of the zones; none, with a warning, where they can't be had."""
        from luigi_tasks.formats.outlines import draw_outlines
        from luigi_tasks.formats.shapes import read_shapes, refuse_large

        settings, url = config.source(), config.source().render("zone_shapes_url")
        if not url:
            return []
        file = storage.zone_shapes_file(opened.root)
        try:
            source.fetch(
                url,
                file,
                timeout=settings.timeout,
                retries=settings.retries,
                report=refuse_large,
                must_be_read=False,
            )
            return draw_outlines(read_shapes(file))
        except TaxiError as error:
            if is_systemic(error):
                raise
            storage.remove(file)
            logger.warning(
                "the taxi zones are loaded without their outlines, which only a map needs: %s; "
                "TaxiZones tries again when it runs next, unless [source] zone_shapes_url is empty",
                error,
            )
            return []
