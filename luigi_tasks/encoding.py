"""A canonical file in PostgreSQL's binary format for COPY."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pgpq import ArrowToPostgresBinaryEncoder

from luigi_tasks.catalog import Column
from luigi_tasks.fingerprint import fingerprints
from luigi_tasks.forms import batches

#: Rows of a batch that is encoded and sent at once. Twice as many took 50 MB more and no less time;
#: half as many took a third longer.
BATCH_ROWS = 32_768


def encoded(
    file: pq.ParquetFile,
    columns: Sequence[Column],
    kept: Sequence[str],
    new: Mapping[str, str],
    report: Callable[[int, int], None],
) -> Iterator[bytes]:
    """Encode a file's rows: the fingerprint of all columns, those that are kept, and new ones.

    :param new: the Arrow types, by their aliases, that new columns get.
    :param report: is called with the rows encoded so far, and all of them.
    """
    known = [file.schema_arrow.field(name) for name in kept]
    added = [pa.field(name, pa.type_for_alias(alias)) for name, alias in new.items()]
    schema = pa.schema([pa.field("unique_row_id", pa.binary()), *known, *added])
    encoder = ArrowToPostgresBinaryEncoder(schema)
    sent = 0
    yield encoder.write_header()
    for batch in batches(file, BATCH_ROWS):
        arrays = [
            fingerprints(batch, columns),
            *(batch.column(field.name) for field in known),
            # a double may hold what isn't known to be one, with 15 digits
            *(batch.column(field.name).cast(field.type, safe=False) for field in added),
        ]
        yield encoder.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        sent += batch.num_rows
        report(sent, file.metadata.num_rows)
    yield encoder.finish()
