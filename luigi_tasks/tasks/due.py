"""All that is due: what cron calls."""

import logging
from datetime import date
from typing import Any

import luigi

from luigi_tasks import config, warehouse
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import due, runs
from luigi_tasks.operations.dry_run import describe
from luigi_tasks.operations.due import DueMonth
from luigi_tasks.tasks import script
from luigi_tasks.tasks.chain import TaxiMerge, TaxiMonth
from luigi_tasks.tasks.lake import TaxiLake, configured_lake, lacking_months
from luigi_tasks.tasks.month import CheckedTask, MonthTask
from luigi_tasks.tasks.ranges import remove_left_over, start_of_ranges
from luigi_tasks.tasks.upkeep import TaxiRefresh

logger = logging.getLogger("luigi-interface.due")


class TaxiAwaited(MonthTask, luigi.ExternalTask):
    """A month that is overdue, or whose file has failed by its content, for the TLC to publish."""

    def complete(self) -> bool:
        return False


class TaxiLakeAnswer(CheckedTask, luigi.Task):
    """Ask the lake again, which didn't answer: the run fails, unless it does now."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_come = False

    def complete(self) -> bool:
        return self._has_come

    def run(self) -> None:
        if lake := configured_lake():
            lake.has(Month("yellow", date.today()))
        self._has_come = True


class TaxiDue(CheckedTask, luigi.WrapperTask):
    """Load all months that are due, of all services: missing ones, and once a month corrected ones.
    If there is a lake, write to it what it lacks.

    Holes are among them. A month that isn't out yet is waited for; one that is overdue, or whose
    file has failed and hasn't changed since, is missing data.
    """

    dry_run = luigi.BoolParameter(
        default=False, significant=False, description="show what would be loaded, and load nothing"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due: dict[str, list[DueMonth]] | None = None
        self._lake = configured_lake()
        self._lacking: list[Month] = []
        self._is_lake_silent = False

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
                self._lacking += self._lacking_in_lake(taxi_type, first)
            run = runs.current()
            if run and not self.dry_run:
                run.due, run.corrections = self._due, corrected
                runs.record_due(run)
            if self.dry_run:
                print(describe(opened, self._due, self._lacking))
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
        tasks += [TaxiLake(each.first_day, each.taxi_type) for each in self._lacking]
        tasks += [TaxiLakeAnswer()] if self._is_lake_silent else []
        return list(reversed(tasks))

    def _lacking_in_lake(self, taxi_type: str, first: date) -> list[Month]:
        """The months that are merged and not in the lake, but for those that are loaded again."""
        if self._lake is None or self._due is None:
            return []
        months = list(due.wanted_months(first, date.today()))
        again = {each.month.first_day for each in self._due[taxi_type]}
        try:
            lacking = lacking_months(self.warehouse, self._lake, taxi_type, months)
        except SystemicError:
            raise
        except TaxiError:  # months are loaded nevertheless
            self._is_lake_silent = True
            return []
        return [Month(taxi_type, month) for month in lacking if month not in again]

    def _log(self) -> None:
        """Log what is due and can't be loaded."""
        for taxi_type, months in self.due().items():
            overdue = [each.month.first_day for each in months if each.reason == due.OVERDUE]
            if overdue:
                logger.info("%s: overdue: %s", taxi_type, due.in_ranges(overdue))
            for each in months:
                if each.reason == due.FAILED:
                    logger.info("%s: waits for another edition: %s", each.month, each.error)

    def _task_of(self, each: DueMonth) -> luigi.Task | None:
        # where hosts share a luigid, a month's next step may be given to a host without its files
        loads: Any = TaxiMonth if config.shared_luigid() else TaxiMerge
        if self._lake and not self._is_lake_silent:
            loads = TaxiLake
        classes: dict[str, Any] = {
            due.MISSING: loads,
            due.CORRECTED: TaxiRefresh,
            due.OVERDUE: TaxiAwaited,
            due.FAILED: TaxiAwaited,
        }
        month: Month = each.month
        if each.reason not in classes:
            return None
        task: luigi.Task = classes[each.reason](month.first_day, month.taxi_type)
        return task
