"""Where trips begin: a map of the zones, and a ranking beside it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.status.report.trips import LEVELS
from luigi_tasks.texts import shortened
from luigi_tasks.warehouse import ReportFigures

#: Zones of a ranking.
MOST_RANKED = 15
#: Characters of a name.
LONGEST_NAME = 60
#: What all services are called together.
ALL = "all"


@dataclass(frozen=True)
class Zone:
    """A zone on the map: its path, its name with its pickups, and a class of CSS for each
    ranking, of its number and the zone's level."""

    path: str
    title: str
    levels: str


@dataclass(frozen=True)
class Ranking:
    """The zones where most trips of a service begin: place, name, borough, pickups, share."""

    taxi_type: str
    trips: int
    rows: Sequence[tuple[int, str, str, int, float]]


@dataclass(frozen=True)
class Places:
    """The map, empty without outlines, and the rankings: first all services, then each.

    ``unplaced`` is how many trips begin in no zone that is on the map.
    """

    title: str
    view_box: str
    zones: Sequence[Zone]
    rankings: Sequence[Ranking]
    unplaced: int


def places(figures: ReportFigures) -> Places | None:
    """The map and the rankings; None if no pickups are known."""
    trips: dict[str, dict[int | None, int]] = defaultdict(lambda: defaultdict(int))
    names: dict[int | None, tuple[str, str]] = {}
    for each in figures.zones or ():
        trips[each.taxi_type][each.location_id] += each.trips
        trips[ALL][each.location_id] += each.trips
        names[each.location_id] = (_name(each.location_id, each.zone), _borough(each.borough))
    if not trips:
        return None
    shown = [ALL, *(name for name in TAXI_TYPES if name in trips)]
    if len(shown) == 2:  # a single service is all
        shown = shown[1:]
    rankings = [_ranking(name, trips[name], names) for name in shown]
    _, name, _, pickups, _ = rankings[0].rows[0]
    outlines = figures.outlines or ()
    drawn = {each.location_id for each in outlines}
    counts = {
        name: sorted(count for zone, count in trips[name].items() if zone in drawn and count)
        for name in shown
    }
    zones = [
        Zone(
            each.path,
            _title(_name(each.location_id, each.zone), each.location_id, trips, shown),
            " ".join(
                f"m{number}{_level(counts[name], trips[name].get(each.location_id, 0))}"
                for number, name in enumerate(shown)
            ),
        )
        for each in outlines
    ]
    return Places(
        f"Most trips begin in {name}: {pickups:,} of {rankings[0].trips:,}",
        outlines[0].view_box if outlines else "",
        zones,
        rankings,
        sum(count for zone, count in trips[shown[0]].items() if zone not in drawn),
    )


def _level(counts: Sequence[int], mine: int) -> int:
    """The level of a zone by the place that it has among all: pickups differ a thousandfold.

    :param counts: the pickups of each zone on the map that has any, in their order.
    """
    if not mine:
        return 0
    return 1 + min(bisect_left(counts, mine) * (LEVELS - 1) // len(counts), LEVELS - 2)


def _ranking(
    taxi_type: str, trips: Mapping[int | None, int], names: Mapping[int | None, tuple[str, str]]
) -> Ranking:
    total = sum(trips.values())
    first = sorted(trips, key=lambda zone: (-trips[zone], zone or 0))[:MOST_RANKED]
    rows = [
        (number, *names[zone], trips[zone], trips[zone] / total if total else 0.0)
        for number, zone in enumerate(first, 1)
    ]
    return Ranking(taxi_type, total, rows)


def _title(
    name: str, zone: int, trips: Mapping[str, Mapping[int | None, int]], shown: Sequence[str]
) -> str:
    counts = ", ".join(f"{service} {trips[service].get(zone, 0):,}" for service in shown)
    return f"{name}: {counts}"


def _name(zone: int | None, name: str | None) -> str:
    if zone is None:
        return "no zone"
    return shortened(name, LONGEST_NAME) if name else f"zone {zone}"


def _borough(borough: str | None) -> str:
    return shortened(borough, LONGEST_NAME) if borough else ""
