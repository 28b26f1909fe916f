"""The outlines of zones on a map: neighbours stay neighbours, and nothing that counts is lost."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luigi_tasks.formats.outlines import draw_outlines
from luigi_tasks.formats.shapes import read_shapes

Ring = list[tuple[int, int]]


def rings_of(outline: str) -> list[Ring]:
    """The rings of an SVG path, read as a browser does."""
    assert re.fullmatch(r"(M\d+ \d+l-?\d+(( |(?=-))-?\d+)+z)+", outline), outline[:200]
    rings = []
    for part in outline.split("z")[:-1]:
        numbers = np.array([int(each) for each in re.findall(r"-?\d+", part)]).reshape(-1, 2)
        rings.append([(x, y) for x, y in numbers.cumsum(axis=0).tolist()])
    return rings


def area(rings: list[Ring]) -> float:
    found = 0.0
    for ring in rings:
        x, y = np.array([*ring, ring[0]], dtype=float).T
        found += float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2
    return abs(found)


def lines(rings: list[Ring]) -> Counter[tuple[tuple[int, int], tuple[int, int]]]:
    return Counter(pair for ring in rings for pair in zip(ring, [*ring[1:], ring[0]], strict=True))


def box(x: float, y: float, width: float, height: float) -> list[tuple[float, float]]:
    """A rectangle, clockwise, as a shapefile has it."""
    return [(x, y), (x, y + height), (x + width, y + height), (x + width, y)]


@settings(max_examples=60, deadline=None)
@given(
    columns=st.integers(1, 4),
    rows=st.integers(1, 4),
    points=st.integers(0, 30),
    seed=st.integers(0, 2**32 - 1),
)
def test_neighbours_share_their_borders(columns: int, rows: int, points: int, seed: int) -> None:
    """However ragged: every line but those of the rim is drawn by two zones, once each way."""
    random = np.random.default_rng(seed)

    def border(x: int, y: int, dx: int, dy: int) -> list[tuple[float, float]]:
        is_rim = (dx and y in (0, rows)) or (dy and x in (0, columns))
        along = np.sort(random.uniform(0.05, 0.95, points))
        off = np.zeros(points) if is_rim else random.uniform(-0.02, 0.02, points)
        between = [
            ((x + t * dx + o * dy), (y + t * dy + o * dx)) for t, o in zip(along, off, strict=True)
        ]
        return [(float(x), float(y)), *between]

    across = {(x, y): border(x, y, 1, 0) for x in range(columns) for y in range(rows + 1)}
    up = {(x, y): border(x, y, 0, 1) for x in range(columns + 1) for y in range(rows)}

    def back(line: list[tuple[float, float]], end: tuple[float, float]) -> list:
        return [end, *reversed(line[1:])]

    zones = {}
    for x in range(columns):
        for y in range(rows):
            ring = [
                *up[x, y],
                *across[x, y + 1],
                *back(up[x + 1, y], (x + 1.0, y + 1.0)),
                *back(across[x, y], (x + 1.0, y)),
            ]
            start = int(random.integers(len(ring)))  # each ring begins where it likes
            zones[x * rows + y + 1] = [ring[start:] + ring[:start]]
    drawn = draw_outlines(zones)
    assert [each.location_id for each in drawn] == sorted(zones)
    assert len({each.view_box for each in drawn}) == 1
    right, bottom = map(int, drawn[0].view_box.split()[2:])
    found = lines([ring for each in drawn for ring in rings_of(each.outline)])
    assert set(found.values()) == {1}
    for (x, y), (next_x, next_y) in found:
        is_rim = (x == next_x and x in (0, right)) or (y == next_y and y in (0, bottom))
        assert is_rim != (((next_x, next_y), (x, y)) in found)


def test_islands_are_kept_unless_they_cannot_be_seen() -> None:
    zones = {
        1: [box(0, 0, 2000, 2000)],
        2: [box(3000, 0, 100, 100), box(3200, 0, 1, 1)],  # an island too small to be seen
        3: [box(4000, 0, 1e-3, 1e-3)],  # a zone too small to be seen
    }
    drawn = {each.location_id: rings_of(each.outline) for each in draw_outlines(zones)}
    assert [len(rings) for rings in drawn.values()] == [1, 1, 1]
    assert [len(rings[0]) for rings in drawn.values()] == [4, 4, 3]


def test_parts_of_a_zone_become_one_outline() -> None:
    """The TLC's file has zone 56 in two parts that share a border."""
    drawn = draw_outlines({1: [box(0, 0, 50, 100), box(50, 0, 50, 100)]})
    [[ring]] = [rings_of(each.outline) for each in drawn]
    assert area([ring]) == 2000**2
    assert lines([ring]).total() == 6


def test_holes_stay_holes() -> None:
    hole = list(reversed(box(40, 40, 20, 20)))
    drawn = draw_outlines({1: [box(0, 0, 100, 100), hole], 2: [box(40, 40, 20, 20)]})
    assert area(rings_of(drawn[0].outline)) == 2000**2 - 400**2
    assert area(rings_of(drawn[1].outline)) == 400**2


def test_a_long_coast_takes_no_long_time() -> None:
    """A line that is split at its last point each time would take the square of its length."""
    spiral = np.linspace(0, 400, 20_000)
    points = np.stack([spiral * np.cos(spiral), spiral * np.sin(spiral)], axis=1)
    [drawn] = draw_outlines({1: [[(x, y) for x, y in points.tolist()]]})
    assert drawn.outline


@pytest.mark.parametrize("ring", [[(5.0, 5.0)], [(5.0, 5.0)] * 3, [(0.0, 0.0), (9.0, 9.0)]])
def test_a_zone_without_area_is_a_triangle(ring: list[tuple[float, float]]) -> None:
    [drawn] = draw_outlines({7: [ring]})
    assert area(rings_of(drawn.outline.replace("M-1", "M0"))) > 0


def test_the_published_zones_are_a_small_and_faithful_map(shared_data: Path) -> None:
    shapes = read_shapes(shared_data / "lookup" / "taxi_zones.zip")
    drawn = draw_outlines(shapes)
    assert [each.location_id for each in drawn] == sorted({*range(1, 264)} - {57, 104, 105})
    assert sum(len(each.outline) for each in drawn) < 50_000
    assert {each.view_box for each in drawn} == {"0 0 2000 1981"}
    rings = {each.location_id: rings_of(each.outline) for each in drawn}
    assert len(rings[56]) == 1
    assert len(rings[103]) == 3  # Governors, Ellis and Liberty Island
    feet = 154_207.4 / 2000
    for location_id, drawn_rings in rings.items():
        published = area(shapes[location_id]) / feet**2
        assert area(drawn_rings) == pytest.approx(published, rel=0.05, abs=20), location_id
    everything = [ring for each in rings.values() for ring in each]
    assert set(lines(everything).values()) == {1}  # no zone lies over another
    points = np.array([point for ring in everything for point in ring])
    assert points.min() == 0
    assert points.max(axis=0).tolist() == [2000, 1981]
