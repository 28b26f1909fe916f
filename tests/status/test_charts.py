"""Charts: axes, paths, and what is pointed out."""

from datetime import date

import pytest

from luigi_tasks.status.report.charts import Months, Scale, compact, polyline
from luigi_tasks.status.report.loads import jumps


def of_months(*shares: float) -> dict[date, float]:
    return {date(2020 + n // 12, n % 12 + 1, 1): share for n, share in enumerate(shares)}


def test_a_jump_is_marked_once_and_noise_is_not() -> None:
    calm = of_months(*[0.02, 0.022, 0.019] * 6)
    assert jumps(calm) == []
    up = of_months(*[0.02] * 7, *[0.2] * 7, 0.01)
    assert [f"{each.month:%Y-%m} {each.usual} {each.share}" for each in jumps(up)] == [
        "2020-08 0.02 0.2",
        "2021-03 0.2 0.01",
    ]
    assert jumps(of_months(*[0.0] * 7, 0.004)) == []


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (7, "7"),
        (7.25, "7.2"),
        (999, "999"),
        (1_000, "1k"),
        (9_949, "9.9k"),
        (9_950, "10k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (12_345_678, "12M"),
        (3_100_000_000, "3.1bn"),
    ],
)
def test_an_amount_is_short(amount: float, text: str) -> None:
    assert compact(amount) == text


def test_a_scale_is_round_and_holds_the_largest() -> None:
    for largest in (0.003, 1, 9.7, 10, 99, 101, 267_000, 3e9):
        scale = Scale.of(largest)
        assert largest <= scale.top < largest * 2.6
        assert scale.y(largest) >= 0
    assert Scale.of(0).ticks()


def test_years_are_labelled_where_they_begin() -> None:
    axis = Months(date(2019, 11, 1), date(2020, 12, 1))
    assert [tick.label for tick in Months(date(2019, 1, 1), date(2025, 1, 1)).ticks()] == [
        str(year) for year in range(2019, 2026)
    ]
    assert axis.ticks()[0].label == "2019-11"


def test_lines_break_at_holes() -> None:
    assert polyline([[(0, 200), (10, 150), (20, 160)], [(30, 5)]]) == "M0 200l10-50 10 10M30 5l1 0"
