"""What is due: decided by the source and the ledger, not by the clock.

At any start, the months that are wanted and not merged are looked for at the source. So a run that
was missed is made up for by the next one, and a hole is found wherever it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from dateutil.relativedelta import relativedelta

from luigi_tasks import config, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.config import MonthParameter
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import published
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


def first_wanted(opened: Warehouse, start: date, taxi_types: Sequence[str] = ()) -> dict[str, date]:
    """The services to keep complete, each with the first month that is wanted of it.

    :param start: the first one if neither the settings nor the warehouse name another.
    :param taxi_types: the services, in place of those of the settings, or of those that the
        warehouse holds.
    :raises TaxiError: a setting is no service, or no month.
    """
    configured = str(config.schedule().taxi_types).replace(",", " ").split()
    for name in configured:
        if name not in TAXI_TYPES:
            raise TaxiError(
                f"[schedule] taxi_types: {name!r} must be one of {', '.join(TAXI_TYPES)}"
            )
    loaded = held = warehouse.first_months(opened)
    if first_month := str(config.schedule().first_month):
        try:
            held = dict.fromkeys(TAXI_TYPES, MonthParameter().parse(first_month))
        except (TaxiError, ValueError) as error:
            raise TaxiError(f"[schedule] first_month: {error}") from None
    names = taxi_types or configured or [each for each in TAXI_TYPES if each in loaded]
    names = names or ["yellow"]
    return {name: max(TAXI_TYPES[name].first_month, held.get(name, start)) for name in names}


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
    months = list(wanted_months(first, today))
    if not months:
        return []
    merged = warehouse.merged_months(opened, taxi_type, months)
    answers = published.look_at(taxi_type, [month for month in months if month not in merged])
    corrected = published.changed(taxi_type, sorted(merged)) if corrections else {}
    answers |= corrected
    failures = warehouse.last_failures(opened, taxi_type, list(answers))
    out = [month for month, found in answers.items() if isinstance(found, published.Found)]
    newest = max([*merged, *out], default=None)
    delay = _usual_delay(opened, taxi_type)
    result = []
    for first_day in sorted(answers):
        month, found = Month(taxi_type, first_day), answers[first_day]
        failure = failures.get(first_day)
        if found is None:
            deadline = first_day + relativedelta(months=1) + timedelta(days=delay)
            is_late = today > deadline or (newest is not None and first_day < newest)
            result.append(DueMonth(month, OVERDUE if is_late else UNPUBLISHED, deadline))
        elif failure and published.stands(failure, settings, found):
            result.append(DueMonth(month, FAILED, error=failure.error))
        else:
            size = found.facts.bytes if isinstance(found, published.Found) else None
            reason = CORRECTED if first_day in corrected else MISSING
            result.append(DueMonth(month, reason, bytes=size))
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


def wanted_months(first: date, today: date) -> Iterator[date]:
    """The months from the first one to the last one that is over."""
    month = first
    while month < today.replace(day=1):
        yield month
        month += relativedelta(months=1)


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
