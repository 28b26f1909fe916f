"""Part ``together``: two runs at once, each with half of the months, beside one run with all.

The warehouse holds a month already: who makes its tables isn't what is asked.
"""

from concurrent.futures import ThreadPoolExecutor

from bench import ours
from bench.bench import Bench, in_turns, scratch
from bench.inputs import Month, real_green
from bench.report import Section, Target, comparison, grouped, medians
from bench.running import run

MONTHS = 6
FASTER = 1.5


def measure(bench: Bench) -> list[Section]:
    """Load real green months into one database, by one process and by two at once."""
    found = real_green(bench.real, bench.data, None)[-MONTHS - 1 :]  # of about one size
    if len(found) <= MONTHS:
        return []
    for month in found:
        bench.note(month)
    first, *months = found
    title = f"{len(months)} real green months, by one run and by two at once"
    halves = {"one run": [months], "two runs": [months[: MONTHS // 2], months[MONTHS // 2 :]]}
    for repeat in range(bench.sizes.repeat):
        for name in in_turns([*halves], repeat):
            _measure(bench, name, first, halves[name], repeat)
    measurements = bench.of("together")
    section = Section("together", title, [comparison(measurements, "two runs")])
    taken = grouped(measurements)
    ratio = medians(taken["one run"]) / medians(taken["two runs"])
    section.targets.append(Target("two runs faster than one", ratio, "x", at_least=FASTER))
    return [section]


def _measure(bench: Bench, name: str, first: Month, shares: list[list[Month]], repeat: int) -> None:
    with bench.server.database() as database, scratch() as folder:

        def load(months: list[Month]) -> float:
            own = folder / str(months[0].first_day)
            own.mkdir()
            pipeline = ours.Pipeline(months[0].parquet.parent, own / "storage", database.url)
            return run(pipeline.merge_range(months), folder=own).seconds

        load([first])
        with (
            bench.measurement("together", name, repeat) as measurement,
            ThreadPoolExecutor(len(shares)) as threads,
        ):
            measurement.seconds = max(threads.map(load, shares))
