"""Part ``growth``: whether the last of many months costs what the first did."""

from contextlib import ExitStack
from dataclasses import replace
from statistics import median

from bench import ours, usual
from bench.bench import Bench, in_turns, scratch
from bench.inputs import made_up
from bench.report import Section, Table, Target
from bench.running import run

#: How many months are the first ones, and the last ones.
END = 6
#: What the last ones may take, of the first.
AT_MOST = 1.05


def measure(bench: Bench) -> list[Section]:
    """Load month after month, each by both in turn."""
    months = made_up(
        bench.data, bench.sizes.growth_rows, months=bench.sizes.growth_months, start="2020-01"
    )
    bench.note(months[0], len(months))
    names = [name for name in ("ours", *usual.FORMS) if name in bench.alternatives]
    if names != ["ours"]:
        for month in months:
            month.csv()
    with ExitStack() as stack:
        databases = {name: stack.enter_context(bench.server.database()) for name in names}
        folder = stack.enter_context(scratch())
        pipeline = ours.Pipeline(months[0].parquet.parent, folder / "storage", None)
        if "ours" in databases:
            pipeline = replace(pipeline, url=databases["ours"].url)
        for number, month in enumerate(months):
            for name in in_turns(names, number):
                with bench.measurement("growth", name, number) as measurement:
                    if name == "ours":
                        took = run(pipeline.merge(month), bench.server, folder=folder)
                        details = ours.steps(databases[name], month)
                        details["stage + merge"] = details["stage"] + details["merge"]
                    else:
                        flow = usual.usual(month, databases[name], bench.server, folder, form=name)
                        took, details = flow.took, {"merge": flow.merge}
                    measurement.seconds, measurement.details = took.seconds, details
                    measurement.take(took)
    return [_section(bench)]


def _section(bench: Bench) -> Section:
    sizes = bench.sizes
    section = Section("growth", f"{sizes.growth_months} months of {sizes.growth_rows:,} rows")
    end = min(END, sizes.growth_months // 2)
    table = Table(["seconds", f"first {end}", f"last {end}", "last of first"])
    found = bench.of("growth")
    shown = [("ours", "merge"), ("ours", "stage + merge"), *((f, "merge") for f in usual.FORMS)]
    for what, detail in shown:
        seconds = [each.details[detail] for each in found if each.what == what]
        if not end or not seconds:
            continue
        first, last = median(seconds[:end]), median(seconds[-end:])
        table.rows.append(
            [f"{what}: {detail}", f"{first:.3f}", f"{last:.3f}", f"{last / first:.2f}x"]
        )
        if what == "ours":
            target = Target(
                f"{detail}: last months, of the first", last / first, "x", at_most=AT_MOST
            )
            section.targets.append(target)
    section.tables.append(table)
    return section
