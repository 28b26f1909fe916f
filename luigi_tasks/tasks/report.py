"""The report, as a task."""

import logging
from typing import Any

import luigi

from luigi_tasks.tasks.month import CheckedTask
from luigi_tasks.tasks.ranges import start_of_ranges

logger = logging.getLogger("luigi-interface.report")


class TaxiReport(CheckedTask, luigi.Task):
    """Write the report: one file of HTML that shows what is loaded, and what isn't.

    It is written anew each time that it is asked for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_written = False

    def complete(self) -> bool:
        return self._is_written

    def run(self) -> None:
        from luigi_tasks.status.report import write_report

        path = write_report(self.warehouse, start_of_ranges())
        self._is_written = True
        logger.info("the report is %s", path)
