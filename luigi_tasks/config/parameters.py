"""Parameters of tasks: a month, a taxi type."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import luigi
from luigi.parameter import OptionalParameterMixin

from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import TaxiError


class MonthParameter(luigi.MonthParameter):
    """A month such as ``2024-01``."""

    def parse(self, s: str) -> date:
        try:
            return date.fromisoformat(f"{s}-01")
        except ValueError:
            raise self._refused(s) from None

    def normalize(self, x: Any) -> date:
        """Take whatever Python may have for a month: any day or moment of it, or its text."""
        if isinstance(x, str):
            x = self.parse(x)
        if not isinstance(x, (date, luigi.date_interval.Month)):
            raise self._refused(x)
        return super().normalize(x)  # type: ignore[no-any-return]

    @staticmethod
    def _refused(got: Any) -> TaxiError:
        return TaxiError(
            f"month {got!r}: must be a year and a month between 01 and 12, such as 2024-01"
        )


class OptionalMonthParameter(OptionalParameterMixin[date], MonthParameter):  # type: ignore[misc]
    """A month, or none."""

    expected_type = date


class ParametersParameter(luigi.DictParameter):
    """The other parameters of a task, as JSON."""

    def parse(self, source: str) -> Any:
        try:
            parameters = super().parse(source)
        except ValueError as error:
            raise TaxiError(
                f'of-params {source!r}: must be JSON such as {{"taxi_type": "green"}}; {error}'
            ) from None
        if not isinstance(parameters, Mapping):
            raise TaxiError(f'of-params {source!r}: must be JSON such as {{"taxi_type": "green"}}')
        return parameters


class TaxiTypeParameter(luigi.ChoiceParameter[str]):
    """One of the catalog's taxi types."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=list(TAXI_TYPES), var_type=str, **kwargs)

    def normalize(self, x: str) -> str:
        if x not in list(TAXI_TYPES):
            raise TaxiError(f"taxi type {x!r}: must be one of {', '.join(TAXI_TYPES)}")
        return x
