"""Data quality checks: what is counted in each load, and when a month is beyond the limits."""

import logging
from collections.abc import Mapping

from luigi_tasks.errors import ContentError

logger = logging.getLogger("luigi-interface.quality")

#: The checks, each with what a row has that fails it. The transform counts such rows, and the merge
#: counts strays; the ledger records the counts.
QUALITY_CHECKS = {
    "stray": "a pickup outside the file's month",
    "null_passenger_count": "no number of passengers",
    "negative_total": "a total below 0",
    "zero_distance": "a distance of 0",
    "dropoff_before_pickup": "a dropoff before the pickup",
    "unknown_zone": "a zone that is unknown or outside the city (264, 265)",
}
#: Rows from which on a majority of strays can't be chance: real files have 0 to 38 strays.
ENOUGH_ROWS = 100


class ExceededError(ContentError):
    """A month is beyond the limits and isn't merged."""


def check_quality(
    label: str,
    rows: int,
    counts: Mapping[str, int],
    rows_before: int | None,
    *,
    least_rows: float,
    most: Mapping[str, float],
    when_exceeded: str,
) -> None:
    """Warn if a month is beyond the limits, or fail.

    :param label: the month, such as ``green 2024-01``.
    :param counts: numbers of rows by the names of ``QUALITY_CHECKS``.
    :param rows_before: rows of the month before; None if that isn't loaded.
    :param least_rows: fewest rows, as a share of ``rows_before``; 0 for no limit.
    :param most: most rows that may fail a check, as shares of ``rows``.
    :param when_exceeded: ``warn`` or ``fail``.
    :raises ExceededError: a limit is exceeded, and ``when_exceeded`` is ``fail``; or, whatever it
        is, most of at least ``ENOUGH_ROWS`` pickups are outside the month.
    """
    strays = counts.get("stray", 0)
    if rows >= ENOUGH_ROWS and strays > rows / 2:
        raise ExceededError(
            f"{label}: {strays:,} of its {rows:,} rows have {QUALITY_CHECKS['stray']}: that is "
            "another month's file, and [source] url must lead to this one's; nothing was merged"
        )
    exceeded = [] if rows else ["it has no rows"]
    if rows_before and rows < least_rows * rows_before:
        exceeded.append(
            f"it has {rows:,} rows, less than {least_rows:g} times the {rows_before:,} of the "
            "month before ([quality] least_rows)"
        )
    for name, share in most.items():
        if counts.get(name, 0) > share * rows:
            exceeded.append(
                f"{counts[name]:,} of its {rows:,} rows have {QUALITY_CHECKS[name]}, more than a "
                f"share of {share:g} ([quality] most {name})"
            )
    if exceeded and when_exceeded == "fail":
        raise ExceededError(
            f"{label}: {'; '.join(exceeded)}; nothing was merged, and --quality-when-exceeded warn "
            "would let it pass"
        )
    for each in exceeded:
        logger.warning("%s: %s", label, each)
