"""Part ``nothing``: what a run costs that finds all its months complete."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench import ours
from bench.bench import Bench, in_turns, scratch
from bench.inputs import Month, made_up
from bench.proxy import far_away
from bench.report import MEGABYTE, Section, Table, Target, grouped, medians
from bench.running import CommandError, run
from bench.sampling import Memory
from bench.server import Database, embedded_server, new_storage

ROWS = 200
#: Seconds that a byte is under way to a server far away, and again back.
DELAY = 0.010
NEAR, FAR, ALONE = "near", "20 ms away", "with the server's start and end"
MOST_SECONDS, MOST_SECONDS_FAR, MOST_QUERIES = 1.0, 1.5, 4


def measure(bench: Bench) -> list[Section]:
    """Load many tiny months, and then time runs that have nothing to do."""
    months = made_up(bench.data, ROWS, months=bench.sizes.nothing_months, start="2011-01")
    bench.note(months[0], len(months))
    published = months[0].parquet.parent
    with scratch() as folder:
        if not bench.is_embedded:
            with bench.server.database() as database:
                pipeline = ours.Pipeline(published, folder / "storage", database.url)
                _measure_running(bench, pipeline, months, folder)
            return [_section(bench)]
        # a server of its own, which can be stopped
        with new_storage() as root:
            with embedded_server(root) as server:
                pipeline = ours.Pipeline(published, root, server.url)
                _measure_running(bench, pipeline, months, folder)
            for repeat in range(bench.sizes.repeat):
                _measure_run(
                    bench, replace(pipeline, url=None), months, folder, name=ALONE, repeat=repeat
                )
    return [_section(bench)]


def _measure_running(
    bench: Bench, pipeline: ours.Pipeline, months: list[Month], folder: Path
) -> None:
    run(pipeline.merge_range(months), folder=folder)
    loaded = Database(str(pipeline.url)).value("SELECT count(*) FROM load_history")
    if loaded != len(months):
        raise CommandError(f"only {loaded} of {len(months)} months were loaded")
    for repeat in range(bench.sizes.repeat):
        for name in in_turns([NEAR, FAR], repeat):
            _measure_run(bench, pipeline, months, folder, name=name, repeat=repeat)


def _measure_run(
    bench: Bench,
    pipeline: ours.Pipeline,
    months: list[Month],
    folder: Path,
    *,
    name: str,
    repeat: int,
) -> None:
    memory = Memory()
    with bench.measurement("nothing", name, repeat) as measurement, ExitStack() as stack:
        far = None
        if name == FAR and pipeline.url:
            far = stack.enter_context(far_away(pipeline.url, DELAY))
            pipeline = replace(pipeline, url=far.url)
        took = run(pipeline.merge_range(months), folder=folder, watch=memory.watch)
        stack.close()
        measurement.seconds = took.seconds
        measurement.take(took)
        measurement.details["peak memory"] = memory.peaks["luigi"]
        if far:
            measurement.details["queries"] = far.queries


def _section(bench: Bench) -> Section:
    section = Section("nothing", f"{bench.sizes.nothing_months} complete months")
    table = Table(["", "seconds", "queries", "peak memory, MB"])
    found = grouped(bench.of("nothing"))
    for name, each in found.items():
        queries = f"{medians(each, 'queries'):.0f}" if name == FAR else ""
        peak = medians(each, "peak memory") / MEGABYTE
        table.rows.append([name, f"{medians(each):.2f}", queries, f"{peak:.0f}"])
    section.tables.append(table)
    section.targets = [
        Target("near", medians(found[NEAR]), " s", at_most=MOST_SECONDS),
        Target("queries", medians(found[FAR], "queries"), "", at_most=MOST_QUERIES),
        Target("20 ms away", medians(found[FAR]), " s", at_most=MOST_SECONDS_FAR),
    ]
    if ALONE in found:
        section.targets.insert(
            1, Target("with the server's start and end", medians(found[ALONE]), " s",
                      at_most=MOST_SECONDS)
        )  # fmt: skip
    return section
