"""Files of every form and era: what is in them arrives, whatever they are called."""

import csv
import gzip
import io
import itertools
import json
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_transform import Folder, command, peak_memory

from luigi_tasks import forms, sample
from luigi_tasks.catalog import FHV, FHVHV, GREEN, TAXI_TYPES, YELLOW, TaxiType
from luigi_tasks.errors import TaxiError
from luigi_tasks.transform import transform

#: Published name, folded -> ours. On purpose not taken from the catalog.
RENAMED = {
    "vendorid": "vendor_id",
    "vendor_name": "vendor_id",
    "lpep_pickup_datetime": "pickup_datetime",
    "lpep_dropoff_datetime": "dropoff_datetime",
    "tpep_pickup_datetime": "pickup_datetime",
    "tpep_dropoff_datetime": "dropoff_datetime",
    "trip_pickup_datetime": "pickup_datetime",
    "trip_dropoff_datetime": "dropoff_datetime",
    "pickup_date": "pickup_datetime",
    "ratecodeid": "rate_code_id",
    "rate_code": "rate_code_id",
    "store_and_forward": "store_and_fwd_flag",
    "pulocationid": "pickup_location_id",
    "dolocationid": "dropoff_location_id",
    "locationid": "pickup_location_id",
    "start_lon": "pickup_longitude",
    "start_lat": "pickup_latitude",
    "end_lon": "dropoff_longitude",
    "end_lat": "dropoff_latitude",
    "fare_amt": "fare_amount",
    "tip_amt": "tip_amount",
    "tolls_amt": "tolls_amount",
    "total_amt": "total_amount",
    "surcharge": "extra",
    "affiliated_base_number": "affiliated_base_num",
    "dispatching_base_number": "dispatching_base_num",
    "trip_miles": "trip_distance",
    "base_passenger_fare": "fare_amount",
    "tips": "tip_amount",
    "tolls": "tolls_amount",
    "bcf": "black_car_fund",
}
WORDS = {
    "vendor_id": {"CMT": 1, "VTS": 2, "DDS": 3},
    "store_and_fwd_flag": {"0": "N", "1": "Y"},
    "payment_type": {
        "CASH": 2, "Cash": 2, "CAS": 2, "Cas": 2, "CSH": 2, "Credit": 1, "CREDIT": 1, "CRE": 1,
        "Cre": 1, "CRD": 1, "NA ": 5, "UNK": 5, "No Charge": 3, "NOC": 3, "No": 3, "Dispute": 4,
        "DIS": 4, "Dis": 4,
    },
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def as_csv_reads_it(text: str, kind: TaxiType) -> list[dict[str, Any]]:
    """The rows of a CSV, by Python's own module: the independent second opinion."""
    header, *lines = csv.reader(io.StringIO(text))
    names = [RENAMED.get(name.strip().lower(), name.strip().lower()) for name in header]
    types = {column.name: column.type for column in kind.columns}
    rows = []
    for line in filter(None, lines):
        row: dict[str, Any] = dict.fromkeys(types)
        for name, value in zip(names, line, strict=False):
            if value == "" or name == "__index_level_0__":
                continue
            value = WORDS.get(name, {}).get(value, value)  # noqa: PLW2901
            read: Callable[[Any], Any] = {
                "integer": int,
                "double precision": float,
                "timestamp": datetime.fromisoformat,
                "text": str,
            }[types[name]]
            row[name] = read(value)
        rows.append(row)
    return rows


def transformed(folder: Folder, content: bytes, kind: TaxiType = GREEN) -> list[dict[str, Any]]:
    """The rows that are made of a file's bytes, none rejected."""
    folder.raw.write_bytes(content)
    report = folder.transform(kind, max_reject_ratio=0)
    assert report.rows_rejected == 0
    assert report.unknown_columns == []
    rows: list[dict[str, Any]] = pq.read_table(folder.trips).to_pylist()
    return rows


# made-up rows

HEADER = (
    "VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Store_and_fwd_flag,RateCodeID,"
    "Pickup_longitude,Pickup_latitude,Dropoff_longitude,Dropoff_latitude,Passenger_count,"
    "Trip_distance,Fare_amount,Extra,MTA_tax,Tip_amount,Tolls_amount,Ehail_fee,Total_amount,"
    "Payment_type,Trip_type "
)
ROW = "2,2013-09-01 00:02:00,2013-09-01 00:54:51,N,1,-73.95,40.81,0,0,5,.50,50.5,,,0,0,,61.8,1,"


def green(*rows: str, end: str = "\n") -> bytes:
    return end.join([HEADER, *rows, ""]).encode()


def as_objects(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV as NYC Open Data gives them: without what has no value."""
    rows = csv.DictReader(line for line in content.decode().splitlines() if line)
    return [{n.strip().lower(): v for n, v in row.items() if n and v} for row in rows]


def zipped(content: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("folder/", b"")
        for name in names:
            packed.writestr(name, content)
    return file.getvalue()


def exported(content: bytes) -> bytes:
    """The rows of a CSV as NYC Open Data exports them: names once, rows as lists."""
    header, *rows = csv.reader(line for line in content.decode().splitlines() if line)
    names = [":sid", ":id", *(name.strip().lower() for name in header)]
    columns = [{"id": -1, "name": name.upper(), "fieldName": name} for name in names]
    data = [["row-1", "0-0", *(value or None for value in row)] for row in rows]
    return json.dumps({"meta": {"view": {"name": "x", "columns": columns}}, "data": data}).encode()


def quoted(content: bytes) -> bytes:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(csv.reader(content.decode().splitlines()))
    return file.getvalue().encode()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "csv": bytes,
    "csv with a mark": lambda content: b"\xef\xbb\xbf" + content,
    "csv of Windows": lambda content: content.replace(b"\n", b"\r\n"),
    "csv with quotes": quoted,
    "csv without an end": lambda content: content.rstrip(b"\n"),
    "csv.gz": gzip.compress,
    "csv.gz in two parts": lambda c: gzip.compress(c[:400]) + gzip.compress(c[400:]),
    "zip": lambda content: zipped(content, "trips.csv"),
    "json": lambda content: json.dumps(as_objects(content)).encode(),
    "json, indented": lambda content: b" \n" + json.dumps(as_objects(content), indent=1).encode(),
    "json lines": lambda c: "\n".join(map(json.dumps, as_objects(c))).encode(),
    "json of the portal's export": exported,
    "json.gz": lambda content: gzip.compress(json.dumps(as_objects(content)).encode()),
    "zip of a Mac": lambda content: zipped(content, "a.csv", "__MACOSX/._a.csv"),
    "zip of json": lambda content: zipped(json.dumps(as_objects(content)).encode(), "a"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_come_out_of_every_form(folder: Folder, form: str) -> None:
    rows = [ROW.replace("00:02:00", f"00:02:{second}") for second in range(10, 40)]
    content = green("", *rows)
    expected = as_csv_reads_it(content.decode(), GREEN)
    assert len(expected) == 30
    assert expected[0]["trip_distance"] == 0.5
    for _ in range(2):
        assert transformed(folder, FORMS[form](content)) == expected


@pytest.mark.parametrize("block", [600, 1 << 20])
def test_rows_with_commas_too_many_are_like_the_others(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(forms, "CSV_BLOCK", block)
    rows = [ROW.replace("00:02:00", f"00:02:{second}") for second in range(10, 40)]
    expected = as_csv_reads_it(green(*rows).decode(), GREEN)
    for places in ([*range(30)], [*range(1, 30)], [*range(0, 30, 3)], [7], [29]):
        for commas in (",", ",,"):
            ragged = [row + commas * (place in places) for place, row in enumerate(rows)]
            found = transformed(folder, green(*ragged))
            assert sorted(found, key=lambda row: row["pickup_datetime"]) == expected


@pytest.mark.parametrize(
    ("wrong", "column", "reason"),
    [
        (ROW.removesuffix(",1,"), "", "has 18 values for 20 columns"),
        (ROW + ",,7", "", "has 22 values for 20 columns"),
        (ROW + "1,7", "", "has 21 values for 20 columns"),
        (ROW.replace("50.5", "x"), "Fare_amount", "is no number"),
        (ROW.replace("50.5", "5-0"), "Fare_amount", "is no number"),
        (ROW.replace("2013-09-01 00:02", "1 Sep"), "lpep_pickup_datetime", "is no time"),
        (ROW.replace("2013-09-01 00:02:00", ""), "lpep_pickup_datetime", "has no value"),
        (ROW.replace(",N,", ",\0,"), "Store_and_fwd_flag", "has a NUL character"),
        (ROW.replace(",N,", ',"N,'), "", "has a quotation mark without another"),
        (ROW.replace(",N,", ',N"').replace("1,-73", '"1,-73'), "", "has 18 values for 20 columns"),
        (f'"{ROW},', "", "has a quotation mark without another"),
        (f'"{ROW}"', "", "has 1 values for 20 columns"),
        (ROW.replace(",N,", f',"{100_000 * "x"}') + ",,,", "", "has a quotation mark without"),
        (ROW.replace(",N,", f",{200_000 * 'x'},") + ",,,", "", "field larger than field limit"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_with_its_number(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, wrong: str, column: str, reason: str
) -> None:
    for block in (600, 1 << 20):
        monkeypatch.setattr(forms, "CSV_BLOCK", max(block, 2 * len(wrong)))
        for place, commas in itertools.product((0, 5, 19), ("", ",,")):
            rows = [f"{ROW.replace('00:02:00', f'00:02:{n}')}{commas}" for n in range(10, 30)]
            rows[place] = wrong
            folder.raw.write_bytes(green("", *rows))
            report = folder.transform(max_reject_ratio=0.05)
            assert (report.rows_read, report.rows_written) == (20, 19)
            [reject] = folder.read_rejects()
            assert (reject["row"], reject["column"]) == (place + 1, column)
            assert reason in reject["reason"]
            if "quotation" in reason:
                assert reject["value"] == wrong
            seconds = [time.second for time in folder.column("pickup_datetime")]
            assert sorted(seconds) == [n for n in range(10, 30) if n != place + 10]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotation_marks_that_do_not_match_break_no_other_rows(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The rows between two of them, and a value that goes on in the next line."""
    monkeypatch.setattr(forms, "PIECE", 700)
    rows = [ROW.replace("00:02:00", f"00:02:{second}") for second in range(10, 60)]
    for place in (3, 20, 49):
        rows[place] = rows[place].replace(",N,", ',"N,')
    for place in (4, 30):
        rows[place] = rows[place].replace(",N,", ',"N",')
    for place in (10, 40):
        rows[place] = rows[place].replace(",N,", ',5" N,')  # as it stands
    rows[45] = rows[45].replace(",N,", ',5" N,') + '"'  # its last value takes in what follows
    folder.raw.write_bytes(green(*rows, end=end))
    assert folder.transform(max_reject_ratio=1).rows_written == 46
    assert sorted(reject["row"] for reject in folder.read_rejects()) == [4, 21, 46, 50]
    assert set(folder.column("store_and_fwd_flag")) == {"N", '5" N'}


def test_bytes_that_are_no_text_are_rejects_of_their_row_alone(folder: Folder) -> None:
    rows = [ROW.encode(), ROW.replace(",N,", ",\xff,").encode("latin1"), ROW.encode() + b",,\xff"]
    folder.raw.write_bytes(b"\n".join([HEADER.encode(), *rows]))
    assert folder.transform(max_reject_ratio=1).rows_written == 1
    assert sorted(reject["row"] for reject in folder.read_rejects()) == [2, 3]


def test_a_header_may_have_blanks_and_a_blank_line_before_it(folder: Folder) -> None:
    header = ", ".join(f'"{name}"' for name in HEADER.split(","))
    content = "\n".join(["", header, ROW, ""]).encode()
    assert transformed(folder, content) == as_csv_reads_it(green(ROW).decode(), GREEN)


def test_a_header_may_end_with_a_comma_that_rows_do_not_have(folder: Folder) -> None:
    rows = [ROW] * 30
    content = green(*rows).replace(b"\n", b",\n", 1)
    assert transformed(folder, content) == as_csv_reads_it(green(*rows).decode(), GREEN)


def test_rows_that_are_all_ragged_are_not_all_held(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "MOST_RAGGED", 1_000)
    monkeypatch.setattr(forms, "PIECE", 10_000)
    folder.raw.write_bytes(green(*[ROW.replace(",N,", ',"N,')] * 30_000))
    assert "another number of values" in folder.refusal(GREEN, 1.0)


def test_too_many_rejects_of_a_csv_fail(folder: Folder) -> None:
    folder.raw.write_bytes(green(*[ROW] * 8, *["x"] * 2))
    assert "2 of the first 10 rows can't be read" in folder.refusal(GREEN, 0.1)
    assert not folder.trips.exists()
    assert folder.transform(max_reject_ratio=0.2).rows_rejected == 2


def test_a_csv_may_have_no_rows(folder: Folder) -> None:
    assert transformed(folder, green()) == []
    assert transformed(folder, green("", "")) == []


def test_columns_without_a_name_are_unknown_ones(folder: Folder) -> None:
    folder.raw.write_bytes(f",{HEADER},\n1,{ROW},\n".encode())
    report = folder.transform()
    assert (report.new_columns, report.unknown_columns) == ({"column_1": "bigint"}, ["column 22"])


# words, times, two columns for one


def yellow(**values: Any) -> dict[str, Any]:
    row = {
        "vendor_name": "VTS",
        "Trip_Pickup_DateTime": "2009-01-04 02:52:00",
        "Trip_Dropoff_DateTime": "2009-01-04 03:02:00",
        "Trip_Distance": 2.63,
        "Start_Lon": -73.99,
        "Start_Lat": 40.72,
        "End_Lon": -73.99,
        "End_Lat": 40.69,
        "Fare_Amt": 8.9,
    }
    return {**row, **values}


def of_yellow(folder: Folder, **values: Any) -> dict[str, Any]:
    """One row of 2009, in parquet, as it comes out."""
    table = pa.table({name: [value] for name, value in yellow(**values).items()})
    pq.write_table(table, folder.raw)
    assert folder.transform(YELLOW, 0).unknown_columns == []
    row: dict[str, Any] = pq.read_table(folder.trips).to_pylist()[0]
    return row


@pytest.mark.parametrize(
    ("name", "column", "word", "code"),
    [
        *(("vendor_name", "vendor_id", word, code) for word, code in WORDS["vendor_id"].items()),
        *(("Payment_Type", "payment_type", w, code) for w, code in WORDS["payment_type"].items()),
        ("store_and_forward", "store_and_fwd_flag", 0.0, "N"),
        ("store_and_forward", "store_and_fwd_flag", 1.0, "Y"),
        ("store_and_forward", "store_and_fwd_flag", "*", "*"),
        ("store_and_forward", "store_and_fwd_flag", None, None),
        ("Rate_Code", "rate_code_id", "1", 1),
        ("Rate_Code", "rate_code_id", 1, 1),
        ("surcharge", "extra", 0.5, 0.5),
    ],
)
def test_what_early_files_have_in_place_of_codes(
    folder: Folder, name: str, column: str, word: Any, code: Any
) -> None:
    assert of_yellow(folder, **{name: word})[column] == code


def test_a_word_that_nobody_knows_is_a_reject(folder: Folder) -> None:
    pq.write_table(pa.table({n: [v] for n, v in yellow(vendor_name="XYZ").items()}), folder.raw)
    folder.transform(YELLOW, 1)
    assert folder.read_rejects()[0]["value"] == "XYZ"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2019 Jan 29 02:13:01 PM", datetime(2019, 1, 29, 14, 13, 1)),
        ("2019 Jan 29 12:13:01 AM", datetime(2019, 1, 29, 0, 13, 1)),
        ("01/29/2019 02:13:01 PM", datetime(2019, 1, 29, 14, 13, 1)),
        ("2019-01-29T02:13:01.000", datetime(2019, 1, 29, 2, 13, 1)),
        ("2019-01-29 02:13:01.250000", datetime(2019, 1, 29, 2, 13, 1, 250_000)),
        (" 2019-01-29 02:13:01", datetime(2019, 1, 29, 2, 13, 1)),
    ],
)
def test_times_as_they_are_written(folder: Folder, time: str, expected: datetime) -> None:
    table = pa.table({n: [v] * 2 for n, v in yellow().items()})
    table = table.set_column(1, table.schema[1].name, pa.array(["2019-01-01 00:00:00", time]))
    pq.write_table(table, folder.raw)
    folder.transform(YELLOW, 0)
    assert folder.column("pickup_datetime") == [datetime(2019, 1, 1), expected]


