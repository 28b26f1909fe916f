"""A range of months on a Spark cluster."""

import logging
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import luigi

from luigi_tasks import config, warehouse
from luigi_tasks.errors import GivenWayError, TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import published, runs
from luigi_tasks.tasks import bar, script, worker
from luigi_tasks.tasks.chain import TaxiMonth, TaxiPublished
from luigi_tasks.tasks.month import CheckedTask
from luigi_tasks.tasks.ranges import RangeMonthly
from luigi_tasks.tasks.upkeep import TaxiRefresh
from luigi_tasks.texts import counted, listed

if TYPE_CHECKING:
    from luigi_tasks.runner.spark import MonthWork

logger = logging.getLogger("luigi-interface.spark")

#: What an executor runs for a month. It is not imported here: as a program it is another module.
MODULE = "luigi_tasks.tasks.on_executor"


class TaxiMonthsOnSpark(CheckedTask, luigi.Task):
    """Do the months of a range on Spark's executors; ``TaxiSpark`` requires it.

    An executor shares nothing with others but the warehouse. If it is lost, Spark has its months
    done by another one; that is harmless, as with any run that was killed.
    """

    of: Any = luigi.TaskParameter(description="task of a month")
    of_params: Any = luigi.DictParameter(default={}, description="its other parameters, as JSON")
    months = luigi.ListParameter(description="the months, such as 2024-01")

    ends_attempt = "succeeded"

    def check(self) -> None:
        """Refuse what can't run on Spark, before anything does."""
        from luigi_tasks.runner.spark import check_requirements

        super().check()
        settings = config.spark()
        if self.warehouse.is_embedded and not settings.is_local:
            raise TaxiError(
                f"[warehouse] url: the executors of {settings.master} can't reach the embedded "
                "PostgreSQL; name one that they reach, or set [spark] master = local[*]"
            )
        check_requirements()

    @property
    def taxi_type(self) -> str:
        return self._tasks()[0].taxi_type  # type: ignore[no-any-return]

    def complete(self) -> bool:
        """Whether all of them are complete, by one query as in a range."""
        of, days = self.of, [task.month for task in self._tasks()]
        complete = of.bulk_complete.__func__(partial(of, **self.of_params), days)
        return len(complete) == len(days)

    def run(self) -> None:
        """Do them all; the months that fail are named at the end."""
        from luigi_tasks.runner.spark import run_months, spark_context

        settings, months = config.spark(), list(self.months)
        progress = _Progress(self, self.taxi_type, months)
        name = f"{self.of.task_family} {self.taxi_type} {months[0]} to {months[-1]}"
        python = str(settings.python) or sys.executable
        logger.info("starting Spark at %s for %s", settings.master, counted(len(months), "month"))
        with spark_context(name, settings.master, settings.conf, python) as context:
            if context.uiWebUrl:
                logger.info("Spark's page: %s", context.uiWebUrl)
            run_months(context, self._work(), months, progress.report)
        progress.check()

    def _tasks(self) -> list[Any]:
        task: Any = self.of
        return [task(**self.of_params, **{_month_name(task): month}) for month in self.months]

    def _work(self) -> "MonthWork":
        """What an executor is given. It has secrets, and goes nowhere else."""
        from luigi_tasks.runner.spark import MonthWork

        run, handed = runs.current(), config.hand_over()
        given = {
            "version": version("luigi-tasks"),
            "settings": handed.as_json(),
            "run_id": run.run_id if run else None,
            "task": self.of.task_family,
            "task_module": self.of.__module__,
            "parameters": dict(self.of_params),
            "month_parameter": _month_name(self.of),
            "log_level": logging.getLogger("luigi-interface").getEffectiveLevel(),
        }
        if not self.warehouse.is_embedded and (password := warehouse.password(self.warehouse)):
            handed.environment["PGPASSWORD"] = password  # from ~/.pgpass, perhaps
        return MonthWork(MODULE, given, {"LUIGI_CONFIG_PARSER": handed.parser})


