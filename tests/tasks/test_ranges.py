"""Which months a range has, and which tasks."""

import logging
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import luigi
import pytest
from conftest import Database, Luigi
from dateutil.relativedelta import relativedelta

from luigi_tasks import RangeMonthly, TaxiMerge, TaxiRefresh, TaxiReset, TaxiZones
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import TaxiError
from luigi_tasks.tasks import TaxiDownload, ranges

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)

OLDEST = date(2009, 1, 1)


@pytest.fixture(autouse=True)
def _warehouse(database: Database, settings: Callable[[str, str, str], None]) -> None:
    settings("warehouse", "url", database.url)


class Report(luigi.Task):
    """Somebody's own, of dates."""

    day = luigi.DateParameter()

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(f"/nowhere/{self.day}")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(r.levelno, r.getMessage()) for r in caplog.records if "ranges" in r.name]


@pytest.mark.parametrize("taxi_type", list(TAXI_TYPES))
@pytest.mark.parametrize("of", [TaxiMerge, TaxiDownload, TaxiReset])
def test_a_range_starts_with_the_first_month_of_its_taxi_type(
    taxi_type: str, of: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaxiReset, "complete", lambda _: False)
    first = TAXI_TYPES[taxi_type].first_month
    stop = first + relativedelta(months=3)
    task = RangeMonthly(of=of, of_params={"taxi_type": taxi_type}, start=OLDEST, stop=stop)
    with caplog.at_level(logging.INFO):
        months = [each.month for _ in range(2) for each in reversed(task.requires())]  # type: ignore[attr-defined]
    expected = [first + relativedelta(months=n) for n in range(3)]
    assert months[:3] == expected
    told = f"no trips before {first:%Y-%m} are published: the range starts there"
    assert lines(caplog) == ([] if first == OLDEST else [(logging.INFO, told)])


@pytest.mark.parametrize("taxi_type", ["green", "fhv", "fhvhv"])
def test_a_range_that_ends_before_the_first_month_has_nothing_to_do(
    taxi_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = TAXI_TYPES[taxi_type].first_month
    task = RangeMonthly(
        of=TaxiMerge, of_params={"taxi_type": taxi_type}, start=OLDEST, stop=date(2013, 1, 1)
    )
    assert task.requires() == []
    told = f"nothing to do: no month from {first:%Y-%m} to before 2013-01"
    assert (logging.WARNING, told) in lines(caplog)


def test_a_range_of_months_to_come_has_nothing_to_do(caplog: pytest.LogCaptureFixture) -> None:
    next_month = date.today() + timedelta(days=31)
    assert RangeMonthly(of=TaxiMerge, start=next_month).requires() == []
    [(_, told)] = lines(caplog)
    assert told.startswith(f"nothing to do: no month from {next_month:%Y-%m} to before ")


def test_the_taxi_type_may_be_set_elsewhere(settings: Callable[[str, str, str], None]) -> None:
    settings("TaxiMerge", "taxi_type", "fhvhv")
    months = RangeMonthly(of=TaxiMerge, start="2019-01", stop="2019-03").requires()  # type: ignore[arg-type]
    assert [str(month) for month in months] == ["TaxiMerge(month=2019-02, taxi_type=fhvhv)"]


def test_the_command_for_corrected_months_is_for_all_services(luigi_command: Luigi) -> None:
    flags = ["--of=TaxiRefresh", '--of-params={"taxi_type": "fhvhv"}', "--start=2009-01"]
    run = luigi_command("RangeMonthly", *flags)
    assert run.code == 0, run.output
    assert "INFO: no trips before 2019-02 are published: the range starts there\n" in run.output


def test_a_month_by_itself_is_still_refused() -> None:
    with pytest.raises(TaxiError, match="green 2009-01: no trips are published for it"):
        TaxiMerge(month="2009-01", taxi_type="green")  # type: ignore[arg-type]


@pytest.mark.parametrize("of", [TaxiMerge, TaxiRefresh, TaxiZones])
@pytest.mark.parametrize(
    "kind",
    [
        ranges.RangeDaily,
        ranges.RangeHourly,
        ranges.RangeByMinutes,
        ranges.RangeDailyBase,
        ranges.RangeHourlyBase,
        ranges.RangeByMinutesBase,
    ],
)
def test_ranges_of_dates_are_not_for_our_tasks(kind: Any, of: Any) -> None:
    wanted = "run it by itself" if of is TaxiZones else "a task of a month; use RangeMonthly"
    with pytest.raises(TaxiError, match=f"^{kind.__name__} --of {of.__name__}: .*{wanted}$"):
        kind(of=of)


def test_ranges_of_dates_are_for_the_tasks_of_others() -> None:
    today = date.today()
    found = ranges.RangeDaily(of=Report, start=today - timedelta(days=2), stop=today).requires()
    assert [each.day for each in found] == [today - timedelta(days=2), today - timedelta(days=1)]


def test_a_range_of_dates_ends_with_a_line(luigi_command: Luigi) -> None:
    run = luigi_command("RangeDaily", "--of=TaxiMerge", "--start=2024-01-01", "--stop=2024-02-01")
    told = "ERROR: RangeDaily --of TaxiMerge: a task of a month; use RangeMonthly\n"
    assert (run.code, run.output) == (40, told)
