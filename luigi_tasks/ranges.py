"""Ranges of months, and what runs that were killed have left."""

import functools
from datetime import datetime
from typing import Any

import luigi
import luigi.tools.range
from luigi.parameter import ParameterException

from luigi_tasks import config, storage, warehouse
from luigi_tasks.config import MonthParameter, OptionalMonthParameter, ParametersParameter
from luigi_tasks.errors import TaxiError
from luigi_tasks.tasks import TaxiMerge, TaxiRefresh


class RangeMonthly(luigi.tools.range.RangeMonthly):
    """Complete a task for every month of a range.

    Luigi's own clips a range that was asked for to its last 13 months and 50 tasks, and checks
    month by month. This one never clips, and asks once for all months where the task can tell.
    """

    of_params = ParametersParameter(default={}, description="the task's other parameters, as JSON")
    start = MonthParameter(description="first month")
    stop: Any = OptionalMonthParameter(
        description="first month that isn't included; without it, months-forward tells"
    )
    months_forward = luigi.IntParameter(
        description="where to end without stop, in months from the present one"
    )
    task_limit = luigi.IntParameter(default=12_000, description="at most so many months in a run")
    param_name: Any = luigi.OptionalParameter(
        default=None, positional=False, description="the task's month parameter, if not its first"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.stop and self.start > self.stop:
            raise TaxiError(f"start {self.start:%Y-%m} is after stop {self.stop:%Y-%m}")
        try:
            self._instantiate_task_cls(self.start)  # has its settings checked
        except ParameterException as error:
            raise TaxiError(f"--of-params: {error}") from None
        except StopIteration:
            raise TaxiError(f"--of {self.of_cls.__name__}: a task without a month") from None

    def requires(self) -> list[luigi.Task]:
        """The months that are missing, last one first: the worker takes them from the end."""
        return list(reversed(super().requires()))

    def moving_start(self, now: datetime) -> Any:
        return self.parameter_to_datetime(self.start)

    def moving_stop(self, now: datetime) -> Any:
        return self.parameter_to_datetime(self.stop) if self.stop else super().moving_stop(now)

    def missing_datetimes(self, finite_datetimes: list[datetime]) -> list[datetime]:
        of: Any = self.of
        task = functools.partial(of, **self.of_params)
        months = list(map(self.datetime_to_parameter, finite_datetimes))
        try:
            complete = set(of.bulk_complete.__func__(task, months))
        except NotImplementedError:
            return list(super().missing_datetimes(finite_datetimes))
        return [d for d in finite_datetimes if self.datetime_to_parameter(d) not in complete]

    def run(self) -> None:
        remove_left_over()


@RangeMonthly.event_handler(luigi.Event.DEPENDENCY_PRESENT)
def clean_up_after_killed_run(_: RangeMonthly) -> None:
    """A run with nothing to do still removes what one that was killed has left."""
    remove_left_over()


@TaxiMerge.event_handler(luigi.Event.DEPENDENCY_PRESENT)
@TaxiRefresh.event_handler(luigi.Event.DEPENDENCY_PRESENT)
def clean_up_after_killed_merge(task: TaxiMerge | TaxiRefresh) -> None:
    if (task.taxi_type, task.month) in storage.left_over():
        remove_left_over()


def remove_left_over() -> None:
    """Remove files of merged months, unless they are to be kept or another run is at work."""
    if not config.cleanup().enabled:
        return
    for taxi_type, month in sorted(storage.left_over()):
        with warehouse.turn(f"{taxi_type} {month:%Y-%m}", wait=False) as held:
            if held and warehouse.merged_months(taxi_type, [month]):
                storage.MonthFiles(taxi_type, month).remove()
