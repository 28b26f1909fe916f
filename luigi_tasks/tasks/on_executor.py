"""A month on an executor of Spark: what ``python -m luigi_tasks.tasks.on_executor`` does.

One line of JSON comes on standard input: the task, its parameters, and the settings of the driver,
which has no other way to hand over a secret unseen. When the input ends, the executor has died, and
this process ends as well. The last line of standard output is the result; the log goes to standard
error, which Spark keeps for the executor.
"""

import importlib
import json
import logging
import os
import signal
import sys
import threading
from importlib.metadata import version
from typing import Any

from luigi.task_register import Register

from luigi_tasks import config, stopping
from luigi_tasks.errors import GivenWayError, TaxiError
from luigi_tasks.operations import logs, runs

logger = logging.getLogger("luigi-interface.spark")

#: Warnings of a month that are shown in the driver's log, too.
MOST_WARNINGS = 20
FAILED = 30  # what luigi exits with, too


class _Warnings(logging.Handler):
    """Keeps warnings for the driver."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.messages) < MOST_WARNINGS and record.levelno == logging.WARNING:
            self.messages.append(record.getMessage())


def main() -> int:
    """Load the month that standard input names; the exit code is 0, or 30 if that fails."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    stopping.install()
    given = json.loads(_read_line())
    threading.Thread(target=_end_with_executor, daemon=True).start()
    warnings = _log(given["log_level"])
    result = {"warnings": warnings.messages, **_work(given)}
    print(json.dumps(result), file=results, flush=True)
    return 0 if result["state"] == "loaded" else FAILED


def _read_line() -> bytes:
    """The first line of standard input, without a buffer that a thread could hold on to."""
    read = b""
    while not read.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            sys.exit(FAILED)
        read += piece
    return read


def _end_with_executor() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _log(level: int) -> _Warnings:
    warnings = _Warnings()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
    interface = logging.getLogger("luigi-interface")
    interface.handlers = [handler, warnings]
    interface.setLevel(level)
    interface.propagate = False
    return warnings


def _work(given: dict[str, Any]) -> dict[str, Any]:
    """Do the task of the month; its result as the driver gets it."""
    here = version("luigi-tasks")
    if given["version"] != here:
        driver = given["version"]
        error = f"luigi_tasks is {here} there, and {driver} where TaxiSpark runs; install the same"
        return {"state": "failed", "error": error, "is_recorded": False}
    handed = config.Handover(**given["settings"])
    is_recorded = False
    try:
        importlib.import_module(given["task_module"])
        with config.take_over(handed, given["task"]):
            runs.join(given["run_id"], given["task"])
            parameters = {**given["parameters"], given["month_parameter"]: given["month"]}
            task: Any = Register.get_task_cls(given["task"])(**parameters)
            results: list[str] = []
            task.set_status_message = results.append
            with logs.month_context(task.taxi_month):
                if task.complete():
                    return {"state": "loaded", "message": "was complete"}
                is_recorded = True
                task.run()
        return {"state": "loaded", "message": results[-1] if results else "done"}
    except Exception as error:
        stopping.check()
        if not isinstance(error, TaxiError):
            logger.exception("%s", given["month"])
        state = "gave way" if isinstance(error, GivenWayError) else "failed"
        return {"state": state, "error": runs.one_line(error), "is_recorded": is_recorded}


if __name__ == "__main__":
    sys.exit(main())
