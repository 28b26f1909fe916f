"""A canonical file in PostgreSQL's binary format for COPY."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pgpq import ArrowToPostgresBinaryEncoder

from luigi_tasks.catalog import Column
from luigi_tasks.fingerprint import fingerprints
from luigi_tasks.transform import batches

#: Rows of a batch that is encoded and sent at once. Twice as many took 50 MB more and no less time;
#: half as many took a third longer.
BATCH_ROWS = 32_768


def encoded(
    file: pq.ParquetFile, columns: Sequence[Column], report: Callable[[int, int], None]
) -> Iterator[bytes]:
    """Encode a file's rows, the fingerprint before the columns.

    :param report: is called with the rows encoded so far, and all of them.
    """
    schema = file.schema_arrow.insert(0, pa.field("unique_row_id", pa.binary()))
    encoder = ArrowToPostgresBinaryEncoder(schema)
    sent = 0
    yield encoder.write_header()
    for batch in batches(file, BATCH_ROWS):
        arrays = [fingerprints(batch, columns), *batch.columns]
        yield encoder.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        sent += batch.num_rows
        report(sent, file.metadata.num_rows)
    yield encoder.finish()
