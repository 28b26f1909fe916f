"""JSON in each of its shapes, and JSON that is broken or hostile."""

import json
from typing import Any

import pytest
from raw_files import (
    ROW,
    Folder,
    as_objects,
    exported,
    fixture_folder,  # noqa: F401
    green,
    transformed,
)

from luigi_tasks import formats


def test_names_may_come_later_in_json(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luigi_tasks.formats.json.BATCH_ROWS", 8)
    rows = as_objects(green(*[ROW] * 6))
    rows[4]["congestion_surcharge"] = "2.5"
    for row in rows[:3]:
        row.pop("total_amount")
    found = transformed(folder, json.dumps(rows).encode())
    assert [row["congestion_surcharge"] for row in found] == [None] * 4 + [2.5, None]
    assert [row["total_amount"] for row in found] == [None] * 3 + [61.8] * 3


def test_names_that_identify_a_trip_may_come_later_and_rows_may_have_none(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NYC Open Data leaves out what has no value."""
    monkeypatch.setattr("luigi_tasks.formats.json.BATCH_ROWS", 8)
    rows = as_objects(green(*[ROW] * 6))
    for row in rows[:2]:
        row.pop("vendorid")
    rows[4:] = [{}, {}]
    folder.raw.write_text(json.dumps(rows))
    report = folder.transform(max_reject_ratio=1)
    assert (report.rows_read, report.rows_written) == (6, 4)
    assert folder.column("vendor_id") == [None, None, 2, 2]
    assert [reject["row"] for reject in folder.read_rejects()] == [5, 6]


def test_objects_that_are_large_are_held_a_few_at_a_time(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.json.MOST_BYTES", 100_000)
    rows = [{**row, "note": "x" * 50_000} for row in as_objects(green(*[ROW] * 30))]
    folder.raw.write_text(json.dumps(rows))
    with formats.open_published(folder.raw) as source:
        sizes = [each.batch.num_rows for each in source.rows()]
    assert sum(sizes) == 30
    assert max(sizes) < 10
    assert folder.transform().new_columns == {"note": "text"}


def test_a_trip_without_a_pickup_is_a_reject_though_no_row_has_one(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.json.BATCH_ROWS", 8)
    rows = as_objects(green(*[ROW] * 4))
    for row in rows[2:]:
        row.pop("lpep_pickup_datetime")
    folder.raw.write_text(json.dumps(rows))
    assert folder.transform(max_reject_ratio=1).rows_written == 2
    assert [reject["row"] for reject in folder.read_rejects()] == [3, 4]


def test_json_may_have_numbers_and_nothing(folder: Folder) -> None:
    row = {
        **as_objects(green(ROW))[0],
        **{"vendorid": 2, "fare_amount": 0.1, "total_amount": 1e3, "trip_type": None, "extra": ""},
    }
    [found] = transformed(folder, json.dumps(row).encode())
    assert (found["vendor_id"], found["fare_amount"], found["total_amount"]) == (2, 0.1, 1000)
    assert (found["trip_type"], found["extra"]) == (None, None)


@pytest.mark.parametrize("value", [True, [1], {"a": 1}, "x"])
def test_a_value_that_is_no_number_is_a_reject(folder: Folder, value: Any) -> None:
    rows = as_objects(green(ROW, ROW))
    rows[1]["fare_amount"] = value
    folder.raw.write_text(json.dumps(rows))
    assert folder.transform(max_reject_ratio=1).rows_written == 1
    [reject] = folder.read_rejects()
    assert (reject["row"], reject["column"]) == (2, "fare_amount")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"vendorid": 1}, {"vend', "can't be read as JSON"),
        ('{"vendorid": 1}\n{"vend', "can't be read as JSON"),
        ("[[1, 2], [3]]", "in place of an object"),
        ("[1, 2]", "in place of an object"),
        ("[]", "not a file of green trips"),
        ('{"error": true, "message": "Query timed out"}', "its columns are error, message"),
        (json.dumps({"trips": as_objects(green(*[ROW] * 5_000))}), "in one object, which is no"),
        (f'[{{"vendorid": 1}}, {{"vendorid": "{2_000_000 * "x"}"}}]', "in one object, which is no"),
        ('{"meta": {"view": {"columns": [{"fieldName": "a"}]}}, "data": [[1, 2]]}', "1 columns"),
        ('{"meta": {}, "data": []}', "not a file of green trips"),
    ],
)
def test_json_that_has_no_trips_is_refused(folder: Folder, content: str, told: str) -> None:
    folder.raw.write_text(content)
    assert told in folder.refusal()


def as_json(*texts: str) -> bytes:
    """Green trips as an array, the fare of each one as it is written here."""
    trip = json.dumps({**as_objects(green(ROW))[0], "fare_amount": "?"})
    objects = [trip.replace('"?"', text) for text in texts]
    return f"[{', '.join(objects)}]".encode(errors="surrogateescape")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"\udcff"', "has bytes that aren't UTF-8"),
        ('"\udced\udca0\udcbd"', "has bytes that aren't UTF-8"),
        ('1, "\udcff": 1', "has bytes that aren't UTF-8"),
        (r'"\ud800"', "has half a character"),
        (r'1, "note": "\udc00\ud800"', "has half a character"),
        (r'1, "\ud800": 1', "has half a character"),
        (r'1, "note": ["a", {"b": "\ud83d"}]', "has half a character"),
        ("NaN", "has NaN, which JSON doesn't know"),
        ("-Infinity", "has -Infinity, which JSON doesn't know"),
        ('1, "note": [Infinity]', "has Infinity, which JSON doesn't know"),
        ("18446744073709551616", "has an integer beyond 64 bits"),
        ("-9223372036854775809", "has an integer beyond 64 bits"),
        ("9" * 5_000, "has an integer beyond 64 bits"),
        ("1e400", "has a number beyond what a double can be"),
        ('"1e400"', "is beyond what a double can be"),
        (r'1, "store_and_fwd_flag": "a\u0000"', "has a NUL character"),
        ('1, "store_and_fwd_flag": "a\0"', "has a NUL character"),
    ],
)
@pytest.mark.parametrize("place", [0, 2])
def test_what_breaks_an_object_of_json_costs_that_object_alone(
    folder: Folder, place: int, value: str, reason: str
) -> None:
    fares = ["1", "2", "3"]
    fares[place] = value
    if "store_and" in value:  # the name is there already, and two are refused
        folder.raw.write_bytes(as_json(*fares).replace(b'"store_and_fwd_flag": "N", ', b""))
    else:
        folder.raw.write_bytes(as_json(*fares))
    report = folder.transform(max_reject_ratio=0.5)
    assert (report.rows_read, report.rows_written) == (3, 2)
    [reject] = folder.read_rejects()
    assert reject["row"] == place + 1
    assert reject["reason"].startswith(reason)
    assert folder.column("fare_amount") == [n for n in (1, 2, 3) if n != place + 1]
    assert "\ufffd" not in folder.rejects.read_text(encoding="utf-8")


def test_numbers_of_json_arrive_as_they_are_written(folder: Folder) -> None:
    values = [
        "2.6299999999999999",
        "18446744073709551615",
        "-0",
        "1e2",
        '"\U0001f695"',
        "[1.10, {}]",
    ]
    trip = json.dumps({**as_objects(green(ROW))[0], "note": "?"})
    folder.raw.write_text("\n".join(trip.replace('"?"', value) for value in values), "utf-8")
    for _ in range(2):
        assert folder.transform(max_reject_ratio=0).new_columns == {"note": "text"}
        assert folder.column("note") == [value.strip('"') for value in values]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_json_is_read_whatever_pieces_it_comes_in(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.json.PIECE", size)
    values = [
        '"na\u00efve \U0001f695"',
        r'"\ud83d\ude95 \\ \" }"',
        "true",
        "null",
        "-1.5e-3",
        '[[], {"a": 1}]',
    ]
    trip = json.dumps({**as_objects(green(ROW))[0], "note": "?"})
    objects = [trip.replace('"?"', value) for value in values]
    expected = [
        "na\u00efve \U0001f695",
        '\U0001f695 \\ " }',
        "true",
        None,
        "-1.5e-3",
        '[[], {"a": 1}]',
    ]
    for text in ("\ufeff[" + ",\n".join(objects) + "]\n", "".join(objects)):
        folder.raw.write_text(text, "utf-8")
        folder.transform(max_reject_ratio=0)
        assert folder.column("note") == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"fare_amount": 1, "fare_amount": 2}]', "its object 1 has two values 'fare_amount'"),
        ('[{"a": 1}, {"a": {"b": 1, "b": 2}}]', "its object 2 has two values 'b'"),
        ('[{"a": 1}, {"A": 2}]', "it has two columns 'A'"),
        ('[{"a": 1},]', "value 2: Expecting value"),
        ('[{"a": 1} {"a": 1}]', "Expecting ']'"),
        ('[{"a": 1}]{"a": 1}', "something follows its end"),
        ('{"a": 1}, {"a": 1}', "Expecting value"),
        ('{"a": 1}\n{"a" 1, "b": "a long text, so that this is no end"}', "value 2: Expecting ':'"),
        ('[{"a": "x', "it ends early"),
        ('[{"a": 1}', "it ends early"),
        ('{"a": 1}\n7', "it has JSON, but 7 in place of an object"),
        ("[" + '{"a": ' * 16_000 + "1" + "}" * 16_000 + "]", "nested deeper than 100"),
        ('[{"a": ' + "[" * 101 + "]" * 101 + "}]", "nested deeper than 100"),
        ('{"a": ' + "[" * 1_000_000, "nested deeper than 100"),
        ('[{"a": 1}' + " " * 3_000_000, "1,048,576 blanks in a row"),
        ("{}" * 100_002, "100,000 objects without a value"),
        ("[" + ",".join(f'{{"k{n}": 1}}' for n in range(12_000)) + "]", "it has 501 columns"),
        (json.dumps({f"k{n}": n for n in range(12_000)}), "it has 12,000 columns, more than 500"),
        (json.dumps({"k" * 3_000: 1}), "whose name has 3,000 characters, more than 250: kkk"),
        (
            '{"meta": {"view": {"columns": [{"fieldName": "a"}, {"fieldName": "a"}]}}}',
            "two columns",
        ),
        ('{"meta": {"view": {"columns": [null, 1]}}, "data": [[1]]}', "of its meta"),
        ('{"meta": {}, "data": [[1]', "of its meta"),
        ('{"meta": {"view": {"columns": []}}, "data": []', "it ends early"),
    ],
)
def test_json_that_cannot_be_a_month_is_refused(folder: Folder, content: str, told: str) -> None:
    folder.raw.write_text(content)
    assert told in folder.refusal()


def test_an_exported_column_without_a_name_gets_its_number(folder: Folder) -> None:
    content = json.loads(exported(green(ROW)))
    for name in (None, ""):
        content["meta"]["view"]["columns"][-1]["fieldName"] = name
        folder.raw.write_text(json.dumps(content))
        assert folder.transform().unknown_columns == ["column 22"]
    del content["meta"]["view"]["columns"][-1]["fieldName"]
    folder.raw.write_text(json.dumps({**content, "more": {"a": [1]}}))
    assert folder.transform().unknown_columns == ["column 22"]


def test_objects_without_names_are_rejects_wherever_they_are(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.json.BATCH_ROWS", 8)  # two objects at a time
    rows = as_objects(green(ROW))
    folder.raw.write_text(json.dumps([{}, {}, *rows, {}]))
    assert folder.transform(max_reject_ratio=1).rows_read == 4
    assert [reject["row"] for reject in folder.read_rejects()] == [1, 2, 4]
