"""Assert, in a merge's own transaction, that no trip was lost, added or changed on its way.

Client and server each sum up the trips of a month, in whatever order: their number, and 128 bits of
hashes of their fingerprints (``luigi_tasks/checksums.py``). What the client sent must be what the
staging table holds, and in the end the trips table, but for trips that another month's file had
brought. What the table holds then under the file's name is written to the ledger, for TaxiVerify.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month, bounds
from luigi_tasks.tables import Table, TripsTable
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.sql import rows

if TYPE_CHECKING:
    from luigi_tasks.checksums import FingerprintSum

#: Strays that are found again by their places or fingerprints; of more, whole months are read.
MOST_STRAYS = 1_000
#: A fingerprint whose hash tells how a server computes it.
PROBE = "00112233-4455-6677-8899-aabbccddeeff"
#: What PostgreSQL makes of it on a little-endian machine.
PROBE_HASH = 4462459420613485749


class LostRowsError(TaxiError):
    """A staging table doesn't hold what was sent."""


@dataclass(frozen=True)
class Held:
    """What is held of a file in one month of pickup: the sum of its trips' hashes, and of those
    columns that fingerprints don't cover."""

    sum: FingerprintSum
    rest: int = 0

    def facts(self) -> dict[str, Any]:
        """As the ledger has it."""
        return {"rows": self.sum.rows, "sum": str(self.sum), "rest": str(self.rest)}


@dataclass
class Balance:
    """What a merge finds, month of pickup by month of pickup."""

    probe: int
    rest: list[str]
    held: dict[date, Held] = field(default_factory=dict)
    stray_ids: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many trips have the file's name."""
        return sum(each.sum.rows for each in self.held.values())

    def facts(self) -> dict[str, Any]:
        """As the ledger has it."""
        held = {month.isoformat()[:7]: each.facts() for month, each in self.held.items()}
        are_few = len(self.stray_ids) <= MOST_STRAYS
        return {
            "sums": {"probe": str(self.probe), "rest": self.rest, "months": held},
            "stray_ids": f"{{{','.join(self.stray_ids)}}}" if are_few else None,
        }


@dataclass(frozen=True)
class Found:
    """What is in a staging table: the sum of all, how many strays, and the places of few."""

    sum: FingerprintSum
    strays: int
    places: str | None

    def without(self, strays: Iterable[FingerprintSum]) -> FingerprintSum:
        """The sum of the trips of the month itself."""
        own = self.sum
        for each in strays:
            own -= each
        return own


def begin(cursor: Cursor, trips: TripsTable, new: Sequence[str]) -> Balance:
    """A merge's balance; ``new`` are the columns that came with its file."""
    [(probe,)] = rows(cursor, "merge/probe.sql", probe=PROBE)
    return Balance(int(probe), uncovered(trips, new))


def uncovered(trips: TripsTable, new: Sequence[str]) -> list[str]:
    """The columns of a file's trips that nothing can be said of by their fingerprints: new ones;
    all, where not all that the fingerprint is of are selected."""
    selected = [column.name for column in trips.taxi_type.columns]
    is_whole = len(selected) == len(TAXI_TYPES[trips.taxi_type.name].columns)
    return [*([] if is_whole else selected), *new]


def check_staged(
    cursor: Cursor, balance: Balance, month: Month, expected: FingerprintSum, names: dict[str, Any]
) -> Found:
    """See that a staging table holds what was sent.

    :param expected: how much, and its sum, which is 0 where an earlier version staged it.
    :raises LostRowsError: it doesn't.
    """
    file = "merge/count_staged.sql"
    [found] = rows(cursor, file, most=MOST_STRAYS, **names, **month.bounds)
    *counted, strays, places = found
    held, table = _sum(counted), ".".join(names["staging"])
    if held.rows != expected.rows:
        raise LostRowsError(
            f"{table} has lost rows: it holds {held.rows:,} of the {expected.rows:,} that were "
            "sent; nothing is merged; run again, which copies them anew"
        )
    is_known = (expected.upper or expected.lower) and balance.probe == PROBE_HASH
    if is_known and held != expected:
        raise LostRowsError(
            f"{table} holds other rows than were sent, by the sum of their fingerprints; "
            "nothing is merged; run again, which copies them anew"
        )
    return Found(held, strays, places if strays <= MOST_STRAYS else None)


