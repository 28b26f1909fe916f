"""Write months of random trips as parquet, with strays, reversals, twins and duplicates; zones."""

import math
import os
import re
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from luigi_tasks.errors import TaxiError
from luigi_tasks.sample.draw import DRAW, Array, draw_pickups, null_share, uniform
from luigi_tasks.sample.services import MONEY, NULL_AS_ZERO, PARTS, SERVICES, TAXI_TYPES, WORDS
from luigi_tasks.sample.services import schema as month_schema

#: Rows that are drawn, held in memory and written at a time: the most that a row group has.
ROW_GROUP = 131_072


@dataclass(frozen=True)
class Counts:
    """The numbers of rows in a file.

    ``rows`` counts all, ``trips`` those that aren't duplicates, ``strays`` those with a pickup
    outside the month. ``reversals`` repeat another row with the sign of all its money changed,
    ``twins`` repeat another row's vendor, times, zones, distance and fare, but not its extra (in
    fhvhv its tips, in fhv its affiliated base), and ``duplicates`` repeat another row in every
    column.
    """

    rows: int
    trips: int
    strays: int
    reversals: int
    twins: int
    duplicates: int


def write_month(
    path: Path,
    taxi_type: str,
    month: date,
    *,
    rows: int = 10_000,
    seed: int = 1,
    strays: int | None = None,
    duplicates: int = 0,
    reversals: int | None = None,
    twins: int | None = None,
    schema: pa.Schema | None = None,
) -> Counts:
    """Write a month's file to ``path``, whole or not at all, and return its numbers of rows.

    By default one row in 7,000 is a stray, one in 450 a reversal and one in 4,000 a twin, as
    published, and at least one of each from 1,000 rows on.

    :param rows: rows with strays, reversals and twins; no two are alike in every column.
    :param duplicates: rows that are written a second time, beyond ``rows``, in a later row group if
        there is one.
    :param reversals: always 0 in fhv, which has no money.
    :param schema: columns and types to write instead of the month's own. Values are cast; a column
        that the month doesn't have, by name in any case, is NULL. Without the times, zones, money
        and bases, rows may be alike.
    :raises TaxiError: as ``schema`` does; a count is negative, or too large for ``rows``; or fhv
        shall have reversals.
    """
    published = month_schema(taxi_type, month)
    target = published if schema is None else schema
    strays = _one_in(7_000, rows) if strays is None else strays
    if SERVICES[taxi_type].fare is None:
        if reversals:
            raise TaxiError(
                f"{taxi_type}: {reversals} reversals: must be 0; a reversal takes back money, and "
                f"{taxi_type} is published without"
            )
        reversals = 0
    reversals = _one_in(450, rows - strays) if reversals is None else reversals
    twins = _one_in(4_000, rows - strays) if twins is None else twins
    counts = Counts(rows + duplicates, rows, strays, reversals, twins, duplicates)
    groups = max(1, math.ceil(rows / ROW_GROUP))
    _check_fit(counts, seed, groups)

    codec: dict[str, Any] = {"compression": "zstd"}
    if month < date(2023, 2, 1):
        codec = {"compression": "gzip", "compression_level": 1}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with pq.ParquetWriter(partial, target, **codec) as writer:
            repeated = target.empty_table()
            for group in range(groups):
                trips, repeat = _make_group(
                    taxi_type, month, counts, seed=seed, group=group, groups=groups
                )
                table = _as_table(trips, taxi_type, target)
                tables = [table, repeated]
                repeated = table.take(pa.array(repeat))
                if group == groups - 1:
                    tables.append(repeated)
                writer.write_table(pa.concat_tables(tables), row_group_size=ROW_GROUP)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return counts


def write_zones(path: Path) -> int:
    """Write the names of the taxi zones as the TLC publishes them, and return how many they are."""
    return _write_packaged("zones.csv", path).count(b"\n") - 1


def write_zone_shapes(path: Path) -> None:
    """Write the outlines of the taxi zones as the TLC publishes them, but simplified."""
    _write_packaged("zones.zip", path)


def _write_packaged(name: str, path: Path) -> bytes:
    """Write a file that the package carries, and return its bytes."""
    content = (files("luigi_tasks.sample") / name).read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return content


