"""How a run ended, for whoever hears of it: alarms, pings and metrics."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import NamedTuple

from luigi.retcodes import retcode

from luigi_tasks.months import Month


class Expected(NamedTuple):
    """A month that isn't published yet: whether it is overdue, and the last day on which it isn't,
    if that is known."""

    month: Month
    is_overdue: bool
    deadline: date | None


@dataclass
class Outcome:
    """A run, as far as it has come.

    ``run_id`` is None where the warehouse couldn't be reached. ``state`` is ``running``,
    ``succeeded``, ``failed`` or ``cancelled``. ``error`` says on one line why it failed.
    ``is_cause_passing`` is whether it met a fault of the machine, the disk, the warehouse or the
    source, so that no month is to blame. ``has_failed_elsewhere`` is whether months failed that
    only other runs have tried. ``expected`` are the unpublished months that it looked at,
    and ``services`` those of which it looked at all months that may be overdue.
    ``ping_id`` is the same at its start and its end.
    """

    command: str
    run_id: int | None = None
    ping_id: str = ""
    host: str = field(default_factory=socket.gethostname)
    exit_code: int | None = None
    state: str = "running"
    error: str | None = None
    is_cause_passing: bool = False
    has_failed_elsewhere: bool = False
    expected: Sequence[Expected] = ()
    services: Sequence[str] = ()
    began: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    ended: datetime | None = None
    summary: str = ""

    @property
    def has_given_way(self) -> bool:
        """Whether it ended in favour of another run."""
        return self.state == "cancelled" and self.exit_code == retcode().not_run

    @property
    def has_ended_well(self) -> bool:
        """Whether nothing failed; a month may not be published yet."""
        return self.state == "succeeded"
