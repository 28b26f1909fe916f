"""A month's trips as a Parquet file that any engine reads."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

#: Rows of a row group, and bytes of it before it is compressed: enough for a reader's every core to
#: have one, few enough to be held in memory while they are collected.
GROUP_ROWS, GROUP_BYTES = 1 << 19, 1 << 27
#: Columns that the folders' names give to every file; a column of trips gets another name.
PARTITIONS = ("taxi_type", "month")


class PartWriter:
    """Writes batches, which must come in the order of their pickups, to a new file.

    ``columns`` and ``row_groups`` say what is in it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.columns, self.row_groups = path, list[str](), 0
        self._batches: list[pa.RecordBatch] = []
        self._rows, self._bytes = 0, 0

    def begin(self, schema: pa.Schema) -> None:
        """Begin the file, with the columns that all batches have."""
        self._schema = _renamed(schema)
        self.columns = self._schema.names
        others = [name for name in self.columns if name != "unique_row_id"]
        self._writer = pq.ParquetWriter(
            self.path,
            self._schema,
            compression="zstd",
            compression_level=3,
            # a digest has neither few values nor a smallest one that tells anything
            use_dictionary=others,
            write_statistics=others,
            write_page_index=True,
            write_page_checksum=True,
            sorting_columns=[pq.SortingColumn(self.columns.index("pickup_datetime"))],
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._batches.append(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._rows:
            table = pa.Table.from_batches(self._batches)
            self._writer.write_table(table, row_group_size=self._rows)
            self.row_groups += 1
            self._batches, self._rows, self._bytes = [], 0, 0


def _renamed(schema: pa.Schema) -> pa.Schema:
    """Columns under other names than those of the partitions."""
    names = [name.lower() for name in schema.names]
    fields = []
    for field in schema:
        name = field.name
        while name.lower() in PARTITIONS or (name != field.name and name.lower() in names):
            name = f"{name}_of_trip"
        fields.append(field.with_name(name))
    return pa.schema(fields)
