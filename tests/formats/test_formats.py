"""Files of every format and era: each value arrives, whatever the file is called."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import (
    HEADER,
    ROW,
    Folder,
    as_csv_reads_it,
    as_objects,
    exported,
    fixture_folder,  # noqa: F401
    green,
    transformed,
    zipped,
)

from luigi_tasks import sample
from luigi_tasks.catalog import GREEN, TAXI_TYPES


def quoted(content: bytes) -> bytes:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(csv.reader(content.decode().splitlines()))
    return file.getvalue().encode()


FORMATS: dict[str, Callable[[bytes], bytes]] = {
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


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_rows_come_out_of_every_format(folder: Folder, name: str) -> None:
    rows = [ROW.replace("00:02:00", f"00:02:{second}") for second in range(10, 40)]
    content = green("", *rows)
    expected = as_csv_reads_it(content.decode(), GREEN)
    assert len(expected) == 30
    assert expected[0]["trip_distance"] == 0.5
    for _ in range(2):
        assert transformed(folder, FORMATS[name](content)) == expected


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
def test_a_file_that_is_no_month_is_refused(folder: Folder, content: bytes, told: str) -> None:
    folder.raw.write_bytes(content)
    assert told in folder.refusal()


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
