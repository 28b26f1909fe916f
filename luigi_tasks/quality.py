"""What is odd in a month's trips, and how much of it ``[quality]`` lets pass."""

import logging
from collections.abc import Mapping

from luigi_tasks import config
from luigi_tasks.errors import TaxiError

logger = logging.getLogger("luigi-interface.quality")

#: What is counted in each load, and kept.
KINDS = {
    "stray": "a pickup outside the file's month",
    "null_passenger_count": "no number of passengers",
    "negative_total": "a total below 0",
    "zero_distance": "a distance of 0",
    "dropoff_before_pickup": "a dropoff before the pickup",
    "unknown_zone": "a zone that is unknown or outside the city (264, 265)",
}


#: Rows after which it's no chance that most of them are strays: real files have 0 to 38.
ENOUGH = 100


class ExceededError(TaxiError):
    """A month is beyond the limits, and isn't merged."""


def check(label: str, rows: int, counts: Mapping[str, int], rows_before: int | None) -> None:
    """Warn of what is beyond the limits, or fail.

    :param counts: rows of each kind.
    :param rows_before: those of the month before, if that is loaded.
    :raises ExceededError: something is beyond them, and ``when_exceeded`` is ``fail``; or most of
        many pickups are outside the month, whatever is set.
    """
    settings = config.quality()
    strays = counts.get("stray", 0)
    if rows >= ENOUGH and strays > rows / 2:
        raise ExceededError(
            f"{label}: {strays} of its {rows} rows have {KINDS['stray']}: that is another month's "
            "file, and [source] url must lead to this one's; nothing was merged"
        )
    told = [] if rows else ["it has no rows"]
    if rows_before and rows < settings.least_rows * rows_before:
        told.append(
            f"it has {rows} rows, less than {settings.least_rows:g} times the {rows_before} of the "
            "month before ([quality] least_rows)"
        )
    for kind, most in settings.most.items():
        if counts.get(kind, 0) > most * rows:
            told.append(
                f"{counts[kind]} of its {rows} rows have {KINDS[kind]}, more than a share of "
                f"{most:g} ([quality] most {kind})"
            )
    if told and settings.when_exceeded == "fail":
        raise ExceededError(
            f"{label}: {'; '.join(told)}; nothing was merged, and --quality-when-exceeded warn "
            "would let it pass"
        )
    for each in told:
        logger.warning("%s: %s", label, each)
