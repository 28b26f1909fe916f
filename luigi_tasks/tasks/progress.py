"""Progress of long work: in the bar of a terminal, and as percent and message in Luigi's status."""

import logging
import time

import luigi

from luigi_tasks.tasks import bar
from luigi_tasks.texts import sized

logger = logging.getLogger("luigi-interface.progress")


class Progress:
    """Shows how far a task is. Give it to whatever reports ``(done, total)``.

    If it can't be shown, because the scheduler is away for example, the work goes on without it.
    """

    #: Seconds between two messages to the scheduler, each of which may be a request by HTTP.
    INTERVAL = 1.0

    def __init__(self, task: luigi.Task, what: str, unit: str) -> None:
        """:param unit: ``bytes``, or what is counted, such as ``rows``, which the bar adds up."""
        self._task, self._what, self._unit = task, what, unit
        self._told, self._done = 0.0, 0
        self._fails = False

    def __call__(self, done: int, total: int | None) -> None:
        if shown := bar.current():
            rows = done - self._done if self._unit == "rows" else 0
            shown.report(self._what, self._text(done, total), done / total if total else 0.0, rows)
            self._done = done
        if self._fails or (done != total and time.monotonic() - self._told <= self.INTERVAL):
            return
        self._told = time.monotonic()
        try:
            self._tell(done, total)
        except Exception as error:  # noqa: BLE001 - whatever it is, the work matters more
            # once, since the scheduler's client may take a minute to give up
            self._fails = True
            logger.warning("%s goes on without a report of its progress: %s", self._what, error)

    def _tell(self, done: int, total: int | None) -> None:
        if total and self._task.set_progress_percentage:
            self._task.set_progress_percentage(100 * done // total)
        if self._task.set_status_message:
            self._task.set_status_message(f"{self._what}: {self._text(done, total)}")

    def _text(self, done: int, total: int | None) -> str:
        if self._unit == "bytes":
            return sized(done) + (f" of {sized(total)}" if total else "")
        return f"{done:,}" + (f" of {total:,}" if total else "") + f" {self._unit}"


def show_result(task: luigi.Task, label: str, result: str) -> None:
    """Log what a task did, and show it in Luigi's status if there is a scheduler."""
    logger.info("%s: %s", label, result)
    if task.set_status_message:
        try:
            task.set_status_message(result)
        except Exception as error:  # noqa: BLE001 - the work is done
            logger.warning("%s: Luigi's status doesn't show it: %s", label, error)
