"""The points at which a run is disturbed: every message, file call and request, in every way."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from torture.proxy import Seen

#: How a message to or from the database is spoiled.
OF_MESSAGES = ("before", "within", "after", "late", "restart")
#: How an answer of the source is.
OF_REQUESTS = (
    *("hangup", "reset", "half-head", "stall", "not-http"),
    *("401", "403", "404", "416", "429", "500", "503"),
)
OF_BODIES = ("cut", "cut-reset", "stall-body", "garbage", "page")
#: Calls of one operation and path up to which each has its points.
MOST_CALLS = 8
_NEEDS_ROOM = ("create", "write", "fsync", "rename", "mkdir", "symlink")


@dataclass(frozen=True, order=True)
class Point:
    """A call of a scenario's run, and how it fails.

    Its id has the scenario and its way, the kind of call, the call, and how, such as
    ``first/chain/db/c2>17/after``.
    """

    scenario: str
    kind: str
    call: str
    how: str

    @property
    def id(self) -> str:
        return f"{self.scenario}/{self.kind}/{self.call}/{self.how}"

    @classmethod
    def parse(cls, text: str) -> Point:
        """The point of an id.

        :raises ValueError: it isn't one.
        """
        words = text.split("/")
        if len(words) != 5:
            raise ValueError(f"{text} is no point: scenario/way/kind/call/how")
        return cls("/".join(words[:2]), *words[2:])


@dataclass(frozen=True)
class Call:
    """A call to the file system: the ``number``th one of an operation and a path, by worker or
    transform."""

    role: str
    operation: str
    path: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.role}:{self.operation}:{self.path.replace('/', '~')}:{self.number}"

    @classmethod
    def parse(cls, name: str) -> Call:
        role, operation, path, number = name.split(":")
        return cls(role, operation, path.replace("~", "/"), int(number))

    @property
    def ways(self) -> Iterator[str]:
        """In which ways it can fail."""
        if self.operation in _NEEDS_ROOM:
            yield from ("ENOSPC", "FULL")
        yield "EIO"
        if self.operation not in ("write", "fsync", "truncate"):
            yield "EACCES"
        yield from ("KILL-BEFORE", "KILL-AFTER")
        if self.operation == "write":
            yield "KILL-HALF"


def of_messages(scenario: str, seen: Sequence[Seen]) -> Iterator[Point]:
    """All points of the messages of a run.

    What is sent to a broken client doesn't differ by the row at which it breaks: of a row of
    messages of one type in an answer, the first and the last stand for all. After one message and
    before the next one of an answer is the same byte. When the server has sent an answer, it
    doesn't matter at which of its messages it is restarted, or the client waits.
    """
    by_connection: dict[str, list[Seen]] = {}
    for each in seen:
        by_connection.setdefault(each.name.partition(">")[0].partition("<")[0], []).append(each)
    for messages in by_connection.values():
        for is_client, burst in groupby(messages, key=lambda each: ">" in each.name):
            if is_client:
                for each in burst:
                    yield from (Point(scenario, "db", each.name, how) for how in OF_MESSAGES)
                continue
            answer = _thinned(list(burst))
            for number, each in enumerate(answer):
                first, last = number == 0, number == len(answer) - 1
                for how in OF_MESSAGES:
                    if (how == "after" and not last) or (how in ("late", "restart") and not first):
                        continue
                    yield Point(scenario, "db", each.name, how)


def _thinned(answer: list[Seen]) -> list[Seen]:
    """An answer without the inner ones of messages of one type in a row."""
    kept: list[Seen] = []
    for _, same in groupby(answer, key=lambda each: each.what[:1]):
        row = list(same)
        kept += row if len(row) < 3 else [row[0], row[-1]]
    return kept


def of_calls(scenario: str, calls: Sequence[Call]) -> Iterator[Point]:
    """All points of the calls to the file system; of many writes to one file, the first three, the
    one in the middle and the last three stand for all."""
    most: dict[tuple[str, str, str], int] = {}
    for call in calls:
        key = call.role, call.operation, call.path
        most[key] = max(most.get(key, 0), call.number)
    for call in calls:
        last = most[call.role, call.operation, call.path]
        if last > MOST_CALLS and call.number not in (1, 2, 3, last // 2, last - 2, last - 1, last):
            continue
        for how in call.ways:
            yield Point(scenario, "files", call.name, how)


def of_requests(scenario: str, methods: Sequence[str]) -> Iterator[Point]:
    """All points of the requests of a run, which are named by their numbers and methods."""
    for number, method in enumerate(methods, 1):
        ways = OF_REQUESTS + (OF_BODIES if method == "GET" else ())
        for how in ways:
            yield Point(scenario, "source", f"{number}{method}", how)


def shuffled(points: Iterable[Point], seed: int) -> list[Point]:
    """Points in an order of their own, which a seed repeats; each scenario and kind has its part
    at any time."""
    ordered = sorted(points)
    random.Random(seed).shuffle(ordered)  # noqa: S311 - it isn't for a secret
    return ordered