@pytest.mark.parametrize(
    "time", ["2019 Jan 32 02:13:01 PM", "13/29/2019 02:13:01 PM", "2019-01-29T02:13:01Z", "noon"]
)
def test_a_time_that_is_none_is_a_reject(folder: Folder, time: str) -> None:
    rows = [ROW, ROW.replace("2013-09-01 00:02:00", time)]
    folder.raw.write_bytes(green(*rows))
    assert folder.transform(max_reject_ratio=1).rows_written == 1
    assert folder.read_rejects()[0]["value"] == time


def test_a_base_is_taken_from_the_column_that_has_it(folder: Folder) -> None:
    content = (
        b'"Pickup_DateTime","DropOff_datetime","PUlocationID","DOlocationID","SR_Flag",'
        b'"Dispatching_base_number","Dispatching_base_num"\r\n'
        b'"2018-01-30 21:06:50","2018-01-30 21:15:34","56","129","","B02884",""\r\n'
        b'"2018-01-30 21:06:51","","","","1","B02884","B00001"\r\n'
    )
    bases = [row["dispatching_base_num"] for row in transformed(folder, content, FHV)]
    assert bases == ["B02884", "B00001"]


# JSON


def test_names_may_come_later_in_json(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "BATCH_ROWS", 8)
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
    monkeypatch.setattr(forms, "BATCH_ROWS", 8)
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
    monkeypatch.setattr(forms, "JSON_BYTES", 100_000)
    rows = [{**row, "note": "x" * 50_000} for row in as_objects(green(*[ROW] * 30))]
    folder.raw.write_text(json.dumps(rows))
    with forms.opened(folder.raw) as source:
        sizes = [each.batch.num_rows for each in source.rows()]
    assert sum(sizes) == 30
    assert max(sizes) < 10
    assert folder.transform().new_columns == {"note": "text"}


