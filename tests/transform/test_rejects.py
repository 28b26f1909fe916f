"""Rows that can't be read are set aside with a reason, up to a limit."""

import re
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import (
    Folder,
    fixture_folder,  # noqa: F401
)

from luigi_tasks.catalog import GREEN


@pytest.mark.parametrize(
    ("column", "values", "shown"),
    [
        ("passenger_count", [1.5, 1.0], 1.5),
        ("passenger_count", [float("inf"), 1.0], None),
        ("passenger_count", [2**31, 1], 2**31),
        ("passenger_count", [-(2**31) - 1, 1], -(2**31) - 1),
        ("passenger_count", pa.array([2**64 - 1, 1], pa.uint64()), 2**64 - 1),
        ("passenger_count", ["two", "1"], "two"),
        ("passenger_count", ["1.5", "1"], "1.5"),
        ("passenger_count", ["9999999999", "1"], "9999999999"),
        ("fare_amount", ["$12", "12"], "$12"),
        ("pickup_datetime", ["yesterday", "2024-01-01 10:00:00"], "yesterday"),
        ("pickup_datetime", ["2024-02-30 10:00:00", "2024-01-01 10:00:00"], "2024-02-30 10:00:00"),
        ("pickup_datetime", [None, datetime(2024, 1, 1)], None),
        ("pickup_datetime", ["", "2024-01-01 10:00:00"], ""),
        ("store_and_fwd_flag", ["N\0", "N"], "N\0"),
    ],
)
def test_a_row_that_cannot_be_read_is_set_aside_whole(
    folder: Folder, column: str, values: Any, shown: Any
) -> None:
    folder.write(**{column: values}, trip_type=[7, 8])
    for _ in range(2):
        assert folder.transform(max_reject_ratio=0.5).rows_rejected == 1
        [reject] = folder.read_rejects()
        assert (reject["row"], reject["column"]) == (1, column)
        assert reject["reason"].strip()
        if shown is not None:
            assert reject["value"] == shown
        assert set(reject["record"]) == {each.name for each in GREEN.columns}
        assert reject["record"]["trip_type"] == 7
        assert folder.column("trip_type") == [8]


def test_whatever_is_in_the_row_of_a_reject_is_shown(folder: Folder) -> None:
    far = pa.array([[2**62], [1]], pa.list_(pa.timestamp("us")))
    lists = pa.array([[float("nan")], [1.0]])
    folder.write(passenger_count=["x", "1"], lists=lists, far=far)
    assert folder.transform(max_reject_ratio=1).rows_rejected == 1
    [reject] = folder.read_rejects()
    assert reject["record"]["lists"] == ["nan"]


def test_many_rejects_end_a_csv_early(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luigi_tasks.transform.files.MOST_REJECTS", 1_000)
    folder.write(passenger_count=[1])
    header = ",".join(pq.read_schema(folder.raw).names)
    row = ",".join(map(str, pq.read_table(folder.raw).to_pylist()[0].values()))
    wrong = row.replace("2024-01-01", "1 January")
    folder.raw.write_text("\n".join([header, *[wrong] * 200_000]))
    told = re.search(r"of the first ([\d,]+) rows can't be read", folder.refusal())
    assert told
    looked_at = int(told[1].replace(",", ""))
    assert 1_000 < looked_at < 100_000
    assert len(folder.read_rejects()) <= looked_at


def test_several_bad_values_are_one_reject(folder: Folder) -> None:
    folder.write(passenger_count=["x", "1"], fare_amount=["y", "1"], extra=["z", "1"])
    assert folder.transform(max_reject_ratio=0.5).rows_rejected == 1
    [reject] = folder.read_rejects()
    assert (reject["column"], reject["value"]) == ("passenger_count", "x")
    assert reject["record"]["fare_amount"] == "y"


def test_a_reject_is_json_whatever_is_in_its_row(folder: Folder) -> None:
    folder.write(
        passenger_count=["x", "1"],
        fare_amount=[float("nan"), 1.0],
        total_amount=[float("-inf"), 1.0],
        store_and_fwd_flag=["🚕\n\0", "N"],
        request_source=pa.array([b"\xff", b""]),
    )
    folder.transform(max_reject_ratio=0.5)
    assert len(folder.read_rejects()) == 1


def test_without_rejects_no_file_is_created(folder: Folder) -> None:
    folder.write(trip_type=[1, 2])
    folder.transform()
    assert not folder.rejects.exists()


def test_a_reject_has_its_row_number_in_any_batch(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.parquet.BATCH_ROWS", 100)
    bad = {1, 100, 101, 517, 1_000}
    counts = ["x" if row in bad else str(row) for row in range(1, 1_001)]
    folder.write(passenger_count=counts)
    assert folder.transform().rows_rejected == 5
    assert [(reject["row"], reject["value"]) for reject in folder.read_rejects()] == [
        (row, "x") for row in sorted(bad)
    ]
    assert folder.column("passenger_count") == [n for n in range(1, 1_001) if n not in bad]


def test_as_many_rejects_as_the_limit_pass(folder: Folder) -> None:
    folder.write(passenger_count=["x"] * 10 + ["1"] * 990)
    assert folder.transform(max_reject_ratio=0.01).rows_rejected == 10


def test_one_reject_more_fails_and_shows_the_first(folder: Folder) -> None:
    folder.write(passenger_count=["a", "b", "c", "d", *["x"] * 7, *["1"] * 989])
    told = folder.refusal(GREEN, 0.01)
    assert "11 of the first 1,000 rows" in told
    assert "lets at most 10 of 1,000 pass" in told
    for shown in ("row 1, passenger_count 'a'", "row 2, passenger_count 'b'", "row 3,"):
        assert shown in told
    assert "row 4" not in told


def test_with_a_limit_of_0_one_reject_fails(folder: Folder) -> None:
    folder.write(passenger_count=["x"] + ["1"] * 999)
    assert "1 of the first 1,000 rows" in folder.refusal(GREEN, 0.0)


def test_with_a_limit_of_1_all_may_be_rejects(folder: Folder) -> None:
    folder.write(passenger_count=["x"] * 10)
    assert folder.transform(max_reject_ratio=1.0).rows_written == 0


def test_a_column_that_cannot_be_read_fails_at_its_first_batch(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.parquet.BATCH_ROWS", 1_000)
    folder.write(passenger_count=["x"] * 50_000)
    assert "of the first 1,000 rows" in folder.refusal()
