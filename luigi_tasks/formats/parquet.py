"""Parquet files, read in bounded memory; pages that have a checksum are verified by it."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from luigi_tasks.errors import TaxiError
from luigi_tasks.formats.rows import BATCH_ROWS, LONGEST_LINE, Rows, check_names
from luigi_tasks.texts import shortened

#: Bytes of a batch, by the footer: no trip has 500 bytes.
BATCH_BYTES = 64 << 20
#: Bytes of a footer, and row groups: real files have some 20 KB and 20.
LARGEST_FOOTER, MOST_GROUPS = 32 << 20, 10_000
#: Bytes that a row group may have for each row and column, on average, beside those of one batch.
LARGEST_AVERAGE = 1 << 10


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a parquet file, to read it in a few megabytes of memory, whatever its size."""
    # with pre_buffer, pyarrow holds all that it has read until the file is closed; times of 96 bits
    # are read as nanoseconds by default, which have no year 3000 and become another one
    return pq.ParquetFile(
        path,
        pre_buffer=False,
        buffer_size=1 << 20,
        page_checksum_verification=True,
        coerce_int96_timestamp_unit="us",
    )


def read_batches(
    file: pq.ParquetFile, rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a parquet file, or some of its columns, in batches of at most ``rows`` rows, fewer if
    the rows are large.

    Row groups that together have no more rows are read together, since each costs some time.
    """
    groups: list[int] = []
    count = size = 0
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        if groups and count + group.num_rows > rows:
            most = _batch_rows(rows, count, size)
            yield from file.iter_batches(most, row_groups=groups, columns=columns)
            groups, count, size = [], 0, 0
        groups.append(number)
        count += group.num_rows
        size += group.total_byte_size
    if groups:
        most = _batch_rows(rows, count, size)
        yield from file.iter_batches(most, row_groups=groups, columns=columns)


def columns_with_values(file: pq.ParquetFile) -> list[str]:
    """The columns of a parquet file, but for those that have no value by its statistics."""
    metadata = file.metadata
    with_values = []
    for index, name in enumerate(file.schema_arrow.names):
        groups = (metadata.row_group(n).column(index) for n in range(metadata.num_row_groups))
        if not metadata.num_rows or any(map(_may_have_values, groups)):
            with_values.append(name)
    return with_values


def _may_have_values(column: pq.ColumnChunkMetaData) -> bool:
    found = column.statistics
    return found is None or not found.has_null_count or found.null_count < column.num_values


def _batch_rows(rows: int, count: int, size: int) -> int:
    """Return how many rows a batch may have, where ``count`` rows have ``size`` bytes."""
    return max(1, min(rows, BATCH_BYTES * count // max(1, size)))


class ParquetFile:
    """A published file of parquet."""

    share: float = 1.0

    def __init__(self, raw: IO[bytes], path: Path) -> None:
        _check_footer(raw)
        self._file = open_parquet(path)
        metadata = self._file.metadata
        if metadata.num_row_groups > MOST_GROUPS:
            raise TaxiError(
                f"it has {metadata.num_row_groups:,} row groups, more than {MOST_GROUPS:,}"
            )
        self.schema: pa.Schema | None = self._file.schema_arrow
        self._names = check_names(self._file.schema_arrow.names, metadata.num_columns)
        self._rows = _checked_rows(metadata)
        self.total: int | None = self._rows
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            most = BATCH_BYTES + group.num_rows * group.num_columns * LARGEST_AVERAGE
            if group.total_byte_size > most:
                raise TaxiError(
                    f"it has a row group of {group.num_rows:,} rows with "
                    f"{group.total_byte_size:,} bytes, more than {most:,}: those are no trips"
                )

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def all_names(self) -> list[str]:
        return self._names

    def rows(self) -> Iterator[Rows]:
        done = 0
        for batch in read_batches(self._file, BATCH_ROWS):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                _check_values(name, column)
            yield Rows(batch, range(done + 1, done + batch.num_rows + 1))
            done += batch.num_rows
        if done != self._rows:  # Arrow passes over pages of kinds that it doesn't know
            raise TaxiError(
                f"it is damaged: it has {done:,} rows, and should have {self._rows:,} by its footer"
            )


def _check_footer(file: IO[bytes]) -> None:
    """Refuse a parquet file whose footer alone would take all memory."""
    end = file.seek(0, io.SEEK_END)
    file.seek(max(0, end - 8))
    size = int.from_bytes(file.read(4), "little")
    if LARGEST_FOOTER < size < end:
        raise TaxiError(f"it has a footer of {size:,} bytes, more than {LARGEST_FOOTER:,}")


def _checked_rows(metadata: pq.FileMetaData) -> int:
    """Return the number of a file's rows.

    pyarrow isn't asked for the columns of a row group: it ends the process if these are damaged.

    :raises TaxiError: the footer has two numbers.
    """
    rows: int = sum(
        metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)
    )
    if rows != metadata.num_rows:
        raise TaxiError(
            f"it is damaged: by its footer, it has {metadata.num_rows:,} rows, and its row groups "
            f"have {rows:,}"
        )
    return rows


def _check_values(name: str, values: pa.Array) -> None:
    """Refuse a column with a text that is too long, before it is converted."""
    if values.nbytes <= LONGEST_LINE:
        return
    if pa.types.is_dictionary(values.type):
        _check_values(name, values.dictionary)
    elif pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
        _check_values(name, values.cast(pa.large_binary()))
    elif values.type in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        if longest > LONGEST_LINE:
            raise TaxiError(
                f"it has a value of {longest:,} bytes in column {shortened(name)}, more than "
                f"{LONGEST_LINE:,}"
            )