def test_a_trip_without_a_pickup_is_a_reject_though_no_row_has_one(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "BATCH_ROWS", 8)
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
def test_json_that_has_no_trips_is_told(folder: Folder, content: str, told: str) -> None:
    folder.raw.write_text(content)
    assert told in folder.refusal()


# packed files


@pytest.mark.parametrize("kept", [3, 20, 200, -9, -4])
def test_a_gzip_that_ends_early_is_told(folder: Folder, kept: int) -> None:
    folder.raw.write_bytes(gzip.compress(green(*[ROW] * 30))[:kept])
    assert "can't be unpacked" in folder.refusal()
    assert not folder.trips.exists()


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped(content, "a.csv")])
def test_a_packed_file_that_is_damaged_is_told(
    folder: Folder, pack: Callable[[bytes], bytes]
) -> None:
    content = bytearray(pack(green(*[ROW.replace("50.5", f"{n}") for n in range(3000)])))
    content[len(content) // 2] ^= 0xFF
    folder.raw.write_bytes(bytes(content))
    told = folder.refusal(GREEN, 1.0)
    assert "can't be unpacked" in told


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped(content, "a.csv")])
def test_a_packed_file_that_is_too_large_is_told(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    folder.raw.write_bytes(pack(green(*[ROW] * 1_000)))
    folder.transform()
    monkeypatch.setattr(forms, "LARGEST_UNPACKED", 50_000)
    assert "it has more than 50,000 bytes" in folder.refusal()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (zipped(green(ROW), "a.csv", "b.csv"), "must have one file in it, and has 2: a.csv, b.csv"),
        (zipped(b""), "must have one file in it, and has 0: none"),
        (zipped(gzip.compress(green(ROW)), "a.csv.gz"), "isn't parquet, CSV or JSON"),
        (zipped(green(ROW), "a.csv")[:-30], "can't be unpacked"),
        (gzip.compress(b"<html>"), "isn't parquet, CSV or JSON"),
        (b"\x00\x01\x02", "isn't parquet, CSV or JSON"),
        (b"VendorID" * 200_000, "isn't CSV: a line has more than"),
        (green(ROW, ROW * 20_000, ROW), "isn't CSV: a line has more than"),
        (green(ROW + ",1,2").replace(b"\n", b",new,new\n", 1), "two columns 'new'"),
        (green(ROW).replace(b"\n", b",new,other\n", 1), "most of its rows have 20 values"),
    ],
    ids=[
        *("two", "none", "gzip in zip", "cut zip", "page in gzip", "binary"),
        *("one long line", "a long line", "two columns", "too few values"),
    ],
)
def test_what_is_no_month_is_told(folder: Folder, content: bytes, told: str) -> None:
    folder.raw.write_bytes(content)
    assert told in folder.refusal()


