"""What is due: decided by the source and the ledger, not by the clock.

At any start, the months that are wanted and not merged are looked for at the source. So a run that
was missed is made up for by the next one, and a hole is found wherever it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

from dateutil.relativedelta import relativedelta

from luigi_tasks import config, source, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.config import MonthParameter
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import published
from luigi_tasks.records import RemoteMetadata
from luigi_tasks.tables import Warehouse

#: Why a month isn't complete. Those that are MISSING or CORRECTED are to be loaded.
MISSING, CORRECTED = "missing", "corrected since"
UNPUBLISHED, OVERDUE, FAILED = "not yet published", "overdue", "failed"
#: Days after a month's end within which the TLC has always published it.
USUAL_DELAY = 121
#: A service's past delays count if they are those of at least so many months, of the last so many,
#: and of no more than so many days: a file that is younger was published anew.
FEWEST_DELAYS, MOST_DELAYS, LONGEST_DELAY = 6, 24, 200


@dataclass(frozen=True)
class DueMonth:
    """A wanted month that isn't complete, and why.

    ``deadline`` is the last day on which it isn't overdue yet, if it isn't published; ``error`` is
    what its file has failed by; ``bytes`` is the file's size, if the source says it.
    """

    month: Month
    reason: str
    deadline: date | None = None
    error: str = ""
    bytes: int | None = None

    @property
    def is_to_be_loaded(self) -> bool:
        return self.reason in (MISSING, CORRECTED)


def taxi_types(opened: Warehouse) -> list[str]:
    """The services to keep complete: those of the settings, or those that the warehouse holds.

    :raises TaxiError: one isn't a service.
    """
    configured = str(config.schedule().taxi_types).replace(",", " ").split()
    for name in configured:
        if name not in TAXI_TYPES:
            raise TaxiError(
                f"[schedule] taxi_types: {name!r} must be one of {', '.join(TAXI_TYPES)}"
            )
    held = warehouse.first_months(opened)
    return configured or [name for name in TAXI_TYPES if name in held] or ["yellow"]


def first_month(opened: Warehouse, taxi_type: str, start: date) -> date:
    """The first month that is wanted of a service.

    :param start: the first one if neither the settings nor the warehouse name another.
    :raises TaxiError: the setting isn't a month.
    """
    first = TAXI_TYPES[taxi_type].first_month
    configured = str(config.schedule().first_month)
    if configured:
        try:
            return max(first, MonthParameter().parse(configured))
        except (TaxiError, ValueError) as error:
            raise TaxiError(f"[schedule] first_month: {error}") from None
    return max(first, warehouse.first_months(opened).get(taxi_type, start))


def due_months(
    opened: Warehouse,
    taxi_type: str,
    first: date,
    *,
    settings: str,
    corrections: bool,
    today: date | None = None,
) -> list[DueMonth]:
    """The months of a service that aren't complete, from the first one wanted to the last one that
    is over, oldest first.

    :param settings: the digest of the settings that decide whether a file can be loaded.
    :param corrections: whether merged months are looked at, too.
    :raises TaxiError: the source or the warehouse can't be asked, or the URL is wrong.
    """
    today = today or date.today()
    months = list(_months(first, today))
    if not months:
        return []
    merged = warehouse.merged_months(opened, taxi_type, months)
    missing = [month for month in months if month not in merged]
    found = _ask(taxi_type, missing)
    changed = published.changed(taxi_type, sorted(merged)) if corrections and merged else set()
    failures = warehouse.last_failures(opened, taxi_type, [*missing, *sorted(changed)])
    newest = max([*merged, *(month for month, facts in found.items() if facts)], default=None)
    delay = _usual_delay(opened, taxi_type)
    result = []
    for first_day in sorted({*missing, *changed}):
        month, facts = Month(taxi_type, first_day), found.get(first_day)
        failure = failures.get(first_day)
        if first_day in found and facts is None:
            deadline = first_day + relativedelta(months=1) + timedelta(days=delay)
            is_late = today > deadline or (newest is not None and first_day < newest)
            result.append(DueMonth(month, OVERDUE if is_late else UNPUBLISHED, deadline))
        elif failure and published.stands(failure, settings):
            result.append(DueMonth(month, FAILED, error=failure.error))
        else:
            reason = CORRECTED if first_day in changed else MISSING
            result.append(DueMonth(month, reason, bytes=facts.bytes if facts else None))
    return result


def in_ranges(months: Sequence[date]) -> str:
    """Months in few words, such as ``2023-02, 2024-05 to 2024-09``."""
    ranges: list[list[date]] = []
    for month in sorted(months):
        if ranges and ranges[-1][-1] + relativedelta(months=1) == month:
            ranges[-1].append(month)
        else:
            ranges.append([month])
    return ", ".join(
        f"{each[0]:%Y-%m} to {each[-1]:%Y-%m}" if len(each) > 1 else f"{each[0]:%Y-%m}"
        for each in ranges
    )


def _months(first: date, today: date) -> Iterator[date]:
    """The months from the first one to the last one that is over."""
    month = first
    while month < today.replace(day=1):
        yield month
        month += relativedelta(months=1)


def _ask(taxi_type: str, months: Sequence[date]) -> dict[date, RemoteMetadata | None]:
    """What the source says of the files of months, a few at a time; None where there is none."""
    limits = config.source()

    def ask(first_day: date) -> RemoteMetadata | None:
        for url in published.urls(Month(taxi_type, first_day)):
            found = source.stat(url, timeout=limits.timeout, retries=limits.retries)
            if found:
                return found
        return None

    with ThreadPoolExecutor(published.REQUESTS_AT_ONCE) as threads:
        answers = dict(zip(months, threads.map(ask, months), strict=True))
    unpublished = [month for month, facts in answers.items() if facts is None]
    if unpublished:
        published.check_source(Month(taxi_type, unpublished[0]))
    return answers


def _usual_delay(opened: Warehouse, taxi_type: str) -> int:
    """How many days after its end a month of a service is overdue: as the settings say, or the 95th
    percentile of its past delays."""
    if days := int(config.alarms().overdue_days):
        return days
    delays = sorted(
        warehouse.publication_delays(opened, taxi_type, longest=LONGEST_DELAY, most=MOST_DELAYS)
    )
    if len(delays) < FEWEST_DELAYS:
        return USUAL_DELAY
    return math.ceil(delays[math.ceil(0.95 * len(delays)) - 1])
