"""The law of alarms, against a model that reads a month's history as a text."""

import re
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from luigi_tasks.months import Month
from luigi_tasks.operations.law import (
    Change,
    Facts,
    State,
    change,
    changes,
    next_state,
    next_state_of_host,
)

MONTHS = [Month("green", date(2024, number, 1)) for number in (1, 2, 3)]
#: What a run finds about a month: nothing new, it failed, it is merged, it is late; or it failed
#: and is gone from the source, too.
FINDINGS = {
    ".": Facts(),
    "f": Facts(has_failed=True),
    "m": Facts(is_merged=True),
    "l": Facts(is_overdue=True),
    "x": Facts(has_failed=True, is_overdue=True),
}


def expected_messages(history: str) -> list[Change]:
    """The messages of a month whose runs found what the letters say.

    A failure lasts until the month is merged, whatever else is found; nothing is said twice.
    """
    told = history.replace(".", "").replace("x", "f")
    told = re.sub("f[fl]*", "f", told)
    told = re.sub("(.)\\1+", "\\1", told).removeprefix("m")
    found = []
    for before, now in zip(" " + told, told, strict=False):
        if now == "m":
            found.append(Change.MENDED if before == "f" else Change.ARRIVED)
        else:
            found.append(Change.FAILED if now == "f" else Change.OVERDUE)
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(sorted(FINDINGS))] * 3), max_size=40))
def test_each_change_is_said_once(history: list[tuple[str, ...]]) -> None:
    states: dict[Month, State] = {}
    heard: dict[Month, list[Change]] = {month: [] for month in MONTHS}
    for findings in history:
        facts = {m: FINDINGS[f] for m, f in zip(MONTHS, findings, strict=True) if f != "."}
        found = changes(states, facts)
        assert len({month for month, _, _ in found}) == len(found)
        for month, happened, state in found:
            heard[month].append(happened)
            states[month] = state
        assert changes(states, facts) == []  # the same again says nothing
    for number, month in enumerate(MONTHS):
        assert heard[month] == expected_messages("".join(f[number] for f in history))


@given(st.sampled_from(State), st.booleans(), st.booleans(), st.booleans())
def test_a_month_is_never_failed_and_late(
    before: State, failed: bool, merged: bool, overdue: bool
) -> None:
    after = next_state(before, Facts(failed, merged and not failed, overdue))
    assert (after is State.FAILED) >= failed
    if before is State.FAILED:
        assert after is not State.OVERDUE


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="fso", max_size=40))
def test_runs_on_a_host_are_heard_of_at_each_change(history: str) -> None:
    """``s`` is a run that was stopped, which shows nothing."""
    state, heard = State.OK, []
    for run in history:
        after = next_state_of_host(state, is_faulty=run != "o", has_ended=run != "s")
        heard.append(change(state, after))
        state = after
    told = re.sub("(.)\\1+", "\\1", history.replace("s", "")).removeprefix("o")
    wanted = [Change.FAILED if run == "f" else Change.MENDED for run in told]
    assert [happened for happened in heard if happened] == wanted
