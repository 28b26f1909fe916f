"""A look at a published file: what it shows, and how little of the file it takes."""

import gzip
import os
import re
import subprocess
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import PYTHON, folder_url
from mirror import Mirror

from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.sample import write_month
from luigi_tasks.source import TooMuchError, open_remote
from luigi_tasks.status.peek import peek

JANUARY = Month("green", date(2024, 1, 1))
Set = Callable[[str, str, str], None]


def run_peek(folder: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    command = [PYTHON, "-m", "luigi_tasks", "peek", *words]
    run = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )
    return run.returncode, run.stdout, run.stderr


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a green month of 50 MB, whose values take as much room as real ones do."""
    folder = tmp_path_factory.mktemp("large")
    file = folder / JANUARY.filename
    write_month(file, "green", JANUARY.first_day, rows=20_000)
    month = pq.read_table(file)
    chance = np.random.default_rng(1)
    with pq.ParquetWriter(file, month.schema, compression="zstd") as writer:
        while file.stat().st_size < 50_000_000:
            drawn = chance.integers(0, month.num_rows, 250_000)
            part = month.take(pa.array(drawn))
            for name in ("lpep_pickup_datetime", "lpep_dropoff_datetime", "trip_distance"):
                at = part.schema.get_field_index(name)
                kind = part.schema.field(name).type
                values = pa.array(chance.integers(0, 2**40, part.num_rows))
                values = values.cast(pa.float64()) if kind == pa.float64() else values.view(kind)
                part = part.set_column(at, part.schema.field(name), values)
            writer.write_table(part)
    return folder


def test_of_50_megabytes_less_than_one_is_fetched(large: Path, settings: Set) -> None:
    with Mirror(large) as mirror:
        settings("source", "url", mirror.url(JANUARY.filename))
        found = peek(JANUARY)
        assert mirror.requests
        assert all("Range" in each.headers for each in mirror.asked("GET"))
        sent = sum(each.sent for each in mirror.requests)
    metadata = pq.read_metadata(large / JANUARY.filename)
    assert found.facts.bytes is not None
    assert found.facts.bytes > 50_000_000
    assert 0 < sent == found.fetched < 1_000_000
    assert found.rows == metadata.num_rows
    assert found.row_groups is not None
    assert len(found.row_groups) == metadata.num_row_groups
    assert len(found.columns) == 20
    assert {len(values) for values in found.values.values()} == {10}
    group = pq.ParquetFile(large / JANUARY.filename).read_row_group((found.shown_group or 0) - 1)
    assert len(found.values) > 10
    too_large = found.columns.keys() - found.values.keys()
    assert {"lpep_pickup_datetime", "trip_distance"} <= too_large
    whole = pq.read_table(large / JANUARY.filename, columns=["trip_distance"]).column(0)
    assert found.ranges["trip_distance"] == (pc.min(whole).as_py(), pc.max(whole).as_py())
    assert too_large <= found.ranges.keys()
    assert found.values == {n: group[n].slice(0, 10).to_pylist() for n in found.values}


def test_what_is_not_fetched_is_named_with_the_reason(large: Path, tmp_path: Path) -> None:
    flags = [f"--source-url=file://{large / JANUARY.filename}"]
    code, text, errors = run_peek(tmp_path, "green", "2024-01", *flags)
    assert (code, errors) == (0, "")
    rows = text.split("the first 10 rows of row group ")[1]
    assert re.search(r"^trip_distance +from [\d.e+]+ to [\d.e+]+$", rows, re.MULTILINE)
    words = " ".join(rows.split())
    assert re.search(r"\d columns without rows: a column's first value takes its dictionary", words)
    assert "at most 900 kB are fetched. Shown is what the footer says" in words


def test_more_than_it_may_is_not_fetched(large: Path) -> None:
    file = open_remote(f"file://{large / JANUARY.filename}", most=100_000)
    assert file
    assert file.read(4) == b"PAR1"
    with pytest.raises(TooMuchError):
        file.read(200_000)
    file.seek(-4, os.SEEK_END)
    assert file.read() == b"PAR1"
    assert file.fetched <= 2 * (16 << 10)


def test_the_command_says_what_becomes_of_each_column(tmp_path: Path) -> None:
    published = tmp_path / JANUARY.filename
    write_month(published, "green", JANUARY.first_day, rows=30)
    table = pq.read_table(published).drop_columns(["ehail_fee"])
    pq.write_table(table.append_column("robot", pa.array(["r2"] * 30)), published)
    flags = [f"--source-url={folder_url(tmp_path)}"]
    code, text, errors = run_peek(tmp_path, "green", "2024-01", *flags)
    assert (code, errors) == (0, "")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0].startswith("green 2024-01: file:///")
    assert lines[2] == "parquet, 20 columns, 30 rows in 1 row group"
    assert "lpep_pickup_datetime timestamp[us] pickup_datetime, timestamp" in lines
    assert "robot string unknown: a new column" in lines
    assert any(line.startswith("missing, and so NULL: ehail_fee, cbd_") for line in lines)
    assert "robot" + " r2" * 10 in lines
    assert max(map(len, text.splitlines()[1:])) <= 100
    assert sorted(each.name for each in tmp_path.iterdir()) == [JANUARY.filename]
    (tmp_path / "luigi.cfg").write_text("[transform]\nschema_contract = freeze\n")
    assert "unknown: the month will fail" in run_peek(tmp_path, "green", "2024-01", *flags)[1]


def test_a_file_of_another_service_is_shown_and_refused(tmp_path: Path) -> None:
    write_month(tmp_path / "yellow.parquet", "yellow", JANUARY.first_day, rows=20)
    code, text, errors = run_peek(
        tmp_path, "green", "2024-01", f"--source-url=file://{tmp_path}/yellow.parquet"
    )
    assert (code, errors.count("\n")) == (1, 1)
    assert "not a file of green trips, it looks like yellow" in errors
    assert "tpep_pickup_datetime" in text


CSV = "VendorID,lpep_pickup_datetime,note\n" + "".join(
    f"{n},2024-01-01 10:00:{n % 60:02},{'x' * 50}\n" for n in range(20_000)
)
LISTED = ",".join(f'{{"VendorID": {n}, "note": "{"y" * 50}"}}' for n in range(20_000))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (CSV.encode(), "csv"),
        (gzip.compress(CSV.encode()), "csv in gzip"),
        (b"[" + LISTED.encode() + b"]", "json"),
        (b'{"trips": [' + LISTED.encode() + b"]}", "json"),
        (LISTED.replace("},", "}\n").encode(), "json"),
        (gzip.compress(b"[" + LISTED.encode() + b"]"), "json in gzip"),
    ],
)
def test_of_text_the_first_piece_is_read(
    tmp_path: Path, settings: Set, content: bytes, says: str
) -> None:
    (tmp_path / "month").write_bytes(content)
    with Mirror(tmp_path) as mirror:
        settings("source", "url", mirror.url("month"))
        found = peek(JANUARY)
        assert sum(each.sent for each in mirror.requests) <= 200_000
    assert (found.format, found.rows, found.row_groups) == (says, None, None)
    assert next(iter(found.columns)) == "VendorID"
    assert list(map(int, found.values["VendorID"])) == list(range(10))


def test_a_zip_is_read_as_well(tmp_path: Path, settings: Set) -> None:
    with zipfile.ZipFile(tmp_path / "month", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("green.csv", CSV)
    settings("source", "url", f"file://{tmp_path}/month")
    found = peek(JANUARY)
    assert (found.format, len(found.values["note"])) == ("csv in zip", 10)


def test_a_store_is_asked_for_parts_too(large: Path, settings: Set) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    content = (large / JANUARY.filename).read_bytes()
    store.pipe_file("/trips/month", content)
    settings("source", "url", "memory://trips/month")
    found = peek(JANUARY)
    store.rm("/trips/month")
    assert (found.facts.bytes, found.fetched < 1_000_000) == (len(content), True)
    assert len(found.values) > 10


def test_what_cannot_be_looked_at_is_one_line(tmp_path: Path, settings: Set) -> None:
    broken = tmp_path / "month"
    for content, says in (
        (b"<html>" * 100, "it isn't parquet, CSV or JSON: it begins with"),
        (b"PAR1" + bytes(1000), "it can't be read"),
        (b"\x1f\x8b" + bytes(1000), "it can't be read"),
    ):
        broken.write_bytes(content)
        settings("source", "url", f"file://{broken}")
        with pytest.raises(TaxiError, match=says) as raised:
            peek(JANUARY)
        assert "\n" not in str(raised.value)
    with Mirror(tmp_path) as mirror:
        mirror.ranges = False
        settings("source", "url", mirror.url("month"))
        with pytest.raises(TaxiError, match="sends no parts of a file"):
            peek(JANUARY)


def test_a_month_that_is_not_out_says_so(tmp_path: Path, settings: Set) -> None:
    write_month(tmp_path / "green_tripdata_2023-12.parquet", "green", date(2023, 12, 1), rows=5)
    settings("source", "url", folder_url(tmp_path))
    with pytest.raises(TaxiError, match=r"green 2024-01: isn't published yet"):
        peek(JANUARY)
