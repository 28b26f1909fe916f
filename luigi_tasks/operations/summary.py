"""What a run did, on one line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from luigi_tasks import warehouse
from luigi_tasks.operations import due
from luigi_tasks.operations.runs import Run
from luigi_tasks.texts import counted


def summarise(run: Run, unpublished: Mapping[str, int]) -> tuple[str, bool]:
    """What a run did, by service, on one line; and whether there is anything to it.

    Such as ``green: 2 months loaded, 130,412 rows, 1 not yet published; 37 s``.

    :param unpublished: how many of the months that it was asked for aren't published, by service.
    """
    parts: dict[str, list[str]] = {taxi_type: [] for taxi_type in run.due}
    if run.run_id is not None:
        for taxi_type, loaded, rows, failed in warehouse.run_summary(run.warehouse, run.run_id):
            words = parts.setdefault(taxi_type, [])
            if loaded:
                words.append(f"{counted(loaded, 'month')} loaded, {rows:,} rows")
            if failed:
                words.append(f"{counted(failed, 'month')} failed")
    has_news = any(parts.values())
    for taxi_type, months in run.due.items():
        for reason, text in (
            (due.UNPUBLISHED, "not yet published"),
            (due.OVERDUE, "overdue"),
            (due.FAILED, "waiting for another edition"),
        ):
            if count := sum(each.reason == reason for each in months):
                parts[taxi_type].append(f"{count} {text}")
    for taxi_type in unpublished.keys() - run.due.keys():
        text = f"{unpublished[taxi_type]} not yet published"
        parts.setdefault(taxi_type, []).append(text)
    services = "; ".join(f"{name}: {', '.join(w) or 'complete'}" for name, w in parts.items())
    seconds = (datetime.now(timezone.utc) - run.began_at).total_seconds()
    return f"{services or 'nothing was to be done'}; {seconds:,.0f} s", has_news
