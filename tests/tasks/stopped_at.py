"""Run luigi's command line and have it wait, for ten minutes, at some point of its work.

    python tests/stopped_at.py POINT <arguments of luigi>

A point is a file of sql/, before which the server sleeps; ``copy``, in which this process does; or
``stubborn``, where it does so though it's stopped.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from luigi.cmdline import luigi_run

from luigi_tasks import chunks, stopping, storage
from luigi_tasks.warehouse import sql

SECONDS = 600


def sleep_before(point: str) -> None:
    render = sql.render

    def patched(cursor: Any, file: str, **names: Any) -> str:
        statement = render(cursor, file, **names)
        return f"SELECT pg_sleep({SECONDS});\n{statement}" if file == point else statement

    sql.render = patched


def sleep_in_copy() -> None:
    def slow_next(*_: Any) -> None:
        print("copying", flush=True)
        time.sleep(SECONDS)

    chunks.next = slow_next  # type: ignore[attr-defined]


def go_on_stubbornly() -> None:
    """Wait while a month is read, and go on waiting, as for a drive that doesn't answer."""

    def patched(*_: Any, **__: Any) -> None:
        print("stubborn", flush=True)
        with stopping.undisturbed():
            for _ in range(SECONDS):
                time.sleep(1)
                print("going on", flush=True)

    storage.MonthFiles.keep = patched  # type: ignore[method-assign]


def main() -> None:
    point, *arguments = sys.argv[1:]
    if point == "copy":
        sleep_in_copy()
    elif point == "stubborn":
        go_on_stubbornly()
    else:
        sleep_before(point)
    luigi_run(arguments)


if __name__ == "__main__":
    main()
