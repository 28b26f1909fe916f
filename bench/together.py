"""Part ``together``: two runs at once, each with half of the months, beside one run with all."""

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
    months = real_green(bench.real, bench.data, None)[-MONTHS:]  # as large as one another
    title = f"{len(months)} real green months, by one run and by two at once"
    if len(months) < MONTHS:
        return []
    for month in months:
        bench.note(month)
    halves = {"one run": [months], "two runs": [months[: MONTHS // 2], months[MONTHS // 2 :]]}
    for repeat in range(bench.sizes.repeat):
        for name in in_turns([*halves], repeat):
            _measure(bench, name, halves[name], repeat)
    measurements = bench.of("together")
    section = Section("together", title, [comparison(measurements, "two runs")])
    found = grouped(measurements)
    ratio = medians(found["one run"]) / medians(found["two runs"])
    section.targets.append(Target("two runs faster than one", ratio, "x", at_least=FASTER))
    return [section]


def _measure(bench: Bench, name: str, shares: list[list[Month]], repeat: int) -> None:
    with bench.server.database() as database, scratch() as folder:

        def load(number: int) -> float:
            own = folder / str(number)
            own.mkdir()
            months = shares[number]
            pipeline = ours.Pipeline(months[0].parquet.parent, own / "storage", database.url)
            return run(pipeline.merge_range(months), folder=own).seconds

        with (
            bench.measurement("together", name, repeat) as measurement,
            ThreadPoolExecutor(len(shares)) as threads,
        ):
            measurement.seconds = max(threads.map(load, range(len(shares))))
