"""Progress of long work: a bar on a terminal, percent and message in Luigi's status."""

import sys
import time
from types import TracebackType
from typing import Any

import luigi
from tqdm import tqdm


class Progress:
    """Shows how far a task is. Give it to whatever reports ``(done, total)``."""

    #: Seconds between two messages to the scheduler, each of which may be a request by HTTP.
    INTERVAL = 1.0

    def __init__(self, task: luigi.Task, what: str, unit: str) -> None:
        self._task, self._what, self._unit = task, what, unit
        self._told = 0.0
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int | None) -> None:
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
