"""Parquet is read in bounded memory, whatever its footer says."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import (
    Folder,
    fixture_folder,  # noqa: F401
)

from luigi_tasks import formats


def row_groups(path: Path, table: pa.Table, groups: int) -> None:
    with pq.ParquetWriter(path, table.schema) as writer:
        for group in range(groups):
            writer.write_table(table.slice(group, 1))


def test_row_groups_are_read_together(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(passenger_count=["x" if n == 150 else "1" for n in range(300)])
    table = pq.read_table(folder.raw)
    row_groups(folder.raw, table, 300)
    with formats.open_published(folder.raw) as source:
        assert [rows.batch.num_rows for rows in source.rows()] == [300]
    folder.transform()
    assert pq.read_metadata(folder.trips).num_row_groups == 1
    assert [reject["row"] for reject in folder.read_rejects()] == [151]
    monkeypatch.setattr("luigi_tasks.formats.parquet.BATCH_ROWS", 70)
    folder.transform()
    assert folder.column("pickup_datetime") == [
        time for n, time in enumerate(table["pickup_datetime"].to_pylist()) if n != 150
    ]
    monkeypatch.setattr("luigi_tasks.formats.parquet.MOST_GROUPS", 299)
    assert "it has 300 row groups, more than 299" in folder.refusal()


def test_a_row_group_may_have_three_million_rows(folder: Folder) -> None:
    folder.write(trip_type=[1] * 1_000)
    table = pa.concat_tables([pq.read_table(folder.raw)] * 3_000)
    pq.write_table(table, folder.raw, row_group_size=3_000_000)
    assert pq.read_metadata(folder.raw).num_row_groups == 1
    with formats.open_published(folder.raw) as source:
        assert source.total == 3_000_000
        assert next(source.rows()).batch.num_rows == formats.BATCH_ROWS


@pytest.mark.parametrize(
    ("note", "told"),
    [
        (["x" * 200_000_000], "a row group of 1 rows with"),
        (["x" * 2_000_000, None], "it has a value of 2,000,000 bytes in column note, more than"),
        ([None, b"x" * 2_000_000], "it has a value of 2,000,000 bytes in column note, more than"),
        (
            pa.DictionaryArray.from_arrays(pa.array([0] * 999), pa.array(["x" * 2_000_000])),
            "it has a value of 2,000,000 bytes in column note, more than",
        ),
        (
            pa.array(["x" * 2_000_000], pa.string_view()),
            "it has a value of 2,000,000 bytes in column note, more than",
        ),
    ],
    ids=["row group", "text", "bytes", "dictionary", "view"],
)
def test_a_value_that_is_too_long_is_refused(folder: Folder, note: Any, told: str) -> None:
    folder.write(passenger_count=[1] * len(note), note=note)
    assert told in folder.refusal()


def test_large_rows_are_read_a_few_at_a_time(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.parquet.BATCH_BYTES", 100_000)
    monkeypatch.setattr("luigi_tasks.formats.parquet.LARGEST_AVERAGE", 10_000)
    folder.write(note=[f"{n}" * 5_000 for n in range(100)])
    with formats.open_published(folder.raw) as source:
        sizes = [rows.batch.num_rows for rows in source.rows()]
    assert sum(sizes) == 100
    assert max(sizes) < 20


def test_a_footer_that_is_too_large_is_refused(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(passenger_count=[1])
    folder.transform()
    monkeypatch.setattr("luigi_tasks.formats.parquet.LARGEST_FOOTER", 100)
    assert "it has a footer of" in folder.refusal()
