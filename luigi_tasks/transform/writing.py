"""Where canonical trips are written: a parquet file, or a stream in Arrow's IPC format."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from luigi_tasks.formats import BATCH_BYTES, BATCH_ROWS

#: Takes the next rows.
Write = Callable[[pa.RecordBatch], None]


def writer(
    trips: Path | IO[bytes], schema: pa.Schema, stream_schema: pa.Schema
) -> AbstractContextManager[Write]:
    """Begin to write trips; what is written of a file appears at the end, if all goes well.

    :param stream_schema: the schema of a stream: those columns that have values, and what readers
        have to know before its rows.
    """
    if isinstance(trips, Path):
        return _parquet(trips, schema)
    return _stream(trips, stream_schema)


@contextmanager
def _parquet(trips: Path, schema: pa.Schema) -> Iterator[Write]:
    partial = trips.with_name(f"{trips.name}.partial")
    try:
        with (
            pq.ParquetWriter(
                partial,
                schema,
                compression="zstd",
                compression_level=1,
                write_page_checksum=True,
            ) as file,
            _RowGroups(file) as row_groups,
        ):
            yield row_groups.add
        partial.replace(trips)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _stream(trips: IO[bytes], schema: pa.Schema) -> Iterator[Write]:
    with pa.ipc.new_stream(trips, schema) as stream:
        trips.flush()  # a reader waits for the schema
        yield lambda batch: stream.write_batch(batch.select(schema.names))
    trips.flush()


class _RowGroups:
    """Writes batches of any size as row groups of one size, since each takes some time to read."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> "_RowGroups":
        return self

    def __exit__(self, error_class: object, *_: object) -> None:
        if self._batches and error_class is None:
            self._write()

    def add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= BATCH_ROWS // 2 or self._bytes >= BATCH_BYTES:
            self._write()

    def _write(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches, self._rows, self._bytes = [], 0, 0
