"""Parts ``month`` and ``again``: one large month, first into an empty database, then once more."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from psycopg2.sql import SQL, Identifier

from bench import loaders, ours, usual
from bench.bench import Bench, in_turns, scratch
from bench.inputs import Month, made_up
from bench.report import Measurement, Section, Table, Target, comparison, grouped, medians
from bench.running import ROOT, CommandError, Took, Watch, run, unwatched
from bench.server import Database, Server


class Loading(NamedTuple):
    """A month that a command loads in a folder, and what notes what it took."""

    month: Month
    database: Database
    server: Server
    folder: Path
    measurement: Measurement
    watch: Watch = unwatched


Loader = Callable[[Loading], None]

#: How much faster than whom, and the part of it: the chain of tasks, and TaxiMonth.
FASTER = {
    "month": {"usual": 2.5, "usual_no_index": 2.5, "dlt": 7.0, "pandas": 20.0},
    "again": {"usual": 2.5, "usual_no_index": 2.5, "dlt": 9.0},
}
FASTER_IN_ONE_PASS = 3.5
#: StageLoad and Merge, of a plain copy of the CSV; and the whole command in one pass.
OF_FLOOR, IN_ONE_PASS_OF_FLOOR = 1.5, 1.0
#: Rows that the file of ``one_pass_duplicates`` has twice.
DUPLICATES = 3_000


def _ours(task: str) -> Loader:
    def load(it: Loading) -> None:
        pipeline = ours.Pipeline(it.month.parquet.parent, it.folder / "storage", it.database.url)
        command = pipeline.merge(it.month, task)
        _take(it, run(command, it.server, folder=it.folder, watch=it.watch))
        steps = ours.steps(it.database, it.month)
        it.measurement.details = {**steps, "stage + merge": steps["stage"] + steps["merge"]}

    return load


def _usual(form: str) -> Loader:
    def load(it: Loading) -> None:
        flow = usual.usual(it.month, it.database, it.server, it.folder, form=form, watch=it.watch)
        _take(it, flow.took)
        it.measurement.details = {"copy": flow.copy, "update": flow.update, "merge": flow.merge}

    return load


def _library(name: str, form: Callable[[Month], Path]) -> Loader:
    def load(it: Loading) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "bench.loaders", name, str(form(it.month))]
        environment = loaders.environment(it.database.url, it.folder) | {"PYTHONPATH": str(ROOT)}
        took = run(command, it.server, folder=it.folder, environment=environment, watch=it.watch)
        _take(it, took)

    return load


def _floor(copy: Callable[[Month, Database, Server, Path], Took]) -> Loader:
    def load(it: Loading) -> None:
        _take(it, copy(it.month, it.database, it.server, it.folder))

    return load


ONE_PASS = ("one_pass", "one_pass_duplicates")
LOADERS: dict[str, Loader] = {
    "ours": _ours("TaxiMerge"),
    **dict.fromkeys(ONE_PASS, _ours("TaxiMonth")),
    **{form: _usual(form) for form in usual.FORMS},
    "dlt": _library("dlt", Month.keyed),
    "pandas": _library("pandas", lambda month: month.parquet),
    "copy_to_table": _library("copy_to_table", lambda month: month.parquet),
    "copy_csv": _floor(usual.copy_csv),
    "copy_csv_new": _floor(usual.copy_csv_new),
    "copy_binary": _floor(usual.copy_binary),
}
#: Where the rows are in the end.
TABLES = {
    **dict.fromkeys(("ours", *ONE_PASS), "yellow_trips"),
    "dlt": "dlt.trips",
    **dict.fromkeys((*usual.FORMS, "pandas", "copy_to_table"), "trips"),
    **dict.fromkeys(("copy_csv", "copy_csv_new", "copy_binary"), "bare"),
}
SLOW = {"pandas", "copy_to_table"}
#: Those that can load a month again without doubling it.
AGAIN = {"ours", *ONE_PASS, *usual.FORMS, "dlt"}


def measure(bench: Bench, parts: set[str]) -> list[Section]:
    """Load a month by each alternative, and for ``again`` once more into the same database."""
    rows = bench.sizes.rows
    [month] = made_up(bench.data, rows)
    [repeating] = made_up(bench.data, rows, duplicates=min(DUPLICATES, rows // 100))
    names = [
        name
        for name in LOADERS
        if name in bench.alternatives and ("month" in parts or name in AGAIN)
    ]
    for name in names:  # before the clock starts
        if name in (*usual.FORMS, "copy_csv", "copy_csv_new"):
            month.csv()
        elif name == "copy_binary":
            month.binary()
        elif name == "dlt":
            month.keyed()
    bench.note(month)
    for repeat in range(max(bench.sizes.repeat, bench.sizes.repeat_slow)):
        for name in in_turns(names, repeat):
            times = bench.sizes.repeat_slow if name in SLOW else bench.sizes.repeat
            if repeat < times:
                again = "again" in parts and name in AGAIN
                loaded = repeating if name == "one_pass_duplicates" else month
                _load(bench, loaded, rows, name, repeat, again=again)
    return [_section(bench, part, month) for part in ("month", "again") if part in parts]


def _load(bench: Bench, month: Month, trips: int, name: str, repeat: int, *, again: bool) -> None:
    """Load a month that has so many trips, its duplicates aside."""
    with bench.server.database() as database, scratch() as folder:
        with bench.measurement("month", name, repeat) as measurement:
            LOADERS[name](Loading(month, database, bench.server, folder, measurement))
        _check(trips, database, name)
        if again:
            if name in ("ours", *ONE_PASS):
                ours.forget(database, month)
            with bench.measurement("again", name, repeat) as measurement:
                LOADERS[name](Loading(month, database, bench.server, folder, measurement))
            _check(trips, database, name)


def _check(trips: int, database: Database, name: str) -> None:
    """See that all trips are there, each once."""
    query = SQL("SELECT count(*) FROM {}").format(Identifier(*TABLES[name].split(".")))
    rows = database.value(query)
    if rows != trips:
        raise CommandError(f"{name} left {rows:,} of {trips:,} rows")


def _take(it: Loading, took: Took) -> None:
    it.measurement.seconds = took.seconds
    it.measurement.take(took)


def _section(bench: Bench, part: str, month: Month) -> Section:
    found = grouped(bench.of(part))
    ordered = [each for name in LOADERS for each in found.get(name, [])]
    again = ", the same once more" if part == "again" else ""
    section = Section(part, f"yellow, {month.rows:,} rows{again}", [comparison(ordered, "ours")])
    for name in ("ours", *ONE_PASS, *usual.FORMS):
        if name in found:
            steps = Table([f"steps of {name}", "seconds"])
            for step in found[name][0].details:
                steps.rows.append([step, f"{medians(found[name], step):.2f}"])
            section.tables.append(steps)
    if part == "month":
        section.targets += _targets_in_one_pass(found)
    if "ours" not in found:
        return section
    seconds = medians(found["ours"])
    if part == "month" and "copy_csv" in found:
        written = medians(found["ours"], "stage + merge")
        target = Target(
            "StageLoad and Merge, of copy_csv",
            written / medians(found["copy_csv"]),
            "x",
            at_most=OF_FLOOR,
        )
        section.targets.append(target)
        if "copy_csv_new" in found:
            ratio = written / medians(found["copy_csv_new"])
            section.notes.append(
                f"StageLoad and Merge take {ratio:.2f}x of copy_csv_new, which makes its table in "
                "the same transaction, so that the server writes no log of it."
            )
    for name, times in FASTER[part].items():
        if name in found:
            ratio = medians(found[name]) / seconds
            section.targets.append(Target(f"faster than {name}", ratio, "x", at_least=times))
    return section


def _targets_in_one_pass(found: dict[str, list[Measurement]]) -> list[Target]:
    targets = []
    for name in (name for name in ONE_PASS if name in found):
        seconds = medians(found[name])
        if "copy_csv" in found:
            ratio = seconds / medians(found["copy_csv"])
            title = f"the whole command, {name}, of copy_csv"
            targets.append(Target(title, ratio, "x", at_most=IN_ONE_PASS_OF_FLOOR))
        for flow in (form for form in usual.FORMS if form in found):
            ratio = medians(found[flow]) / seconds
            title = f"{name} faster than {flow}"
            targets.append(Target(title, ratio, "x", at_least=FASTER_IN_ONE_PASS))
    return targets
