"""When somebody hears of something: one message for each change of state, none while it lasts.

This knows neither the warehouse nor the receivers: states and facts in, changes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from luigi_tasks.months import Month


class State(str, Enum):
    """The state of a month, or of the runs on a host, which are never overdue."""

    OK = "ok"
    FAILED = "failed"
    OVERDUE = "overdue"


class Change(str, Enum):
    """What somebody hears of."""

    FAILED = "failed"
    MENDED = "mended"
    OVERDUE = "overdue"
    ARRIVED = "arrived"


_CHANGES = {
    (State.OK, State.FAILED): Change.FAILED,
    (State.OVERDUE, State.FAILED): Change.FAILED,
    (State.FAILED, State.OK): Change.MENDED,
    (State.OK, State.OVERDUE): Change.OVERDUE,
    (State.OVERDUE, State.OK): Change.ARRIVED,
}


@dataclass(frozen=True)
class Facts:
    """What is known of a month now.

    ``has_failed`` is whether its last attempt that ended by itself failed, by a fault that is the
    month's own; ``is_merged`` whether it is merged, and hasn't failed since; ``is_overdue`` whether
    it isn't published, and should be.
    """

    has_failed: bool = False
    is_merged: bool = False
    is_overdue: bool = False


def next_state(before: State, facts: Facts) -> State:
    """The state of a month by what is known of it now.

    A failure comes first, so that a month is never both failed and late. A month that failed stays
    so until it is merged, and so does a late one unless it fails: attempts that were cancelled, and
    faults of the machine or the source, change nothing.
    """
    if facts.has_failed:
        return State.FAILED
    if facts.is_merged:
        return State.OK
    if facts.is_overdue and before is State.OK:
        return State.OVERDUE
    return before


def next_state_of_host(before: State, *, is_faulty: bool, has_ended: bool) -> State:
    """The state of the runs on a host after another one.

    :param is_faulty: whether the run met a fault that isn't of one month.
    :param has_ended: whether it came to an end of its own; one that was stopped shows nothing.
    """
    if not has_ended:
        return before
    return State.FAILED if is_faulty else State.OK


def change(before: State, after: State) -> Change | None:
    """What somebody hears of, if anything."""
    return _CHANGES.get((before, after))


def changes(
    states: Mapping[Month, State], facts: Mapping[Month, Facts]
) -> list[tuple[Month, Change, State]]:
    """The changes of all months, in the order of the calendar, with the state that follows.

    :param states: before; a month that isn't in it is ok.
    """
    found = []
    for month in sorted({*states, *facts}, key=lambda each: (each.first_day, each.taxi_type)):
        before = states.get(month, State.OK)
        after = next_state(before, facts.get(month, Facts()))
        if happened := change(before, after):
            found.append((month, happened, after))
    return found
