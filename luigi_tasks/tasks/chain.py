"""The chain, from a published file to merged trips. Read it downward."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi
from luigi.util import requires

from luigi_tasks import config, source, warehouse
from luigi_tasks.catalog.quality import ExceededError, check_quality
from luigi_tasks.errors import TaxiError
from luigi_tasks.operations import published
from luigi_tasks.records import Edition, Load
from luigi_tasks.tasks import script
from luigi_tasks.tasks.month import FileTask, LockedTask, MonthTask
from luigi_tasks.tasks.progress import Progress, show_result
from luigi_tasks.tasks.targets import (
    MergedTarget,
    PublishedTarget,
    RawTarget,
    StagedTarget,
    TripsTarget,
    is_of_today,
)
from luigi_tasks.tasks.transform_job import Transformed, TransformJob
from luigi_tasks.texts import printable

if TYPE_CHECKING:
    from luigi_tasks.formats import Trips

logger = logging.getLogger("luigi-interface.tasks")


class TaxiPublished(MonthTask, luigi.ExternalTask):
    """A month's file, for the TLC to publish."""

    def output(self) -> PublishedTarget:
        return PublishedTarget(self.taxi_month)


@requires(TaxiPublished)
class TaxiDownload(FileTask, luigi.Task):
    """Fetch a month's file, with a record of its edition."""

    def output(self) -> RawTarget:
        return RawTarget(self.files)

    def work(self) -> None:
        settings = config.source()
        url = published.find(self.taxi_month) or self.input().url
        self.refuse_failed_edition()
        TransformJob.prepare(self.taxi_month)
        edition = source.fetch(
            url,
            self.files.raw,
            timeout=settings.timeout,
            retries=settings.retries,
            time_limit=settings.time_limit * 60,
            report=Progress(self, f"fetching {self.label}", "bytes"),
            must_be_read=not script.reads_published(),
            before_publishing=warehouse.check_locks,
            while_writing=partial(warehouse.check_locks, must_reach=False),
        )
        show_result(self, self.label, f"fetched {edition.bytes:,} bytes")


@requires(TaxiDownload)
class TaxiTransform(FileTask, luigi.Task):
    """Bring a file of whatever era to the catalog's columns and types."""

    def output(self) -> TripsTarget:
        return TripsTarget(self.files)

    def work(self) -> None:
        with self._begun() as begun:
            made = begun.job.run(begun.edition)
            load = begun.load(made, begun.seconds())
            warehouse.check_locks()
            self.files.keep(made.trips, made.rejects, load)
        self._report(load)

    def stage_while_it_runs(self) -> None:
        """Stage the trips while they are transformed, without a canonical file.

        What only their end shows decides before the staging table is committed.
        """
        with self._begun() as begun, begun.job.stream() as (trips, finish):
            seconds = begun.seconds()

            def load_of() -> Load:
                made = finish()
                load = begun.load(made, seconds)
                self.files.keep_rejects(made.rejects)
                self._report(load)
                return load

            self.as_part(TaxiStageLoad).stage(trips, load_of, begun.folder)

    @contextmanager
    def _begun(self) -> "Iterator[_Begun]":
        """The transform of the month's whole raw file, in a folder that is deleted at the end."""
        self.refuse_failed_edition()
        began, started_at = time.monotonic(), datetime.now(timezone.utc).isoformat()
        edition = self.attempt.edition = self._whole_edition()
        warehouse.check_locks()
        with self.files.work_folder() as folder:
            job = TransformJob(self.taxi_month, self.files, folder)
            yield _Begun(job, edition, folder, began, started_at)

    def _whole_edition(self) -> Edition:
        """The edition of the raw file, which is fetched again if it is damaged."""
        edition = source.read_edition(self.files.raw)
        if edition is None or not source.is_whole(self.files.raw, edition):
            logger.warning(
                "%s: %s is damaged or gone; fetching it again", self.label, self.files.raw
            )
            self.do(TaxiDownload)
            edition = source.read_edition(self.files.raw)
        if edition is None:
            raise TaxiError(f"{self.files.raw} is gone; run again")
        return edition

    def _report(self, load: Load) -> None:
        message = f"read {load.rows_read:,} rows, rejected {load.rows_rejected:,}"
        message += "".join(
            f"; {printable(name)}: {printable(value)}" for name, value in load.reported()
        )
        show_result(self, self.label, message)
        if load.rows_rejected:
            logger.warning("%s: the rejects are in %s", self.label, self.files.rejects)
        if load.unknown_columns:
            names = ", ".join(map(printable, load.unknown_columns))
            count = len(load.unknown_columns)
            logger.warning("%s: columns that aren't loaded: %s (%d)", self.label, names, count)


@dataclass(frozen=True)
class _Begun:
    """A transform that has begun, in a folder of its own; ``began`` is by the monotonic clock."""

    job: TransformJob
    edition: Edition
    folder: Path
    began: float
    started_at: str

    def seconds(self) -> float:
        """How long ago it began."""
        return time.monotonic() - self.began

    def load(self, made: Transformed, transform_seconds: float) -> Load:
        """What is known of the load when it is done."""
        origin = asdict(self.edition)
        return Load(
            download_seconds=origin.pop("seconds"),
            **origin,
            rows_read=made.rows_read,
            rows_rejected=made.rows_rejected,
            rows_staged=made.rows_written,
            unknown_columns=made.unknown_columns,
            quality=made.quality,
            new_columns=made.new_columns,
            transform_seconds=transform_seconds,
            started_at=self.started_at,
            script=made.script,
            outputs=made.outputs,
            metrics=made.metrics,
        )


