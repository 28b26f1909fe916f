"""What the loads show: the grid of months, data quality, and what took the time."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from dateutil.relativedelta import relativedelta

from luigi_tasks.catalog import QUALITY_CHECKS, TAXI_TYPES
from luigi_tasks.months import Month
from luigi_tasks.operations import due
from luigi_tasks.status import Overview
from luigi_tasks.status.colours import STATES, STEPS
from luigi_tasks.status.report import charts
from luigi_tasks.status.report.charts import HEIGHT, WIDTH, Chart, Months, Scale
from luigi_tasks.status.report.trips import LEVELS, Panel
from luigi_tasks.warehouse import LoadFacts, MonthState, ReportFigures

#: What is counted of a month, each with what a row is that counts.
CHECKS = {
    "reject": "can't be read",
    "duplicate": "are equal to another in every column",
    **{name: f"have {what}" for name, what in QUALITY_CHECKS.items()},
}
#: A share jumps if it is at least so many times the median of so many months before, or at most
#: that part of it, and at least so far away from it.
JUMP_TIMES, JUMP_MONTHS, JUMP_LEAST = 2.0, 6, 0.005


@dataclass(frozen=True)
class Cell:
    """A month on the grid: the letter of its state, what a view shows of it, classes of CSS."""

    letter: str
    classes: str
    title: str
    rows: str = ""
    failed: str = ""
    seconds: str = ""


@dataclass(frozen=True)
class Grid:
    """A service's months by years; None where there is no month."""

    taxi_type: str
    facts: str
    years: Sequence[tuple[int, Sequence[Cell | None]]]


@dataclass(frozen=True)
class Jump:
    """A month whose share of rows is far from that of the months before."""

    month: date
    usual: float
    share: float


@dataclass(frozen=True)
class Check:
    """A check's shares of a service's rows by month, and its jumps."""

    name: str
    meaning: str
    rows: int
    chart: Chart | None
    last: float
    most: float
    most_in: date
    jumps: Sequence[Jump]

    @property
    def jump_count(self) -> int:
        return len(self.jumps)


@dataclass(frozen=True)
class Quality:
    """A service's checks, and those that found nothing."""

    taxi_type: str
    last: date
    checks: Sequence[Check]
    clean: Sequence[str]

    @property
    def jump_count(self) -> int:
        return sum(each.jump_count for each in self.checks)


def grids(overview: Overview, figures: ReportFigures) -> list[Grid]:
    """The grid of each service."""
    facts = {each.month: each for each in figures.loads}
    found = []
    for name, months in overview.by_service.items():
        merged = [each for each in months if each.is_merged]
        rows = sum(each.rows or 0 for each in merged)
        most = (
            max((each.rows or 0 for each in merged), default=0),
            max((_failed(facts.get(each.month)) for each in merged), default=0.0),
            max((each.seconds or 0 for each in merged), default=0.0),
        )
        cells = {
            (each.month.first_day.year, each.month.first_day.month): _cell(
                each, facts.get(each.month), most
            )
            for each in months
        }
        first, last = min(cells)[0], max(cells)[0]
        years = [
            (year, [cells.get((year, month)) for month in range(1, 13)])
            for year in range(first, last + 1)
        ]
        noun = "month" if len(merged) == 1 else "months"
        found.append(Grid(name, f"{rows:,} trips in {len(merged):,} {noun}", years))
    return found


def _cell(month: MonthState, facts: LoadFacts | None, most: tuple[int, float, float]) -> Cell:
    letter = STATES[month.state][0]
    title = f"{month.month.text} {month.state}"
    if not month.is_merged:
        return Cell(letter, f"s{letter}", title)
    rows, failed, seconds = month.rows or 0, _failed(facts), month.seconds or 0.0
    levels = [
        charts.level(amount, largest, LEVELS)
        for amount, largest in zip((rows, failed, seconds), most, strict=True)
    ]
    classes = f"s{letter} r{levels[0]} q{levels[1]} t{levels[2]}"
    return Cell(
        letter,
        classes,
        "" if month.state == "merged" else title,
        charts.compact(rows),
        charts.compact(round(failed * 100, 1)),
        charts.compact(round(seconds, 1)),
    )


def _failed(load: LoadFacts | None) -> float:
    """How many checks a row of a load fails, on average."""
    if load is None or not load.rows_read:
        return 0.0
    return sum(_counts(load).values()) / load.rows_read


def _counts(load: LoadFacts) -> dict[str, int]:
    """How many rows of a load each check found."""
    found: Mapping[str, int] = {
        **load.quality,
        "reject": load.rejects,
        "duplicate": load.duplicates,
        "stray": load.strays,
    }
    return {name: int(found.get(name, 0)) for name in CHECKS}


