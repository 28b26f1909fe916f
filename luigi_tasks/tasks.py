"""The chain, from a published file to merged trips. Read it downward."""

import logging
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime, timezone
from typing import Any

import luigi
from luigi.util import requires

from luigi_tasks import (
    config,
    published,
    quality,
    reference,
    script,
    source,
    stopping,
    storage,
    warehouse,
    worker,
)
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.config import MonthParameter, TaxiTypeParameter
from luigi_tasks.errors import TaxiError, is_systemic
from luigi_tasks.log import OneLine
from luigi_tasks.months import Month
from luigi_tasks.progress import Progress, show_result
from luigi_tasks.steps import TransformJob
from luigi_tasks.texts import printable
from luigi_tasks.warehouse import Load

logger = logging.getLogger("luigi-interface.tasks")

logging.getLogger("luigi-interface").addFilter(OneLine())


class CheckedTask:
    """What all tasks share: settings are checked before anything runs, and a failure is told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check()

    def check(self) -> None:
        """Refuse settings that can't work.

        :raises TaxiError: names the section, the key, what it got and what is allowed.
        """
        config.check()

    def on_failure(self, exception: BaseException) -> str:
        """What Luigi shows of a failure: a mistake's one line, a bug's traceback.

        After a fault of the machine or the warehouse no other task is begun.
        """
        stopping.check()
        if is_systemic(exception):
            worker.phase_out()
        if isinstance(exception, TaxiError):
            return str(exception)
        return str(super().on_failure(exception))  # type: ignore[misc]


class MonthTask(CheckedTask):
    """What the tasks of a month share."""

    month = MonthParameter(description="month in the published file's name, such as 2024-01")
    taxi_type = TaxiTypeParameter(default="yellow", description="TLC service")

    def check(self) -> None:
        TAXI_TYPES[self.taxi_type].check_month(self.month)
        config.check(self.taxi_type, self.month)
        script.configured()

    @property
    def label(self) -> str:
        return f"{self.taxi_type} {self.month:%Y-%m}"

    @property
    def files(self) -> storage.MonthFiles:
        return storage.MonthFiles(self.taxi_type, self.month)

    @property
    def merged(self) -> warehouse.MergedTarget:
        return warehouse.MergedTarget(self.taxi_type, self.month)


class Step(MonthTask):
    """A task that works on a month while no other run does."""

    def run(self) -> None:
        """Wait for the month's turn, and do the work unless another run has done it meanwhile.

        When the warehouse breaks off, all of that is done anew. If it had committed after all,
        there is nothing left to do.
        """
        warehouse.with_retries(self._run)

    def _run(self) -> None:
        with warehouse.turn(self.label):
            if self.complete():  # type: ignore[attr-defined]
                return
            try:
                self.work()
            except Exception:
                self.files.note_failure()
                raise
            self.files.note_success()

    def work(self) -> None:
        """Make the output, whether it is there or not."""
        raise NotImplementedError

    def do(self, step: type["Step"]) -> None:
        """Do another step's work on this month, though it may count as complete."""
        task: Any = self.clone(step)  # type: ignore[attr-defined]
        task.set_status_message = self.set_status_message  # type: ignore[attr-defined]
        task.set_progress_percentage = self.set_progress_percentage  # type: ignore[attr-defined]
        task.work()


class FileStep(Step):
    """A step that makes files. They go when the month is merged, and the merge stands for them."""

    def complete(self) -> bool:
        if super().complete():  # type: ignore[misc]
            return True
        return config.cleanup().enabled and self.merged.exists()


def _is_of_today(load: Load | None, files: storage.MonthFiles) -> bool:
    """Whether something is loaded, from the source and by the transform that are set now."""
    return load is not None and load.script == script.identity() and _is_of_source(load, files)


def _is_of_source(edition: source.Edition | Load, files: storage.MonthFiles) -> bool:
    """Whether something came from the source that is set now; what failed must be of the edition
    that is there now."""
    month = files.taxi_type, files.month
    if edition.url not in map(source.shown, published.urls(*month)):
        return False
    return not (files.have_failed and published.was_replaced(*month, edition))


class RawTarget(luigi.LocalTarget):
    """A fetched file with the record of its edition, from the source that is set now."""

    def __init__(self, files: storage.MonthFiles) -> None:
        super().__init__(str(files.raw))
        self.files = files

    def exists(self) -> bool:
        edition = source.read_edition(self.files.raw)
        return edition is not None and _is_of_source(edition, self.files)


