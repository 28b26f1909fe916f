"""Alarms: whoever ``[alarms]`` names hears of each change of state, once.

The states of months are in the warehouse, for all hosts. That of the runs on this host is in a
file, since the warehouse may be what is down.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from luigi_tasks import config, stopping, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import delivery, host_state, messages
from luigi_tasks.operations.delivery import Receiver
from luigi_tasks.operations.law import Change, Facts, State, change, changes, next_state_of_host
from luigi_tasks.operations.messages import Failed, Message
from luigi_tasks.operations.outcome import Outcome
from luigi_tasks.tables import Warehouse
from luigi_tasks.texts import printable
from luigi_tasks.urls import redacted
from luigi_tasks.warehouse import KnownMonth

logger = logging.getLogger("luigi-interface.alarms")

#: Seconds to wait for another run that reports on this host.
PATIENCE = 90.0
#: At most so many messages about runs wait on a host.
MOST_MESSAGES = 15


@dataclass(frozen=True)
class _Waiting:
    """A message that some receivers still have to get, and how it is recorded that one got it."""

    message: Message
    created_at: datetime
    receivers: tuple[str, ...]
    record: Callable[[str], None]


def prepare() -> None:
    """Create the file of this host's state, so that it is there when the disk is full."""
    try:
        if delivery.receivers():
            host_state.prepare(config.storage_root())
    except Exception as error:  # noqa: BLE001 - alarms never change the result of a run
        logger.debug("%s isn't prepared: %s", host_state.FILE, error)


def report(opened: Warehouse | None, outcome: Outcome) -> None:
    """Find out what a run has changed, and send what somebody still has to hear.

    :param opened: the warehouse; it isn't asked if the run isn't recorded there.
    """
    try:
        receivers = delivery.receivers()
        if not receivers or stopping.came():
            return
        with ExitStack() as stack:
            _report(opened if outcome.run_id is not None else None, outcome, receivers, stack)
    except Exception as error:  # noqa: BLE001 - alarms never change the result of a run
        _warn("not all alarms were sent", error)


def _report(
    opened: Warehouse | None, outcome: Outcome, receivers: Sequence[Receiver], stack: ExitStack
) -> None:
    digests = [receiver.digest for receiver in receivers]
    host = stack.enter_context(_host_state())
    failed: list[tuple[str | None, str | None]] = []
    waiting: list[_Waiting] = []
    try:
        if opened:
            stack.enter_context(warehouse.alarms_lock(opened))
            if outcome.run_id is not None:
                failed = warehouse.failed_attempts(opened, outcome.run_id)
            warehouse.insert_alarms(opened, _alarms(opened, outcome, digests))
            waiting += _waiting_in(opened, digests)
    except Exception as error:  # noqa: BLE001 - this host's state doesn't need the warehouse
        _warn("alarms about months have to wait", error)
    _note_host(host, outcome, failed, digests)
    waiting += _waiting_of(host, digests)
    waiting.sort(key=lambda each: each.created_at)
    queues = {
        receiver: [(each, each.message) for each in waiting if receiver.digest in each.receivers]
        for receiver in receivers
    }
    for receiver, each in delivery.deliver({r: queue for r, queue in queues.items() if queue}):
        try:
            each.record(receiver.digest)
        except Exception as error:  # noqa: BLE001 - the others are still to be recorded
            _warn("an alarm was sent and may be sent again", error)


# --- months ---------------------------------------------------------------------------------------


def _alarms(opened: Warehouse, outcome: Outcome, digests: Sequence[str]) -> list[dict[str, Any]]:
    """The rows for what has changed about months."""
    known = {each.month: each for each in warehouse.known_months(opened)}
    deadlines = {month: deadline for month, is_overdue, deadline in outcome.expected if is_overdue}
    facts = {
        month: Facts(
            has_failed=month in known and known[month].has_failed,
            is_merged=month in known and known[month].is_merged,
            is_overdue=month in deadlines,
        )
        for month in {*known, *deadlines}
    }
    states = {month: State(each.state) for month, each in known.items()}
    rows = []
    for month, happened, state in changes(states, facts):
        message = _message(month, happened, known.get(month), deadlines)
        rows.append(
            {
                "month": month,
                "state": state.value,
                "change": happened.value,
                "title": message.title,
                "body": message.body,
                "receivers": list(digests),
                "run_id": outcome.run_id,
            }
        )
    return rows