def _one_in(many: int, rows: int) -> int:
    return max(rows // many, 1 if rows >= 1_000 else 0)


def _check_fit(counts: Counts, seed: int, groups: int) -> None:
    for name, value in {"seed": seed, **vars(counts), "rows": counts.trips}.items():
        if value < 0:
            raise TaxiError(f"{name} {value}: must not be negative")
    copies = counts.reversals + counts.twins
    needed = counts.strays + copies + max(copies, counts.duplicates)
    # A row group's share of each of six counts is rounded up or down.
    room = counts.trips - (6 * groups if groups > 1 else 0)
    if needed > room:
        raise TaxiError(
            f"{counts.trips:,} rows: too few for {counts.strays:,} strays, {counts.reversals:,} "
            f"reversals, {counts.twins:,} twins and {counts.duplicates:,} duplicates; strays stand "
            "alone, all others repeat an ordinary row"
        )


def _make_group(
    taxi_type: str, month: date, counts: Counts, *, seed: int, group: int, groups: int
) -> tuple[dict[str, Array], Array]:
    """Make the rows of one row group, and the indexes of those to be written again.

    Each group has its own span of the month, and its strays their own residue of seconds. Rows of
    different groups thus differ, and only those within a group need to be compared.
    """

    def share(total: int) -> int:
        return total * (group + 1) // groups - total * group // groups

    service = SERVICES[taxi_type]
    entropy = (seed, TAXI_TYPES.index(taxi_type), month.year, month.month, group)
    stream = np.random.PCG64(entropy)
    rows, strays = share(counts.trips), share(counts.strays)
    reversals, twins = share(counts.reversals), share(counts.twins)
    singles = rows - reversals - twins

    pickup = draw_pickups(stream, month, singles, strays, group=group, groups=groups)
    trips = DRAW[taxi_type](stream, taxi_type, month, pickup)

    # After the strays, the first rows are repeated with a change, the last ones unchanged; all are
    # random, so any will do. A reversal of a fare of 0 would be a duplicate.
    original = np.arange(singles)
    copies = original[strays : strays + reversals + twins]
    if service.fare is not None:
        fare = trips[service.fare]
        fare[copies] = np.maximum(np.abs(fare[copies]), 300)
    shuffle = np.argsort(uniform(stream, rows), kind="stable")
    source = np.concatenate([original, copies])[shuffle]
    trips = {name: trips.pop(name)[source] for name in list(trips)}

    is_twin = shuffle >= singles + reversals
    column, difference = service.twin
    trips[column] += difference * is_twin
    if null_share(service, month):
        trips["unrecorded"] |= is_twin
    for name in ("payment_type", *service.record.split()):
        if name in trips:
            trips[name][trips["unrecorded"]] = 0
    sign = np.where((shuffle >= singles) & ~is_twin, -1, 1)
    for name in MONEY:
        if name in trips:
            trips[name] *= sign
    if service.fare == "fare_amount":
        parts = [trips[name] for name in PARTS if name in trips]
        trips["total_amount"] = np.sum(parts, axis=0)
    repeat = np.flatnonzero((shuffle < singles) & (shuffle >= singles - share(counts.duplicates)))
    return trips, repeat


def _as_table(trips: dict[str, Array], taxi_type: str, target: pa.Schema) -> pa.Table:
    record = SERVICES[taxi_type].record.split()
    arrays = []
    for field in target:
        name = re.sub(r"^([tl]pep_)?(\w+)_datetime$", r"\2", field.name.lower())
        if name not in trips or pa.types.is_null(field.type):
            arrays.append(pa.nulls(len(trips["pickup"]), field.type))
            continue
        values, null = trips[name], None
        if name in record:
            null = trips["unrecorded"]
        elif name in NULL_AS_ZERO:
            null = values == 0
        if name in ("request", "on_scene", "pickup", "dropoff"):
            values = (values * 1_000_000).astype("datetime64[us]")
        elif name in MONEY:
            values = values / 100
        array = pa.array(values, mask=null)
        if name in WORDS:
            array = pa.array(WORDS[name]).take(array.cast(pa.int16()))
        arrays.append(array.cast(field.type, safe=False))
    return pa.Table.from_arrays(arrays, schema=target)