class TripsTarget(luigi.LocalTarget):
    """A canonical file with the record of its load, made from the raw file as it is set now."""

    def __init__(self, files: storage.MonthFiles) -> None:
        super().__init__(str(files.trips))
        self.files = files

    def exists(self) -> bool:
        load, edition = self.files.read_load(), source.read_edition(self.files.raw)
        is_of_raw = load is None or edition is None or edition.sha256 == load.sha256
        return is_of_raw and _is_of_today(load, self.files)

    def outputs(self) -> dict[str, Any]:
        """The values that the transform's script reported."""
        load = self.files.read_load()
        merged = warehouse.MergedTarget(self.files.taxi_type, self.files.month)
        return load.outputs if load else merged.outputs()


class TaxiPublished(MonthTask, luigi.ExternalTask):
    """A month's file, for the TLC to publish."""

    def output(self) -> published.PublishedTarget:
        return published.PublishedTarget(self.taxi_type, self.month)


@requires(TaxiPublished)
class TaxiDownload(FileStep, luigi.Task):
    """Fetch a month's file, with a record of its edition."""

    def output(self) -> RawTarget:
        return RawTarget(self.files)

    def work(self) -> None:
        settings = config.source()
        with Progress(self, f"fetching {self.label}", "B") as progress:
            edition = source.fetch(
                published.find(self.taxi_type, self.month) or self.input().url,
                self.files.raw,
                timeout=settings.timeout,
                retries=settings.retries,
                report=progress,
                must_be_read=not script.reads_published(),
                before_publishing=warehouse.check_turn,
            )
        logger.info("%s: fetched %d bytes", self.label, edition.bytes)


@requires(TaxiDownload)
class TaxiTransform(FileStep, luigi.Task):
    """Bring a file of whatever era to the catalog's columns and types."""

    def output(self) -> TripsTarget:
        return TripsTarget(self.files)

    def work(self) -> None:
        files, began = self.files, time.monotonic()
        started_at = datetime.now(timezone.utc).isoformat()
        edition = self._whole_edition()
        with files.work_folder() as work:
            month = Month(self.taxi_type, self.month)
            made = TransformJob(month, files, work).run(edition)
            origin = asdict(edition)
            load = Load(
                download_seconds=origin.pop("seconds"),
                **origin,
                rows_read=made.rows_read,
                rows_rejected=made.rows_rejected,
                rows_staged=made.rows_written,
                unknown_columns=made.unknown_columns,
                quality=made.quality,
                new_columns=made.new_columns,
                transform_seconds=time.monotonic() - began,
                started_at=started_at,
                script=made.script,
                outputs=made.outputs,
                metrics=made.metrics,
            )
            warehouse.check_turn()
            files.keep(made.trips, made.rejects, load)
        self._tell(load)

    def _whole_edition(self) -> source.Edition:
        """The edition of the raw file, which is fetched anew if it isn't as it came."""
        edition = source.read_edition(self.files.raw)
        if edition is None or not source.is_whole(self.files.raw, edition):
            logger.warning(
                "%s: %s is damaged or gone; fetching it anew", self.label, self.files.raw
            )
            self.do(TaxiDownload)
            edition = source.read_edition(self.files.raw)
        if edition is None:
            raise TaxiError(f"{self.files.raw} is gone; run again")
        return edition

    def _tell(self, load: Load) -> None:
        told = f"read {load.rows_read} rows, rejected {load.rows_rejected}"
        told += "".join(
            f"; {printable(name)}: {printable(value)}" for name, value in load.reported()
        )
        show_result(self, self.label, told)
        if load.rows_rejected:
            logger.warning("%s: the rejects are in %s", self.label, self.files.rejects)
        if load.unknown_columns:
            names = ", ".join(map(printable, load.unknown_columns))
            count = len(load.unknown_columns)
            logger.warning("%s: columns that aren't loaded: %s (%d)", self.label, names, count)


@requires(TaxiTransform)
class TaxiStageLoad(Step, luigi.Task):
    """Copy a month's trips into its staging table."""

    resources = {"warehouse": 1}

    def output(self) -> warehouse.StagedTarget:
        return warehouse.StagedTarget(self.taxi_type, self.month)

    def complete(self) -> bool:
        """A merged month is staged no more: then the merge stands for it."""
        load = self.output().load()
        return _is_of_today(load, self.files) or self.merged.exists()

    def work(self) -> None:
        load = self.files.read_load()
        if load is None or not self.files.trips_are_whole():
            logger.warning(
                "%s: %s is damaged or gone; making it anew", self.label, self.files.trips
            )
            self.do(TaxiTransform)
            load = self.files.read_load()
        if load is None:
            raise TaxiError(f"{self.files.trips} is gone; run again")
        if config.cleanup().enabled:
            self.files.remove_raw()  # the server needs about as much room to build the key
        with Progress(self, f"copying {self.label}", " rows") as progress:
            warehouse.stage(self.taxi_type, self.month, self.files.trips, load, progress)
        logger.info("%s: staged %d rows", self.label, load.rows_staged)


