"""Verification: whether the trips of merged months are as they were loaded."""

import logging
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import luigi

from luigi_tasks import source, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import runs
from luigi_tasks.tasks.chain import TaxiDownload, TaxiMerge, TaxiStageLoad, TaxiTransform
from luigi_tasks.tasks.lake import TaxiLake, configured_lake
from luigi_tasks.tasks.month import LockedTask
from luigi_tasks.tasks.progress import show_result
from luigi_tasks.tasks.targets import StagedTarget
from luigi_tasks.texts import listed

if TYPE_CHECKING:
    from luigi_tasks.warehouse.verifying import Differences

logger = logging.getLogger("luigi-interface.tasks")

#: The months that this process has verified.
_verified: set[tuple[Month, bool]] = set()


class TaxiVerify(LockedTask, luigi.Task):
    """See that a merged month's trips are as they were loaded: none deleted, added or changed.

    The month is read once; what differs fails the task. Nothing is changed without ``repair``.
    """

    with_source = luigi.BoolParameter(
        default=False,
        significant=False,
        description="fetch the month's file, and compare it row by row",
    )
    repair = luigi.BoolParameter(
        default=False, significant=False, description="load a month that differs anew"
    )
    ends_attempt = "succeeded"

    def complete(self) -> bool:
        """Whether this run has verified it: each run does so anew."""
        if self._key in _verified:
            return True
        run = runs.current()
        if run is None or run.run_id is None:
            return False
        return self.taxi_month in warehouse.ended_months(
            self.warehouse, run.run_id, self.get_task_family()
        )

    @property
    def _key(self) -> tuple[Month, bool]:
        return self.taxi_month, bool(self.with_source)

    def work(self) -> None:
        from luigi_tasks.warehouse import verifying

        is_staged = False
        if self.with_source:
            found, edition = self._compare_with_source()
            is_staged = True
        else:
            found, edition = verifying.verify(self.warehouse, self.tables), ""
        if found.differing and self.repair:
            logger.warning("%s: %s; loading it anew", self.label, _described(found))
            self._load_anew(is_staged=is_staged)
            if found.removable:
                verifying.remove_extra(self.warehouse, self.tables, found)
            found, edition = verifying.verify(self.warehouse, self.tables), ""
        elif is_staged:
            warehouse.unstage(self.warehouse, self.tables)
            self.remove_files()
        if found.differing:
            raise TaxiError(self._message(found, edition))
        _verified.add(self._key)
        self.attempt.record_step(self.get_task_family())
        if not (found.has_sums or self.with_source):
            logger.warning(
                "%s: was loaded before sums were kept, so a trip that another one took the place "
                "of isn't found: --with-source compares with the published file, and TaxiReset and "
                "another load keep sums",
                self.label,
            )
        show_result(self, self.label, f"verified {found.rows:,} rows")

    def _compare_with_source(self) -> "tuple[Differences, str]":
        """The differences from the source's file, and what is to be said of its edition."""
        from luigi_tasks.warehouse import verifying

        loaded = verifying.sha256_of(self.warehouse, self.tables)
        for task in (TaxiDownload, TaxiTransform):
            self.do(task)
        edition = source.read_edition(self.files.raw)
        self.do(TaxiStageLoad)
        load = StagedTarget(self.warehouse, self.tables).load()
        new = list(load.new_columns) if load else []
        found = verifying.compare_staged(self.warehouse, self.tables, new)
        is_another = edition is not None and edition.sha256 != loaded
        return found, "; the source has another edition of it now" if is_another else ""

    def _load_anew(self, *, is_staged: bool) -> None:
        if not is_staged:
            for task in (TaxiDownload, TaxiTransform, TaxiStageLoad):
                self.do(task)
        self.as_part(TaxiMerge).merge(must_compare=True)
        if configured_lake():
            self.do(TaxiLake)

    def _message(self, found: "Differences", edition: str) -> str:
        own = found.changed + found.missing + found.extra
        asked = listed([f"{each:%Y-%m}" for each in ([self.month] if own else found.others)])
        return (
            f"{self.label}: {_described(found)}{edition}; TaxiVerify --repair of {asked} mends it"
        )

    @classmethod
    def bulk_complete(cls, parameter_tuples: Iterable[date]) -> list[date]:
        """Those of the months that aren't merged, or that this run has verified."""
        asked = list(parameter_tuples)
        if not asked:
            return []
        task = cls(asked[0])
        opened, taxi_type = task.warehouse, task.taxi_type
        merged = warehouse.merged_editions(opened, taxi_type, asked)
        run = runs.current()
        done = {month for month, _ in _verified}
        if run and run.run_id is not None:
            done |= warehouse.ended_months(opened, run.run_id, task.get_task_family())
        return [m for m in asked if m not in merged or Month(taxi_type, m) in done]


def _described(found: "Differences") -> str:
    """The differences in words."""
    parts = {
        "changed": found.changed,
        "missing": found.missing,
        "that it shouldn't have": found.extra,
    }
    told = [f"{count:,} {what}" for what, count in parts.items() if count]
    told += [f"{count:,} of file {month:%Y-%m}" for month, count in sorted(found.others.items())]
    least = "at least " if found.may_be_more else ""
    rows = "row differs" if found.differing == 1 else "rows differ"
    return f"{least}{found.differing:,} {rows} from what was loaded ({', '.join(told)})"
