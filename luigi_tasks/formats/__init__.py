"""The formats in which months are published: parquet, CSV and JSON, the latter also compressed.

Whatever its format, an open file has named columns, and rows in batches with their numbers in the
file. The values of CSV and JSON are text in all columns, since nothing in the file gives a type.
"""

from luigi_tasks.formats.open import detect_format, open_published
from luigi_tasks.formats.parquet import BATCH_BYTES, open_parquet, read_batches
from luigi_tasks.formats.rows import BATCH_ROWS, HEAD, Broken, PublishedFile, Rows
from luigi_tasks.formats.trips import (
    BrokenStreamError,
    Trips,
    open_trips,
    read_trips,
    stream_schema,
)

__all__ = [
    "BATCH_BYTES",
    "BATCH_ROWS",
    "HEAD",
    "Broken",
    "BrokenStreamError",
    "PublishedFile",
    "Rows",
    "Trips",
    "detect_format",
    "open_parquet",
    "open_published",
    "open_trips",
    "read_batches",
    "read_trips",
    "stream_schema",
]
