"""What is due, and why."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import Published
from dateutil.relativedelta import relativedelta
from months import Months, trips

from luigi_tasks import config, source, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import due
from luigi_tasks.operations.due import DueMonth

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)

Set = Callable[[str, str, str], None]
FIRST = date(2024, 1, 1)
SETTINGS = "settings of today"


@pytest.fixture(autouse=True)
def _source(settings: Set, published: Published) -> None:
    settings("source", "url", published.url)


def month(number: int) -> date:
    """The first day of a month of 2024, by number."""
    return FIRST + relativedelta(months=number - 1)


def publish(published: Published, *numbers: int) -> None:
    for number in numbers:
        published.write("green", f"{month(number):%Y-%m}", rows=5)


def known(file: Path) -> dict[str, Any]:
    """What the source says of a file."""
    metadata = source.stat(f"file://{file}")
    assert metadata
    return asdict(metadata)


def load(months: Months, published: Published, *numbers: int) -> None:
    """Merge months as the editions that are published."""
    for number in numbers:
        file = published.folder / Month("green", month(number)).filename
        pickup = f"{month(number):%Y-%m}-15 10:00:00"
        edition: dict[str, Any] = known(file)
        edition["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
        months.load(trips(3, pickup), month(number), **edition)


def found(today: date, first: date = FIRST, *, corrections: bool = False) -> dict[str, str]:
    return {each.month.text: each.reason for each in listed(today, first, corrections=corrections)}


def listed(today: date, first: date = FIRST, *, corrections: bool = False) -> list[DueMonth]:
    return due.due_months(
        config.open_warehouse(),
        "green",
        first,
        settings=SETTINGS,
        corrections=corrections,
        today=today,
    )


def fail(number: int, file: Path, settings: str = SETTINGS, cause: str = "content") -> None:
    """Record an attempt at a month that failed on a file."""
    opened = config.open_warehouse()
    run = warehouse.RunFacts("host", 1, "somebody", None, "TaxiMerge")
    heart = warehouse.Heartbeat.begin(opened, run)
    heart.stop()
    failed = Month("green", month(number))
    warehouse.begin_attempt(opened, heart.run_id, failed, "TaxiTransform")
    facts = known(file)
    edition = {"url": f"file://{file}", "sha256": None, **facts}
    warehouse.end_attempt(
        opened,
        heart.run_id,
        failed,
        "failed",
        error="it can't be read",
        cause=cause,
        edition=edition,
        settings=settings,
    )


def test_a_published_month_is_missing_until_it_is_merged(
    months: Months, published: Published
) -> None:
    publish(published, 1, 2, 3)
    load(months, published, 2)
    assert found(date(2024, 4, 1)) == {"2024-01": "missing", "2024-03": "missing"}
    load(months, published, 1, 3)
    assert found(date(2024, 4, 1)) == {}


def test_the_present_month_is_never_due(months: Months, published: Published) -> None:
    publish(published, 1, 2)
    assert found(date(2024, 1, 31)) == {}
    assert found(date(2024, 2, 29)) == {"2024-01": "missing"}


def test_a_month_that_is_not_out_is_overdue_after_the_usual_delay(
    months: Months, published: Published
) -> None:
    publish(published, 1)
    load(months, published, 1)
    deadline = date(2024, 3, 1) + timedelta(days=due.USUAL_DELAY)
    [before] = [each for each in listed(deadline) if each.month.text == "2024-02"]
    assert (before.reason, before.deadline) == ("not yet published", deadline)
    assert found(deadline + timedelta(days=1))["2024-02"] == "overdue"


def test_a_hole_before_a_later_month_is_overdue_at_once(
    months: Months, published: Published
) -> None:
    publish(published, 1, 3)
    assert found(date(2024, 4, 1)) == {
        "2024-01": "missing",
        "2024-02": "overdue",
        "2024-03": "missing",
    }


def test_the_usual_delay_is_that_of_the_service_itself(
    months: Months, published: Published
) -> None:
    publish(published, *range(1, 8))
    for number in range(1, 8):
        ended = datetime.combine(month(number + 1), datetime.min.time(), timezone.utc)
        modified = (ended + timedelta(days=50 + number)).isoformat()
        pickup = f"{month(number):%Y-%m}-15 10:00:00"
        months.load(trips(2, pickup), month(number), last_modified=modified)
    [next_month] = listed(date(2024, 9, 1))
    assert next_month.deadline == date(2024, 9, 1) + timedelta(days=57)


def test_the_settings_may_say_when_a_month_is_overdue(
    months: Months, published: Published, settings: Set
) -> None:
    settings("alarms", "overdue_days", "10")
    publish(published, 1)
    load(months, published, 1)
    assert found(date(2024, 3, 11))["2024-02"] == "not yet published"
    assert found(date(2024, 3, 12))["2024-02"] == "overdue"


def test_a_merged_month_is_corrected_since_when_another_edition_is_published(
    months: Months, published: Published
) -> None:
    publish(published, 1, 2)
    load(months, published, 1, 2)
    published.write("green", "2024-02", rows=8)
    assert found(date(2024, 3, 1)) == {}
    assert found(date(2024, 3, 1), corrections=True) == {"2024-02": "corrected since"}


def test_a_file_that_failed_by_its_content_is_due_again_when_it_changes(
    months: Months, published: Published
) -> None:
    file = published.write("green", "2024-01", rows=5)
    fail(1, file)
    [failed] = listed(date(2024, 2, 1))
    assert (failed.reason, failed.error) == ("failed", "it can't be read")
    published.write("green", "2024-01", rows=6)
    assert found(date(2024, 2, 1)) == {"2024-01": "missing"}


def test_a_file_that_failed_is_due_again_after_a_reset(
    months: Months, published: Published
) -> None:
    fail(1, published.write("green", "2024-01", rows=5))
    warehouse.forget_failures(config.open_warehouse(), Month("green", FIRST))
    assert found(date(2024, 2, 1)) == {"2024-01": "missing"}


@pytest.mark.parametrize(
    ("settings_then", "cause"), [("others", "content"), (SETTINGS, "passing"), (SETTINGS, "other")]
)
def test_other_settings_and_passing_faults_are_tried_again(
    months: Months, published: Published, settings_then: str, cause: str
) -> None:
    fail(1, published.write("green", "2024-01", rows=5), settings_then, cause)
    assert found(date(2024, 2, 1)) == {"2024-01": "missing"}


def test_a_wrong_url_is_an_error_and_no_list_of_late_months(
    months: Months, published: Published
) -> None:
    published.folder.mkdir()
    with pytest.raises(TaxiError, match=r"is \[source\] url right"):
        found(date(2024, 4, 1))


def test_services_and_first_months_are_those_that_the_warehouse_holds(
    months: Months, published: Published, settings: Set
) -> None:
    opened = config.open_warehouse()
    start = date(2023, 5, 1)
    assert due.first_wanted(opened, start) == {"yellow": start}
    publish(published, 3)
    load(months, published, 3)
    assert due.first_wanted(opened, start) == {"green": month(3)}
    settings("schedule", "taxi_types", "yellow, fhv")
    settings("schedule", "first_month", "2010-01")
    assert list(due.first_wanted(opened, start)) == ["yellow", "fhv"]
    assert due.first_wanted(opened, start, ["green"]) == {"green": date(2013, 8, 1)}


@pytest.mark.parametrize(
    ("key", "value", "refusal"),
    [
        ("taxi_types", "green,blue", r"\[schedule\] taxi_types: 'blue' must be one of yellow"),
        ("first_month", "2024-13", r"\[schedule\] first_month: .*2024-13"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(
    months: Months, settings: Set, key: str, value: str, refusal: str
) -> None:
    settings("schedule", key, value)
    opened = config.open_warehouse()
    with pytest.raises(TaxiError, match=refusal):
        due.first_wanted(opened, FIRST)


@pytest.mark.usefixtures("server")
def test_months_are_shown_in_ranges() -> None:
    shown = due.in_ranges([month(5), month(1), month(2), month(3), month(12), month(13)])
    assert shown == "2024-01 to 2024-03, 2024-05, 2024-12 to 2025-01"


def test_a_run_brings_the_tables_of_an_earlier_version_up_to_date(months: Months) -> None:
    opened = config.open_warehouse()
    warehouse.prepare(opened, "test")
    months.database.query("DROP TABLE months_seen CASCADE")
    months.database.query("UPDATE warehouse_version SET migration = 7")
    run = warehouse.RunFacts("host", 1, "somebody", None, "TaxiMerge")
    warehouse.Heartbeat.begin(opened, run).stop()
    assert months.database.query("SELECT * FROM months_seen") == []
