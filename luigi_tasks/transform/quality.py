"""Data quality checks: how many rows of a batch fail each of them."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from luigi_tasks.transform.casting import number

_ZERO, _UNKNOWN_ZONE = number(0, pa.float64()), number(264, pa.int32())
#: The columns that a check needs, and whether their values fail it, by its name in the catalog's
#: ``QUALITY_CHECKS``. The merge counts strays.
CHECKS: dict[str, tuple[tuple[str, ...], Callable[..., pa.Array]]] = {
    "null_passenger_count": (("passenger_count",), lambda count: count.is_null()),
    "negative_total": (("total_amount",), lambda total: pc.less(total, _ZERO)),
    "zero_distance": (("trip_distance",), lambda miles: pc.equal(miles, _ZERO)),
    "dropoff_before_pickup": (("dropoff_datetime", "pickup_datetime"), pc.less),
    "unknown_zone": (
        ("pickup_location_id", "dropoff_location_id"),
        lambda *zones: pc.or_kleene(*(pc.greater_equal(zone, _UNKNOWN_ZONE) for zone in zones)),
    ),
}


def count_failures(batch: pa.RecordBatch, counts: dict[str, int]) -> None:
    """Add the numbers of rows that fail each check to ``counts``, if the batch has its columns."""
    for name, (columns, fails) in CHECKS.items():
        if set(columns) <= set(batch.schema.names):
            failed = pc.sum(fails(*map(batch.column, columns))).as_py() or 0
            counts[name] = counts.get(name, 0) + failed
