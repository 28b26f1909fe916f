"""Ranges of months, and what runs that were killed have left."""

import functools
import logging
from datetime import date, datetime
from typing import Any

import luigi
import luigi.tools.range
from luigi.parameter import ParameterException

from luigi_tasks import config, storage, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.config import (
    MonthParameter,
    OptionalMonthParameter,
    ParametersParameter,
    TaxiTypeParameter,
)
from luigi_tasks.errors import TaxiError
from luigi_tasks.tasks.chain import TaxiMerge, TaxiMonth
from luigi_tasks.tasks.month import CheckedTask
from luigi_tasks.tasks.upkeep import TaxiRefresh

logger = logging.getLogger("luigi-interface.ranges")


class RangeMonthly(luigi.tools.range.RangeMonthly):
    """Complete a task for every month of a range.

    Luigi's own clips a range that was asked for to its last 13 months and 50 tasks, and checks
    month by month. This one leaves out only what is before a taxi type's first month, and asks once
    for all months where the task can answer that.
    """

    of_params = ParametersParameter(default={}, description="the task's other parameters, as JSON")
    start = MonthParameter(description="first month")
    stop: Any = OptionalMonthParameter(
        description="first month that isn't included; default: by months-forward"
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
            self.first_month = self._first_month()
            self._instantiate_task_cls(self.first_month)  # has its settings checked
        except ParameterException as error:
            raise TaxiError(f"--of-params: {error}") from None
        except StopIteration:
            raise TaxiError(f"--of {self.of_cls.__name__}: a task without a month") from None

    def _first_month(self) -> date:
        """The start, or the first month of the task's taxi type if that is later."""
        of: Any = self.of
        values = dict(of.get_param_values(of.get_params(), [], self._task_parameters(self.start)))
        for name, parameter in of.get_params():
            if isinstance(parameter, TaxiTypeParameter):
                return max(self.start, TAXI_TYPES[values[name]].first_month)
        return self.start

    def requires(self) -> list[luigi.Task]:
        """The months that are missing, last one first: the worker takes them from the end."""
        return list(reversed(super().requires()))

    def moving_start(self, now: datetime) -> Any:
        if self.first_month > self.start:
            first = f"{self.first_month:%Y-%m}"
            logger.info("no trips before %s are published: the range starts there", first)
        return self.parameter_to_datetime(self.first_month)

    def moving_stop(self, now: datetime) -> Any:
        stop = self.parameter_to_datetime(self.stop) if self.stop else super().moving_stop(now)
        if stop <= self.parameter_to_datetime(self.first_month):
            first = f"{self.first_month:%Y-%m}"
            logger.warning("nothing to do: no month from %s to before %s", first, f"{stop:%Y-%m}")
        return stop

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
        """End a range of which months were missing, and no longer are."""
        remove_left_over()


class _OfDates:
    """Refuse tasks of this package: none has a day, hour or minute.

    Luigi's own would end well, with nothing done: by default they end before a range that is a
    hundred days old, and a month's day isn't asked for.
    """

    of_cls: Any
    param_name: Any = luigi.OptionalParameter(
        default=None, positional=False, description="the task's date parameter, if not its first"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        of = self.of_cls
        asked = f"{type(self).__name__} --of {of.__name__}"
        if any(isinstance(parameter, MonthParameter) for _, parameter in of.get_params()):
            raise TaxiError(f"{asked}: a task of a month; use RangeMonthly")
        if issubclass(of, CheckedTask):
            raise TaxiError(f"{asked}: a task without a date; run it by itself")


class RangeDailyBase(_OfDates, luigi.tools.range.RangeDailyBase):
    """Luigi's, for tasks of others."""


class RangeHourlyBase(_OfDates, luigi.tools.range.RangeHourlyBase):
    """Luigi's, for tasks of others."""


class RangeByMinutesBase(_OfDates, luigi.tools.range.RangeByMinutesBase):
    """Luigi's, for tasks of others."""


class RangeDaily(_OfDates, luigi.tools.range.RangeDaily):
    """Luigi's, for tasks of others."""


class RangeHourly(_OfDates, luigi.tools.range.RangeHourly):
    """Luigi's, for tasks of others."""


class RangeByMinutes(_OfDates, luigi.tools.range.RangeByMinutes):
    """Luigi's, for tasks of others."""


def start_of_ranges() -> date:
    """The first month of a range that names no other, by ``[RangeMonthly] start``."""
    start: date = RangeMonthly(of=TaxiMerge).start
    return start


@RangeMonthly.event_handler(luigi.Event.DEPENDENCY_PRESENT)
def clean_up_after_killed_run(_: RangeMonthly) -> None:
    """A run with nothing to do still removes what one that was killed has left."""
    remove_left_over()


@TaxiMerge.event_handler(luigi.Event.DEPENDENCY_PRESENT)
@TaxiMonth.event_handler(luigi.Event.DEPENDENCY_PRESENT)
@TaxiRefresh.event_handler(luigi.Event.DEPENDENCY_PRESENT)
def clean_up_after_killed_merge(task: TaxiMerge | TaxiMonth | TaxiRefresh) -> None:
    if task.taxi_month in storage.left_over(config.storage_root()):
        remove_left_over()


def remove_left_over() -> None:
    """Remove files of merged months, unless clean-up is off or another run is at work."""
    if not config.cleanup().enabled:
        return
    root = config.storage_root()
    left_over = sorted(storage.left_over(root))
    if not left_over:
        return
    opened = config.open_warehouse()
    for month in left_over:
        with warehouse.month_lock(opened, str(month), wait=False) as is_held:
            if is_held and warehouse.merged_months(opened, month.taxi_type, [month.first_day]):
                storage.MonthFiles(root, month).remove()
