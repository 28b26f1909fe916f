"""Columns that the catalog doesn't know get a type and a name, are left out, or are refused."""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import (
    Folder,
    fixture_folder,  # noqa: F401
)

from luigi_tasks.catalog import GREEN
from luigi_tasks.errors import TaxiError
from luigi_tasks.transform import transform

TYPES: list[tuple[pa.Array, str]] = [
    (pa.array([1, None], pa.int64()), "bigint"),
    (pa.array([1, None], pa.int32()), "bigint"),
    (pa.array([1.5, None]), "double precision"),
    (pa.array(["1", None]), "text"),
    (pa.array(["a", None], pa.large_string()), "text"),
    (pa.array(["a", None]).dictionary_encode(), "text"),
    (pa.array([True, None]), "boolean"),
    (pa.array([2**64 - 1, None], pa.uint64()), "text"),
    (pa.array(["a", None], pa.string_view()), "text"),
    (pa.array([Decimal("1.25"), None]), "double precision"),
    (pa.array([datetime(2026, 6, 1), None]), "timestamp without time zone"),
    (pa.array([date(2026, 6, 1), None]), "timestamp without time zone"),
]


@pytest.mark.parametrize(
    ("values", "kind"), TYPES, ids=lambda value: str(getattr(value, "type", value))
)
def test_a_new_column_gets_the_type_that_fits(folder: Folder, values: pa.Array, kind: str) -> None:
    folder.write(**{"Request source": values})
    for _ in range(2):
        report = transform([folder.raw], folder.trips, folder.rejects, GREEN, 0)
        assert report.new_columns == {"request_source": kind}
        assert report.unknown_columns == []
        written = pq.read_table(folder.trips)
        assert written.schema.names[-1] == "request_source"
        expected = values.cast(pa.timestamp("us")) if "timestamp" in kind else values
        if pa.types.is_uint64(values.type):
            expected = values.cast(pa.string())
        if pa.types.is_dictionary(expected.type):
            expected = expected.dictionary_decode()
        assert written["request_source"].to_pylist() == expected.to_pylist()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20", ""], "bigint"),
        (["9007199254740993", ""], "bigint"),
        (["1", "2.5", ""], "double precision"),
        (["2026-06-01 10:00:00", ""], "timestamp without time zone"),
        (["true", "false", ""], "boolean"),
        (["1", "x", ""], "text"),
        (["00501", "10001", ""], "text"),
        (["0", "-1", "0.5", ""], "double precision"),
        (["1.5", "-007", ""], "text"),
        (["12345678901234567890", "1", ""], "text"),
        (["9007199254740993", "0.5", ""], "text"),
        (["0x10", "0x1F", ""], "text"),
        (["true", "1", ""], "text"),
        (["nan", "1", ""], "text"),
    ],
)
def test_text_gets_the_narrowest_type_that_all_values_have(
    folder: Folder, values: list[str], kind: str
) -> None:
    folder.write(passenger_count=[1] * len(values))
    table = pq.read_table(folder.raw)
    lines = [",".join([*table.schema.names, "new"])]
    for row, value in zip(table.to_pylist(), values, strict=True):
        lines.append(",".join([*map(str, row.values()), value]))
    folder.raw.write_text("\n".join(lines) + "\n")
    report = transform([folder.raw], folder.trips, folder.rejects, GREEN, 0)
    assert report.new_columns == {"new": kind}
    written = pq.read_table(folder.trips)["new"]
    assert written.null_count == 1
    if kind in ("text", "bigint"):
        assert list(map(str, written.drop_null().to_pylist())) == values[:-1]


def write_objects(folder: Folder, *more: dict[str, Any]) -> None:
    """JSON, an object a line, with the catalog's names and more."""
    folder.write(passenger_count=[1] * len(more))
    trips = pq.read_table(folder.raw).to_pylist()
    with folder.raw.open("w") as file:
        for trip, names in zip(trips, more, strict=True):
            file.write(json.dumps(trip | names, default=str) + "\n")


