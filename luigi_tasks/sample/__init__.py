"""Months of random taxi trips, in the shape in which the TLC publishes them.

They are for the quickstart, the tests and the benchmark: the published files are large, and their
server isn't always available. Column names, types and codecs follow the TLC's parquet files era by
era; the errors in them and their frequency were counted in 37 published months of green trips (3
million rows), and the NULLs of fhv and fhvhv in 1,000 trips each of 2020-04. The values are
plausible and nothing more: don't count taxis with them. A month depends on the seed, the taxi type
and its name alone.
"""

from luigi_tasks.sample.services import PARTS, SERVICES, TAXI_TYPES, schema
from luigi_tasks.sample.write import ROW_GROUP, Counts, write_month, write_zone_shapes, write_zones

__all__ = [
    "PARTS",
    "ROW_GROUP",
    "SERVICES",
    "TAXI_TYPES",
    "Counts",
    "schema",
    "write_month",
    "write_zone_shapes",
    "write_zones",
]
