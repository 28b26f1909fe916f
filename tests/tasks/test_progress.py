"""How far a task is, for those who watch; the work itself never depends on it."""

import logging
import sys
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
    with Progress(reported.task, "copying", " rows") as report:
        report(1_000, 4_000)
        report(4_000, 4_000)
        report(5, None)
    assert reported.shown == [
        *(25, "copying: 1.00k rows of 4.00k rows"),
        *(100, "copying: 4.00k rows of 4.00k rows"),
        "copying: 5.00 rows",
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
    with caplog.at_level(logging.WARNING), Progress(away.task, "copying", " rows") as report:
        for _ in range(2):
            wired.stage("green", JANUARY, file, load_of(3), report)
        assert wired.merge("green", JANUARY).rows_inserted == 3
        show_result(away.task, "green 2024-01", "inserted 3 rows")
    assert len(away.shown) == 2  # none but the first and the result
    assert [record.getMessage() for record in caplog.records] == [
        f"copying goes on without a report of its progress: {error}",
        f"green 2024-01: Luigi's status doesn't show it: {error}",
    ]


def test_a_terminal_that_is_gone_costs_nothing_either(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> int:
        raise OSError(5, "Input/output error")

    screen = SimpleNamespace(isatty=lambda: True, write=gone, flush=gone, encoding="utf-8")
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress(Reported().task, "fetching", "B") as report:
        report(1, 3)
        report(3, 3)
    assert "fetching goes on without a report of its progress: [Errno 5]" in caplog.text
