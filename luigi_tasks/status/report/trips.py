"""What the trips show: by day, by month, by hour of the week, by zone."""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from dateutil.relativedelta import relativedelta

from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.months import bounds
from luigi_tasks.status.report import charts
from luigi_tasks.status.report.charts import ABOVE, HEIGHT, TALL, Chart, Mark, Months, Scale
from luigi_tasks.warehouse import ReportFigures, Sums
from luigi_tasks.warehouse.report import Amount

#: A change that a title is about: so much of a service's trips, and of at least so many.
LARGE_CHANGE, ENOUGH_TRIPS = 0.25, 1_000
#: Levels of the ramp of amounts.
LEVELS = 8


@dataclass(frozen=True)
class Panel:
    """A service's chart, or two, below a line that says what is in them."""

    taxi_type: str
    facts: str
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Trips:
    """Charts of trips by time, and how many trips lie outside of what they show."""

    title: str
    note: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Year:
    """A service's sums of a year of pickups; None where it doesn't publish them."""

    taxi_type: str
    year: int
    months: int
    trips: int
    passengers: Amount | None
    distance: Amount | None
    fares: Amount | None
    tips: Amount | None
    revenue: Amount | None


@dataclass(frozen=True)
class Week:
    """A service's trips by hour of the week: of each weekday, of each hour its level and trips."""

    taxi_type: str
    facts: str
    rows: Sequence[tuple[str, Sequence[tuple[int, int]]]]


def daily(figures: ReportFigures, axis: Months) -> Trips:
    """Trips a day of each service, as the mean of some days between the least and the most."""
    loaded: dict[str, list[date]] = {}
    for load in figures.loads:
        loaded.setdefault(load.month.taxi_type, []).append(load.month.first_day)
    counted = {(taxi_type, day): trips for taxi_type, day, trips in figures.daily or ()}
    panels = []
    everything, known = 0, set[date]()
    for name in _services(loaded):
        days = [
            (day, counted.get((name, day), 0)) for first in loaded[name] for day in _days(first)
        ]
        total = sum(trips for _, trips in days)
        everything += total
        known |= {day for day, _ in days}
        if not total:
            continue
        peak_day, peak = max(days, key=lambda each: each[1])
        scale = Scale.of(peak)
        runs = list(charts.binned(days))
        width = max(1, (runs[0][0].day - days[0][0]).days * 2)
        means = [[(axis.x(each.day), scale.y(each.mean)) for each in run] for run in runs]
        layers = [("line", charts.polyline(means))]
        if width > 1:
            spans = [
                [(axis.x(each.day), scale.y(each.most), scale.y(each.least)) for each in run]
                for run in runs
            ]
            layers.insert(0, ("band", charts.band(spans)))
        chart = Chart(
            f"daily-{name}",
            f"{name}: trips a day",
            f"Most on {peak_day}: {peak:,} trips.",
            layers,
            scale.ticks(),
            axis.ticks(),
            [_mark(axis.percent(peak_day), scale.y(peak), f"{peak_day}: {peak:,}")],
        )
        facts = f"{total:,} trips on {len(days):,} days, {total / len(days):,.0f} a day"
        panels.append(Panel(name, facts, [chart]))
    title = _change(figures.monthly or ()) or f"{everything / len(known):,.0f} trips on a day"
    return Trips(title, _outside(figures), panels)


def monthly(figures: ReportFigures, axis: Months) -> Trips:
    """Trips and revenue of each service, by month of pickup."""
    by_service: dict[str, list[Sums]] = {}
    for each in figures.monthly or ():
        if each.is_loaded:
            by_service.setdefault(each.taxi_type, []).append(each)
    panels = []
    for name in _services(by_service):
        sums = by_service[name]
        drawn = [_bars(name, "trips", {each.month: each.trips for each in sums}, axis)]
        facts = f"{sum(each.trips for each in sums):,} trips"
        revenues = {each.month: each.revenue for each in sums if each.revenue is not None}
        if revenues:
            drawn.append(_bars(name, "revenue", revenues, axis, "$"))
            facts += f", {money(sum(revenues.values()))}"
        else:
            facts += "; it publishes no amounts of money"
        panels.append(Panel(name, facts, drawn))
    title = "Trips and revenue a month"
    revenue: dict[date, Amount] = defaultdict(int)
    for each in figures.monthly or ():
        if each.is_loaded and each.revenue is not None:
            revenue[each.month] += each.revenue  # type: ignore[operator]
    if revenue:
        best = max(revenue, key=lambda month: revenue[month])
        title = f"Most was earned in {best:%B %Y}: {money(revenue[best])}"
    return Trips(title, "", panels)


def years(figures: ReportFigures) -> list[Year]:
    """The sums of each year of pickups, of the months that are loaded."""
    found: dict[tuple[str, int], list[Sums]] = {}
    for each in figures.monthly or ():
        if each.is_loaded:
            found.setdefault((each.taxi_type, each.month.year), []).append(each)
    return [
        Year(
            name,
            year,
            len(sums),
            sum(each.trips for each in sums),
            _sum([each.passengers for each in sums]),
            _sum([each.distance for each in sums]),
            _sum([each.fares for each in sums]),
            _sum([each.tips for each in sums]),
            _sum([each.revenue for each in sums]),
        )
        for name in _services({name for name, _ in found})
        for (service, year), sums in sorted(found.items())
        if service == name
    ]


