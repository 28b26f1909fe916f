"""Run a command: its log lines go to Luigi's log, the values that it reports come back.

A line ``::{"outputs": {...}}::`` on its standard output or error reports values; any other line
is logged.
"""

import json
import logging
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from luigi_tasks.errors import TaxiError

logger = logging.getLogger("luigi-interface.runner")

_REPORT = re.compile(r"^::(\{.*\})::$")
#: How many of its last lines an error shows.
SHOWN_LINES = 3


def run(command: Sequence[str | Path], folder: Path) -> dict[str, Any]:
    """Run a command in a working folder, and wait for it.

    It gets a process group of its own, which ends with this call whatever happens.

    :returns: the outputs it reported.
    :raises TaxiError: it can't be started, or its exit code isn't 0; shows its last lines.
    """
    try:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise TaxiError(f"{command[0]} can't be started: {error}") from None
    with process:
        try:
            outputs, last_lines = _listen(process.stdout or ())
            code = process.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if code:
        said = "; ".join(last_lines)
        if code < 0:
            ended = f"{command[0]} was ended by {_signal_name(-code)}"
            said = f"{ended}, after: {said}" if said else ended
        raise TaxiError(said or f"{command[0]} ended with exit code {code}")
    return outputs


def _listen(lines: Iterable[str]) -> tuple[dict[str, Any], deque[str]]:
    outputs: dict[str, Any] = {}
    last_lines: deque[str] = deque(maxlen=SHOWN_LINES)
    for line in map(str.rstrip, lines):
        reported = _reported(line)
        if reported is not None:
            outputs |= reported
        elif line:
            logger.debug(line)
            last_lines.append(line)
    return outputs, last_lines


def _reported(line: str) -> dict[str, Any] | None:
    """The outputs that a line reports; None if it is a line like any other."""
    found = _REPORT.match(line)
    try:
        report = json.loads(found[1]) if found else None
    except ValueError:
        return None
    outputs = report.get("outputs", {}) if report is not None else None
    return outputs if isinstance(outputs, dict) else None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"
