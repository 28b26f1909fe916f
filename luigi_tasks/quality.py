"""The data quality checks of ``luigi_tasks.catalog``, with the limits of ``[quality]``."""

from collections.abc import Mapping

from luigi_tasks import config
from luigi_tasks.catalog.quality import QUALITY_CHECKS, ExceededError, check_quality

__all__ = ["QUALITY_CHECKS", "ExceededError", "check"]


def check(label: str, rows: int, counts: Mapping[str, int], rows_before: int | None) -> None:
    limits = config.quality()
    check_quality(
        label,
        rows,
        counts,
        rows_before,
        least_rows=limits.least_rows,
        most=limits.most,
        when_exceeded=limits.when_exceeded,
    )