def weeks(figures: ReportFigures) -> tuple[str, list[Week]]:
    """Trips by hour of the week, of each service, and which hour has most of all."""
    by_service: dict[str, dict[tuple[int, int], int]] = {}
    total: dict[tuple[int, int], int] = defaultdict(int)
    for name, weekday, hour, trips in figures.hourly or ():
        by_service.setdefault(name, {})[weekday, hour] = trips
        total[weekday, hour] += trips
    found = []
    for name in _services(by_service):
        trips_at = by_service[name]
        busiest = max(trips_at, key=lambda at: trips_at[at])
        most = trips_at[busiest]
        facts = f"most on {_when(*busiest)}: {most:,} of {sum(trips_at.values()):,} trips"
        rows = []
        for day in range(1, 8):
            amounts = [trips_at.get((day, hour), 0) for hour in range(24)]
            levels = [charts.level(amount, most, LEVELS) for amount in amounts]
            rows.append((calendar.day_abbr[day - 1], list(zip(levels, amounts, strict=True))))
        found.append(Week(name, facts, rows))
    if not total:
        return "", []
    return f"No hour is busier than {_when(*max(total, key=lambda at: total[at]))}", found


def whole(amount: Amount) -> str:
    """An amount rounded to a whole number, as PostgreSQL rounds a numeric: halves go up."""
    return f"{Decimal(amount).quantize(Decimal(1), ROUND_HALF_UP):,}"


def money(amount: Amount) -> str:
    """Dollars without cents."""
    return f"-${whole(-amount)}" if amount < 0 else f"${whole(amount)}"


def _when(weekday: int, hour: int) -> str:
    return f"{calendar.day_name[weekday - 1]}, {hour:02}:00 to {(hour + 1) % 24:02}:00"


def _bars(
    name: str, what: str, values: Mapping[date, Amount], axis: Months, unit: str = ""
) -> Chart:
    most = max(values, key=lambda month: values[month])
    scale = Scale.of(float(values[most]))
    drawn = []
    for month, amount in values.items():
        x, stop = axis.x(month), axis.x(bounds(month)["stop"])
        drawn.append((x, (stop - x) * 0.8, scale.y(float(amount))))
    shown = money(values[most]) if unit else f"{values[most]:,}"
    return Chart(
        f"{what}-{name}",
        f"{name}: {what} a month",
        f"Most in {most:%Y-%m}: {shown}.",
        [("bar", charts.bars(drawn))],
        scale.ticks(unit),
        axis.ticks(),
        [
            _mark(
                axis.percent(most) + 40 * 30 / axis.days,  # the middle of the bar
                scale.y(float(values[most])),
                f"{most:%Y-%m}: {shown}",
            )
        ],
    )


def _mark(x: float, y: float, label: str) -> Mark:
    anchor = "start" if x < 30 else "end" if x > 70 else "middle"
    return Mark(x, round(ABOVE + y * TALL / HEIGHT, 1), label, anchor)


def _change(monthly: Sequence[Sums]) -> str:
    """The largest change of trips, against the year or the month before, as a title.

    Only services that have both months loaded are compared.
    """
    trips = {(each.taxi_type, each.month): each.trips for each in monthly if each.is_loaded}
    changes = []
    for months, than in ((12, "a year before"), (1, "the month before")):
        for month in sorted({month for _, month in trips}):
            before = month - relativedelta(months=months)
            pairs = [
                (trips[name, before], trips[name, month])
                for name in TAXI_TYPES
                if (name, before) in trips and (name, month) in trips
            ]
            was, now = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
            if was >= ENOUGH_TRIPS:
                changes.append((now / was - 1, month, than))
    falls = [each for each in changes if each[0] <= -LARGE_CHANGE]
    rises = [each for each in changes if each[0] >= LARGE_CHANGE]
    if falls:
        share, month, than = min(falls, key=lambda each: each[0])
        return f"Trips fell by {-share:.0%} in {month:%B %Y}, against {than}".replace("%", " %")
    if rises:
        share, month, than = max(rises, key=lambda each: each[0])
        return f"Trips rose by {share:.0%} in {month:%B %Y}, against {than}".replace("%", " %")
    return ""


def _outside(figures: ReportFigures) -> str:
    outside = [each for each in figures.monthly or () if not each.is_loaded and each.trips]
    if not outside:
        return ""
    trips = sum(each.trips for each in outside)
    first, last = min(each.month for each in outside), max(each.month for each in outside)
    return (
        f"{trips:,} more {'trip begins' if trips == 1 else 'trips begin'} in months whose own file "
        f"isn't loaded, from {first:%Y-%m} to {last:%Y-%m}: clocks of taximeters are wrong at "
        "times. They aren't drawn."
    )


def _days(first: date) -> Iterator[date]:
    stop = first + relativedelta(months=1)
    for number in range((stop - first).days):
        yield first + timedelta(days=number)


def _services(found: object) -> list[str]:
    """Those services, in the catalog's order."""
    return [name for name in TAXI_TYPES if name in found]  # type: ignore[operator]


def _sum(amounts: Sequence[Amount | None]) -> Amount | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
