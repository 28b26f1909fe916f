"""The command line of the transform."""

import io
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from raw_files import (
    Folder,
    command,
    fixture_folder,  # noqa: F401
)

from luigi_tasks import sample
from luigi_tasks.formats import BrokenStreamError, read_trips


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_command_reports_what_it_did(folder: Folder) -> None:
    folder.write(passenger_count=["x"] + ["1"] * 199, request_source=["app"] * 200)
    for _ in range(2):
        done = run(*command(folder.raw, folder.raw.parent))
        assert (done.returncode, done.stderr) == (0, "")
        [line] = done.stdout.splitlines()
        assert json.loads(line.removeprefix("::").removesuffix("::")) == {
            "outputs": {
                "rows_read": 200,
                "rows_written": 199,
                "rows_rejected": 1,
                "unknown_columns": [],
                "quality": {
                    "null_passenger_count": 0,
                    "negative_total": 0,
                    "zero_distance": 0,
                    "dropoff_before_pickup": 0,
                    "unknown_zone": 0,
                },
                "new_columns": {"request_source": "text"},
            }
        }


def test_an_error_of_the_system_is_not_taken_for_one_of_the_file(folder: Folder) -> None:
    """Or the month wouldn't be tried again until another edition of it is published."""
    folder.raw.mkdir()
    done = run(*command(folder.raw, folder.raw.parent))
    assert done.returncode == os.EX_IOERR
    assert done.stderr == (
        f"{folder.raw.name} can't be transformed: [Errno 21] Is a directory: '{folder.raw}'\n"
    )
    folder.raw.rmdir()
    folder.raw.write_bytes(b"PAR1 and so on, but no footer")
    assert run(*command(folder.raw, folder.raw.parent)).returncode == 1


def test_the_command_writes_a_stream_to_its_standard_output(folder: Folder) -> None:
    """What its reader has to know first is in the schema, and its report on standard error."""
    folder.write(passenger_count=["x"] + ["1"] * 199, lane=range(200))
    assert run(*command(folder.raw, folder.raw.parent)).returncode == 0
    words = [*command(folder.raw, folder.raw.parent), "--trips=-"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 0
    [line] = done.stderr.decode().splitlines()
    assert '"rows_written": 199' in line
    trips = read_trips(io.BytesIO(done.stdout), "it", lambda: None)
    assert (trips.rows, trips.new_columns) == (200, {"lane": "bigint"})
    batches = list(trips.batches(100))
    assert [batch.num_rows for batch in batches] == [100, 99]
    assert pa.Table.from_batches(batches).equals(pq.read_table(folder.trips))


def test_a_stream_that_ends_early_is_broken(folder: Folder) -> None:
    folder.write(passenger_count=["1"] * 200)
    words = [*command(folder.raw, folder.raw.parent), "--trips=-"]
    sent = subprocess.run(words, capture_output=True, check=True).stdout
    for end in (0, 100, len(sent) // 2):
        with pytest.raises(BrokenStreamError, match="what it sent can't be read"):
            list(read_trips(io.BytesIO(sent[:end]), "it", lambda: None).batches(100))


def test_the_command_fails_with_one_line(folder: Folder) -> None:
    folder.write(passenger_count=["x"] + ["1"] * 199)
    done = run(*command(folder.raw, folder.raw.parent, "green", "--max-reject-ratio=0"))
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert "1 of the first 200 rows" in line


@pytest.mark.parametrize("flag", ["--taxi-type=blue", "--max-reject-ratio=some", "--unknown"])
def test_a_wrong_flag_is_exit_code_2(folder: Folder, flag: str) -> None:
    done = run(*command(folder.raw, folder.raw.parent, "green", flag))
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: python -m luigi_tasks.transform" in done.stderr


def test_the_help_names_each_flag() -> None:
    done = run(sys.executable, "-m", "luigi_tasks.transform", "--help")
    assert done.returncode == 0
    for flag in (
        "--taxi-type {yellow,green,fhv,fhvhv}",
        "--trips",
        "--rejects",
        "--max-reject-ratio",
    ):
        assert flag in done.stdout


def test_a_transform_imports_no_luigi_numpy_or_pandas(tmp_path: Path) -> None:
    """Its imports would take longer than a small month does."""
    raw = tmp_path / "raw.parquet"
    sample.write_month(raw, "green", date(2020, 3, 1), rows=100)
    code = (
        "import sys; from luigi_tasks.transform.__main__ import main; main(sys.argv[1:]); "
        "imported = {name for name, module in sys.modules.items() if module}; "
        "print(*{'luigi', 'numpy', 'pandas', 'psycopg2'} & imported)"
    )
    flags = ["--taxi-type=green", f"--trips={tmp_path / 't'}", f"--rejects={tmp_path / 'r'}"]
    command = [sys.executable, "-c", code, raw, *flags]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[1:] == [""]
