"""Hundreds of files that no month should be, made anew each time: what is in them, and what becomes
of each. Their shapes are those of bug reports of pipelines, of CSV and Parquet readers, and of what
fuzzers found in Arrow, DuckDB and PostgreSQL."""

from bad_files import csv_files, json_files, packed_files, parquet_damage, parquet_values
from bad_files.shapes import MOST_REJECTS, Bad

KINDS = {
    "csv": csv_files.FILES,
    "json": json_files.FILES,
    "packed": packed_files.FILES,
    "parquet": parquet_values.FILES,
    "damaged parquet": parquet_damage.FILES,
}
#: All of them, by name.
BAD: dict[str, Bad] = {
    f"{kind}: {name}": bad for kind, files in KINDS.items() for name, bad in files.items()
}

__all__ = ["BAD", "KINDS", "MOST_REJECTS", "Bad"]
