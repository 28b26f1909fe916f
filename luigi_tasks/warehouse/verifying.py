"""Compare what a trips table holds of a month's file with what its last load noted.

A month is read once: its trips are counted and their fingerprints summed up by the file that
brought them, and those of its own file are computed anew from the columns. Strays, which other
months' partitions hold, are looked up by their fingerprints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from luigi_tasks.catalog import Column
from luigi_tasks.checksums import FingerprintSum
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month, bounds
from luigi_tasks.tables import Tables, TripsTable, Warehouse
from luigi_tasks.warehouse.balancing import PROBE, Held, count_shared, uncovered
from luigi_tasks.warehouse.ledger import of_taxi_type
from luigi_tasks.warehouse.locks import table_lock
from luigi_tasks.warehouse.session import month_lock, query, transaction
from luigi_tasks.warehouse.sql import execute, rows
from luigi_tasks.warehouse.statistics import hashed


@dataclass
class Differences:
    """How what is held of a month's file differs from what was loaded, in rows.

    ``others`` has the months whose files brought trips into this month's partition that differ,
    with how many; of no month are those under a name that no load has. ``may_be_more``: the counts
    are the least that explains the sums. ``has_sums``: the load has noted them.
    """

    rows: int = 0
    changed: int = 0
    missing: int = 0
    extra: int = 0
    others: dict[date, int] = field(default_factory=dict)
    removable: dict[str, list[str]] = field(default_factory=dict)
    may_be_more: bool = False
    has_sums: bool = True

    @property
    def differing(self) -> int:
        """How many rows differ, those that other files brought included."""
        return self.changed + self.missing + self.extra + sum(self.others.values())


@dataclass(frozen=True)
class _LastLoad:
    month: date
    filename: str
    is_merged: bool
    pickup_months: dict[str, Any]
    rows_shared: int | None
    new_columns: dict[str, str]
    sha256: str
    sums: dict[str, Any] | None
    stray_ids: list[str] | None

    def has_sums(self, probe: int) -> bool:
        """Whether it noted sums that this server computes in the same way."""
        return self.sums is not None and self.sums["probe"] == str(probe)

    @property
    def months(self) -> list[date]:
        return [date.fromisoformat(f"{each}-01") for each in self.pickup_months]

    def expected(self, month: date, probe: int) -> Held | None:
        """What should be held of it in a month of pickup; None if that isn't known."""
        text = month.isoformat()[:7]
        if self.has_sums(probe):
            noted = (self.sums or {})["months"].get(text)
            if noted is None:
                return Held(FingerprintSum())
            total = FingerprintSum.of_digits(noted["rows"], noted["sum"])
            return Held(total, int(noted["rest"]))
        return None

    def expected_rows(self, month: date) -> int | None:
        """How many trips are to be there, if there are no sums; None if that isn't known."""
        noted = self.pickup_months.get(month.isoformat()[:7], {"rows": 0})
        return int(noted["rows"]) if self.rows_shared == 0 else None


def verify(warehouse: Warehouse, tables: Tables) -> Differences:
    """Compare what is held of a merged month with what its last load noted. Nothing is changed.

    A difference is looked for once more while no merge into the table is at work, since one that
    begins a partition shows some of its rows to those who look at an earlier moment.

    :raises TaxiError: the month isn't merged.
    """
    found = _look(warehouse, tables)
    if found.differing:
        with month_lock(warehouse, table_lock(tables.trips.name)):
            found = _look(warehouse, tables)
    return found


def sha256_of(warehouse: Warehouse, tables: Tables) -> str | None:
    """The digest of the file that a month was last loaded from."""
    month, label = tables.month, f"TaxiVerify {tables.month}"
    found = query(warehouse, label, "verify/last_loads.sql", **_names(warehouse, tables))
    loads = {load.month: load for load in (_LastLoad(*facts) for facts in found)}
    return loads[month.first_day].sha256 if month.first_day in loads else None


def compare_staged(warehouse: Warehouse, tables: Tables, new: Sequence[str]) -> Differences:
    """Compare what is held of a month's file with its staging table, row by row.

    :param new: the columns that came with the file.
    """
    month, trips = tables.month, tables.trips
    names: dict[str, Any] = {
        **_names(warehouse, tables),
        "staging": tables.staging,
        "names": [*(column.name for column in trips.taxi_type.columns), *new],
    }
    with transaction(warehouse, f"TaxiVerify {month}", table_lock(trips.name)) as cursor:
        execute(cursor, "session/bulk_settings.sql")
        loads = [_LastLoad(*facts) for facts in rows(cursor, "verify/last_loads.sql", **names)]
        staged = dict(rows(cursor, "verify/staged_months.sql", **names))
        months = {month.first_day, *staged}
        for load in loads:
            if load.month == month.first_day:
                months.update(load.months)
        pickups = [bounds(each) for each in sorted(months)]
        with hashed(cursor):
            [counts] = rows(cursor, "verify/compare_staged.sql", pickups=pickups, **names)
            missing, extra, changed = counts
            if missing:
                missing -= count_shared(cursor, tables.staging, months, names)
    return Differences(sum(staged.values()), changed=changed, missing=missing, extra=extra)


