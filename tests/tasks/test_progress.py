"""How far a task is, for those who watch; the work itself never depends on it."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import wired
from luigi.rpc import RPCError
from months import JANUARY, Months, load_of, trips

from luigi_tasks.tasks.progress import Progress, show_result


class Reported:
    """A task, as far as it shows anything, and what it was made to show."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.shown = error, list[Any]()

    def show(self, value: Any) -> None:
        self.shown.append(value)
        if self.error:
            raise self.error

    @property
    def task(self) -> Any:
        return SimpleNamespace(set_progress_percentage=self.show, set_status_message=self.show)


def test_percent_and_counts_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "INTERVAL", 0)
    reported = Reported()
    report = Progress(reported.task, "copying", "rows")
    report(1_000, 4_000)
    report(4_000, 4_000)
    report(5, None)
    Progress(reported.task, "fetching", "bytes")(2_000_000, 8_000_000)
    assert reported.shown == [
        *(25, "copying: 1,000 of 4,000 rows"),
        *(100, "copying: 4,000 of 4,000 rows"),
        "copying: 5 rows",
        *(25, "fetching: 2 MB of 8 MB"),
    ]


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    "error",
    [RPCError("Errors (3 attempts) when connecting"), ValueError("Expecting value")],
    ids=lambda error: type(error).__name__,
)
def test_a_scheduler_that_is_away_costs_a_load_nothing_but_its_report(
    months: Months, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    monkeypatch.setattr(Progress, "INTERVAL", 0)
    away = Reported(error)
    months.stage(trips(3))
    file = months.folder / "trips.parquet"
    report = Progress(away.task, "copying", "rows")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            wired.stage("green", JANUARY, file, load_of(3), report)
        assert wired.merge("green", JANUARY).rows_inserted == 3
        show_result(away.task, "green 2024-01", "inserted 3 rows")
    assert len(away.shown) == 2  # none but the first and the result
    assert [record.getMessage() for record in caplog.records] == [
        f"copying goes on without a report of its progress: {error}",
        f"green 2024-01: Luigi's status doesn't show it: {error}",
    ]
