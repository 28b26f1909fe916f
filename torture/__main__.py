"""The command line: ``scripts/torture``, or ``python -m torture``."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter

from torture.cluster import NoServerError
from torture.harness import Harness, Result, running_harness, scenario_of
from torture.points import Point, shuffled
from torture.results import Code, Results, write_report
from torture.scenarios import NAMES, SCENARIOS

#: How often a point that wasn't reached is tried again: a run may take another way under load.
TRIES = 2


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    results = Results(Code.present())
    if options.command == "report":
        write_report(results)
        print(f"{results.path.with_suffix('.md')} and docs/guarantees.md")
        return 0
    try:
        with running_harness() as harness:
            if harness.library is None:
                print("no C compiler is here (gcc): calls to the file system aren't tried")
            if options.only:
                return _try_one(harness, results, Point.parse(options.only))
            return _try_many(harness, results, options)
    except (NoServerError, ValueError) as error:
        print(f"scripts/torture: {error}", file=sys.stderr)
        return 2


def _try_one(harness: Harness, results: Results, point: Point) -> int:
    result = harness.try_point(harness.start(scenario_of(point.scenario)), point)
    results.add(result)
    print(_line(result))
    print(result.output, end="")
    return 0 if result.outcome == "survived" else 1


def _try_many(harness: Harness, results: Results, options: argparse.Namespace) -> int:
    deadline = time.monotonic() + options.minutes * 60
    names = NAMES if options.scenario == "all" else (options.scenario,)
    found: list[Point] = []
    for scenario in SCENARIOS:
        if scenario.name in names and (options.way or scenario.way) == scenario.way:
            points = harness.start(scenario).points
            results.note_points(scenario.id, [point.id for point in points])
            found += points
            print(f"{scenario.id}: {len(points):,} points", flush=True)
    if options.kind:
        found = [point for point in found if point.kind == options.kind]
    chosen = shuffled(found, options.seed)[: options.sample or None]
    part, parts = map(int, options.part.split("/"))
    done = set() if options.again else results.read().keys()
    left = [p for p in chosen[part - 1 :: parts] if p.id not in done]
    print(f"{len(chosen):,} points, {len(left):,} of them to be tried now", flush=True)
    outcomes = Counter[str]()
    began = time.monotonic()
    for number, point in enumerate(left, 1):
        if time.monotonic() > deadline:
            print(f"the time is over: {len(left) - number + 1:,} points are left")
            break
        result = _tried(harness, point)
        results.add(result)
        outcomes[result.outcome] += 1
        if result.outcome != "survived":
            print(f"\r{_line(result)}", flush=True)
        pace = (time.monotonic() - began) / number
        _progress(f"{number:,} of {len(left):,}, {pace:.1f} s each, {dict(outcomes)}", number)
    print()
    return 1 if outcomes["failed"] else 0


def _tried(harness: Harness, point: Point) -> Result:
    start = harness.start(scenario_of(point.scenario))
    result = harness.try_point(start, point)
    for _ in range(TRIES - 1):
        if result.outcome == "unreached":
            result = harness.try_point(start, point)
    return result


def _progress(text: str, number: int) -> None:
    if sys.stdout.isatty():
        print(f"\r{text} ", end="", flush=True)
    elif number % 100 == 0:
        print(text, flush=True)


def _line(result: Result) -> str:
    found = "".join(f"\n    {each[:2000]}" for each in result.found)
    return f"{result.point}: {result.outcome}, {result.seconds} s, code {result.code}{found}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/torture",
        description="Make each call of a month's load fail once, in each way it can, and compare "
        "what a clean run leaves then with what an undisturbed one leaves. Results are kept in "
        "build/torture; the next run goes on from there.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["run", "report"],
        default="run",
        help="report writes the table of the results into docs/guarantees.md",
    )
    parser.add_argument(
        "--minutes", type=float, default=60, help="after which it ends (%(default)g)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order of the points")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many points only")
    parser.add_argument("--scenario", choices=[*NAMES, "all"], default="all")
    parser.add_argument("--way", choices=sorted({s.way for s in SCENARIOS}), help="of the scenario")
    parser.add_argument("--kind", choices=["db", "files", "source"], help="of the calls")
    parser.add_argument("--only", metavar="POINT", help="try one point, and show what was printed")
    parser.add_argument("--again", action="store_true", help="try points that were tried, too")
    parser.add_argument("--part", default="1/1", help="such as 1/2, beside another run with 2/2")
    return parser


if __name__ == "__main__":
    sys.exit(main())
