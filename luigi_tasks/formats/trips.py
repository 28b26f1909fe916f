"""Canonical trips, from a parquet file or from a stream in Arrow's IPC format: the same batches.

The schema of a stream has what has to be known before its rows: the number of the rows that are
read for it, if that is known, and the PostgreSQL types of columns that the catalog doesn't know.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from luigi_tasks.errors import TaxiError
from luigi_tasks.formats.parquet import columns_with_values, open_parquet, read_batches

#: The keys of a schema's, and of a field's, metadata.
_ROWS, _POSTGRESQL_TYPE = b"rows", b"postgresql_type"


class BrokenStreamError(TaxiError):
    """A stream ended in its midst: whoever writes it has failed."""


@dataclass(frozen=True)
class Trips:
    """Trips that are read once, batch by batch.

    ``name`` is that of the file or of the program that writes the stream. ``schema`` may lack
    columns of the catalog, which have no values then. ``rows`` is how many there are, or at most
    are; None if only their end shows it. ``new_columns`` has the PostgreSQL types of columns that
    the catalog doesn't know. ``batches`` yields them, at most so many rows at a time. ``stop`` ends
    a wait for further ones.
    """

    name: str
    schema: pa.Schema
    rows: int | None
    new_columns: Mapping[str, str]
    batches: Callable[[int], Iterator[pa.RecordBatch]]
    stop: Callable[[], None] = lambda: None


@contextmanager
def open_trips(path: Path, new_columns: Mapping[str, str]) -> Iterator[Trips]:
    """Open a canonical parquet file."""
    with open_parquet(path) as file:
        with_values = {*columns_with_values(file), *new_columns}
        columns = [name for name in file.schema_arrow.names if name in with_values]
        yield Trips(
            str(path),
            pa.schema([file.schema_arrow.field(name) for name in columns]),
            file.metadata.num_rows,
            new_columns,
            lambda rows: read_batches(file, rows, columns),
        )


def read_trips(stream: IO[bytes], name: str, stop: Callable[[], None]) -> Trips:
    """Read the schema of a stream, whose rows are then read while they come.

    :raises BrokenStreamError: the stream ends before its schema does.
    """

    def broken(error: Exception) -> BrokenStreamError:
        return BrokenStreamError(f"what {name} sent can't be read: {error}; run again")

    try:
        reader = pa.ipc.open_stream(stream)
    except (pa.ArrowException, OSError) as error:
        raise broken(error) from None
    schema = reader.schema
    new_columns = {
        field.name: field.metadata[_POSTGRESQL_TYPE].decode()
        for field in schema
        if field.metadata and _POSTGRESQL_TYPE in field.metadata
    }
    rows = (schema.metadata or {}).get(_ROWS)

    def batches(most: int) -> Iterator[pa.RecordBatch]:
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowException, OSError) as error:
                raise broken(error) from None
            for start in range(0, batch.num_rows, most):
                yield batch.slice(start, most)

    return Trips(name, schema, int(rows) if rows else None, new_columns, batches, stop)


def stream_schema(
    schema: pa.Schema, columns: Collection[str], rows: int | None, new_columns: Mapping[str, str]
) -> pa.Schema:
    """The schema of a stream: those of the columns that have values, and what ``read_trips`` finds
    in it."""
    schema = pa.schema([field for field in schema if field.name in columns])
    for name, column_type in new_columns.items():
        index = schema.get_field_index(name)
        field = schema.field(index).with_metadata({_POSTGRESQL_TYPE: column_type})
        schema = schema.set(index, field)
    return schema if rows is None else schema.with_metadata({_ROWS: str(rows)})