def remove_extra(warehouse: Warehouse, tables: Tables, found: Differences) -> int:
    """Delete the trips of a month's partition that no load of another file brought; returns how
    many."""
    month, removed = tables.month, 0
    with transaction(warehouse, f"TaxiVerify {month}", table_lock(tables.trips.name)) as cursor:
        for filename, ids in found.removable.items():
            names = {"trips": tables.trips.name, "filename": filename, "ids": ids}
            removed += execute(cursor, "verify/remove_extra.sql", **names, **month.bounds)
    return removed


def _look(warehouse: Warehouse, tables: Tables) -> Differences:
    month, trips = tables.month, tables.trips
    names = _names(warehouse, tables)
    with transaction(warehouse, f"TaxiVerify {month}", is_snapshot=True) as cursor:
        execute(cursor, "session/bulk_settings.sql")
        [(probe,)] = rows(cursor, "merge/probe.sql", probe=PROBE)
        last = {
            load.month: load
            for load in (_LastLoad(*f) for f in rows(cursor, "verify/last_loads.sql", **names))
        }
        load = last.get(month.first_day)
        if load is None or not load.is_merged:
            raise TaxiError(f"{month}: isn't merged, so there is nothing to verify; load it first")
        differences = Differences(has_sums=load.has_sums(probe))
        rest = list((load.sums or {"rest": []})["rest"]) if differences.has_sums else []
        checked = {"rest": rest, "covered": _covered(trips, load)}
        for each in sorted({month.first_day, *load.months}):
            is_own = each == month.first_day
            found = rows(
                cursor,
                "verify/sum_trips.sql",
                only_file=not is_own,
                ids=None if is_own else load.stray_ids,
                **checked,
                **names,
                **bounds(each),
            )
            by_file = {filename: facts for filename, *facts in found}
            _compare(differences, load, each, by_file.pop(load.filename, [0, 0, 0, 0, 0]), probe)
            if is_own:
                _compare_others(differences, list(last.values()), month, by_file, probe)
        for each, count in rows(cursor, "verify/count_default_partition.sql", **names):
            expected = load.expected(each, probe)
            if each != month.first_day and expected:
                differences.extra += max(0, count - expected.sum.rows)
    return differences


def _covered(trips: TripsTable, load: _LastLoad) -> list[Column]:
    """The columns that a fingerprint is computed of; none, if not all of them are there."""
    if uncovered(trips, ()):
        return []
    brought = {*load.new_columns, *(load.sums or {"rest": []})["rest"]}
    return [column for column in trips.taxi_type.columns if column.name not in brought]


def _compare(
    differences: Differences, load: _LastLoad, month: date, found: Sequence[Any], probe: int
) -> None:
    """Compare what is held of the file itself in one month of pickup."""
    *counted, rest, changed = found
    held = Held(FingerprintSum.of_halves(*counted), int(rest or 0))
    differences.rows += held.sum.rows
    expected = load.expected(month, probe)
    count = expected.sum.rows if expected else load.expected_rows(month)
    if count is None:
        differences.changed += changed
        return
    extra = max(0, held.sum.rows - count)
    differences.missing += max(0, count - held.sum.rows)
    differences.extra += extra
    # what was added by hand has no right fingerprint, most probably
    differences.changed += max(0, changed - extra)
    differences.may_be_more |= bool(changed and extra)
    if expected is None or count != held.sum.rows or changed:
        return
    if held.sum != expected.sum:
        differences.missing += 1
        differences.extra += 1
        differences.may_be_more = True
    elif held.rest != expected.rest:
        differences.changed += 1
        differences.may_be_more = True


def _compare_others(
    differences: Differences,
    loads: Sequence[_LastLoad],
    month: Month,
    found: Mapping[str, Sequence[Any]],
    probe: int,
) -> None:
    """Compare what other files brought into the month's partition."""
    first = month.first_day
    by_name = {load.filename: load for load in loads}
    for load in loads:
        expected = load.expected(first, probe) if load.is_merged else None
        if load.month == first or expected is None:
            continue
        *counted, _, _ = found.get(load.filename, [0, 0, 0, 0, 0])
        held = FingerprintSum.of_halves(*counted)
        if held != expected.sum:
            differences.others[load.month] = max(1, abs(held.rows - expected.sum.rows))
            if load.stray_ids is not None:
                differences.removable[load.filename] = load.stray_ids
    for filename, (count, *_) in found.items():
        if filename not in by_name:
            differences.extra += count
            differences.removable[filename] = []


def _names(warehouse: Warehouse, tables: Tables) -> dict[str, Any]:
    return {
        "filename": tables.month.filename,
        "other": tables.trips.other,
        **of_taxi_type(warehouse, tables.month.taxi_type),
    }
