"""The output of a command: reports of values and metrics, log entries, and other lines.

A line ``::{...}::`` on standard output or standard error is a report. It is a JSON object with one
or more of

    outputs   an object of values
    metrics   [{"name", "type": "counter" | "timer" | "gauge", "value", "tags"}]
    logs      [{"level", "message"}]

as the package ``kestra`` prints them, so a script that uses it runs here unchanged.
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
#: How many of the last lines an error shows, and how many characters of each.
SHOWN_LINES = 3
LONGEST_SHOWN = 1_000
#: Bytes after which a line is cut.
LONGEST_LINE = 1 << 20
#: How many characters of a command are logged, and how many of reports are kept: a command that
#: prints without end would fill the disk of the log, or the memory of whoever listens.
MOST_LOGGED, MOST_REPORTED = 1 << 25, 1 << 24
#: How deep the values of a report may be nested; the readers of deeper JSON give up.
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
    """Collects the reports of a command, and logs its other lines.

    ``outputs`` has the last value of each name. ``metrics`` has one entry for each name, type and
    tags: counters and timers are summed, and a gauge has its last value. ``level`` is the log level
    of lines that aren't reports.
    """

    def __init__(self, label: str, level: int = logging.INFO) -> None:
        self.outputs: dict[str, Any] = {}
        self._last: dict[bool, deque[str]] = {
            is_error: deque(maxlen=SHOWN_LINES) for is_error in (False, True)
        }
        self._metrics: dict[str, dict[str, Any]] = {}
        self._label, self._level = label, level
        self._logged = self._reported = 0
        self._lock = threading.Lock()

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return list(self._metrics.values())

    @property
    def last_lines(self) -> list[str]:
        """The last lines that were logged, those of standard error at the end."""
        return [*self._last[False], *self._last[True]][-SHOWN_LINES:]

    def add_error_line(self, line: str) -> None:
        """Process a line of standard error."""
        self.add_line(line, is_error=True)

    def add_line(self, line: str, *, is_error: bool = False) -> None:
        """Process a line of standard output or error; several threads may call this at once."""
        # a progress bar ends its lines by \r
        for part in map(str.rstrip, line.split("\r")):
            found = _REPORT.fullmatch(part)
            with self._lock:
                if found and not self._add_report(found[1], is_error):
                    self._log(logging.WARNING, f"unreadable report: {part}", is_error)
                elif part and not found:
                    self._log(self._level, part, is_error)

    def _add_report(self, text: str, is_error: bool) -> bool:
        """Add the valid parts of a report, and return whether all of them are."""
        self._reported += len(text)
        if self._reported > MOST_REPORTED:
            return False
        try:
            report = _clean(json.loads(text))
        except (ValueError, RecursionError):
            return False
        valid = set()
        outputs = report.get("outputs")
        if isinstance(outputs, dict):
            self.outputs |= outputs
            valid.add("outputs")
        log_entry = functools.partial(self._log_entry, is_error)
        for part, add in (("metrics", self._add_metric), ("logs", log_entry)):
            entries = report.get(part)
            if isinstance(entries, list):
                added = [entry for entry in entries if isinstance(entry, dict) and add(entry)]
                valid |= {part} if len(added) == len(entries) else set()
        return bool(valid == report.keys())

    def _add_metric(self, metric: dict[str, Any]) -> bool:
        """Add a metric, and return whether it is valid."""
        name, metric_type, value = metric.get("name"), metric.get("type"), metric.get("value")
        tags = metric.get("tags") or {}
        if metric_type not in ("counter", "timer", "gauge") or not isinstance(name, str):
            return False
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        known = self._metrics.get(key := json.dumps([name, metric_type, tags], sort_keys=True))
        try:
            if known and metric_type != "gauge":
                value = known["value"] + value
            if not math.isfinite(value):
                return False
        except OverflowError:
            return False
        self._metrics[key] = {"name": name, "type": metric_type, "value": value, "tags": tags}
        return True

    def _log_entry(self, is_error: bool, entry: dict[str, Any]) -> bool:
        """Log an entry of ``logs``, and return whether it is valid."""
        level, message = LEVELS.get(str(entry.get("level")).upper()), entry.get("message")
        if level is None or not isinstance(message, str):
            return False
        for line in message.splitlines():
            self._log(level, line, is_error)
        return True

    def _log(self, level: int, line: str, is_error: bool) -> None:
        is_first = self._logged <= MOST_LOGGED
        self._logged += len(line)
        line = printable(line)
        if self._logged <= MOST_LOGGED:
            logger.log(level, "%s: %s", self._label, line)
        elif is_first:
            limit = f"{MOST_LOGGED:,}"
            logger.warning(
                "%s: it printed more than %s characters; the rest isn't logged", self._label, limit
            )
        if any(map(str.isalnum, line)):  # a traceback underlines the code with ^^^^
            self._last[is_error].append(line[:LONGEST_SHOWN])


class Lines:
    """Splits a stream of bytes, which comes in pieces of any size, into lines."""

    def __init__(self, add_line: Callable[[str], None]) -> None:
        self._add_line = add_line
        self._rest = bytearray()

    def feed(self, piece: bytes) -> None:
        """Add the lines that end in a piece; its rest begins the next one."""
        *ended, rest = piece.split(b"\n")
        for line in ended:
            self._rest += line
            self.end()
        self._rest += rest
        if len(self._rest) >= LONGEST_LINE:
            self.end()

    def end(self) -> None:
        """Add the bytes since the last line as a line."""
        line, self._rest = bytes(self._rest), bytearray()
        self._add_line(line.decode(errors="replace"))


def _clean(value: Any, depth: int = 0) -> Any:
    """Return a JSON value as PostgreSQL's ``jsonb`` accepts it.

    :raises ValueError: it is nested deeper than DEEPEST.
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