# early parquet


def test_parquet_of_2010_is_read(folder: Folder) -> None:
    names = {
        "vendor_name": "vendor_id",
        "Trip_Pickup_DateTime": "pickup_datetime",
        "Trip_Dropoff_DateTime": "dropoff_datetime",
        "Start_Lon": "pickup_longitude",
        "Start_Lat": "pickup_latitude",
        "End_Lon": "dropoff_longitude",
        "End_Lat": "dropoff_latitude",
        "Fare_Amt": "fare_amount",
        "Trip_Distance": "trip_distance",
    }
    row = {names[name]: [value] for name, value in yellow(vendor_name="CMT").items()}
    row |= {"rate_code": ["1"], "surcharge": [0.5], "__index_level_0__": [7]}
    pq.write_table(pa.table({**row, "ehail_fee": pa.nulls(1)}).drop(["ehail_fee"]), folder.raw)
    assert folder.transform(YELLOW, 0).unknown_columns == []
    [trip] = pq.read_table(folder.trips).to_pylist()
    assert (trip["vendor_id"], trip["rate_code_id"], trip["extra"]) == (1, 1, 0.5)
    assert trip["pickup_datetime"] == datetime(2009, 1, 4, 2, 52)
    assert (trip["pickup_latitude"], trip["pickup_location_id"]) == (40.72, None)


