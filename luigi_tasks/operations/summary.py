"""What a run did, on one line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from itertools import groupby

from luigi_tasks import warehouse
from luigi_tasks.operations import due
from luigi_tasks.operations.runs import Run
from luigi_tasks.texts import counted


def summarise(run: Run, unpublished: Mapping[str, int], *, has_worked: bool) -> tuple[str, bool]:
    """What a run did, by service, on one line; and whether there is anything to it.

    Such as ``green: 2 months loaded, 130,412 rows, 1 not yet published; 37 s``.

    :param unpublished: how many of the months that it was asked for aren't published, by service.
    :param has_worked: whether it has done anything, such as a reset, which loads no month.
    """
    parts: dict[str, list[str]] = {taxi_type: [] for taxi_type in run.due}
    if run.run_id is not None:
        found = warehouse.run_months(run.warehouse, run.run_id)
        for taxi_type, group in groupby(found, key=lambda each: each.month.taxi_type):
            words, months = parts.setdefault(taxi_type, []), list(group)
            if loaded := [each for each in months if each.is_loaded]:
                rows = sum(each.rows for each in loaded)
                words.append(f"{counted(len(loaded), 'month')} loaded, {rows:,} rows")
            if failed := sum(each.error is not None for each in months):
                words.append(f"{counted(failed, 'month')} failed")
    has_news = any(parts.values())
    for taxi_type, due_months in run.due.items():
        for reason, text in (
            (due.UNPUBLISHED, "not yet published"),
            (due.OVERDUE, "overdue"),
            (due.FAILED, "waiting for another edition"),
        ):
            if count := sum(each.reason == reason for each in due_months):
                parts[taxi_type].append(f"{count:,} {text}")
    for taxi_type in unpublished.keys() - run.due.keys():
        text = f"{unpublished[taxi_type]:,} not yet published"
        parts.setdefault(taxi_type, []).append(text)
    services = "; ".join(
        f"{name}: {', '.join(words) or 'complete'}"
        for name, words in parts.items()
        if words or name in run.due
    )
    otherwise = "done" if has_worked else "nothing was to be done"
    seconds = (datetime.now(timezone.utc) - run.began_at).total_seconds()
    return f"{services or otherwise}; {seconds:,.0f} s", has_news
