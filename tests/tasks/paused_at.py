"""Run a command of this project, and have it pause at a point of its work until a file says go.

    python tests/tasks/paused_at.py POINT FOLDER luigi <arguments>
    python tests/tasks/paused_at.py POINT FOLDER luigi-tasks run <arguments>

At the point it makes the file ``paused`` in the folder, and waits for the file ``go``. It pauses
once.
"""

from __future__ import annotations

import functools
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from luigi.cmdline import luigi_run

from luigi_tasks import chunks, warehouse
from luigi_tasks.__main__ import luigi_tasks
from luigi_tasks.operations import due, reporting
from luigi_tasks.source import http, local
from luigi_tasks.source.part import Part
from luigi_tasks.tasks.transform_job import TransformJob
from luigi_tasks.warehouse import merging, sql, staging

FOLDER = Path(sys.argv[2])
#: Seconds that the server works at the point ``working``.
WORKING = 300


def pause() -> None:
    (FOLDER / "paused").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.02)


def before(owner: Any, name: str) -> None:
    """Pause when a function is called."""
    _wrap(owner, name, pause, lambda: None)


def after(owner: Any, name: str) -> None:
    """Pause when a function is done."""
    _wrap(owner, name, lambda: None, pause)


def _wrap(owner: Any, name: str, first: Callable[[], None], last: Callable[[], None]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def patched(*args: Any, **kwargs: Any) -> Any:
        first()
        returned = original(*args, **kwargs)
        last()
        return returned

    setattr(owner, name, patched)


def download() -> None:
    """Half a file has come."""

    def halved(original: Callable[[Any], Iterator[bytes]]) -> Callable[[Any], Iterator[bytes]]:
        def patched(origin: Any) -> Iterator[bytes]:
            whole = b"".join(original(origin))
            yield whole[: len(whole) // 2]
            pause()
            yield whole[len(whole) // 2 :]

        return patched

    http._body = halved(http._body)
    local._pieces = halved(local._pieces)


def copy() -> None:
    """A tenth of a small month is copied."""
    read, times = chunks.Chunks.read, itertools.count(1)

    def patched(file: Any, size: int) -> bytes:
        if next(times) == 2:
            pause()
        return bytes(read(file, min(size, 10_000)))

    chunks.Chunks.read = patched  # type: ignore[method-assign]


def working() -> None:
    """The server works on a statement of the merge."""
    render, times = sql.render, itertools.count(1)

    def patched(cursor: Any, file: str, **names: Any) -> str:
        statement = render(cursor, file, **names)
        if file == "merge/count_staged.sql" and next(times) == 1:
            (FOLDER / "paused").touch()
            return f"SELECT pg_sleep({WORKING});\n{statement}"
        return statement

    sql.render = patched


POINTS: dict[str, Callable[[], None]] = {
    "asking": lambda: before(due, "due_months"),
    "download": download,
    "downloaded": lambda: before(Part, "verify"),
    "transformed": lambda: after(TransformJob, "run"),
    "copy": copy,
    "staging": lambda: before(staging, "set_marker"),
    "merge": lambda: before(merging, "set_marker"),
    "working": working,
    "merged": lambda: after(warehouse, "merge"),
    "reporting": lambda: before(reporting, "summarise"),
    "nowhere": lambda: None,
}


def main() -> None:
    POINTS[sys.argv[1]]()
    program, *arguments = sys.argv[3:]
    if Path(program).name == "luigi":
        luigi_run(arguments)
    else:
        sys.argv = [program, *arguments]
        luigi_tasks()


if __name__ == "__main__":
    main()
