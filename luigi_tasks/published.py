"""Whether a month is published at ``[source] url``."""

from datetime import date

import luigi
from dateutil.relativedelta import relativedelta

from luigi_tasks import config, source
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import TaxiError


def url(taxi_type: str, month: date) -> str:
    """Where a month's file is published."""
    return config.source().render("url", taxi_type=taxi_type, month=month)


class PublishedTarget(luigi.Target):
    """A month's file at its source."""

    def __init__(self, taxi_type: str, month: date) -> None:
        self.taxi_type, self.month = taxi_type, month

    def __str__(self) -> str:
        return url(self.taxi_type, self.month)

    def exists(self) -> bool:
        """Whether it is published.

        :raises TaxiError: neither this month nor any of some others is: the URL is wrong. The
            TLC answers 403 to both.
        """
        if _is_published(self.taxi_type, self.month):
            return True
        _check_source(self.taxi_type, self.month)
        return False


#: Files that were seen: a task is asked more than once, and what is published stays.
_seen: set[str] = set()


def _is_published(taxi_type: str, month: date) -> bool:
    settings, file = config.source(), url(taxi_type, month)
    if file in _seen:
        return True
    if source.is_published(file, timeout=settings.timeout, retries=settings.retries):
        _seen.add(file)
    return file in _seen


def _check_source(taxi_type: str, month: date) -> None:
    """Raise a TaxiError unless one of the months around, or a well-known one, is published."""
    first = TAXI_TYPES[taxi_type].reads_from
    others = [month + relativedelta(months=distance) for distance in (-1, -2, -3, -6, -12, 1, 12)]
    others += [first, date(2019, 1, 1), date(2023, 1, 1)]
    candidates = [other for other in others if first <= other]
    if not any(_is_published(taxi_type, other) for other in candidates):
        raise TaxiError(
            f"nothing is published at {source.shown(url(taxi_type, month))}, nor for "
            f"{', '.join(f'{other:%Y-%m}' for other in candidates)}: is [source] url right?"
        )
