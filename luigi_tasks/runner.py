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
        reason = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        raise TaxiError("; ".join(last_lines) or f"{command[0]} ended with {reason}")
    return outputs


def _listen(lines: Iterable[str]) -> tuple[dict[str, Any], deque[str]]:
    outputs: dict[str, Any] = {}
    last_lines: deque[str] = deque(maxlen=SHOWN_LINES)
    for line in map(str.rstrip, lines):
        reported = _REPORT.match(line)
        if reported:
            outputs |= json.loads(reported[1]).get("outputs", {})
        elif line:
            logger.debug(line)
            last_lines.append(line)
    return outputs, last_lines
