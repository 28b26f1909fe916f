"""The tables for analysts, of months that were loaded before there were any."""

import logging
from functools import partial

import luigi

from luigi_tasks import config, warehouse
from luigi_tasks.months import Month
from luigi_tasks.tables import Warehouse
from luigi_tasks.tasks.month import CheckedTask
from luigi_tasks.texts import counted

logger = logging.getLogger("luigi-interface.tasks")


class TaxiFeatures(CheckedTask, luigi.Task):
    """Count the merged months that the tables for analysts lack, such as an older version's.

    A load counts its own month, so this is for once: after an upgrade, or when a table for analysts
    is new or was dropped. Each month is a transaction, so it may be stopped at any time.
    """

    def complete(self) -> bool:
        return not warehouse.uncounted_months(self.warehouse)

    def run(self) -> None:
        opened = self.warehouse
        months = warehouse.uncounted_months(opened)
        for number, month in enumerate(months, start=1):
            if self.set_status_message is not None:  # as a worker has it
                self.set_status_message(f"counting {month}, {number:,} of {len(months):,}")
            warehouse.with_retries(opened, partial(self._count, opened, month))
        logger.info("counted %s for the tables for analysts", counted(len(months), "month"))

    def _count(self, opened: Warehouse, month: Month) -> None:
        with warehouse.month_lock(opened, str(month)):
            warehouse.recount(opened, config.month_tables(opened, month))