def _message(
    month: Month,
    happened: Change,
    known: KnownMonth | None,
    deadlines: Mapping[Month, date | datetime | None],
) -> Message:
    if happened is Change.MENDED:
        return messages.month_mended(month)
    if happened is Change.ARRIVED:
        return messages.month_arrived(month)
    if happened is Change.OVERDUE:
        deadline, today = deadlines[month], datetime.now(timezone.utc).date()
        day = deadline.date() if isinstance(deadline, datetime) else deadline
        return messages.month_overdue(month, day, today)
    if known is None or known.run_id is None or known.ended_at is None:
        raise ValueError(f"{month} failed, and no attempt did")
    failed = Failed(
        step=known.step or "",
        error=known.error,
        cause=known.cause,
        host=known.host or "an unknown host",
        run_id=known.run_id,
        ended_at=known.ended_at,
    )
    return messages.month_failed(month, failed)


def _waiting_in(opened: Warehouse, digests: Sequence[str]) -> list[_Waiting]:
    def recorder(alarm_id: int) -> Callable[[str], None]:
        return lambda digest: warehouse.record_delivery(opened, alarm_id, digest)

    return [
        _Waiting(
            Message(Change(each.change), each.title, each.body),
            each.created_at,
            each.receivers,
            recorder(each.alarm_id),
        )
        for each in warehouse.pending_alarms(opened, digests)
    ]


# --- this host ------------------------------------------------------------------------------------


class _Forgetful:
    """Stands for the host's state where the disk can't keep it: every fault is heard of."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def save(self) -> None:
        """Nothing can be kept."""


@contextmanager
def _host_state() -> Iterator[host_state.HostState | _Forgetful]:
    with ExitStack() as stack:
        try:
            found: host_state.HostState | _Forgetful = stack.enter_context(
                host_state.opened(config.storage_root(), PATIENCE)
            )
        except (OSError, TaxiError) as error:
            _warn("the state of this host's runs can't be kept", error)
            found = _Forgetful()
        yield found


def _note_host(
    host: host_state.HostState | _Forgetful,
    outcome: Outcome,
    failed: Sequence[tuple[str | None, str | None]],
    digests: Sequence[str],
) -> None:
    """Note how the run has changed the state of this host."""
    passing = [error for cause, error in failed if cause == "passing"]
    is_faulty = outcome.state == "failed" and (
        outcome.is_cause_passing
        or bool(passing)
        or (not failed and not outcome.has_failed_elsewhere)
    )
    states = host.values.setdefault("states", {})
    before = State(states.get(outcome.host, "ok"))
    has_ended = outcome.state in ("succeeded", "failed")
    after = next_state_of_host(before, is_faulty=is_faulty, has_ended=has_ended)
    happened = change(before, after)
    if happened is None:
        return
    error = passing[0] if passing else outcome.error
    is_fault = happened is Change.FAILED
    message = messages.host_failed(outcome, error) if is_fault else messages.host_mended(outcome)
    states[outcome.host] = after.value
    host.values.setdefault("messages", []).append(
        {
            "id": str(uuid.uuid4()),
            "change": message.change.value,
            "title": message.title,
            "body": message.body,
            "receivers": list(digests),
            "created_at": datetime.now(timezone.utc).isoformat(),
        }
    )
    _save(host)


def _waiting_of(host: host_state.HostState | _Forgetful, digests: Sequence[str]) -> list[_Waiting]:
    def recorder(kept: dict[str, Any]) -> Callable[[str], None]:
        def record(digest: str) -> None:
            kept["receivers"].remove(digest)
            _save(host)

        return record

    oldest = datetime.now(timezone.utc) - timedelta(days=warehouse.GIVEN_UP_AFTER)
    return [
        _Waiting(
            Message(Change(each["change"]), each["title"], each["body"]),
            created_at,
            tuple(each["receivers"]),
            recorder(each),
        )
        for each in host.values.get("messages", [])
        if (created_at := datetime.fromisoformat(each["created_at"])) > oldest
        and set(each["receivers"]).intersection(digests)
    ]


def _save(host: host_state.HostState | _Forgetful) -> None:
    """Keep the state, and the newest messages that somebody still has to get."""
    waiting = [each for each in host.values.get("messages", []) if each["receivers"]]
    host.values["messages"] = waiting[-MOST_MESSAGES:]
    try:
        host.save()
    except OSError as error:
        _warn("the state of this host's runs can't be kept", error)


def _warn(what: str, error: Exception) -> None:
    text = str(error) if isinstance(error, (TaxiError, OSError)) else type(error).__name__
    logger.warning("%s: %s", what, printable(redacted(" ".join(text.split()))))