def test_a_name_may_come_as_late_as_the_last_object(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.json.BATCH_ROWS", 8)  # two objects at a time
    write_objects(folder, {}, {}, {"a": 1}, {}, {"a": 2.5}, {"a": None, "b": "x"})
    words = [folder.raw], folder.trips, folder.rejects, GREEN, 0
    for _ in range(2):
        report = transform(*words)
        assert report.new_columns == {"a": "double precision", "b": "text"}
        written = pq.read_table(folder.trips)
        assert written["a"].to_pylist() == [None, None, 1.0, None, 2.5, None]
        assert written["b"].to_pylist() == [None] * 5 + ["x"]
    assert transform(*words, schema_contract="discard").unknown_columns == ["a", "b"]
    folder.trips.unlink()
    with pytest.raises(TaxiError, match="columns that aren't known, a, b, and"):
        transform(*words, schema_contract="freeze")
    assert not folder.trips.exists()


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([pa.array([1]), pa.array([2.5])], "double precision", [1.0, 2.5]),
        ([pa.array([1.5]), pa.array(["x"])], "text", ["1.5", "x"]),
        ([pa.nulls(1), pa.array([7])], "bigint", [None, 7]),
        ([pa.array([7]), pa.array([[7]])], None, None),
    ],
    ids=["numbers", "number and text", "nothing and number", "number and list"],
)
def test_a_column_of_several_files_gets_the_type_that_fits_all(
    folder: Folder, values: list[pa.Array], kind: str | None, read: list[Any] | None
) -> None:
    raws = []
    for number, array in enumerate(values):
        folder.write(new=array)
        raws.append(folder.raw.rename(folder.raw.with_name(f"part_{number}.parquet")))
    for files in (raws, raws[::-1]):
        report = transform(files, folder.trips, folder.rejects, GREEN, 0)
        assert report.new_columns == ({"new": kind} if kind else {})
        written = pq.read_table(folder.trips)
        if read is not None:
            expected = read if files is raws else read[::-1]
            assert written["new"].to_pylist() == expected


@pytest.mark.parametrize(
    "values",
    [
        pa.nulls(2),
        pa.array([[1], [2]]),
        pa.array([{"a": 1}, None]),
        pa.array([b"\xff", b"1"]),
        pa.array([b"\xff", b"1"], pa.large_binary()),
        pa.array([b"\xff" * 16, None], pa.binary(16)),
    ],
    ids=lambda values: str(values.type),
)
def test_what_has_no_values_or_no_type_is_left_out(folder: Folder, values: pa.Array) -> None:
    folder.write(new=values)
    report = transform([folder.raw], folder.trips, folder.rejects, GREEN, 0)
    assert (report.new_columns, report.unknown_columns) == ({}, ["new"])


@pytest.mark.parametrize(
    ("published", "name"),
    [
        ("Request Source", "request_source"),
        ("unique_row_id", "unique_row_id_"),
        ("filename", "filename_"),
        ("place", "place_"),
        ("pickup_month", "pickup_month_"),
        ("ctid", "ctid_"),
        ("Pickup Zone", "pickup_zone_"),
        ('a"; DROP', "a_drop"),
        ("%%", "column"),
        ("x" * 90, "x" * 40),
    ],
)
def test_a_new_column_has_a_name_that_a_table_can_have(
    folder: Folder, published: str, name: str
) -> None:
    folder.write(**{published: [1, 2]})
    report = transform([folder.raw], folder.trips, folder.rejects, GREEN, 0)
    assert list(report.new_columns) == [name]


def test_a_contract_leaves_out_or_fails(folder: Folder) -> None:
    folder.write(new=[1, 2])
    words = [folder.raw], folder.trips, folder.rejects, GREEN, 0
    report = transform(*words, schema_contract="discard")
    assert (report.new_columns, report.unknown_columns) == ({}, ["new"])
    folder.trips.unlink()
    with pytest.raises(TaxiError, match="it has columns that aren't known, new, and"):
        transform(*words, schema_contract="freeze")
    assert not folder.trips.exists()