# memory


def test_memory_does_not_grow_with_a_csv(tmp_path: Path) -> None:
    rows = "".join(ROW.replace("50.5", f"{n}.25") + ",,\n" for n in range(125_000))
    peaks = []
    for times in (2, 12):
        raw = tmp_path / f"{times}.csv.gz"
        with gzip.open(raw, "wt", compresslevel=1) as file:
            file.write(HEADER + "\n\n")
            for _ in range(times):
                file.write(rows)
        peaks.append(peak_memory(*command(raw, tmp_path)))
    assert peaks[1] < 350 * 1024
    assert peaks[1] < 1.2 * peaks[0]


# real files


def complete_lines(head: Path) -> str:
    """A file's beginning without its last line, which is cut."""
    content = head.read_bytes()
    return content[: content.rindex(b"\n") + 1].decode()


def test_every_published_head_arrives_whole(shared_data: Path, folder: Folder) -> None:
    heads = sorted((shared_data / "heads").glob("*.csv"))
    assert len(heads) == 303
    for head in heads:
        kind, text = TAXI_TYPES[head.name.partition("_")[0]], complete_lines(head)
        expected = as_csv_reads_it(text, kind)
        assert expected
        assert transformed(folder, text.encode(), kind) == expected, head.name


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("green_tripdata_2013-08.csv", GREEN),
        ("yellow_tripdata_2020-04_sample1000.csv", YELLOW),
        ("fhv_tripdata_2020-04_sample1000.csv", FHV),
        ("fhvhv_tripdata_2020-04_sample1000.csv", FHVHV),
    ],
)
def test_a_published_csv_arrives_whole(
    shared_data: Path, folder: Folder, file: str, kind: TaxiType
) -> None:
    content = (shared_data / "csv" / file).read_bytes()
    rows = transformed(folder, content, kind)
    assert rows == as_csv_reads_it(content.decode(), kind)
    assert len(rows) == (7_623 if kind is GREEN else 1_000)