@requires(TaxiStageLoad)
class TaxiMerge(Step, luigi.Task):
    """Merge a staged month into the trips table, each trip once, and clean up after it."""

    resources = {"warehouse": 1}

    def output(self) -> warehouse.MergedTarget:
        return self.merged

    def work(self) -> None:
        try:
            merged = warehouse.merge(self.taxi_type, self.month)
        except quality.ExceededError:
            if config.cleanup().enabled:  # so that the next run fetches it anew, corrected perhaps
                warehouse.unstage(self.taxi_type, self.month)
                self.files.remove()
            raise
        told = (
            f"inserted {merged.rows_inserted} rows, {merged.rows_present} were there, "
            f"{merged.rows_duplicate} duplicates, {merged.rows_stray} strays"
        )
        if merged.rows_removed:
            told += f", removed {merged.rows_removed} of an earlier edition"
        show_result(self, self.label, told)
        if config.cleanup().enabled:
            self.files.remove()

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Those of the months that are merged, by one query."""
        months = list(parameter_tuples)
        if not months:
            return []
        merged = warehouse.merged_months(cls(months[0]).taxi_type, months)
        return [month for month in months if month in merged]


class TaxiRefresh(Step, luigi.Task):
    """Load a merged month anew if its file was replaced at the source.

    Until the new edition is merged the old one stays; one transaction replaces it.
    """

    resources = {"warehouse": 1}

    def complete(self) -> bool:
        return not published.changed(self.taxi_type, [self.month])

    def work(self) -> None:
        merged = warehouse.merged_editions(self.taxi_type, [self.month]).get(self.month)
        if merged is None:
            logger.info("%s: isn't merged any more", self.label)
            return
        self.do(TaxiDownload)
        edition = source.read_edition(self.files.raw)
        if edition and edition.sha256 == merged.sha256:
            warehouse.note_edition(self.label, merged.load_id, edition)
            logger.info("%s: published again, with the same bytes", self.label)
            if config.cleanup().enabled:
                self.files.remove()
            return
        for step in (TaxiTransform, TaxiStageLoad, TaxiMerge):
            self.do(step)

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Those of the months that have today's edition, or aren't merged."""
        months = list(parameter_tuples)
        if not months:
            return []
        changed = published.changed(cls(months[0]).taxi_type, months)
        return [month for month in months if month not in changed]


class TaxiZones(CheckedTask, luigi.Task):
    """Load the names of the taxi zones, which the views show beside their numbers."""

    resources = {"warehouse": 1}

    def output(self) -> warehouse.ZonesTarget:
        return warehouse.ZonesTarget(config.source().render("zones_url"))

    def run(self) -> None:
        warehouse.with_retries(self._run)

    def _run(self) -> None:
        settings, url = config.source(), config.source().render("zones_url")
        file = storage.zones_file()
        with warehouse.turn("taxi zones"):
            source.fetch(url, file, timeout=settings.timeout, retries=settings.retries)
            zones = reference.read_zones(file)
            before = warehouse.load_zones(url, zones)
            level = logging.WARNING if len(zones) < before else logging.INFO
            logger.log(level, "loaded %d taxi zones in place of %d", len(zones), before)
            if config.cleanup().enabled:
                storage.remove(file)


class TaxiReset(Step, luigi.Task):
    """Take a month out of the warehouse, so that the next run loads it again."""

    resources = {"warehouse": 1}

    def check(self) -> None:
        TAXI_TYPES[self.taxi_type].check_month(self.month)
        config.check(self.taxi_type, self.month)  # a script doesn't matter here

    def complete(self) -> bool:
        return not (
            warehouse.holds_month(self.taxi_type, self.month) or self._has_files_to_remove()
        )

    def work(self) -> None:
        removed = warehouse.reset(self.taxi_type, self.month)
        logger.info("%s: removed %d rows", self.label, removed)
        if self._has_files_to_remove():
            self.files.remove()

    def _has_files_to_remove(self) -> bool:
        """Whether there are files which aren't kept for a look, or that failed."""
        return self.files.have_failed or (config.cleanup().enabled and self.files.exist())
