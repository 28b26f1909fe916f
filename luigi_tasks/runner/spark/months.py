"""The months of a range as one job of Spark, a task each."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from luigi_tasks import stopping
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.runner.spark.executor import MonthWork
from luigi_tasks.runner.spark.session import first_line

if TYPE_CHECKING:
    from pyspark import Accumulator, SparkContext

#: Seconds between two looks at what has ended.
INTERVAL = 0.2
#: Spark's message when a task has failed too often: the task, how often, and why.
_GIVEN_UP = re.compile(r"Task (\d+) in stage \S+ failed (\d+) times, [^:]*: Lost task [^:]*: (.*)")
#: How Python says that it hasn't got this package.
_NOT_INSTALLED = re.compile(r"No module named '?luigi_tasks")

Result = dict[str, Any]


def run_months(
    context: "SparkContext",
    work: MonthWork,
    months: Sequence[str],
    report: Callable[[Result], None],
) -> None:
    """Have the executors do the work of each month, and report each one's result when it is there.

    A month that fails has a result as well. One by which executors are lost again and again is
    given up with such a result, and the others go on.

    :param months: such as ``2024-01``.
    :raises TaxiError: the executors can't do any of it.
    """
    done: set[str] = set()

    def report_once(result: Result) -> None:
        if result["month"] not in done:  # Spark may have had it done twice
            done.add(result["month"])
            report(result)

    left = list(months)
    while left:
        error = _run_job(context, work, left, report_once)
        if error is None:
            return
        report_once(_given_up(error, left))
        left = [month for month in left if month not in done]


def _run_job(
    context: "SparkContext",
    work: MonthWork,
    months: Sequence[str],
    report: Callable[[Result], None],
) -> Exception | None:
    """Run one job; the error by which Spark has given it up, if it has.

    An accumulator brings the results: it has each one's when its task has ended.
    """
    from pyspark import InheritableThread

    results = context.accumulator([], _Appended())
    errors: list[Exception] = []

    def run() -> None:
        context.setJobGroup("months", context.appName, interruptOnCancel=True)
        try:
            context.parallelize(months, len(months)).map(_Reporting(work, results)).count()
        except Exception as error:  # noqa: BLE001 - it is handed to the main thread
            errors.append(error)

    thread = InheritableThread(target=run, daemon=True)
    thread.start()
    reported = 0
    while True:
        is_over = not thread.is_alive()
        for result in results.value[reported:]:
            reported += 1
            report(result)
        if is_over:
            break
        thread.join(INTERVAL)
    stopping.check()
    return errors[0] if errors else None


def _given_up(error: Exception, months: Sequence[str]) -> Result:
    """The result of the month by which executors were lost again and again.

    :raises TaxiError: it is something else by which Spark has given up.
    """
    message = first_line(error)
    found = _GIVEN_UP.search(message)
    if _NOT_INSTALLED.search(str(error)):
        raise TaxiError(
            "the executors' Python has no luigi_tasks; install it there, and name its Python in "
            "[spark] python"
        )
    if not found or not found[3].startswith("ExecutorLostFailure"):
        raise SystemicError(f"Spark has given up: {message}")
    with suppress(IndexError):
        return {
            "month": months[int(found[1])],
            "state": "failed",
            "error": f"its executor was lost {found[2]} times, at last by {found[3]}",
            "is_recorded": False,
        }
    raise SystemicError(f"Spark has given up: {message}")


class _Appended:
    """How an accumulator adds lists up."""

    def zero(self, _: list[Result]) -> list[Result]:
        return []

    def addInPlace(self, one: list[Result], other: list[Result]) -> list[Result]:  # noqa: N802
        one.extend(other)
        return one


class _Reporting:
    """The work of a month, whose result goes to the driver as soon as its task has ended."""

    def __init__(self, work: MonthWork, results: "Accumulator[list[Result]]") -> None:
        self._work, self._results = work, results

    def __call__(self, month: str) -> str:
        self._results.add([self._work(month)])
        return month
