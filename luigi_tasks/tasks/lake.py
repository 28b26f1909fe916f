"""The lake: merged months as Parquet, for whatever engine reads it."""

import logging
from collections.abc import Iterable, Sequence
from datetime import date

import luigi
from luigi.util import requires

from luigi_tasks import config, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.storage import Lake
from luigi_tasks.tables import Warehouse
from luigi_tasks.tasks.chain import TaxiMonth
from luigi_tasks.tasks.month import LockedTask
from luigi_tasks.tasks.progress import Progress, show_result
from luigi_tasks.texts import sized

logger = logging.getLogger("luigi-interface.tasks")


def configured_lake() -> Lake | None:
    """The lake of ``[lake] url``, if one is set."""
    location = config.lake_location()
    return None if location is None else Lake(location)


class LakeTarget(luigi.Target):
    """A month in the lake, as of its last load in the ledger."""

    def __init__(self, opened: Warehouse, lake: Lake, month: Month) -> None:
        self.warehouse, self.lake, self.month = opened, lake, month

    def __str__(self) -> str:
        return f"{self.month} in the lake"

    def exists(self) -> bool:
        months = [self.month.first_day]
        return bool(lake_months(self.warehouse, self.lake, self.month.taxi_type, months))


@requires(TaxiMonth)
class TaxiLake(LockedTask, luigi.Task):
    """Write a merged month to the lake, as one Parquet file with a record of its load."""

    ends_attempt = "succeeded"

    def check(self) -> None:
        super().check()
        if config.lake_location() is None:
            raise TaxiError(
                "[lake] url: names no lake; set it to a folder, or to a store such as "
                "s3://bucket/prefix"
            )

    @property
    def lake(self) -> Lake:
        lake = configured_lake()
        assert lake is not None  # noqa: S101  (check has refused that)
        return lake

    def output(self) -> LakeTarget:
        return LakeTarget(self.warehouse, self.lake, self.taxi_month)

    def work(self) -> None:
        from luigi_tasks.storage.part import PartWriter

        progress = Progress(self, f"writing {self.label}", "trips")
        with self.files.work_folder() as work:
            part = PartWriter(work / "part.parquet")
            exported = warehouse.export_trips(self.warehouse, self.taxi_month, part, progress)
            size = self.lake.publish(
                self.taxi_month,
                part,
                load=exported.load,
                fingerprints=exported.sum,
                check=warehouse.check_locks,
            )
        show_result(self, self.label, f"in the lake: {exported.sum.rows:,} rows, {sized(size)}")

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Those of the months that are complete, by two queries and one listing."""
        months = list(parameter_tuples)
        if not months:
            return []
        task = cls(months[0])
        complete = lake_months(task.warehouse, task.lake, task.taxi_type, months)
        return [month for month in months if month in complete]


def lake_months(opened: Warehouse, lake: Lake, taxi_type: str, months: Sequence[date]) -> set[date]:
    """Which of the months are merged, and in the lake as of their last load."""
    return lake.complete_months(taxi_type, warehouse.merged_loads(opened, taxi_type, months))


def lacking_months(
    opened: Warehouse, lake: Lake, taxi_type: str, months: Sequence[date]
) -> list[date]:
    """Which of the months are merged, and not in the lake as of their last load."""
    loads = warehouse.merged_loads(opened, taxi_type, months)
    return sorted(loads.keys() - lake.complete_months(taxi_type, loads))


def stale_months(opened: Warehouse, taxi_type: str, months: Sequence[date]) -> set[date]:
    """Which of the months are merged, and in the lake as of another load; none without a lake."""
    lake = configured_lake()
    if lake is None:
        return set()
    return lake.stale_months(taxi_type, warehouse.merged_loads(opened, taxi_type, months))
