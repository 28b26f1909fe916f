"""The months that are loaded: made up or real, and in the forms that each alternative reads.

All of it is made before the clock starts, and kept in a folder for the next run.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from dateutil.relativedelta import relativedelta
from pgpq import ArrowToPostgresBinaryEncoder
from pyarrow import csv

from luigi_tasks import sample
from luigi_tasks.catalog import ARROW_TYPES, TAXI_TYPES, TaxiType
from luigi_tasks.warehouse.fingerprint import fingerprints

_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Month:
    """A month's file as it is published, and where its other forms are kept."""

    taxi_type: str
    first_day: date
    parquet: Path
    forms: Path

    @property
    def name(self) -> str:
        return f"{self.first_day:%Y-%m}"

    @property
    def kind(self) -> TaxiType:
        return TAXI_TYPES[self.taxi_type]

    @property
    def rows(self) -> int:
        return int(pq.read_metadata(self.parquet).num_rows)

    def csv(self) -> Path:
        """The catalog's columns, as text in their PostgreSQL types."""
        return self._form("csv", self._write_csv)

    def binary(self) -> Path:
        """The catalog's columns, in PostgreSQL's binary format."""
        return self._form("bin", self._write_binary)

    def keyed(self) -> Path:
        """The catalog's columns in parquet, and before them the fingerprint as text."""
        return self._form("keyed.parquet", self._write_keyed)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, with the catalog's columns and types."""
        columns = self.kind.columns
        types = [pa.type_for_alias(ARROW_TYPES[column.type]) for column in columns]
        schema = pa.schema(list(zip((c.name for c in columns), types, strict=True)))
        with pq.ParquetFile(self.parquet) as file:
            published = self.kind.match(file.schema_arrow.names).columns
            for batch in file.iter_batches(_BATCH_ROWS):
                arrays = [
                    batch.column(published[each.name]).cast(each.type)
                    if each.name in published
                    else pa.nulls(batch.num_rows, each.type)
                    for each in schema
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _form(self, suffix: str, write: Callable[[Path], None]) -> Path:
        path = self.forms / f"{self.parquet.stem}.{suffix}"
        if not path.exists():
            with _whole(path) as partial:
                write(partial)
        return path

    def _write_csv(self, path: Path) -> None:
        batches = self.batches()
        first = next(batches)
        with csv.CSVWriter(path, first.schema) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)

    def _write_binary(self, path: Path) -> None:
        encoder = None
        with path.open("wb") as file:
            for batch in self.batches():
                if encoder is None:
                    encoder = ArrowToPostgresBinaryEncoder(batch.schema)
                    file.write(encoder.write_header())
                file.write(encoder.write_batch(batch))
            if encoder:
                file.write(encoder.finish())

    def _write_keyed(self, path: Path) -> None:
        writer = None
        for batch in self.batches():
            keys = pa.array(
                [key.hex() for key in fingerprints(batch, self.kind.columns).to_pylist()]
            )
            table = pa.Table.from_batches([batch]).add_column(0, "unique_row_id", keys)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        if writer:
            writer.close()


def made_up(
    data: Path,
    rows: int,
    *,
    months: int = 1,
    taxi_type: str = "yellow",
    start: str = "2024-01",
    duplicates: int = 0,
) -> list[Month]:
    """Months of made-up trips, one after the other, ``rows`` in each, some of them twice."""
    # a folder for each version of the package that makes them
    sources = sorted(Path(sample.__file__).parent.glob("*.py"))
    version = hashlib.sha256(b"".join(map(Path.read_bytes, sources))).hexdigest()[:8]
    folder = data / f"{taxi_type}-{rows}{f'-{duplicates}' if duplicates else ''}-{version}"
    first = date.fromisoformat(f"{start}-01")
    made = []
    for number in range(months):
        day = first + relativedelta(months=number)
        file = folder / f"{taxi_type}_tripdata_{day:%Y-%m}.parquet"
        if not file.exists():
            sample.write_month(file, taxi_type, day, rows=rows, duplicates=duplicates)
        made.append(Month(taxi_type, day, file, folder))
    return made


def real_green(shared: Path, data: Path, most: int | None) -> list[Month]:
    """The published months of green trips in a folder; none if there are none."""
    found = []
    for file in sorted((shared / "parquet").glob("green_tripdata_????-??.parquet"))[:most]:
        day = date.fromisoformat(f"{file.stem[-7:]}-01")
        found.append(Month("green", day, file, data / "green-real"))
    return found


def after(month: Month) -> str:
    """The month after, where a range that ends with this one stops."""
    return f"{month.first_day + relativedelta(months=1):%Y-%m}"


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A name to write a file under; it gets its own when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
