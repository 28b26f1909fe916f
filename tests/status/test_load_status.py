"""The view load_status says what luigi-tasks status says."""

from datetime import date, timedelta
from typing import Any

import pytest
from kept import LAST, Kept, ago
from test_status import all_states, kept, prepared  # noqa: F401

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def test_the_view_and_status_agree(all_states: Kept) -> None:  # noqa: F811
    """But for limits of quality, which are settings."""
    months = all_states.overview().months
    found: dict[date, Any] = {
        month: facts
        for month, *facts in all_states.database.query(
            "SELECT month, state, trips, rejects, duplicates, seconds, bytes, error, step, host "
            "FROM load_status"
        )
    }
    assert list(found) == [each.month.first_day for each in months]
    for each in months:
        state = "merged" if each.state == "suspicious" else each.state
        assert found[each.month.first_day] == [
            state,
            each.rows,
            each.rejects,
            each.duplicates,
            each.seconds,
            each.bytes,
            each.error,
            each.step_at_work or each.step,
            each.host_at_work or each.host,
        ]


def test_what_the_source_said_of_later_months_is_there(kept: Kept) -> None:  # noqa: F811
    kept.load(ago(3))
    kept.load(ago(1))
    kept.see(LAST, "not yet published", date.today() + timedelta(days=1))
    found = kept.database.query("SELECT month, state FROM load_status ORDER BY month")
    assert found == [
        (ago(3), "merged"),
        (ago(2), "missing"),
        (ago(1), "merged"),
        (LAST, "not yet published"),
    ]
