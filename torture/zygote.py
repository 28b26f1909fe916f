"""Runs commands in forks of ``torture/worker.py``, one by one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, or the number of the signal that ended it, negative."""

    code: int
    output: str
    was_stuck: bool


class Zygote:
    """A Python that has imported everything, which forks for each command."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "torture.worker", str(other.fileno())],
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )

    def close(self) -> None:
        self._channel.close()
        self._process.wait()

    def run(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        is_forking: bool,
        timeout: float,
    ) -> Ended:
        """Run a command until it and its output end; one that takes too long is killed."""
        output, into_output = os.pipe()
        status, into_status = os.pipe()
        order = json.dumps([list(words), str(folder), dict(environment), is_forking]).encode()
        socket.send_fds(self._channel, [order], [into_output, into_status])
        os.close(into_output)
        os.close(into_status)
        with open(output, errors="replace") as printed, open(status) as told:  # noqa: PTH123
            number = int(told.readline())
            is_stuck = threading.Event()

            def end() -> None:
                is_stuck.set()
                os.kill(number, signal.SIGKILL)

            limit = threading.Timer(timeout, end)
            limit.start()
            try:
                text = printed.read()
                code = os.waitstatus_to_exitcode(int(told.readline()))
                return Ended(code, text, is_stuck.is_set())
            finally:
                limit.cancel()
