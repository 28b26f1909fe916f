"""Progress of long work: a bar on a terminal, percent and message in Luigi's status."""

import logging
import sys
import time
from types import TracebackType
from typing import Any

import luigi
from tqdm import tqdm

logger = logging.getLogger("luigi-interface.progress")


class Progress:
    """Shows how far a task is. Give it to whatever reports ``(done, total)``.

    If it can't be shown, because the scheduler is away for example, the work goes on without it.
    """

    #: Seconds between two messages to the scheduler, each of which may be a request by HTTP.
    INTERVAL = 1.0

    def __init__(self, task: luigi.Task, what: str, unit: str) -> None:
        self._task, self._what, self._unit = task, what, unit
        self._told = 0.0
        self._bar: Any = None
        self._fails = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None and not self._fails:
            self._bar.close()

    def __call__(self, done: int, total: int | None) -> None:
        if self._fails:
            return
        try:
            self._show(done, total)
        except Exception as error:  # noqa: BLE001 - whatever it is, the work matters more
            # once, since the scheduler's client may take a minute to give up
            self._fails = True
            logger.warning("%s goes on without a report of its progress: %s", self._what, error)

    def _show(self, done: int, total: int | None) -> None:
        if self._bar is None:
            self._bar = tqdm(
                desc=self._what,
                total=total,
                unit=self._unit,
                unit_scale=True,
                leave=False,
                disable=not sys.stderr.isatty(),
            )
        self._bar.update(done - self._bar.n)
        if done == total or time.monotonic() - self._told > self.INTERVAL:
            self._told = time.monotonic()
            self._tell(done, total)

    def _tell(self, done: int, total: int | None) -> None:
        shown = tqdm.format_sizeof(done)
        message = f"{self._what}: {shown}{self._unit}"
        if total:
            message += f" of {tqdm.format_sizeof(total)}{self._unit}"
            if self._task.set_progress_percentage:
                self._task.set_progress_percentage(100 * done // total)
        if self._task.set_status_message:
            self._task.set_status_message(message)


def show_result(task: luigi.Task, label: str, result: str) -> None:
    """Log what a task did, and show it in Luigi's status if there is a scheduler."""
    logger.info("%s: %s", label, result)
    if task.set_status_message:
        try:
            task.set_status_message(result)
        except Exception as error:  # noqa: BLE001 - the work is done
            logger.warning("%s: Luigi's status doesn't show it: %s", label, error)
