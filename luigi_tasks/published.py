"""Whether a month is published at ``[source] url``."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import luigi
from dateutil.relativedelta import relativedelta

from luigi_tasks import config, source, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import TaxiError

logger = logging.getLogger("luigi-interface.published")

#: How many editions are asked for at once.
REQUESTS_AT_ONCE = 4


def urls(taxi_type: str, month: date) -> list[str]:
    """Where a month's file may be published, the first choice first."""
    return config.source().urls(taxi_type, month)


def find(taxi_type: str, month: date) -> str | None:
    """The first place where a month's file is published."""
    return next((url for url in urls(taxi_type, month) if _is_published(url)), None)


class PublishedTarget(luigi.Target):
    """A month's file at its source."""

    def __init__(self, taxi_type: str, month: date) -> None:
        self.taxi_type, self.month = taxi_type, month

    def __str__(self) -> str:
        return urls(self.taxi_type, self.month)[0]

    def exists(self) -> bool:
        """Whether it is published.

        :raises TaxiError: neither this month nor any of some others is: the URL is wrong. The
            TLC answers 403 to both.
        """
        if find(self.taxi_type, self.month):
            return True
        _check_source(self.taxi_type, self.month)
        return False


def changed(taxi_type: str, months: Sequence[date]) -> set[date]:
    """Those of the months that are merged, and whose file has been replaced since, or may have.

    A few are asked for at a time; one that is gone from the source stays as it is.

    :raises TaxiError: all are gone, and so are others: the URL is wrong.
    """
    settings = config.source()
    merged = warehouse.merged_editions(taxi_type, months)

    def look(month: date) -> source.Announced | None:
        looks = (
            source.look(url, timeout=settings.timeout, retries=settings.retries)
            for url in urls(taxi_type, month)
        )
        return next(filter(None, looks), None)

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as threads:
        announced = dict(zip(merged, threads.map(look, merged), strict=True))
    gone = [month for month, found in announced.items() if not found]
    if gone and len(gone) == len(merged):
        _check_source(taxi_type, gone[0])
    for month in gone:
        logger.warning("%s %s is no longer published", taxi_type, f"{month:%Y-%m}")
    return {month for month, found in announced.items() if found and merged[month].differs(found)}


#: Files that were seen: a task is asked more than once, and what is published stays.
_seen: set[str] = set()


def _is_published(url: str) -> bool:
    settings = config.source()
    if url in _seen:
        return True
    if source.is_published(url, timeout=settings.timeout, retries=settings.retries):
        _seen.add(url)
    return url in _seen


def _check_source(taxi_type: str, month: date) -> None:
    """Raise a TaxiError unless one of the months around, or a well-known one, is published."""
    first = TAXI_TYPES[taxi_type].first_month
    others = [month + relativedelta(months=distance) for distance in (-1, -2, -3, -6, -12, 1, 12)]
    others += [first, date(2019, 1, 1), date(2023, 1, 1)]
    candidates = [other for other in others if first <= other]
    if not any(find(taxi_type, other) for other in candidates):
        raise TaxiError(
            f"nothing is published at {source.shown(urls(taxi_type, month)[0])}, nor for "
            f"{', '.join(f'{other:%Y-%m}' for other in candidates)}: is [source] url right?"
        )
