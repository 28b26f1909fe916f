"""Whether a month is published at ``[source] url``, and whether its file was replaced there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

from dateutil.relativedelta import relativedelta

from luigi_tasks import config, source, warehouse
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import ContentError, PassingError, TaxiError
from luigi_tasks.months import Month
from luigi_tasks.records import Edition, Load, RemoteMetadata
from luigi_tasks.tables import Warehouse
from luigi_tasks.urls import Url
from luigi_tasks.warehouse import Failure

logger = logging.getLogger("luigi-interface.published")

#: How many files the source is asked about at once.
REQUESTS_AT_ONCE = 4
#: URLs at which a file was found: tasks ask more than once, and a published file stays published.
_seen: set[Url] = set()


@dataclass(frozen=True)
class Found:
    """A month's file at its source: the URL at which it is published, and its metadata."""

    url: Url
    facts: RemoteMetadata


#: A month's file, None if it isn't published, or why the source can't be asked.
Answer = Found | TaxiError | None


def urls(month: Month) -> list[Url]:
    """Where a month's file may be published, the first choice first."""
    return [Url.parse(url) for url in config.source().urls(month.taxi_type, month.first_day)]


def find(month: Month) -> Url | None:
    """Return the first URL at which a month's file is published."""
    return next((url for url in urls(month) if _is_published(url)), None)


def look(month: Month) -> Found | None:
    """Ask the source for a month's file; None if it isn't published.

    :raises TaxiError: the source can't be asked.
    """
    settings = config.source()
    for url in urls(month):
        facts = source.stat(url, timeout=settings.timeout, retries=settings.retries)
        if facts:
            _seen.add(url)
            return Found(url, facts)
    return None


def look_at(taxi_type: str, months: Sequence[date]) -> dict[date, Answer]:
    """Ask the source for the files of months, a few at a time.

    :returns: for each month its file, None if it isn't published, or why the source can't be asked.
    :raises TaxiError: the source can't be asked about any month; or none is published, nor any of
        some others, so the URL is wrong
    """

    def ask(first_day: date) -> Answer:
        try:
            return look(Month(taxi_type, first_day))
        except TaxiError as error:
            return error

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as threads:
        answers = dict(zip(months, threads.map(ask, months), strict=True))
    errors = [found for found in answers.values() if isinstance(found, TaxiError)]
    if errors and len(errors) == len(answers):
        raise errors[0]
    if answers and not any(answers.values()):
        check_source(Month(taxi_type, months[0]))
    return answers


def changed(taxi_type: str, months: Sequence[date]) -> dict[date, Found | TaxiError]:
    """Return the merged months whose file has been replaced since, or may have been.

    A month that is no longer published isn't among them; one about which the source can't be asked
    is, so that its own task fails.

    :raises TaxiError: what ``look_at`` raises
    """
    merged = warehouse.merged_editions(config.open_warehouse(), taxi_type, months)
    answers = look_at(taxi_type, list(merged))
    for month, found in answers.items():
        if found is None:
            logger.warning("%s is no longer published", Month(taxi_type, month))
        elif isinstance(found, Found) and found.facts.lacks_all_of(merged[month]):
            answers[month] = PassingError(
                f"{found.url}: the server's answer has no ETag, time and size any more; try again "
                "later"
            )
    return {
        month: found
        for month, found in answers.items()
        if isinstance(found, TaxiError) or (found and found.facts.differs(merged[month]))
    }


def was_replaced(month: Month, edition: Edition | Load) -> bool:
    """Whether a month's file has been replaced at the URL it came from; False if the source can't
    be asked.
    """
    settings = config.source()
    for url in urls(month):
        if url.redacted == edition.url:
            try:
                found = source.stat(url, timeout=settings.timeout, retries=settings.retries)
            except TaxiError as error:
                logger.warning("%s; what was fetched of %s is used", error, edition.url)
                return False
            return found is not None and found.differs(edition)
    return False


def _is_published(url: Url) -> bool:
    settings = config.source()
    if url in _seen:
        return True
    if source.is_published(url, timeout=settings.timeout, retries=settings.retries):
        _seen.add(url)
    return url in _seen


def check_source(month: Month) -> None:
    """Raise a TaxiError unless one of the months around, or a well-known one, is published."""
    first, day = TAXI_TYPES[month.taxi_type].first_month, month.first_day
    days = [day + relativedelta(months=distance) for distance in (-1, -2, -3, -6, -12, 1, 12)]
    days += [first, date(2019, 1, 1), date(2023, 1, 1)]
    candidates = [Month(month.taxi_type, other) for other in days if first <= other]
    if not any(map(find, candidates)):
        raise TaxiError(
            f"nothing is published at {urls(month)[0]}, nor for the months "
            f"{', '.join(other.text for other in candidates)}: is [source] url right?"
        )


# --- files that have failed by their content ----------------------------------------------------


def standing_failure(opened: Warehouse, month: Month, settings: str) -> Failure | None:
    """A month's last failure, if it would only be repeated.

    :param settings: the digest of today's settings; under others the file may be loaded.
    """
    first_day = month.first_day
    failure = warehouse.last_failures(opened, month.taxi_type, [first_day]).get(first_day)
    if failure is None or not _is_of_content(failure, settings):
        return None  # and the source needn't be asked
    return failure if stands(failure, settings, look(month)) else None


def stands(failure: Failure, settings: str, found: Answer) -> bool:
    """Whether a failure would only be repeated: it was by the content of a file, which is published
    unchanged as far as the source can be asked, under the same settings."""
    if not _is_of_content(failure, settings) or found is None:
        return False
    if isinstance(found, TaxiError):
        return True
    return found.url.redacted == failure.url and not found.facts.differs(failure)  # type: ignore[arg-type]


def _is_of_content(failure: Failure, settings: str) -> bool:
    is_known = failure.settings == settings and failure.bytes is not None
    return failure.cause == "content" and is_known


def refusal(failure: Failure) -> ContentError:
    """The error of a month whose file has failed by its content, and isn't tried again."""
    error = ContentError(
        f"{failure.month}: its file failed before and hasn't changed since; it is tried again when "
        f"another edition is published, or after TaxiReset: {failure.error}"
    )
    error.edition, error.original = failure, failure.error
    return error
