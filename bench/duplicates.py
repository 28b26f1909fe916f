"""Part ``duplicates``: what rows cost that a file has twice."""

from bench import ours
from bench.bench import Bench, in_turns, scratch
from bench.inputs import Month, made_up
from bench.report import Section, Target, comparison, grouped, medians
from bench.running import CommandError, run

#: How many there are, of the rows of a large month.
FEW, MANY = 30, 30_000
MOST = 1.15


def measure(bench: Bench) -> list[Section]:
    """Load a large month without duplicates, with a few, and with many."""
    rows = bench.sizes.rows
    months = {
        f"{number:,} duplicates": made_up(bench.data, rows, duplicates=number)[0]
        for number in (0, FEW, min(MANY, rows // 100))
    }
    for month in months.values():
        bench.note(month)
    for repeat in range(bench.sizes.repeat):
        for name in in_turns([*months], repeat):
            _measure(bench, name, months[name], repeat)
    measurements = bench.of("duplicates")
    none, *some = months
    section = Section(
        "duplicates",
        f"A month of {rows:,} rows, some of them twice",
        [comparison(measurements, none)],
    )
    found = grouped(measurements)
    for name in some:
        ratio = medians(found[name], "stage") / medians(found[none], "stage")
        section.targets.append(Target(f"staging with {name}, of none", ratio, "x", at_most=MOST))
    return [section]


def _measure(bench: Bench, name: str, month: Month, repeat: int) -> None:
    with bench.server.database() as database, scratch() as folder:
        pipeline = ours.Pipeline(month.parquet.parent, folder / "storage", database.url)
        with bench.measurement("duplicates", name, repeat) as measurement:
            took = run(pipeline.merge(month), bench.server, folder=folder)
            measurement.seconds = took.seconds
            measurement.take(took)
        measurement.details = ours.steps(database, month)
        [(found,)] = database.query("SELECT rows_duplicate FROM load_history")
        if f"{found:,} duplicates" != name:
            raise CommandError(f"{name}: the ledger has {found:,}")
