"""All that is due: what cron calls."""

import logging
from datetime import date
from typing import Any

import luigi

from luigi_tasks import config, warehouse
from luigi_tasks.months import Month
from luigi_tasks.operations import due, runs
from luigi_tasks.operations.dry_run import describe
from luigi_tasks.operations.due import DueMonth
from luigi_tasks.tasks import script
from luigi_tasks.tasks.chain import TaxiMerge, TaxiMonth
from luigi_tasks.tasks.month import CheckedTask, MonthTask
from luigi_tasks.tasks.ranges import remove_left_over, start_of_ranges
from luigi_tasks.tasks.upkeep import TaxiRefresh

logger = logging.getLogger("luigi-interface.due")


class TaxiAwaited(MonthTask, luigi.ExternalTask):
    """A month that is overdue, or whose file has failed by its content, for the TLC to publish."""

    def complete(self) -> bool:
        return False


class TaxiDue(CheckedTask, luigi.WrapperTask):
    """Load all months that are due, of all services: missing ones, and once a month corrected ones.

    Holes are among them. A month that isn't out yet is waited for; one that is overdue, or whose
    file has failed and hasn't changed since, is missing data.
    """

    dry_run = luigi.BoolParameter(
        default=False, significant=False, description="show what would be loaded, and load nothing"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: dict[str, list[DueMonth]] | None = None

    def due(self) -> dict[str, list[DueMonth]]:
        """The months that aren't complete, by service; looked for once."""
        if self._due is None:
            opened, settings = self.warehouse, config.digest(script.identity())
            checked = warehouse.last_corrections(opened)
            first_of_month = date.today().replace(day=1)
            start = start_of_ranges()
            self._due, corrected = {}, []
            for taxi_type, first in due.first_wanted(opened, start).items():
                last = checked.get(taxi_type)
                corrections = last is None or last.astimezone().date() < first_of_month
                self._due[taxi_type] = due.due_months(
                    opened, taxi_type, first, settings=settings, corrections=corrections
                )
                corrected += [taxi_type] if corrections else []
            run = runs.current()
            if run and not self.dry_run:
                run.due, run.corrections = self._due, corrected
                runs.record_due(run)
            if self.dry_run:
                print(describe(opened, self._due))
            else:
                self._log()
                remove_left_over()
        return self._due

    def requires(self) -> list[luigi.Task]:
        """The months that are due, last one first: the worker takes them from the end."""
        months = [each for months in self.due().values() for each in months]
        if self.dry_run:
            return []
        tasks = [task for each in months if (task := self._task_of(each))]
        return list(reversed(tasks))

    def _log(self) -> None:
        """Log what is due and can't be loaded."""
        for taxi_type, months in self.due().items():
            overdue = [each.month.first_day for each in months if each.reason == due.OVERDUE]
            if overdue:
                logger.info("%s: overdue: %s", taxi_type, due.in_ranges(overdue))
            for each in months:
                if each.reason == due.FAILED:
                    logger.info("%s: waits for another edition: %s", each.month, each.error)

    @staticmethod
    def _task_of(each: DueMonth) -> luigi.Task | None:
        # where hosts share a luigid, a month's next step may be given to a host without its files
        classes: dict[str, Any] = {
            due.MISSING: TaxiMonth if config.shared_luigid() else TaxiMerge,
            due.CORRECTED: TaxiRefresh,
            due.OVERDUE: TaxiAwaited,
            due.FAILED: TaxiAwaited,
        }
        month: Month = each.month
        if each.reason not in classes:
            return None
        task: luigi.Task = classes[each.reason](month.first_day, month.taxi_type)
        return task
