"""Charts as the data of SVG paths; the templates draw them.

A chart's plot is WIDTH by HEIGHT units, y downwards, and is stretched to the room that the page
has. Labels lie outside it, at percentages of its width, so that they keep their size on any screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise

from dateutil.relativedelta import relativedelta

WIDTH, HEIGHT = 1000, 200
#: Pixels of a plot: above it for the label of its peak, its height, and below it for the years.
ABOVE, TALL, BELOW = 20, 120, 20
#: At most so many points of a line: more would be closer than pixels are.
MOST_POINTS = 800
#: Parts of a scale, so that its steps are round.
_ROUND = (1, 2, 2.5, 4, 5, 8, 10)
_WEEK = 7

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A label of an axis, at a percentage of the width or a pixel from the top."""

    at: float
    label: str
    is_minor: bool = False


@dataclass(frozen=True)
class Mark:
    """A point that is pointed out, with what is said of it; ``anchor`` is SVG's text-anchor."""

    x: float
    y: float
    label: str
    anchor: str


@dataclass(frozen=True)
class Chart:
    """What is drawn: ``layers`` are classes of CSS with paths, the lowest first."""

    id: str
    title: str
    description: str
    layers: Sequence[tuple[str, str]]
    y_ticks: Sequence[Tick] = ()
    x_ticks: Sequence[Tick] = ()
    marks: Sequence[Mark] = ()
    height: int = TALL

    @property
    def base(self) -> int:
        """The pixel of the plot's lower edge."""
        return ABOVE + self.height

    @property
    def full_height(self) -> int:
        return self.base + BELOW


@dataclass(frozen=True)
class Months:
    """The axis of time, from the first day of a month to the end of a later one."""

    first: date
    last: date
    stop: date = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", self.last + relativedelta(months=1))

    @property
    def days(self) -> int:
        return (self.stop - self.first).days

    def x(self, day: date) -> float:
        """Where a day begins, in units of a plot."""
        return (day - self.first).days / self.days * WIDTH

    def percent(self, day: date) -> float:
        return round(self.x(day) / WIDTH * 100, 2)

    def ticks(self) -> list[Tick]:
        """The years, every other one of many minor; the months of a single year."""
        years = [date(y, 1, 1) for y in range(self.first.year, self.stop.year + 1)]
        shown = [day for day in years if self.first <= day < self.stop]
        if len(shown) < 2 and self.days < 2 * 366:
            months = list(self.months())
            step = max(1, math.ceil(len(months) / 6))
            return [
                Tick(self.percent(day), f"{day:%Y-%m}", bool(number // step % 2))
                for number, day in enumerate(months)
                if number % step == 0
            ]
        crowded = len(shown) > 6
        return [
            Tick(self.percent(day), f"{day:%Y}", crowded and day.year % 5 != 0) for day in shown
        ]

    def months(self) -> Iterator[date]:
        day = self.first
        while day < self.stop:
            yield day
            day += relativedelta(months=1)


@dataclass(frozen=True)
class Scale:
    """The axis of amounts, from 0 to a round number that is at least the largest amount."""

    top: float
    parts: int

    @classmethod
    def of(cls, largest: float) -> Scale:
        if not largest > 0:
            return cls(1, 1)
        size = 10 ** math.floor(math.log10(largest))
        top = next(each * size for each in _ROUND if each * size >= largest * 0.9999999)
        return cls(top, 4 if top / size in (4, 8) else 2)

    def y(self, amount: float) -> float:
        """How far from the top an amount is, in units of a plot."""
        return HEIGHT - min(max(amount, 0) / self.top, 1) * HEIGHT

    def ticks(self, unit: str = "", height: int = TALL) -> list[Tick]:
        """Labels at pixels from the top of the chart, without 0."""
        return [
            Tick(
                round(ABOVE + height * (1 - part / self.parts), 1),
                f"{unit}{compact(self.top * part / self.parts)}",
            )
            for part in range(1, self.parts + 1)
        ]


def compact(amount: float) -> str:
    """An amount in at most five characters, such as ``1.2M``."""
    for unit in ("", "k", "M", "bn"):
        if amount < 9.95 and (unit or amount != int(amount)):
            return f"{amount:.1f}".removesuffix(".0") + unit
        if amount < 999.5:
            return f"{amount:.0f}{unit}"
        amount /= 1000
    return f"{amount:,.0f}tn"


def polyline(runs: Iterable[Sequence[Point]]) -> str:
    """Lines through points, one for each run of them; a run of one point is a short stroke."""
    return "".join(
        _moved(run[0]) + "l" + (_steps(run) if len(run) > 1 else "1 0") for run in runs if run
    )


def band(runs: Iterable[Sequence[tuple[float, float, float]]]) -> str:
    """Areas between two lines, of points x, y and the other y."""
    paths = []
    for run in runs:
        there = [(x, y) for x, y, _ in run]
        back = [(x, y) for x, _, y in reversed(run)]
        if len(run) > 1:
            paths.append(f"{_moved(there[0])}l{_steps([*there, *back])}z")
    return "".join(paths)


def bars(values: Iterable[tuple[float, float, float]]) -> str:
    """Bars of x, width and upper edge, in their order: one path, along the base between them."""
    path = f"M0 {HEIGHT}"
    at = 0
    for x, width, y in values:
        left, right, height = round(x), round(x + width), HEIGHT - round(y)
        if height > 0:
            right = max(right, left + 1)
            path += f"{f'h{left - at}' if left - at else ''}v{-height}h{right - left}v{height}"
            at = right
    return path


def level(amount: float, largest: float, levels: int) -> int:
    """Which of the levels an amount belongs to, by its share of the largest."""
    if not largest > 0:
        return 0
    return min(int(max(amount, 0) / largest * levels), levels - 1)


def binned(days: Sequence[tuple[date, int]], most: int = MOST_POINTS) -> Iterator[list[Bin]]:
    """Runs of days without a hole, each in bins of as many days as keep within the limit.

    :param days: in their order, each with an amount.
    """
    size = max(1, math.ceil(len(days) / most))
    if 3 < size < _WEEK:
        size = _WEEK  # whole weeks have no ripple of weekends
    for run in _runs(days):
        yield [Bin.of(run[start : start + size]) for start in range(0, len(run), size)]


@dataclass(frozen=True)
class Bin:
    """Some days: the one in their midst, the least, the mean and the largest amount."""

    day: date
    least: int
    mean: float
    most: int

    @classmethod
    def of(cls, days: Sequence[tuple[date, int]]) -> Bin:
        amounts = [amount for _, amount in days]
        middle = days[0][0] + timedelta(days=len(days) / 2)
        return cls(middle, min(amounts), sum(amounts) / len(amounts), max(amounts))


def _runs(days: Sequence[tuple[date, int]]) -> Iterator[Sequence[tuple[date, int]]]:
    start = 0
    for at in range(1, len(days) + 1):
        if at == len(days) or (days[at][0] - days[at - 1][0]).days > 1:
            yield days[start:at]
            start = at


def _moved(point: Point) -> str:
    return f"M{round(point[0])} {round(point[1])}"


def _steps(points: Sequence[Point]) -> str:
    """The steps from each point to the next, without a blank where a minus divides them."""
    whole = [(round(x), round(y)) for x, y in points]
    text = " ".join(
        f"{x - before_x} {y - before_y}" for (before_x, before_y), (x, y) in pairwise(whole)
    )
    return text.replace(" -", "-")
