"""The end of a run: its last line, its row, and whoever is to hear of it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from luigi_tasks.errors import TaxiError
from luigi_tasks.operations import runs
from luigi_tasks.operations.summary import summarise

logger = logging.getLogger("luigi-interface.runs")

#: Called at the end of a run with its last line, and whether there is anything to it.
listeners: list[Callable[[str, bool], None]] = []


def end(state: str, exit_code: int | None, error: str | None = None) -> None:
    """End this process's run, and say what it did.

    :param state: ``succeeded``, ``failed`` or ``cancelled``.
    :param error: why the run itself failed, on one line.
    """
    run = runs.current()
    if run is None:
        return
    line, has_news = "", False
    if state != "cancelled" and run.run_id is not None:
        try:
            line, has_news = summarise(run)
        except TaxiError as unknown:
            logger.info("the run can't be summed up: %s", unknown)
    runs.end(state, exit_code, error)
    if line:
        logger.info("%s", line)
    for listener in listeners:
        listener(line, has_news)
