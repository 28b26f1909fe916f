"""Part ``workers``: months loaded by one worker, and by two at a time."""

from typing import Any

from psycopg2.sql import SQL, Identifier

from bench import ours
from bench.bench import Bench, in_turns, scratch
from bench.inputs import Month, made_up, real_green
from bench.report import Measurement, Section, Target, comparison, grouped, medians
from bench.running import CommandError, run
from bench.server import Database

MONTHS, ROWS = 12, 1_000_000
FASTER = 1.5
#: By file: the trips, and an order-free sum of their fingerprints.
_CONTENTS = SQL("""
SELECT filename, count(*), sum(uuid_hash_extended(unique_row_id, 0)::numeric)
FROM {}
GROUP BY filename
ORDER BY filename
""")


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
    contents: dict[str, Any] = {}
    names = {_what(name, count): (name, count) for name in ranges for count in (1, 2)}
    for repeat in range(bench.sizes.repeat):
        for what in in_turns([*names], repeat):
            name, count = names[what]
            loaded = _measure(bench, what, ranges[name], count, repeat)
            if contents.setdefault(name, loaded) != loaded:
                raise CommandError(f"{what}: the table isn't that of the other runs")
    return _section(bench, ranges)


def _measure(
    bench: Bench, what: str, months: list[Month], count: int, repeat: int
) -> list[tuple[Any, ...]]:
    """Load the months, and return what the table has then."""
    with bench.server.database() as database, scratch() as folder:
        pipeline = ours.Pipeline(months[0].parquet.parent, folder / "storage", database.url)
        with bench.measurement("workers", what, repeat) as measurement:
            command = [*pipeline.merge_range(months, "TaxiMonth"), f"--workers={count}"]
            took = run(command, bench.server, folder=folder)
            measurement.seconds = took.seconds
            measurement.take(took)
        [(loaded,)] = database.query("SELECT count(*) FROM load_history")
        if loaded != len(months):
            raise CommandError(f"{what}: {loaded} of {len(months)} months are loaded")
        return _contents(database, months[0].taxi_type)


def _contents(database: Database, taxi_type: str) -> list[tuple[Any, ...]]:
    return database.query(_CONTENTS.format(Identifier(f"{taxi_type}_trips")))


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
        for what in (one, two):
            section.notes.append(f"{what}: {_shares(found[what])}")
    return [section]


def _shares(measurements: list[Measurement]) -> str:
    """How client and server share the processors, in the median run."""
    median = sorted(measurements, key=lambda each: each.seconds)[len(measurements) // 2]
    client = (median.client_user or 0) + (median.client_system or 0)
    server = (median.server_user or 0) + (median.server_system or 0)
    busy = (client + server) / median.seconds
    return (
        f"client {client:.1f} s and server {server:.1f} s of CPU in {median.seconds:.1f} s, "
        f"{busy:.2f} cores on average"
    )


def _what(name: str, count: int) -> str:
    return f"{name}, {count} at a time"
