"""A month of a taxi type: what one published file holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from dateutil.relativedelta import relativedelta


@dataclass(frozen=True, order=True)
class Month:
    """A month of a taxi type, such as ``green 2024-01``.

    ``first_day`` is the first day of the month in the published file's name, which isn't the month
    of every pickup in it.
    """

    taxi_type: str
    first_day: date

    def __str__(self) -> str:
        return f"{self.taxi_type} {self.text}"

    @property
    def text(self) -> str:
        """The month alone, such as ``2024-01``."""
        return f"{self.first_day:%Y-%m}"

    @property
    def filename(self) -> str:
        """The TLC's name for the month's file, and the value of the column ``filename``."""
        return f"{self.taxi_type}_tripdata_{self.text}.parquet"

    @property
    def staged_id(self) -> str:
        """The ``update_id`` of the marker that TaxiStageLoad sets."""
        return f"TaxiStageLoad {self}"

    @property
    def merged_id(self) -> str:
        """The ``update_id`` of the marker that TaxiMerge sets."""
        return f"TaxiMerge {self}"

    @property
    def bounds(self) -> dict[str, Any]:
        """The bounds of the month's pickups, for a statement: ``start`` and, excluded, ``stop``."""
        return bounds(self.first_day)

    @property
    def before(self) -> Month:
        """The month before."""
        return Month(self.taxi_type, self.first_day - relativedelta(months=1))


def bounds(first_day: date) -> dict[str, Any]:
    """The first days of a month and of the next one, as ``start`` and ``stop``."""
    if first_day.year == datetime.max.year and first_day.month == 12:
        return {"start": first_day, "stop": "infinity"}
    return {"start": first_day, "stop": first_day + relativedelta(months=1)}