@pytest.mark.parametrize(
    ("month", "rows"),
    [
        ("2020-03", 223_406),
        ("2020-04", 35_612),
        ("2020-05", 57_360),
        ("2020-06", 63_109),
        ("2020-07", 72_257),
        ("2020-08", 81_063),
    ],
)
def test_a_published_csv_gz_arrives_whole(
    shared_data: Path, folder: Folder, month: str, rows: int
) -> None:
    folder.raw = shared_data / "csv" / f"green_tripdata_{month}.csv.gz"
    report = folder.transform(max_reject_ratio=0)
    assert (report.rows_written, report.rows_rejected) == (rows, 0)
    text = gzip.decompress(folder.raw.read_bytes()).decode()
    assert pq.read_table(folder.trips).to_pylist()[:5_000] == as_csv_reads_it(
        "".join(text.splitlines(keepends=True)[:5_001]), GREEN
    )


def test_a_month_is_the_same_in_every_form(folder: Folder) -> None:
    """Made-up trips of this era, out of parquet and out of CSV."""
    sample.write_month(folder.raw, "green", date(2024, 1, 1), rows=3_000)
    table = pq.read_table(folder.raw)
    folder.transform()
    expected = pq.read_table(folder.trips)
    import pyarrow.csv

    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="w") as file:
        pyarrow.csv.write_csv(table, file)
    assert transformed(folder, packed.getvalue()) == expected.to_pylist()


# files that lie, or are made to hurt


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
    monkeypatch.setattr(forms, "PIECE", size)
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
def test_json_that_cannot_be_a_month_is_told(folder: Folder, content: str, told: str) -> None:
    folder.raw.write_text(content)
    assert told in folder.refusal()


def test_an_exported_column_without_a_name_goes_by_its_place(folder: Folder) -> None:
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
    monkeypatch.setattr(forms, "BATCH_ROWS", 8)  # two objects at a time
    rows = as_objects(green(ROW))
    folder.raw.write_text(json.dumps([{}, {}, *rows, {}]))
    assert folder.transform(max_reject_ratio=1).rows_read == 4
    assert [reject["row"] for reject in folder.read_rejects()] == [1, 2, 4]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("header_end", ["\r", "\r\n", "\n", "\r\r\n"])
