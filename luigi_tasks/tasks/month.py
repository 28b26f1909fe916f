"""What the tasks share: checked settings, a month's lock, and how a failure is shown."""

import logging
from itertools import count
from typing import Any

from luigi_tasks import config, stopping, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.config import MonthParameter, TaxiTypeParameter
from luigi_tasks.errors import GivenWayError, PassingError, TaxiError, is_systemic
from luigi_tasks.months import Month
from luigi_tasks.operations import logs, published, runs
from luigi_tasks.operations.runs import Attempt
from luigi_tasks.storage import MonthFiles
from luigi_tasks.tables import Tables, Warehouse
from luigi_tasks.tasks import script, worker
from luigi_tasks.tasks.log import OneLine
from luigi_tasks.tasks.targets import MergedTarget, StagedTarget, is_of_today

logger = logging.getLogger("luigi-interface.tasks")
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

    #: What a step that succeeds says of the attempt at the month; None if more steps follow.
    ends_attempt: str | None = None
    #: The run's attempt at the month, while it is under way.
    attempt: Attempt

    def run(self) -> None:
        """Wait for the month's lock, and do the work unless another run has done it meanwhile.

        When the connection breaks, all of that is done again. If the warehouse had committed after
        all, nothing is left to do.
        """
        self._unanswered: str | None = None
        opened, tries = self.warehouse, count(1)
        step = str(self.get_task_family())  # type: ignore[attr-defined]
        with (
            logs.month_context(self.taxi_month),
            runs.attempt(self.taxi_month, step, self.settings_digest) as self.attempt,
        ):
            warehouse.with_retries(opened, lambda: self._try(opened, next(tries)))

    def _try(self, opened: Warehouse, number: int) -> None:
        """Run, and note which transaction has no answer to its COMMIT."""
        try:
            self._run(opened, number)
        except warehouse.UnansweredCommitError as error:
            self._unanswered = error.transaction
            raise

    def _run(self, opened: Warehouse, number: int) -> None:
        settings = config.concurrency()
        queue = warehouse.Queue(
            settings.queue_timeout, "[concurrency] queue_timeout", self.attempt.record_wait
        )
        must_wait = settings.behavior == "queue"
        with warehouse.month_lock(opened, self.label, wait=must_wait, queue=queue) as is_held:
            if not is_held:
                self._give_way(warehouse.holders_of(opened, self.label), settings.behavior)
            # its session has ended, for it held the lock
            is_committed = warehouse.was_committed(opened, self.label, self._unanswered)
            if self.complete():  # type: ignore[attr-defined]
                if is_committed:
                    logger.info("%s: the warehouse had committed it after all", self.label)
                    self.attempt.state = self.ends_attempt
                else:
                    if number > 1:
                        logger.info("%s: another run has done it meanwhile", self.label)
                    self.attempt.state = "cancelled"
                if number > 1 and self.merged.exists():
                    self.remove_files()
                return
            if self._unanswered and not is_committed:
                logger.info("%s: the warehouse had rolled it back; doing it again", self.label)
            self._unanswered = None
            try:
                self.work()
            except warehouse.UnansweredCommitError:
                raise  # its transaction's number is needed
            except Exception:
                warehouse.check_locks()  # whatever fails without the lock is no fault of the month
                self.files.note_failure()
                raise
            self.files.note_success()
            self.attempt.state = self.ends_attempt

    def _give_way(self, holders: str, behavior: str) -> None:
        """End the run or fail, as ``[concurrency] behavior`` says, since another run has the month.

        :raises GivenWayError: it is ``cancel``.
        :raises TaxiError: it is ``fail``.
        """
        message = f"{self.label}: another run is at work on it{holders and f' ({holders})'}"
        message += f", and [concurrency] behavior is {behavior}"
        if behavior == "cancel":
            worker.phase_out()
            raise GivenWayError(f"{message}: {worker.GIVES_WAY}")
        raise PassingError(message)

    def remove_files(self) -> None:
        """Remove the month's files, unless clean-up is off or another run has the month now."""
        if config.cleanup().enabled:
            warehouse.check_locks()
            self.files.remove()

    def settings_digest(self) -> str:
        """A digest of the settings that decide whether the month's file can be loaded."""
        return config.digest(script.identity())

    def work(self) -> None:
        """Create the output, whether it exists or not."""
        raise NotImplementedError

    def do(self, other: type["LockedTask"]) -> None:
        """Do another task's work on this month, though it may count as complete."""
        self.as_part(other).work()

    def as_part(self, other: type["LockedTask"]) -> Any:
        """Another task on this month, whose work is to be a part of this one's."""
        task: Any = self.clone(other)  # type: ignore[attr-defined]
        task.set_status_message = self.set_status_message  # type: ignore[attr-defined]
        task.set_progress_percentage = self.set_progress_percentage  # type: ignore[attr-defined]
        task.attempt = self.attempt
        self.attempt.record_step(task.get_task_family())
        return task


class FileTask(LockedTask):
    """A task that creates files. They are deleted when the month is staged or merged, which then
    counts for them."""

    def refuse_failed_edition(self) -> None:
        """Fail at once if the month's file has failed by its content, and hasn't changed since.

        :raises ContentError: says so.
        """
        failure = published.standing_failure(
            self.warehouse, self.taxi_month, self.settings_digest()
        )
        if failure:
            raise published.refusal(failure)

    def complete(self) -> bool:
        if super().complete():  # type: ignore[misc]
            return True
        if not config.cleanup().enabled:
            return False
        # staged by another run, perhaps, since this one has begun
        staged = StagedTarget(self.warehouse, self.tables).load()
        return is_of_today(staged, self.files) or self.merged.exists()
