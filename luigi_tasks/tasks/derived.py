"""A base class for tasks of your own. ``docs/your-own-tasks.md`` has examples."""

import inspect
import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import luigi
from luigi.util import requires

from luigi_tasks import warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.tasks.chain import TaxiMerge
from luigi_tasks.tasks.month import MonthTask
from luigi_tasks.tasks.progress import show_result
from luigi_tasks.tasks.targets import DerivedTarget
from luigi_tasks.warehouse import DerivedTable


@requires(TaxiMerge)
class TaxiDerivedTable(MonthTask, luigi.Task):
    """Fill a table of your own from a merged month. To be subclassed.

    A subclass sets ``table``, such as ``daily_revenue`` or ``reports.daily_revenue``, and
    ``query``, a SELECT from ``month_trips``: the trips of the month's file, with the columns of the
    taxi type's view, such as ``green_trips_named``. The table has the query's columns after
    ``taxi_type`` and ``month``, by which a month's rows are replaced. Instead of ``query``, a
    subclass may override ``work``.

    Rows and marker are committed in one transaction. The marker names the month's last load in the
    ledger and the query, so that the task is incomplete when either has changed, and while the
    month isn't merged.
    """

    #: Table or ``schema.table``; without a schema, in that of ``[warehouse] schema``.
    table = ""
    #: A SELECT from ``month_trips``.
    query = ""

    resources = {"merge": 1}

    def check(self) -> None:
        super().check()
        overrides_work = type(self).work is not TaxiDerivedTable.work
        if not self.table or not (self.query or overrides_work):
            raise TaxiError(
                f"{self.task_family}: has no table or no query; it must be a subclass of "
                "TaxiDerivedTable that sets table, and sets query or overrides work"
            )

    def output(self) -> DerivedTarget:
        opened = self.warehouse
        return DerivedTarget(opened, self._derived(opened), self.taxi_month)

    def run(self) -> None:
        """Replace the month's rows, unless another run has done so meanwhile."""
        opened = self.warehouse
        warehouse.with_retries(opened, lambda: self._run(opened))

    def _run(self, opened: Warehouse) -> None:
        with warehouse.month_lock(opened, self.label):
            if not self.complete():
                warehouse.derive(opened, self._derived(opened), self.taxi_month, self.work)

    def work(self, cursor: Any) -> None:
        """Replace the month's rows in the table.

        :param cursor: psycopg2's, in the transaction that sets the marker. It must not commit.
            Names without a schema are looked up in ``[warehouse] schema``, then in ``public``.
        """
        derived = self._derived(self.warehouse)
        count = warehouse.replace_derived_rows(cursor, derived, self.taxi_month)
        show_result(self, self.label, f"{count:,} rows in {'.'.join(derived.name)}")

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Those of the months that are complete, by three queries for all of them."""
        months = list(parameter_tuples)
        if not months:
            return []
        task = cls(months[0])
        opened, taxi_type = task.warehouse, task.taxi_type
        derived = warehouse.derived_months(opened, task._derived(opened), taxi_type, months)
        return [month for month in months if month in derived]

    def _derived(self, opened: Warehouse) -> DerivedTable:
        schema, _, name = self.table.rpartition(".")
        values = self.to_str_params(only_significant=True)
        own = {key: values[key] for key in sorted(values) if key not in ("month", "taxi_type")}
        comment = (type(self).__doc__ or f"Filled by {self.task_family}").strip().splitlines()[0]
        return DerivedTable(
            name=(schema or opened.schema, name),
            task=f"{self.task_family} {json.dumps(own)}" if own else self.task_family,
            query=inspect.cleandoc(self.query),
            comment=comment,
        )
