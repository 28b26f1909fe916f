"""What is odd in a month's trips, and how much of it ``[quality]`` lets pass."""

import logging
from collections.abc import Mapping

from luigi_tasks import config
from luigi_tasks.errors import TaxiError

logger = logging.getLogger("luigi-interface.quality")

#: What is counted in each load, and kept.
KINDS = {
    "stray": "pickup outside the file's month",
    "null_passenger_count": "no number of passengers",
    "negative_total": "total below 0",
    "zero_distance": "distance of 0",
    "dropoff_before_pickup": "dropoff before pickup",
    "unknown_zone": "zone 264 or 265: unknown, or outside the city",
}


def check(label: str, rows: int, counts: Mapping[str, int], rows_before: int | None) -> None:
    """Warn of what is beyond the limits, or fail.

    :param counts: rows of each kind.
    :param rows_before: those of the month before, if that is loaded.
    :raises TaxiError: something is beyond them, and ``when_exceeded`` is ``fail``.
    """
    settings = config.quality()
    told = []
    if rows_before and rows < settings.least_rows * rows_before:
        told.append(
            f"{rows} rows are less than {settings.least_rows:g} of the {rows_before} of the month "
            "before, [quality] least_rows"
        )
    for kind, most in settings.most.items():
        if counts.get(kind, 0) > most * rows:
            told.append(
                f"{counts[kind]} of {rows} rows are more than {most:g} with {KINDS[kind]}, "
                f"[quality] most {kind}"
            )
    if told and settings.when_exceeded == "fail":
        raise TaxiError(f"{label}: {'; '.join(told)}; nothing was merged")
    for each in told:
        logger.warning("%s: %s", label, each)