def sum_strays(cursor: Cursor) -> dict[date, FingerprintSum]:
    """The sum of the strays, by month of pickup."""
    found = rows(cursor, "merge/count_strays.sql")
    return {month: _sum(counted) for month, *counted in found}


def sum_held(
    cursor: Cursor, balance: Balance, table: Table, pickups: dict[str, Any], names: dict[str, Any]
) -> Held:
    """What a table holds under the file's name, by a scan of one month of pickup."""
    given = {**names, **pickups, "trips": table, "rest": balance.rest}
    asked = {"covered": [], "only_file": True, "ids": None}
    found = rows(cursor, "verify/sum_trips.sql", **given, **asked)
    return _held(found[0][1:5] if found else [0, 0, 0, 0])


def check_strays(
    cursor: Cursor,
    balance: Balance,
    strays: dict[date, FingerprintSum],
    source: Table,
    names: dict[str, Any],
) -> None:
    """See that the trips table has the strays, and note those that have the file's name.

    :raises TaxiError: it hasn't.
    """
    for month, expected in strays.items():
        own, others, ids = _present(cursor, balance, source, month, names, with_ids=True)
        if own.sum + others.sum != expected:
            raise refusal(names, own.sum, others.sum, expected)
        balance.held[month] = own
        balance.stray_ids += ids


def differing(
    cursor: Cursor, balance: Balance, month: date, expected: FingerprintSum, names: dict[str, Any]
) -> tuple[FingerprintSum, FingerprintSum] | None:
    """Note what a trips table that has a partition for the month holds of the file.

    :returns: None if that is what was sent, but for trips that another month's file had brought;
        or what it holds of the file, and of others.
    """
    own = sum_held(cursor, balance, names["trips"], bounds(month), names)
    balance.held[month] = own
    if own.sum == expected:
        return None
    _, others, _ = _present(cursor, balance, names["staging"], month, names)
    return None if own.sum + others.sum == expected else (own.sum, others.sum)


def count_shared(
    cursor: Cursor, source: Table, months: Iterable[date], names: dict[str, Any]
) -> int:
    """How many trips of a source the trips table has under the names of other files."""
    nothing = Balance(0, [])
    return sum(_present(cursor, nothing, source, each, names)[1].sum.rows for each in months)


def _present(
    cursor: Cursor,
    balance: Balance,
    source: Table,
    month: date,
    names: dict[str, Any],
    *,
    with_ids: bool = False,
) -> tuple[Held, Held, list[str]]:
    """The trips of a source that the trips table has: the file's, those of others; which the
    file's are, if asked."""
    found = rows(
        cursor,
        "merge/sum_present.sql",
        source=source,
        rest=balance.rest,
        with_ids=with_ids,
        **names,
        **bounds(month),
    )
    by_owner = {is_own: counted for is_own, *counted in found}
    own, others = (by_owner.get(key, [0, 0, 0, 0, None]) for key in (True, False))
    return _held(own[:4]), _held(others[:4]), own[4] or []


def refusal(
    names: dict[str, Any], own: FingerprintSum, others: FingerprintSum, sent: FingerprintSum
) -> TaxiError:
    """The error of a merge that doesn't add up.

    :param own: what the trips table would hold under the file's name; ``others``, under those of
        other files.
    """
    would_hold = f"{own.rows:,}"
    if others.rows:
        would_hold += f", and {others.rows:,} that other files brought"
    if own.rows + others.rows == sent.rows:
        would_hold += ", and not the same ones"
    return TaxiError(
        f"{'.'.join(names['trips'])}: the rows of {names['filename']} don't add up: of "
        f"{sent.rows:,} it would hold {would_hold}; nothing is changed; see whether a trigger of "
        "yours drops or changes rows, or load the month anew by TaxiVerify --repair"
    )


def _sum(counted: Sequence[Any]) -> FingerprintSum:
    from luigi_tasks.checksums import FingerprintSum

    return FingerprintSum.of_halves(*counted)


def _held(counted: Sequence[Any]) -> Held:
    *total, rest = counted
    return Held(_sum(total), int(rest or 0))
