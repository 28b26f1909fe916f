"""Where the time of a month goes.

A month is loaded by the real command into a server of its own, which logs how long each statement
takes. Then what Python does in two of the steps is repeated by itself, under cProfile.
"""

import argparse
import cProfile
import pstats
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile

import psutil

from bench import ours
from bench.bench import scratch
from bench.inputs import Month, made_up
from bench.report import Table
from bench.running import ROOT, CommandError
from bench.server import Cpu, Server, cpu_of, embedded_server, new_storage
from luigi_tasks import transform
from luigi_tasks.formats import open_trips
from luigi_tasks.warehouse import encoding
from luigi_tasks.warehouse.counting import Counts

#: What luigi says at the end of each step.
_ENDS = {
    "start, look what is there": r"Informed scheduler that task",
    "download": r": fetched [\d,]+ bytes",
    "transform": r": read [\d,]+ rows",
    "stage": r": staged [\d,]+ rows",
    "merge": r": inserted [\d,]+ rows",
}
#: A line of the server's log that tells a statement's milliseconds, by log_line_prefix.
_TIMED = re.compile(r"^.{20,40}? LOG:  duration: ([\d.]+) ms  statement: (.*)", re.DOTALL)
_SLOWEST = 15


@dataclass(frozen=True)
class Moment:
    """The clock, and what processes had taken by then."""

    seconds: float
    luigi: Cpu
    children: Cpu
    server: Cpu


@dataclass
class Statement:
    """A statement of ours, and how long all of its calls took."""

    task: str
    text: str
    calls: int = 0
    seconds: float = 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/profile", description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000, metavar="N", help="of the month")
    parser.add_argument("--again", action="store_true", help="load a month that is there already")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "bench", metavar="DIR")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    [month] = made_up(options.data.resolve(), options.rows)
    print(f"yellow, {month.rows:,} rows\n")
    with new_storage() as root, embedded_server(root) as server, scratch() as folder:
        pipeline = ours.Pipeline(month.parquet.parent, root, server.url)
        if options.again:
            _watched(pipeline.merge(month), server, folder)
            ours.forget(server, month)
        log = root / "warehouse" / "log"
        server.query("ALTER DATABASE postgres SET log_min_duration_statement = 0")
        before = log.stat().st_size
        moments = _watched([*pipeline.merge(month), "--log-level=DEBUG"], server, folder)
        with log.open(errors="replace") as lines:
            lines.seek(before)
            statements = _statements(lines)
    print(_steps_table(moments), _statements_table(statements), sep="\n\n", end="\n\n")
    with scratch() as folder:
        trips = folder / "trips.parquet"
        _profiled("the transform, by itself", lambda: _transform(month, trips))
        _profiled(
            "fingerprints and encoding for COPY, by themselves", lambda: _encode(month, trips)
        )
    return 0


def _watched(command: list[str], server: Server, folder: Path) -> dict[str, Moment]:
    """Run luigi, and note the moments at which a step ends."""
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    luigi = psutil.Process(process.pid)
    moments = {"": Moment(0, Cpu(0, 0), Cpu(0, 0), server.cpu() or Cpu(0, 0))}
    printed = []
    try:
        for line in process.stdout or ():
            printed.append(line)
            for step, pattern in _ENDS.items():
                if step not in moments and re.search(pattern, line):
                    moments[step] = _moment(began, luigi, server)
        moments["end"] = _moment(began, luigi, server)
        if process.wait():
            raise CommandError("".join(printed[-20:]))
    finally:
        if process.returncode is None:
            process.terminate()
            process.wait()
    return moments


def _moment(began: float, luigi: psutil.Process, server: Server) -> Moment:
    seconds = time.monotonic() - began
    times = luigi.cpu_times()
    ended = Cpu(times.children_user, times.children_system)
    children = [ended]
    for child in luigi.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            children.append(cpu_of(child))
    return Moment(
        seconds,
        Cpu(times.user, times.system),
        Cpu(sum(each.user for each in children), sum(each.system for each in children)),
        server.cpu() or Cpu(0, 0),
    )


