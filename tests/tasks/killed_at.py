"""Run luigi's command line in this process and kill it at some point of its work.

    python tests/killed_at.py POINT <arguments of luigi>

At most points the process kills itself by SIGKILL, as the kernel does when memory runs out: no
handler runs, no file is closed. The first month that comes by the point dies there.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from luigi.cmdline import luigi_run

from luigi_tasks import chunks, config, formats, records, storage, warehouse
from luigi_tasks.runner import process
from luigi_tasks.source import http, local
from luigi_tasks.source.part import Part
from luigi_tasks.tasks import ranges
from luigi_tasks.warehouse import connection, merging, staging

POINTS: dict[str, Callable[[], None]] = {}


def point(prepare: Callable[[], None]) -> Callable[[], None]:
    """Offer a point by its function's name; the function patches what is to die there."""
    POINTS[prepare.__name__] = prepare
    return prepare


def die() -> None:
    """End this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Die when a function is called."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def patched(*args: Any, **kwargs: Any) -> Any:
        if when(*args, **kwargs):
            die()
        return original(*args, **kwargs)

    setattr(owner, name, patched)


def after(owner: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Die when a function is done."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def patched(*args: Any, **kwargs: Any) -> Any:
        returned = original(*args, **kwargs)
        if when(*args, **kwargs):
            die()
        return returned

    setattr(owner, name, patched)


@point
def half_a_download() -> None:
    def halved(original: Callable[[Any], Iterator[bytes]]) -> Callable[[Any], Iterator[bytes]]:
        def patched(origin: Any) -> Iterator[bytes]:
            whole = b"".join(original(origin))
            yield whole[: len(whole) // 2]
            die()
            yield whole[len(whole) // 2 :]

        return patched

    http._body = halved(http._body)
    local._pieces = halved(local._pieces)


@point
def download_not_yet_verified() -> None:
    before(Part, "verify")


@point
def download_without_its_record() -> None:
    before(Part, "publish")


@point
def record_without_its_download() -> None:
    after(records, "write", lambda path, _: path.name.endswith(".edition.json"))


@point
def download_with_its_name() -> None:
    after(Part, "publish")


def with_each_job(act: Callable[[int], None]) -> None:
    """Do something with the number of each job's process, which has just begun."""
    begin = process.JobProcess.__init__

    def patched(self: Any, job: Any, started: Any, *args: Any, **kwargs: Any) -> None:
        act(started.pid)
        begin(self, job, started, *args, **kwargs)

    process.JobProcess.__init__ = patched


@point
def transform_running() -> None:
    def patched(_: int) -> None:
        time.sleep(0.25)  # it has begun
        die()

    with_each_job(patched)


@point
def child_of_the_transform() -> None:
    """Kill the first transform, not this process."""
    times = itertools.count(1)

    def kill_first(number: int) -> None:
        if next(times) == 1:
            os.kill(number, signal.SIGKILL)

    with_each_job(kill_first)


@point
def transform_in_the_middle_of_copy() -> None:
    """Kill the first transform, not this process, when the rows that it sends are to be copied."""
    read, started = formats.read_trips, []
    with_each_job(started.append)

    def reading(*args: Any) -> Any:
        trips = read(*args)
        if len(started) == 1:
            os.kill(started[0], signal.SIGKILL)
        return trips

    formats.read_trips = reading


@point
def rejects_not_yet_kept() -> None:
    before(storage.MonthFiles, "keep_rejects")


@point
def transform_done() -> None:
    before(storage.MonthFiles, "keep")


@point
def load_without_its_trips() -> None:
    after(records, "write", lambda path, _: path.name.endswith(".load.json"))


@point
def transform_kept() -> None:
    after(storage.MonthFiles, "keep")


def in_the_middle_of_copy(kill: Callable[[], None]) -> None:
    """Kill when the fifth piece is asked for; a piece is a tenth of a small month."""
    read, times = chunks.Chunks.read, itertools.count(1)

    def patched(file: Any, size: int) -> bytes:
        if next(times) == 5:
            kill()
        return bytes(read(file, min(size, 10_000)))

    chunks.Chunks.read = patched  # type: ignore[method-assign]


@point
def middle_of_copy() -> None:
    in_the_middle_of_copy(die)


@point
def server_in_the_middle_of_copy() -> None:
    """Kill the embedded server, not this process."""

    def kill_server() -> None:
        root = Path(config.storage().render("root"))
        postmaster = (root / "warehouse" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGKILL)
        time.sleep(1)  # its children see that it is gone

    in_the_middle_of_copy(kill_server)


@point
def staging_before_its_commit() -> None:
    after(staging, "set_marker")


@point
def staging_committed() -> None:
    after(warehouse, "stage")


@point
def middle_of_merge() -> None:
    merges = itertools.count(1)
    after(merging, "execute", lambda _, file, **__: file == "merge/merge.sql" and next(merges) == 2)


@point
def middle_of_refresh() -> None:
    after(merging, "execute", lambda _, file, **__: file == "merge/remove_replaced.sql")


@point
def merge_before_its_commit() -> None:
    after(merging, "set_marker")


@point
def merge_committed() -> None:
    after(warehouse, "merge")


@point
def raw_file_removed() -> None:
    after(storage.MonthFiles, "remove_raw")


@point
def middle_of_clean_up() -> None:
    remove = storage.MonthFiles.remove

    def patched(files: storage.MonthFiles) -> None:
        files.trips.unlink()
        die()
        remove(files)

    storage.MonthFiles.remove = patched  # type: ignore[method-assign]


@point
def clean_up_done() -> None:
    after(storage.MonthFiles, "remove")


@point
def all_but_the_range() -> None:
    before(ranges.RangeMonthly, "run")


@point
def old_server() -> None:
    """Take the server for one that is too old."""
    connection.OLDEST_SERVER = 990000


def main() -> None:
    name, *arguments = sys.argv[1:]
    POINTS[name]()
    luigi_run(arguments)


if __name__ == "__main__":
    main()