@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_lines_of_csv_may_end_in_any_way(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, piece: int, header_end: str, end: str
) -> None:
    monkeypatch.setattr(forms, "PIECE", piece)
    rows = [ROW.replace("00:02:00", f"00:02:{second}") for second in range(10, 40)]
    rows[3] += ",,"
    content = f"{HEADER}{header_end}{end}{end.join(rows)}{end}".encode()
    rows = [row.removesuffix(",,") for row in rows]
    found = sorted(transformed(folder, content), key=lambda row: row["pickup_datetime"])
    assert found == as_csv_reads_it(green(*rows).decode(), GREEN)


def test_blank_lines_are_no_rows_and_have_no_number(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "PIECE", 100)
    wrong = ROW.replace("50.5", "x")
    folder.raw.write_bytes(green("", " ", ROW, *[""] * 1_000, ROW + ",,", "", wrong, *[""] * 1_000))
    assert folder.transform(max_reject_ratio=1).rows_written == 2
    assert [reject["row"] for reject in folder.read_rejects()] == [3]


def repeated(head: str, unit: bytes, size: int) -> bytes:
    """A gzip of a unit again and again."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="w") as packed:
        packed.write(head.encode())
        for _ in range(size >> 20):
            packed.write(unit * ((1 << 20) // len(unit)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "unit", "told"),
    [
        (f"{HEADER}\n", b"\n", "blank lines in a row"),
        (f"{HEADER}\n{ROW}\n", b"\r\n", "blank lines in a row"),
        ("", b"\n", "isn't parquet, CSV or JSON"),
        ("", b" ", "isn't parquet, CSV or JSON"),
        (f"{HEADER}\n", b" " * 99 + b"\n", "unpacks to more than 100 times its size"),
        (f"{HEADER}\n{ROW}\n", b" ", "a line has more than"),
        ("[", b" ", "blanks in a row"),
        (f"[{json.dumps(as_objects(green(ROW))[0])}", b"\n", "blanks in a row"),
    ],
)
def test_a_small_file_that_unpacks_to_nothing_is_refused_early(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, head: str, unit: bytes, told: str
) -> None:
    monkeypatch.setattr(forms, "PACKED_FROM", 5 << 20)
    monkeypatch.setattr(forms, "LARGEST_UNPACKED", 15 << 20)
    folder.raw.write_bytes(repeated(head, unit, 16 << 20))
    assert told in folder.refusal(GREEN, 1.0)


def test_too_many_columns_are_refused_before_any_work(folder: Folder) -> None:
    names = [f"c{n}" for n in range(10_000)]
    folder.raw.write_text(f"{HEADER},{','.join(names)}\n{ROW},{','.join(names)}\n")
    assert "it has 10,020 columns, more than 500" in folder.refusal()
    pq.write_table(pa.table({name: [1] for name in names}), folder.raw)
    assert "it has 10,000 columns, more than 500" in folder.refusal()
    nested = pa.array([dict.fromkeys(names, 1)])
    pq.write_table(pa.table({"a": nested}), folder.raw)
    assert "it has 10,000 columns, more than 500" in folder.refusal()


def test_as_many_columns_as_may_be_are_read(folder: Folder) -> None:
    names = [f"c{n}" for n in range(480)]
    folder.raw.write_text(f"{HEADER},{','.join(names)}\n" + f"{ROW},{','.join('1' * 480)}\n" * 3)
    assert len(folder.transform().new_columns) == 480


@pytest.mark.parametrize("count", [1, 24])
def test_names_of_megabytes_are_refused(folder: Folder, count: int) -> None:
    names = [f"{n}{'x' * (3_000_000 // count)}" for n in range(count)]
    pq.write_table(pa.table({name: [1] for name in names}), folder.raw)
    told = folder.refusal()
    assert "it has a column whose name has" in told
    assert len(told) < 300
    folder.raw.write_text(f"{HEADER},{'x' * 900_000}\n{ROW},1\n")
    assert len(folder.refusal()) < 300


# parquet that is made to hurt


def row_groups(path: Path, table: pa.Table, groups: int) -> None:
    with pq.ParquetWriter(path, table.schema) as writer:
        for group in range(groups):
            writer.write_table(table.slice(group, 1))


def test_row_groups_are_read_together(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(passenger_count=["x" if n == 150 else "1" for n in range(300)])
    table = pq.read_table(folder.raw)
    row_groups(folder.raw, table, 300)
    with forms.opened(folder.raw) as source:
        assert [rows.batch.num_rows for rows in source.rows()] == [300]
    folder.transform()
    assert pq.read_metadata(folder.trips).num_row_groups == 1
    assert [reject["row"] for reject in folder.read_rejects()] == [151]
    monkeypatch.setattr(forms, "BATCH_ROWS", 70)
    folder.transform()
    assert folder.column("pickup_datetime") == [
        time for n, time in enumerate(table["pickup_datetime"].to_pylist()) if n != 150
    ]
    monkeypatch.setattr(forms, "MOST_GROUPS", 299)
    assert "it has 300 row groups, more than 299" in folder.refusal()


def test_a_row_group_may_have_three_million_rows(folder: Folder) -> None:
    folder.write(trip_type=[1] * 1_000)
    table = pa.concat_tables([pq.read_table(folder.raw)] * 3_000)
    pq.write_table(table, folder.raw, row_group_size=3_000_000)
    assert pq.read_metadata(folder.raw).num_row_groups == 1
    with forms.opened(folder.raw) as source:
        assert source.total == 3_000_000
        assert next(source.rows()).batch.num_rows == forms.BATCH_ROWS


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
    monkeypatch.setattr(forms, "BATCH_BYTES", 100_000)
    monkeypatch.setattr(forms, "LARGEST_AVERAGE", 10_000)
    folder.write(note=[f"{n}" * 5_000 for n in range(100)])
    with forms.opened(folder.raw) as source:
        sizes = [rows.batch.num_rows for rows in source.rows()]
    assert sum(sizes) == 100
    assert max(sizes) < 20


def test_a_footer_that_is_too_large_is_refused(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(passenger_count=[1])
    folder.transform()
    monkeypatch.setattr(forms, "LARGEST_FOOTER", 100)
    assert "it has a footer of" in folder.refusal()


# names


FORGING = 'a\n::{"outputs": {"rows_read": 7}}::\r\x1b[31m\x85\u2028\u202e\u00e9'


@pytest.mark.parametrize("contract", ["evolve", "discard", "freeze"])
def test_names_forge_no_line_of_a_log_or_report(folder: Folder, contract: str) -> None:
    trips = as_objects(green(ROW))
    nested = {FORGING: 1, f"{FORGING}2": [1]}
    folder.raw.write_text(json.dumps([{**trips[0], **nested}]))
    words = [[folder.raw], folder.trips, folder.rejects, GREEN, 0]
    if contract == "freeze":
        with pytest.raises(TaxiError) as refused:
            transform(*words, schema_contract=contract)
        assert str(refused.value).isprintable()
        return
    report = transform(*words, schema_contract=contract)
    assert all(map(str.isprintable, [*report.new_columns, *report.unknown_columns]))
    assert len(report.new_columns) + len(report.unknown_columns) == 2


def test_names_that_become_alike_stay_apart_and_short(folder: Folder) -> None:
    marks = [chr(code) for code in range(0x2460, 0x2460 + 60)]
    names = [f"{'long' * 15}{mark}" for mark in marks]
    folder.raw.write_text(json.dumps([{**as_objects(green(ROW))[0], **dict.fromkeys(names, 1)}]))
    new = list(folder.transform().new_columns)
    assert len(set(new)) == 60
    assert max(len(name.encode()) for name in new) <= 43
    assert new[:3] == [f"{'long' * 10}{end}" for end in ("", "_", "_2")]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_names_are_printable_and_bounded_in_every_refusal(folder: Folder, form: str) -> None:
    names = [FORGING * 5, *(f"{FORGING}{n}" for n in range(200))]
    write: dict[str, Callable[[list[str]], None]] = {
        "csv": lambda names: folder.raw.write_text(
            ",".join(name.translate({10: 9, 13: 9, 27: 9, 44: 9}) for name in names) + "\n",
            "utf-8",
        ),
        "json": lambda names: folder.raw.write_text(json.dumps(dict.fromkeys(names, 1))),
        "parquet": lambda names: pq.write_table(pa.table({n: [1] for n in names}), folder.raw),
    }
    write[form](names)
    told = folder.refusal()
    assert "not a file of green trips" in told
    assert told.isprintable()
    assert len(told) < 10_000
    write[form]([FORGING, f" {FORGING.upper()}"])
    assert folder.refusal().isprintable()


def test_a_value_is_printable_and_bounded_in_a_refusal(folder: Folder) -> None:
    folder.write(passenger_count=[f"{FORGING}{'x' * 500_000}", "1"], fare_amount=[1, 2])
    told = folder.refusal()
    assert told.isprintable()
    assert len(told) < 1_000
