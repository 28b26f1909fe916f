"""What an executor does with a month: it runs a module of this package in a process of its own.

Spark's Python imports this module by its name, so it is as small as can be.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

#: How the variables begin that are Spark's own, or would be read as settings.
_LEFT_OUT = ("SPARK_", "PYSPARK_", "PYTHON_WORKER_", "LUIGI_")


@dataclass(frozen=True)
class MonthWork:
    """What is to be done with each month. It is pickled, and never shown: ``given`` has secrets.

    ``module`` reads one line of JSON from its standard input, ``given`` with the month, and ends
    when that input does; the last line of its standard output is the result, as JSON.
    """

    module: str
    given: Mapping[str, Any] = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __call__(self, month: str) -> dict[str, Any]:
        """Do it, and return the module's result with ``month``, ``host`` and ``seconds``."""
        began = time.monotonic()
        code, printed = self._run(json.dumps({**self.given, "month": month}))
        result = {"state": "failed", "error": f"its process {_ending(code)}", "is_recorded": False}
        with suppress(ValueError, IndexError):
            result = json.loads(printed.splitlines()[-1])
        facts = {"month": month, "host": socket.gethostname(), "seconds": time.monotonic() - began}
        return {**result, **facts}

    def _run(self, line: str) -> tuple[int, str]:
        """Run the module; its exit code, and what it printed.

        The pipe to it stays open as long as this process lives: it ends with an executor that is
        killed, and the module with it.
        """
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)
        }
        with subprocess.Popen(
            [sys.executable, "-m", self.module],
            env={**environment, **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdin is not None  # noqa: S101 - for mypy
            assert process.stdout is not None  # noqa: S101
            try:
                with suppress(BrokenPipeError):
                    process.stdin.write(f"{line}\n")
                    process.stdin.flush()
                printed = process.stdout.read()
                code = process.wait()
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return code, printed


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
