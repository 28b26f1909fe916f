"""Run luigi's command line and have it wait, for ten minutes, at some point of its work.

    python tests/stopped_at.py POINT <arguments of luigi>

A point is a file of sql/, before which the server sleeps; or ``copy``, in which this process does.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from luigi.cmdline import luigi_run

from luigi_tasks import chunks, warehouse

SECONDS = 600


def sleep_before(point: str) -> None:
    render = warehouse._render

    def patched(cursor: Any, file: str, **names: Any) -> str:
        statement = render(cursor, file, **names)
        return f"SELECT pg_sleep({SECONDS});\n{statement}" if file == point else statement

    warehouse._render = patched


def sleep_in_copy() -> None:
    def slow_next(*_: Any) -> None:
        print("copying", flush=True)
        time.sleep(SECONDS)

    chunks.next = slow_next  # type: ignore[attr-defined]


def main() -> None:
    point, *arguments = sys.argv[1:]
    if point == "copy":
        sleep_in_copy()
    else:
        sleep_before(point)
    luigi_run(arguments)


if __name__ == "__main__":
    main()
