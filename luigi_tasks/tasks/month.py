"""What the tasks share: checked settings, a month's lock, and how a failure is shown."""

import logging
from typing import Any

from luigi_tasks import config, stopping, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.config import MonthParameter, TaxiTypeParameter
from luigi_tasks.errors import TaxiError, is_systemic
from luigi_tasks.months import Month
from luigi_tasks.storage import MonthFiles
from luigi_tasks.tables import Tables, Warehouse
from luigi_tasks.tasks import script, worker
from luigi_tasks.tasks.log import OneLine
from luigi_tasks.tasks.targets import MergedTarget

logging.getLogger("luigi-interface").addFilter(OneLine())


class CheckedTask:
    """A task whose settings are checked before anything runs, and whose failure is one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check()

    def check(self) -> None:
        """Refuse settings that can't work.

        :raises TaxiError: names the section, the key, what it got and what is allowed.
        """
        config.check()

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse that the settings describe now."""
        return config.open_warehouse()

    def on_failure(self, exception: BaseException) -> str:
        """What Luigi shows of a failure: the one line of a user error, the traceback of a bug.

        After a fault of the machine or the warehouse no other task is begun.
        """
        stopping.check()
        if is_systemic(exception):
            worker.phase_out()
        if isinstance(exception, TaxiError):
            return str(exception)
        return str(super().on_failure(exception))  # type: ignore[misc]


class MonthTask(CheckedTask):
    """A task of a month."""

    month = MonthParameter(description="month in the published file's name, such as 2024-01")
    taxi_type = TaxiTypeParameter(default="yellow", description="TLC service")

    def check(self) -> None:
        TAXI_TYPES[self.taxi_type].check_month(self.month)
        config.check(self.taxi_type, self.month)
        script.configured()

    @property
    def taxi_month(self) -> Month:
        """The month of the taxi type, as one value."""
        return Month(self.taxi_type, self.month)

    @property
    def label(self) -> str:
        return str(self.taxi_month)

    @property
    def tables(self) -> Tables:
        """The month's tables that the settings name now."""
        return config.month_tables(self.warehouse, self.taxi_month)

    @property
    def files(self) -> MonthFiles:
        return MonthFiles(config.storage_root(), self.taxi_month)

    @property
    def merged(self) -> MergedTarget:
        return MergedTarget(self.warehouse, self.taxi_month)


class LockedTask(MonthTask):
    """A task that works on a month while it holds the month's lock."""

    def run(self) -> None:
        """Wait for the month's lock, and do the work unless another run has done it meanwhile.

        When the connection breaks, all of that is done again. If the warehouse had committed after
        all, nothing is left to do.
        """
        opened = self.warehouse
        warehouse.with_retries(opened, lambda: self._run(opened))

    def _run(self, opened: Warehouse) -> None:
        with warehouse.month_lock(opened, self.label):
            if self.complete():  # type: ignore[attr-defined]
                return
            try:
                self.work()
            except Exception:
                self.files.note_failure()
                raise
            self.files.note_success()

    def work(self) -> None:
        """Create the output, whether it exists or not."""
        raise NotImplementedError

    def do(self, other: type["LockedTask"]) -> None:
        """Do another task's work on this month, though it may count as complete."""
        task: Any = self.clone(other)  # type: ignore[attr-defined]
        task.set_status_message = self.set_status_message  # type: ignore[attr-defined]
        task.set_progress_percentage = self.set_progress_percentage  # type: ignore[attr-defined]
        task.work()


class FileTask(LockedTask):
    """A task that creates files. They are deleted when the month is merged, which then counts for
    them."""

    def complete(self) -> bool:
        if super().complete():  # type: ignore[misc]
            return True
        return config.cleanup().enabled and self.merged.exists()