def quality(figures: ReportFigures, axis: Months) -> list[Quality]:
    """The checks of each service."""
    found = []
    for name, loads in _by_service(figures).items():
        checks, clean = [], []
        for check, meaning in CHECKS.items():
            counts = {load.month.first_day: _counts(load)[check] for load in loads}
            total = sum(counts.values())
            if not total:
                clean.append(meaning)
                continue
            shares = {
                load.month.first_day: counts[load.month.first_day] / load.rows_read
                for load in loads
                if load.rows_read
            }
            most_in = max(shares, key=lambda month: shares[month])
            found_jumps = jumps(shares)
            checks.append(
                Check(
                    check,
                    meaning,
                    total,
                    _spark(f"{check}-{name}", meaning, shares, found_jumps, axis),
                    shares[max(shares)],
                    shares[most_in],
                    most_in,
                    found_jumps,
                )
            )
        found.append(Quality(name, loads[-1].month.first_day, checks, clean))
    return found


def jumps(shares: Mapping[date, float]) -> list[Jump]:
    """The months in which a share jumps; the first of several that lie on the same side."""
    found: list[Jump] = []
    side = 0
    months = sorted(shares)
    for at in range(JUMP_MONTHS, len(months)):
        usual = statistics.median(shares[each] for each in months[at - JUMP_MONTHS : at])
        share = shares[months[at]]
        before, side = side, 0
        if abs(share - usual) >= JUMP_LEAST:
            if share >= usual * JUMP_TIMES:
                side = 1
            elif share <= usual / JUMP_TIMES:
                side = -1
        if side and side != before:
            found.append(Jump(months[at], usual, share))
    return found


def _spark(
    key: str, meaning: str, shares: Mapping[date, float], found: Sequence[Jump], axis: Months
) -> Chart:
    most = max(shares.values())
    runs: list[list[tuple[float, float]]] = []
    before = None
    for month in sorted(shares):
        if before is None or before + relativedelta(months=1) != month:
            runs.append([])
        middle = axis.x(month) + WIDTH / axis.days * 15
        runs[-1].append((middle, HEIGHT - shares[month] / most * HEIGHT if most else HEIGHT))
        before = month
    marks = [
        charts.Mark(
            axis.percent(each.month),
            round(HEIGHT - each.share / most * HEIGHT, 1) if most else HEIGHT,
            "",
            "middle",
        )
        for each in found
    ]
    title = f"Share of rows that {meaning}, by month"
    return Chart(key, title, f"At most {most:.2%}.", [("line", charts.polyline(runs))], marks=marks)


def seconds(figures: ReportFigures, axis: Months) -> tuple[str, list[Panel]]:
    """Seconds of each load, by step, one on the other."""
    panels = []
    total = dict.fromkeys(STEPS, 0.0)
    slowest: tuple[float, Month] | None = None
    for name, loads in _by_service(figures).items():
        scale = Scale.of(max(sum(load.seconds) for load in loads))
        layers: list[tuple[str, str]] = []
        for number, step in enumerate(STEPS):
            total[step] += sum(load.seconds[number] for load in loads)
            drawn = []
            for load in loads:
                x = axis.x(load.month.first_day)
                stop = axis.x(load.month.first_day + relativedelta(months=1))
                drawn.append((x, (stop - x) * 0.8, scale.y(sum(load.seconds[: number + 1]))))
            layers.insert(0, (step, charts.bars(drawn)))  # what is higher lies below
        of_loads = [(sum(load.seconds), load.month) for load in loads]
        all_seconds, (most, month) = sum(each for each, _ in of_loads), max(of_loads)
        slowest = max(slowest, (most, month)) if slowest else (most, month)
        facts = (
            f"{all_seconds:,.1f} s for {len(loads):,} "
            f"{'month' if len(loads) == 1 else 'months'}; "
            f"most for {month.text}: {most:,.1f} s"
        )
        description = f"Stacked by step: {', '.join(STEPS)}. {facts[0].upper()}{facts[1:]}."
        chart = Chart(
            f"seconds-{name}",
            f"{name}: seconds of each month's load",
            description,
            layers,
            scale.ticks(),
            axis.ticks(),
        )
        panels.append(Panel(name, facts, [chart]))
    if not slowest or not sum(total.values()):
        return "", panels
    step = max(total, key=lambda each: total[each])
    share = total[step] / sum(total.values())
    return f"{_WORK[step]} takes most of the time: {share:.0%}".replace("%", " %"), panels


_WORK = {
    "download": "Fetching the files",
    "transform": "The transform",
    "stage": "Staging",
    "merge": "Merging",
}


def _by_service(figures: ReportFigures) -> dict[str, list[LoadFacts]]:
    found: dict[str, list[LoadFacts]] = {}
    for load in figures.loads:
        found.setdefault(load.month.taxi_type, []).append(load)
    return {name: found[name] for name in TAXI_TYPES if name in found}


def counts_by_month(
    figures: ReportFigures,
) -> list[tuple[str, list[tuple[LoadFacts, dict[str, int]]]]]:
    """All counts of each service's loads, the newest month first."""
    return [
        (name, [(load, _counts(load)) for load in reversed(loads)])
        for name, loads in _by_service(figures).items()
    ]


def needing(overview: Overview) -> int:
    """How many months need somebody."""
    calm = {"merged", due.UNPUBLISHED, "running"}
    return sum(each.state not in calm for each in overview.months)
