"""What a command says: reports of values and metrics, log lines, and anything else.

A line ``::{...}::`` on its standard output or error is a report. It is a JSON object with one or
more of

    outputs   an object of values
    metrics   [{"name", "type": "counter" | "timer" | "gauge", "value", "tags"}]
    logs      [{"level", "message"}]

as the package ``kestra`` prints them, so a script that was written with it runs here unchanged.
"""

import functools
import json
import logging
import math
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from luigi_tasks.texts import printable

logger = logging.getLogger("luigi-interface.runner")

_REPORT = re.compile(r"::(\{.*\})::")
#: How many of its last lines an error shows.
SHOWN_LINES = 3
LONGEST_SHOWN = 1_000
#: Bytes after which a line without an end is taken as it is.
LONGEST_LINE = 1 << 20
#: How deep the values of a report may be nested.
DEEPEST = 100
LEVELS = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}


class Reports:
    """Collects what a command reports, and logs the rest.

    ``outputs`` has the last value of each name. ``metrics`` has one entry for each name, type and
    tags: counters and timers add up, of a gauge the last value stays. ``level`` is that of lines
    which aren't reports.
    """

    def __init__(self, label: str, level: int = logging.INFO) -> None:
        self.outputs: dict[str, Any] = {}
        self._last: dict[bool, deque[str]] = {
            is_error: deque(maxlen=SHOWN_LINES) for is_error in (False, True)
        }
        self._metrics: dict[str, dict[str, Any]] = {}
        self._label, self._level = label, level
        self._lock = threading.Lock()

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return list(self._metrics.values())

    @property
    def last_lines(self) -> list[str]:
        """The last lines that were logged, those of standard error at the end."""
        return [*self._last[False], *self._last[True]][-SHOWN_LINES:]

    def take_error(self, line: str) -> None:
        """Take a line of standard error."""
        self.take(line, is_error=True)

    def take(self, line: str, *, is_error: bool = False) -> None:
        """Take a line of any of the command's streams; threads may do so at once."""
        # a progress bar ends its lines by \r
        for part in map(str.rstrip, line.split("\r")):
            found = _REPORT.fullmatch(part)
            with self._lock:
                if found and not self._report(found[1], is_error):
                    self._log(logging.WARNING, f"no report that can be read: {part}", is_error)
                elif part and not found:
                    self._log(self._level, part, is_error)

    def _report(self, text: str, is_error: bool) -> bool:
        """Take a report, the parts of it that are as they must be; tell whether all of it is."""
        try:
            report = _clean(json.loads(text))
        except (ValueError, RecursionError):
            return False
        taken = set()
        outputs = report.get("outputs")
        if isinstance(outputs, dict):
            self.outputs |= outputs
            taken.add("outputs")
        say = functools.partial(self._say, is_error)
        for part, take in (("metrics", self._measure), ("logs", say)):
            entries = report.get(part)
            if isinstance(entries, list):
                good = [entry for entry in entries if isinstance(entry, dict) and take(entry)]
                taken |= {part} if len(good) == len(entries) else set()
        return bool(taken == report.keys())

    def _measure(self, metric: dict[str, Any]) -> bool:
        name, kind, value = metric.get("name"), metric.get("type"), metric.get("value")
        tags = metric.get("tags") or {}
        if kind not in ("counter", "timer", "gauge") or not isinstance(name, str):
            return False
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        known = self._metrics.get(key := json.dumps([name, kind, tags], sort_keys=True))
        try:
            if known and kind != "gauge":
                value = known["value"] + value
            if not math.isfinite(value):
                return False
        except OverflowError:
            return False
        self._metrics[key] = {"name": name, "type": kind, "value": value, "tags": tags}
        return True

    def _say(self, is_error: bool, entry: dict[str, Any]) -> bool:
        level, message = LEVELS.get(str(entry.get("level")).upper()), entry.get("message")
        if level is None or not isinstance(message, str):
            return False
        for line in message.splitlines():
            self._log(level, line, is_error)
        return True

    def _log(self, level: int, line: str, is_error: bool) -> None:
        line = printable(line)
        logger.log(level, "%s: %s", self._label, line)
        if any(map(str.isalnum, line)):  # Python underlines what is wrong
            self._last[is_error].append(line[:LONGEST_SHOWN])


class Lines:
    """Puts the bytes of one stream together to lines, whatever pieces they come in."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = bytearray()

    def feed(self, piece: bytes) -> None:
        *ended, rest = piece.split(b"\n")
        for line in ended:
            self._rest += line
            self.end()
        self._rest += rest
        if len(self._rest) >= LONGEST_LINE:
            self.end()

    def end(self) -> None:
        """Take what there is of a line as a line."""
        line, self._rest = bytes(self._rest), bytearray()
        self._take(line.decode(errors="replace"))


def _clean(value: Any, depth: int = 0) -> Any:
    """A value as PostgreSQL's jsonb can have it.

    :raises ValueError: it's nested too deep for whoever reads it.
    """
    if depth > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST}")
    if isinstance(value, dict):
        return {_clean(name): _clean(each, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_clean(each, depth + 1) for each in value]
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
