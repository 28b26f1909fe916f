"""Metrics of a run and of what is loaded, as a file for Prometheus's node exporter.

What can't be asked, as when the warehouse is down, keeps the value that the file had before: a
series that vanished would end its alerts. So the times are when something happened, and not how
long that is ago, which would stand still when no run comes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from luigi_tasks import config, stopping, warehouse
from luigi_tasks.months import Month
from luigi_tasks.operations.outcome import Outcome
from luigi_tasks.tables import Warehouse

logger = logging.getLogger("luigi-interface.metrics")

PREFIX = "luigi_tasks_"
#: Every metric, with its help text and its label beside the service, if it has any.
METRICS = {
    "last_run_timestamp_seconds": "When the last run ended.",
    "last_run_exit_code": "Exit code of the last run; 0 and 20 are good.",
    "last_run_failed": "Whether the last run failed: 1 or 0.",
    "last_run_duration_seconds": "Duration of the last run.",
    "last_success_timestamp_seconds": "When a run last ended well.",
    "months": "Months that are merged.",
    "months_failed": "Months whose last attempt failed by a fault of their own.",
    "months_overdue": "Months that aren't published and should be.",
    "months_missing": "Months between the first and the newest merged one that aren't merged.",
    "trips": "Trips of the merged months' files, without duplicates.",
    "rejects": "Rows of the merged months' files that could not be read.",
    "duplicates": "Rows of the merged months' files that equal another one.",
    "published_bytes": "Bytes of the merged months' files.",
    "newest_month_end_timestamp_seconds": "End of the newest merged month.",
    "last_load_step_seconds": "Duration of each step of the last load.",
}
_OF_SERVICE = {
    "months",
    "months_failed",
    "months_overdue",
    "months_missing",
    "trips",
    "rejects",
    "duplicates",
    "published_bytes",
    "newest_month_end_timestamp_seconds",
}

#: The values of a metric, by those of its labels.
Values = Mapping[tuple[str, ...], float]


def write(opened: Warehouse | None, outcome: Outcome) -> None:
    """Write the file that ``[metrics] textfile`` names, if it names one.

    :param opened: the warehouse; it isn't asked if the run isn't recorded there.
    """
    try:
        path = str(config.metrics().textfile)
        if path and not stopping.came():
            _write(Path(path).expanduser(), opened if outcome.run_id is not None else None, outcome)
    except ImportError:
        logger.warning(
            "[metrics] textfile isn't written: prometheus-client isn't installed: "
            "pip install 'luigi-tasks[metrics]'"
        )
    except OSError as error:
        logger.warning("[metrics] textfile can't be written: %s", error.strerror or error)
    except Exception as error:  # noqa: BLE001 - metrics never change the result of a run
        logger.warning("[metrics] textfile isn't written: %s", type(error).__name__)


def _write(path: Path, opened: Warehouse | None, outcome: Outcome) -> None:
    from prometheus_client import CollectorRegistry, write_to_textfile

    values = _values_before(path)
    values |= _of_run(outcome)
    if opened:
        try:
            values |= _of_warehouse(opened)
        except Exception as error:  # noqa: BLE001 - the rest doesn't need the warehouse
            logger.warning("[metrics] textfile has older figures: %s", type(error).__name__)
    values["months_overdue"] = _overdue(values, outcome)
    registry = CollectorRegistry()
    registry.register(_Collector(values))
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{path.name}.*.*"):  # by a run that was killed while it wrote
        if not _is_running(left.name.split(".")[-2]):
            left.unlink(missing_ok=True)
    write_to_textfile(str(path), registry)


def _is_running(pid: str) -> bool:
    return not pid.isdigit() or Path(f"/proc/{pid}").exists() or not Path("/proc/self").exists()


class _Collector:
    """Hands Prometheus's client the metrics that have values."""

    def __init__(self, values: Mapping[str, Values]) -> None:
        self._values = values

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        for name, description in METRICS.items():
            values = self._values.get(name, {})
            if not values:
                continue
            family = GaugeMetricFamily(PREFIX + name, description, labels=_labels(name))
            for labels, value in sorted(values.items()):
                family.add_metric(labels, value)
            yield family


def _labels(name: str) -> tuple[str, ...]:
    if name == "last_load_step_seconds":
        return ("taxi_type", "step")
    return ("taxi_type",) if name in _OF_SERVICE else ()


def _values_before(path: Path) -> dict[str, Values]:
    """The values that the file has; none of a file that can't be read as ours."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, dict[tuple[str, ...], float]] = {}
    try:
        families = list(text_string_to_metric_families(path.read_text()))
    except (OSError, ValueError, KeyError):
        return {}
    for sample in (each for family in families for each in family.samples):
        name = sample.name.removeprefix(PREFIX)
        labels = tuple(sample.labels.get(label, "") for label in _labels(name))
        if name in METRICS and all(labels):
            found.setdefault(name, {})[labels] = sample.value
    return dict(found)


def _of_run(outcome: Outcome) -> dict[str, Values]:
    ended = outcome.ended or datetime.now(timezone.utc)
    found: dict[str, Values] = {
        "last_run_timestamp_seconds": {(): ended.timestamp()},
        "last_run_duration_seconds": {(): (ended - outcome.began).total_seconds()},
        "last_run_failed": {(): float(outcome.state == "failed")},
    }
    if outcome.exit_code is not None:
        found["last_run_exit_code"] = {(): float(outcome.exit_code)}
    if outcome.has_ended_well:
        found["last_success_timestamp_seconds"] = {(): ended.timestamp()}
    return found


def _of_warehouse(opened: Warehouse) -> dict[str, Values]:
    figures = warehouse.figures(opened)
    ends = {
        each.taxi_type: _end_of(Month(each.taxi_type, each.newest_month))
        for each in figures
        if each.newest_month
    }
    found: dict[str, Values] = {
        "months": _by_service({each.taxi_type: each.months for each in figures}),
        "months_missing": _by_service({each.taxi_type: each.missing for each in figures}),
        "months_failed": _by_service({each.taxi_type: each.failed for each in figures}),
        "trips": _by_service({each.taxi_type: each.trips for each in figures}),
        "rejects": _by_service({each.taxi_type: each.rejects for each in figures}),
        "duplicates": _by_service({each.taxi_type: each.duplicates for each in figures}),
        "published_bytes": _by_service({each.taxi_type: each.bytes for each in figures}),
        "newest_month_end_timestamp_seconds": _by_service(ends),
        "last_load_step_seconds": {
            (taxi_type, step): seconds
            for taxi_type, steps in warehouse.last_durations(opened).items()
            for step, seconds in steps.items()
        },
    }
    if last := warehouse.last_success(opened):
        found["last_success_timestamp_seconds"] = {(): last.timestamp()}
    return found


def _overdue(values: Mapping[str, Values], outcome: Outcome) -> Values:
    """How many months of each service are overdue; of one that wasn't looked at, as before."""
    looked_at = {*outcome.services, *(month.taxi_type for month, _, _ in outcome.expected)}
    counted = Counter(month.taxi_type for month, is_overdue, _ in outcome.expected if is_overdue)
    loaded = dict.fromkeys(values.get("months", {}), 0.0)
    return {
        **loaded,
        **values.get("months_overdue", {}),
        **{(taxi_type,): float(counted[taxi_type]) for taxi_type in looked_at},
    }


def _by_service(values: Mapping[str, float]) -> Values:
    return {(taxi_type,): float(value) for taxi_type, value in values.items()}


def _end_of(month: Month) -> float:
    end = month.bounds["stop"]
    return datetime(end.year, end.month, end.day, tzinfo=timezone.utc).timestamp()
