"""The command line: ``scripts/bench``, or ``python -m bench``."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timezone
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from bench import (
    backfill,
    duplicates,
    faults,
    footprint,
    growth,
    machine,
    month,
    nothing,
    readers,
    spark,
    together,
    workers,
)
from bench.bench import QUICK, Bench, Sizes
from bench.report import Section
from bench.running import ROOT, CommandError
from bench.server import given_or_embedded

MONTH_PARTS = ("month", "again")
OTHER_PARTS: dict[str, Callable[[Bench], list[Section]]] = {
    "growth": growth.measure,
    "nothing": nothing.measure,
    "backfill": backfill.measure,
    "memory": footprint.measure_memory,
    "disk": footprint.measure_disk,
    "readers": readers.measure,
    "duplicates": duplicates.measure,
    "together": together.measure,
    "workers": workers.measure,
    "spark": spark.measure,
    "faults": faults.measure,
}
PARTS = (*MONTH_PARTS, *OTHER_PARTS)
#: What is measured by default: not what needs Java and 490 MB of Spark, nor what takes an hour.
DEFAULT_PARTS = tuple(name for name in PARTS if name not in ("spark", "faults"))
_ABOUT = """
Measure what the pipeline costs, beside others on the same rows, machine and server.

  month       one large month into an empty database
  again       the same month once more, its marker removed
  growth      many months, one after the other: does the last cost what the first did?
  nothing     a run over months that are all complete
  backfill    real months end to end, and tiny ones
  memory      the most that each process takes
  disk        the most that a load takes beyond its table
  readers     how long a question waits while a month is loaded
  duplicates  what rows cost that a file has twice
  together    two runs at once, beside one
  workers     two months at a time in one run, beside one
  spark       real months on a Spark cluster, and a killed executor, beside DataFrame.write.jdbc;
              only if it is asked for
  faults      loads that are killed, cut off or lose their server, and are run again: what is in the
              table in the end; only if it is asked for

Alternatives are "ours" (the chain of tasks), one_pass (TaxiMonth), one_pass_duplicates (the same of
a file that has 3,000 rows twice), "usual" (psql: COPY, UPDATE with md5, MERGE on text, with an
index on that), usual_no_index, dlt, pandas, copy_to_table (Luigi's own), and the floors, which only
copy: copy_csv, copy_csv_new, copy_binary.
"""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    began = datetime.now(timezone.utc)
    chosen = set(options.parts or DEFAULT_PARTS)
    alternatives = _alternatives(options.alternatives, chosen)
    with given_or_embedded(options.server) as server:
        bench = Bench(
            server=server,
            is_embedded=options.server is None,
            sizes=_sizes(options),
            alternatives=alternatives,
            data=options.data.resolve(),
            real=options.real.resolve(),
        )
        record = {"began": began.isoformat(), **machine.described(server)}
        print(_heading(record, quick=options.quick))
        sections, failures = _measure(bench, chosen)
    if options.json:
        record |= {
            "quick": options.quick,
            "failures": failures,
            "sizes": asdict(bench.sizes),
            "data": bench.inputs,
            "measurements": [asdict(each) for each in bench.measurements],
            "targets": [
                {"part": section.part, "wanted": target.wanted, "is_met": target.is_met}
                | asdict(target)
                for section in sections
                for target in section.targets
            ],
            "ended": datetime.now(timezone.utc).isoformat(),
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 1 if failures else 0


def _measure(bench: Bench, chosen: set[str]) -> tuple[list[Section], list[str]]:
    """What the chosen parts find; a part that fails is told, and doesn't end the others."""
    parts: dict[str, Callable[[Bench], list[Section]]] = {}
    if chosen & {*MONTH_PARTS}:
        parts["month"] = partial(month.measure, parts=chosen)
    parts |= {name: measure for name, measure in OTHER_PARTS.items() if name in chosen}
    sections, failures = [], []
    for name, measure in parts.items():
        try:
            found = measure(bench)
        except CommandError as error:
            failures.append(f"{name}: {error}")
            print(f"{failures[-1]}\n", file=sys.stderr)
            continue
        for section in found:
            loads = [each.load_average for each in bench.of(section.part)]
            section.notes.append(
                f"Load average when a measurement began: {min(loads):.1f} to {max(loads):.1f}, "
                f"on {os.cpu_count()} cores. A machine with nothing else to do shows 1 to 2."
            )
            print(section, flush=True)
        sections += found
    return sections, failures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", choices=[[], *PARTS], help="default: all")
    add("--quick", action="store_true", help="small sizes, to see that all works")
    for name, help in (
        ("rows", "of a large month"),
        ("many_rows", "of the larger month whose memory is compared"),
        ("fhvhv_rows", "of a month of the service with the most trips"),
        ("repeat", "how often each is measured"),
        ("repeat_slow", "how often pandas and copy_to_table are"),
        ("growth_months", "months of growth"),
        ("growth_rows", "rows in each of them"),
        ("nothing_months", "complete months of a run with nothing to do"),
        ("real_months", "real months to load, the first ones"),
        ("tiny_months", "tiny months to load"),
        ("fault_rows", "rows of the month whose load is disturbed"),
        ("moments", "moments at which each fault comes"),
        ("seed", "of the moments"),
    ):
        default = getattr(Sizes(), name)
        shown = "all" if default is None else f"{default:,}"
        flag = f"--{name.replace('_', '-')}"
        add(flag, type=_count, metavar="N", help=f"{help}; default: {shown}")
    add(
        "--alternatives",
        metavar="NAMES",
        default=",".join(month.LOADERS),
        help="separated by commas; default: %(default)s",
    )
    add("--server", metavar="URL", help="postgresql://…, with the right to create databases")
    add(
        "--data",
        type=Path,
        metavar="DIR",
        default=ROOT / "data" / "bench",
        help="folder that keeps what is generated; default: data/bench",
    )
    add(
        "--real",
        type=Path,
        metavar="DIR",
        default=ROOT.parent / "shared" / "data",
        help="folder with parquet/green_tripdata_*.parquet; default: ../shared/data",
    )
    add("--json", type=Path, metavar="FILE", help="every single measurement, to keep")
    return parser


def _count(text: str) -> int:
    if not text.replace("_", "").isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, 1 or more")
    return int(text)


def _sizes(options: argparse.Namespace) -> Sizes:
    given = {name: getattr(options, name) for name in asdict(Sizes())}
    chosen = {name: value for name, value in given.items() if value is not None}
    return replace(QUICK if options.quick else Sizes(), **chosen)


def _alternatives(text: str, parts: set[str]) -> set[str]:
    names = set(text.split(","))
    unknown = names - {*month.LOADERS}
    if unknown:
        sys.exit(f"--alternatives {', '.join(unknown)}: must be of {', '.join(month.LOADERS)}")
    for package, name in ("dlt", "dlt"), ("pandas", "pandas"), ("sqlalchemy", "pandas"):
        if name in names and parts & {*MONTH_PARTS} and not find_spec(package):
            sys.exit(f"{package} isn't installed: scripts/bootstrap bench, or --alternatives")
    return names


def _heading(record: dict[str, dict[str, object]], *, quick: bool) -> str:
    cores, memory = record["machine"]["cores"], record["machine"]["memory"]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    lines = [f"{cores} cores, {int(str(memory)) / 2**30:.0f} GiB, {versions}"]
    if quick:
        lines.append("Quick: the sizes are too small for the targets to mean much.")
    return "\n".join(lines) + "\n"


def _stop(number: int, frame: FrameType | None) -> None:
    """End as on an interrupt from the keyboard: everything is cleaned up."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
