"""CSV as the TLC publishes it, and CSV that is broken: one row costs no other."""

import gzip
import itertools
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from raw_files import (
    HEADER,
    ROW,
    Folder,
    as_csv_reads_it,
    command,
    fixture_folder,  # noqa: F401
    green,
    peak_memory,
    transformed,
)

from luigi_tasks.catalog import FHV, FHVHV, GREEN, YELLOW, TaxiType


@pytest.mark.parametrize("block", [600, 1 << 20])
def test_rows_with_commas_too_many_are_like_the_others(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.csv.BLOCK", block)
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
def test_a_row_that_cannot_be_read_is_a_reject_with_its_number(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, wrong: str, column: str, reason: str
) -> None:
    for block in (600, 1 << 20):
        monkeypatch.setattr("luigi_tasks.formats.csv.BLOCK", max(block, 2 * len(wrong)))
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
    monkeypatch.setattr("luigi_tasks.formats.csv.PIECE", 700)
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


def test_rows_that_are_all_irregular_are_not_all_held(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.csv.MOST_IRREGULAR", 1_000)
    monkeypatch.setattr("luigi_tasks.formats.csv.PIECE", 10_000)
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


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("header_end", ["\r", "\r\n", "\n", "\r\r\n"])
@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_lines_of_csv_may_end_in_any_way(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, piece: int, header_end: str, end: str
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.csv.PIECE", piece)
    rows = [ROW.replace("00:02:00", f"00:02:{second}") for second in range(10, 40)]
    rows[3] += ",,"
    content = f"{HEADER}{header_end}{end}{end.join(rows)}{end}".encode()
    rows = [row.removesuffix(",,") for row in rows]
    found = sorted(transformed(folder, content), key=lambda row: row["pickup_datetime"])
    assert found == as_csv_reads_it(green(*rows).decode(), GREEN)


def test_blank_lines_are_no_rows_and_have_no_number(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.csv.PIECE", 100)
    wrong = ROW.replace("50.5", "x")
    folder.raw.write_bytes(green("", " ", ROW, *[""] * 1_000, ROW + ",,", "", wrong, *[""] * 1_000))
    assert folder.transform(max_reject_ratio=1).rows_written == 2
    assert [reject["row"] for reject in folder.read_rejects()] == [3]


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
    assert peaks[1] < 1.4 * peaks[0]  # all rows would take 1.7 times as much


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