def _steps_table(moments: dict[str, Moment]) -> Table:
    table = Table(["step", "seconds", "CPU: luigi", "its children", "PostgreSQL"])
    names = list(moments)
    for before, name in pairwise(names):
        table.rows.append([name, *_between(moments[before], moments[name])])
    table.rows.append(["all", *_between(moments[""], moments["end"])])
    return table


def _between(first: Moment, last: Moment) -> list[str]:
    processors = [
        last.luigi - first.luigi,
        last.children - first.children,
        last.server - first.server,
    ]
    seconds = [last.seconds - first.seconds, *(each.total for each in processors)]
    return [f"{each:.2f}" for each in seconds]


def _statements(log: Iterable[str]) -> list[Statement]:
    """The statements that the log tells of, the longest first."""
    entries: list[str] = []
    for line in log:
        if line.startswith("\t") and entries:  # goes on
            entries[-1] += line
        else:
            entries.append(line)
    statements: dict[tuple[str, str], Statement] = {}
    for entry in entries:
        matched = _TIMED.match(entry)
        if matched:
            task, text = _named(matched[2])
            statement = statements.setdefault((task, text), Statement(task, text))
            statement.calls += 1
            statement.seconds += float(matched[1]) / 1000
    return sorted(statements.values(), key=lambda each: -each.seconds)


def _named(statement: str) -> tuple[str, str]:
    """What a statement is for, by the comment it begins with, and how it goes on."""
    label = re.match(r"/\* (\w+)", statement)
    lines = [line.strip() for line in statement.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("--", "/*"))]
    return (label[1] if label else ""), " ".join(kept)[:70]


def _statements_table(statements: list[Statement]) -> Table:
    table = Table(["statement", "of", "calls", "seconds"])
    shown, rest = statements[:_SLOWEST], statements[_SLOWEST:]
    rest_calls = sum(each.calls for each in rest)
    rest_seconds = sum(each.seconds for each in rest)
    for each in shown:
        table.rows.append([each.text, each.task, str(each.calls), f"{each.seconds:.3f}"])
    table.rows.append(["the others", "", str(rest_calls), f"{rest_seconds:.3f}"])
    return table


def _transform(month: Month, trips: Path) -> None:
    rejects = trips.with_name("rejects.jsonl")
    transform.transform([month.parquet], trips, rejects, month.kind, 1.0)


def _encode(month: Month, trips: Path) -> None:
    columns = month.kind.columns
    names = [column.name for column in columns]
    counts = Counts(month.first_day, names)
    with open_trips(trips, {}) as opened, TemporaryFile() as repeated:
        for _ in encoding.encoded(
            opened,
            columns,
            names,
            {},
            report=lambda done, total: None,
            count=counts.add,
            repeated=repeated,
        ):
            pass


def _profiled(title: str, work: Callable[[], None]) -> None:
    """Do some work under cProfile, and print its most expensive functions.

    cProfile sees this thread's calls only, and makes many small ones look dearer than they are.
    """
    began, before = time.monotonic(), cpu_of(psutil.Process())
    profile = cProfile.Profile()
    profile.runcall(work)
    seconds, taken = time.monotonic() - began, cpu_of(psutil.Process()) - before
    stats = pstats.Stats(profile)
    table = Table([title, "calls", "seconds in it", "with what it calls"])
    # by place and name of a function: primitive calls, calls, own time, time with callees
    rows = [
        (f"{Path(file).stem}:{name}" if file != "~" else name, calls, own, whole)
        for (file, _, name), (_, calls, own, whole, _) in stats.stats.items()  # type: ignore[attr-defined]
    ]
    for name, calls, own, whole in sorted(rows, key=lambda row: -row[2])[:_SLOWEST]:
        table.rows.append([name[:70], str(calls), f"{own:.2f}", f"{whole:.2f}"])
    table.rows.append([f"all; {taken.total:.2f} s of CPU", "", f"{seconds:.2f}", ""])
    print(table, end="\n\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
