"""Part ``backfill``: real months end to end, and what a month costs that has next to no rows."""

from bench import ours, usual
from bench.bench import Bench, in_turns, scratch
from bench.inputs import Month, made_up, real_green
from bench.report import Section, Target, comparison, grouped, medians
from bench.running import run
from bench.server import Cpu

TINY_ROWS = 1_000
FASTER, MOST_SECONDS_TINY = 2.0, 0.5


def measure(bench: Bench) -> list[Section]:
    """Load real green months by the main job and by the usual flow, then tiny ones."""
    real = real_green(bench.real, bench.data, bench.sizes.real_months)
    tiny = made_up(bench.data, TINY_ROWS, months=bench.sizes.tiny_months)
    bench.note(tiny[0], len(tiny))
    names = []
    if real:
        names = [name for name in ("ours", *usual.FORMS) if name in bench.alternatives]
        for month in real:
            bench.note(month)
            month.csv()
    for repeat in range(bench.sizes.repeat):
        for name in in_turns([*names, "tiny months"], repeat):
            if name in usual.FORMS:
                _measure_usual(bench, name, real, repeat)
            else:
                _measure_ours(bench, name, real if name == "ours" else tiny, repeat)
    return [_section(bench, real)]


def _measure_ours(bench: Bench, name: str, months: list[Month], repeat: int) -> None:
    with bench.server.database() as database, scratch() as folder:
        pipeline = ours.Pipeline(months[0].parquet.parent, folder / "storage", database.url)
        with bench.measurement("backfill", name, repeat) as measurement:
            took = run(pipeline.merge_range(months), bench.server, folder=folder)
            measurement.seconds = took.seconds
            measurement.details["seconds a month"] = took.seconds / len(months)
            measurement.take(took)


def _measure_usual(bench: Bench, form: str, months: list[Month], repeat: int) -> None:
    with (
        bench.server.database() as database,
        scratch() as folder,
        bench.measurement("backfill", form, repeat) as measurement,
    ):
        flows = [
            usual.usual(month, database, bench.server, folder, form=form).took for month in months
        ]
        measurement.seconds = sum(took.seconds for took in flows)
        client = _sum([took.client for took in flows])
        measurement.client_user, measurement.client_system = client.user, client.system
        servers = [took.server for took in flows if took.server]
        if servers:
            server = _sum(servers)
            measurement.server_user, measurement.server_system = server.user, server.system


def _sum(taken: list[Cpu]) -> Cpu:
    return Cpu(sum(each.user for each in taken), sum(each.system for each in taken))


def _section(bench: Bench, real: list[Month]) -> Section:
    rows = sum(month.rows for month in real)
    title = f"{len(real)} real green months, {rows:,} rows; "
    title += f"{bench.sizes.tiny_months} tiny ones of {TINY_ROWS:,} rows"
    measurements = bench.of("backfill")
    section = Section("backfill", title, [comparison(measurements, "ours")])
    found = grouped(measurements)
    if not real:
        section.notes.append(f"The real months are skipped: there are none at {bench.real}.")
    for form in usual.FORMS:
        if "ours" in found and form in found:
            ratio = medians(found[form]) / medians(found["ours"])
            section.targets.append(Target(f"faster than {form}", ratio, "x", at_least=FASTER))
    seconds = medians(found["tiny months"], "seconds a month")
    section.targets.append(Target("a tiny month", seconds, " s", at_most=MOST_SECONDS_TINY))
    return section
