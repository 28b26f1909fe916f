"""Outlines of zones, simplified for a map: polygons in feet become SVG path data in whole units.

Neighbours share their borders. So each border is simplified once, for both of them, and what they
share stays the same points: no gap shows between them, and none overlaps another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from luigi_tasks.catalog import Outline

#: Units of a map along its longer side. One is 77 feet of New York, whose zones then take 46 kB.
SIZE = 2000
#: How far a border may be from where it was, in units.
TOLERANCE = 0.8
#: An island or a hole that is smaller is left out, in square units, unless the zone has no other.
LEAST_AREA = 6.0
#: Steps of a unit in which points are compared: what is closer is one point.
_STEPS = 64
#: Points of a line that are simplified at once: the time grows with the square.
_PIECE = 2000

Point = tuple[int, int]
#: A closed line, without its first point at the end again.
Ring = list[Point]
#: The rings of a polygon on a plane: outer ones clockwise, holes the other way.
Polygon = Sequence[Sequence[tuple[float, float]]]


def draw_outlines(zones: Mapping[int, Polygon]) -> list[Outline]:
    """Simplify the polygons of zones, and draw them on one map.

    :param zones: by number; y is upwards, and there is at least one point.
    """
    points = np.array([point for rings in zones.values() for ring in rings for point in ring])
    left, bottom = points.min(axis=0)
    width, height = points.max(axis=0) - (left, bottom)
    scale = SIZE / max(width, height, 1e-9)
    corner = np.array([left, bottom + height])
    steps = np.array([scale, -scale]) * _STEPS
    rings = [
        (location_id, _without_repeats((np.array(ring) - corner) * steps))
        for location_id, polygon in zones.items()
        for ring in polygon
    ]
    kept = _important([ring for _, ring in rings])
    drawn: dict[int, list[Ring]] = defaultdict(list)
    for location_id, ring in rings:
        simple = np.array([point for point in ring if point in kept]).reshape(-1, 2)
        drawn[location_id].append(_without_repeats(simple / _STEPS))
    view_box = f"0 0 {round(width * scale)} {round(height * scale)}"
    return [
        Outline(location_id, "".join(map(_path, _shown(parts))), view_box)
        for location_id, parts in sorted(drawn.items())
    ]


def _without_repeats(points: np.ndarray) -> Ring:
    """The points as whole numbers, each but once in a row."""
    whole: Ring = [(x, y) for x, y in np.rint(points).astype(int).tolist()]
    return [
        point
        for point, before in zip(whole, [*whole[-1:], *whole], strict=False)
        if point != before
    ] or whole[:1]


def _important(rings: Sequence[Ring]) -> set[Point]:
    """The points that simplified rings have, each of which is kept in all rings that have it.

    Where borders meet, and so more than two neighbours are, a point is always kept.
    """
    neighbours: dict[Point, set[Point]] = defaultdict(set)
    for ring in rings:
        for one, other in zip(ring, [*ring[1:], ring[0]], strict=True):
            neighbours[one].add(other)
            neighbours[other].add(one)
    kept = set()
    for ring in rings:
        line = np.array(ring)
        ends = [at for at, point in enumerate(ring) if len(neighbours[point]) != 2]
        if len(ends) < 2:  # an island: from its leftmost point to the one that is farthest from it
            first = ends[0] if ends else min(range(len(ring)), key=ring.__getitem__)
            ends = sorted({first, int(((line - line[first]) ** 2).sum(axis=1).argmax())})
        ends = sorted({*ends, *range(ends[0], len(ring), _PIECE)})
        for start, stop in zip(ends, [*ends[1:], ends[0] + len(ring)], strict=True):
            arc = np.take(line, range(start, stop + 1), axis=0, mode="wrap")
            kept |= {ring[(start + at) % len(ring)] for at in _simplified(arc)}
    return kept


def _simplified(line: np.ndarray) -> Iterable[int]:
    """The points to keep of a line, by Ramer, Douglas and Peucker: their places."""
    kept, pending = {0, len(line) - 1}, [(0, len(line) - 1)]
    while pending:
        start, stop = pending.pop()
        if stop - start < 2:
            continue
        along = line[stop] - line[start]
        off = line[start + 1 : stop] - line[start]
        share = np.clip(off @ along / max(along @ along, 1), 0, 1)
        distances = ((off - share[:, None] * along) ** 2).sum(axis=1)
        farthest = int(distances.argmax())
        if distances[farthest] > (TOLERANCE * _STEPS) ** 2:
            middle = start + 1 + farthest
            kept.add(middle)
            pending += [(start, middle), (middle, stop)]
    return kept


def _shown(rings: Sequence[Ring]) -> list[Ring]:
    """The rings without those too small to be seen, and without borders inside of the zone."""
    whole = _dissolved(rings)
    shown = [ring for ring in whole if abs(_area(ring)) >= LEAST_AREA]
    if shown:
        return shown
    largest = max([*whole, *rings], key=lambda ring: abs(_area(ring)))
    return [largest if len(largest) > 2 else _triangle(largest[0])]


def _dissolved(rings: Iterable[Ring]) -> list[Ring]:
    """The rings without lines that are drawn in both directions, which lie inside or are spikes."""
    following: dict[Point, list[Point]] = defaultdict(list)
    for ring in rings:
        for one, other in zip(ring, [*ring[1:], ring[0]], strict=True):
            if one in following[other]:
                following[other].remove(one)
            else:
                following[one].append(other)
    found = []
    for start in list(following):
        while following[start]:
            ring = [start]
            while (point := following[ring[-1]].pop()) != start:
                ring.append(point)
            found.append(ring)
    return found


def _area(ring: Ring) -> float:
    """The area in a ring, negative if it goes the other way."""
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairs) / 2


def _triangle(point: Point) -> Ring:
    """What is drawn where a zone is smaller than a unit."""
    x, y = point
    return [(x - 1, y + 1), (x + 1, y + 1), (x, y - 1)]


def _path(ring: Ring) -> str:
    """A ring as the data of an SVG path: where it begins, and the ways to its further points."""
    (x, y), *further = ring
    text = f"M{x} {y}l"
    for next_x, next_y in further:
        step = f"{next_x - x} {next_y - y}".replace(" -", "-")
        text += step if text[-1] == "l" or step[0] == "-" else f" {step}"
        x, y = next_x, next_y
    return text + "z"
