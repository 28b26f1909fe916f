"""Part ``workers``: months loaded by one worker, and by two at a time."""

from bench import ours
from bench.bench import Bench, in_turns, scratch
from bench.inputs import Month, made_up, real_green
from bench.report import Section, Target, comparison, grouped, medians
from bench.running import run

MONTHS, ROWS = 12, 1_000_000
FASTER = 1.5


def measure(bench: Bench) -> list[Section]:
    """Load real green months, and made-up yellow ones of a million rows, a month as one task."""
    rows = min(ROWS, bench.sizes.rows)
    yellow = made_up(bench.data, rows, months=min(MONTHS, bench.sizes.growth_months))
    bench.note(yellow[0], len(yellow))
    ranges = {"yellow": yellow}
    if green := real_green(bench.real, bench.data, bench.sizes.real_months):
        for month in green:
            bench.note(month)
        ranges["green"] = green
    names = {_what(name, count): (name, count) for name in ranges for count in (1, 2)}
    for repeat in range(bench.sizes.repeat):
        for what in in_turns([*names], repeat):
            name, count = names[what]
            _measure(bench, what, ranges[name], count, repeat)
    return _section(bench, ranges)


def _measure(bench: Bench, what: str, months: list[Month], count: int, repeat: int) -> None:
    with bench.server.database() as database, scratch() as folder:
        pipeline = ours.Pipeline(months[0].parquet.parent, folder / "storage", database.url)
        with bench.measurement("workers", what, repeat) as measurement:
            command = [*pipeline.merge_range(months, "TaxiMonth"), f"--workers={count}"]
            took = run(command, bench.server, folder=folder)
            measurement.seconds = took.seconds
            measurement.take(took)
        [(loaded,)] = database.query("SELECT count(*) FROM load_history")
        if loaded != len(months):
            raise SystemExit(f"{what}: {loaded} of {len(months)} months are loaded")


def _section(bench: Bench, ranges: dict[str, list[Month]]) -> list[Section]:
    section = Section("workers", "months by one worker, and by two at a time")
    found = grouped(bench.of("workers"))
    for name, months in ranges.items():
        rows = sum(month.rows for month in months)
        section.notes.append(f"{len(months)} {name} months have {rows:,} rows.")
        one, two = _what(name, 1), _what(name, 2)
        section.tables.append(comparison([*found[one], *found[two]], two))
        ratio = medians(found[one]) / medians(found[two])
        target = Target(f"{name}: two at a time faster than one", ratio, "x", at_least=FASTER)
        section.targets.append(target)
    return [section]


def _what(name: str, count: int) -> str:
    return f"{name}, {count} at a time"