@requires(TaxiTransform)
class TaxiStageLoad(LockedTask, luigi.Task):
    """Copy a month's trips into its staging table."""

    resources = {"copy": 1}

    def output(self) -> StagedTarget:
        return StagedTarget(self.warehouse, self.tables)

    def complete(self) -> bool:
        """A merged month is staged no more: then the merge stands for it."""
        load = self.output().load()
        return is_of_today(load, self.files) or self.merged.exists()

    def work(self) -> None:
        from luigi_tasks.formats import open_trips

        load = self.files.read_load()
        if load is None or not self.files.trips_are_whole():
            logger.warning(
                "%s: %s is damaged or gone; transforming it again", self.label, self.files.trips
            )
            self.do(TaxiTransform)
            load = self.files.read_load()
        if load is None:
            raise TaxiError(f"{self.files.trips} is gone; run again")
        self.attempt.edition = load
        if config.cleanup().enabled:
            warehouse.check_locks()
            self.files.remove_raw()  # the server needs about as much room to build the key
        known, trips = load, self.files.trips
        with open_trips(trips, known.new_columns) as opened:
            self.stage(opened, lambda: known, trips.parent)

    def stage(self, trips: "Trips", load_of: Callable[[], Load], folder: Path) -> None:
        """Copy trips, from a file or from the transform at work; ``warehouse.stage`` has more."""
        progress = Progress(self, f"copying {self.label}", "rows")
        load = warehouse.stage(self.warehouse, self.tables, trips, load_of, progress, folder=folder)
        show_result(self, self.label, f"staged {load.rows_staged:,} rows")


@requires(TaxiStageLoad)
class TaxiMerge(LockedTask, luigi.Task):
    """Merge a staged month into the trips table, each trip once, and clean up after it."""

    resources = {"merge": 1}
    ends_attempt = "succeeded"

    def output(self) -> MergedTarget:
        return self.merged

    def work(self) -> None:
        self.merge()

    def merge(self, *, must_compare: bool = False) -> None:
        """Merge the month; ``warehouse.merge`` has more."""
        opened = self.warehouse
        tables = config.month_tables(opened, self.taxi_month)
        try:
            merged = warehouse.merge(opened, tables, self._check_quality, must_compare=must_compare)
        except ExceededError:
            self.attempt.edition = StagedTarget(opened, tables).load()
            if config.cleanup().enabled:  # so that the next run fetches it again, corrected perhaps
                warehouse.unstage(opened, tables)
                self.remove_files()
            raise
        except warehouse.LostRowsError:
            warehouse.unstage(opened, tables)
            raise
        message = (
            f"inserted {merged.rows_inserted:,} rows, {merged.rows_present:,} were there, "
            f"{merged.rows_duplicate:,} duplicates, {merged.rows_stray:,} strays"
        )
        if merged.rows_removed:
            message += f", removed {merged.rows_removed:,} of an earlier edition"
        show_result(self, self.label, message)
        self.remove_files()

    def _check_quality(self, *facts: Any) -> None:
        limits = config.quality()
        check_quality(
            self.label,
            *facts,
            least_rows=limits.least_rows,
            most=limits.most,
            when_exceeded=limits.when_exceeded,
        )

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Those of the months that are merged, by one query."""
        return merged_months(cls, parameter_tuples)


@requires(TaxiPublished)
class TaxiMonth(LockedTask, luigi.Task):
    """Load a month from its file to the trips table, on one host; what is done already isn't again.

    Its host shares nothing with others but the warehouse, so any of them may take any month, and
    each of several workers one at a time; merges into a table wait for one another by its lock.
    Where nothing else needs the canonical file, the trips are copied while they are transformed.
    """

    resources = {"copy": 1}
    ends_attempt = "succeeded"

    @property
    def priority(self) -> Any:  # type: ignore[override]
        """A number that is higher for older months, so that they come first.

        Luigi's scheduler hears of the tasks that a range requires in any order.
        """
        return 1 / (12 * self.month.year + self.month.month)

    def output(self) -> MergedTarget:
        return self.merged

    def work(self) -> None:
        is_streamed = TransformJob.can_stream()
        for step in (TaxiDownload, TaxiTransform, TaxiStageLoad, TaxiMerge):
            if self.clone(step).complete():
                continue
            if step is TaxiTransform and is_streamed:
                self.as_part(TaxiTransform).stage_while_it_runs()
            else:
                self.do(step)

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Those of the months that are merged, by one query."""
        return merged_months(cls, parameter_tuples)


def merged_months(task: type[MonthTask], months: Iterable[date]) -> list[date]:
    """Those of the months of a task's taxi type that are merged, by one query.

    :param task: a task of a month, with the other parameters bound.
    """
    asked = list(months)
    if not asked:
        return []
    taxi_type = task(asked[0]).taxi_type
    merged = warehouse.merged_months(config.open_warehouse(), taxi_type, asked)
    return [month for month in asked if month in merged]