class TaxiSpark(RangeMonthly):
    """Complete a month's whole chain for every month of a range, on the executors of Spark.

    One session of Spark does all months that are missing and published, each as one task of its
    own. Settings are those of this process, wherever an executor runs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not issubclass(self.of, (TaxiMonth, TaxiRefresh)):
            raise TaxiError(
                f"TaxiSpark --of {self.of.__name__}: an executor does whole months; use TaxiMonth "
                "or TaxiRefresh"
            )
        self._required: list[luigi.Task] | None = None
        self._on_spark([f"{self.first_month:%Y-%m}"])  # has its settings checked

    def requires(self) -> list[luigi.Task]:
        """The missing months that are published, as one task, and those that have yet to be."""
        if self._required is None:
            missing: list[Any] = sorted(super().requires(), key=lambda task: task.month)
            days = [task.month for task in missing]
            answers = published.look_at(missing[0].taxi_type, days) if missing else {}
            found = [day for day in days if isinstance(answers[day], published.Found)]
            self._required = [
                TaxiPublished(month=task.month, taxi_type=task.taxi_type)
                for task in missing
                if task.month not in found
            ]
            if found:
                self._required.insert(0, self._on_spark([f"{day:%Y-%m}" for day in found]))
        return self._required

    def _on_spark(self, months: Sequence[str]) -> TaxiMonthsOnSpark:
        task: Any = TaxiMonthsOnSpark
        found: TaxiMonthsOnSpark = task(of=self.of, of_params=self.of_params, months=tuple(months))
        return found


class _Progress:
    """How far the months are, in the log, the bar and Luigi's status."""

    def __init__(self, task: TaxiMonthsOnSpark, taxi_type: str, months: Sequence[str]) -> None:
        self._task, self._taxi_type, self._months = task, taxi_type, months
        self._ended = 0
        self._failed: list[str] = []
        self._gave_way: list[str] = []
        if shown := bar.current():
            for month in months:
                label = str(self._month(month))
                shown.add_task(label, label, can_run=True)

    def report(self, result: dict[str, Any]) -> None:
        """Show what became of a month."""
        month = self._month(result["month"])
        where = f"{result['host']}, {result['seconds']:.1f} s" if "host" in result else "Spark"
        for warning in result.get("warnings", ()):
            logger.warning("%s", warning)
        is_loaded = result["state"] == "loaded"
        if is_loaded:
            logger.info("%s: %s (%s)", month, result["message"], where)
        else:
            logger.error("%s failed: %s (%s)", month, result["error"], where)
            (self._gave_way if result["state"] == "gave way" else self._failed).append(str(month))
            if not result["is_recorded"]:
                self._record(month, result["error"])
        self._ended += 1
        if shown := bar.current():
            shown.end_task(str(month), str(month), has_failed=not is_loaded)
        if self._task.set_progress_percentage:
            self._task.set_progress_percentage(100 * self._ended // len(self._months))
        if self._task.set_status_message:
            self._task.set_status_message(f"{self._ended:,} of {len(self._months):,} months")

    def check(self) -> None:
        """Fail if a month has failed.

        :raises GivenWayError: another run has one, and this run is to end in its favour.
        :raises TaxiError: names those that failed.
        """
        if self._failed:
            failed = f"{len(self._failed):,} of {counted(len(self._months), 'month')} failed"
            raise TaxiError(f"{failed}: {listed(self._failed)}")
        if self._gave_way:
            worker.phase_out()
            names = listed(self._gave_way)
            raise GivenWayError(f"another run is at work on {names}: {worker.GIVES_WAY}")

    def _month(self, text: str) -> Month:
        return Month(self._taxi_type, config.MonthParameter().parse(text))

    @staticmethod
    def _record(month: Month, error: str) -> None:
        """Record the failure of a month whose own process couldn't."""
        if run := runs.current():
            attempt = runs.Attempt(run, month)
            attempt.record_step(TaxiSpark.__name__)
            attempt.record_end(TaxiError(error), config.digest(script.identity()))


def _month_name(task: Any) -> str:
    """The name of a task's month parameter: its first one."""
    return str(next(name for name, parameter in task.get_params() if parameter.positional))
