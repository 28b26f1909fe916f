"""A run that is killed, wherever it is, leaves nothing that the next one can't mend."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import (
    FORKS,
    Database,
    Luigi,
    Published,
    Run,
    Server,
    Undisturbed,
    embedded_database,
    files_in_work,
    lasting_database,
)
from mirror import Mirror

pytestmark = [pytest.mark.slow, pytest.mark.empty_database]

KILLED_AT = Path(__file__).parent / "killed_at.py"

#: Where it makes files, and where it writes tables.
WITH_FILES = [
    "half_a_download",
    "download_not_yet_verified",
    "download_without_its_record",
    "record_without_its_download",
    "download_with_its_name",
    "transform_running",
    "transform_done",
    "load_without_its_trips",
    "transform_kept",
]
IN_TRANSACTIONS = [
    "middle_of_copy",
    "staging_before_its_commit",
    "middle_of_merge",
    "merge_before_its_commit",
]
AFTER_TRANSACTIONS = [
    "staging_committed",
    "merge_committed",
    "raw_file_removed",
    "middle_of_clean_up",
    "clean_up_done",
    "all_but_the_range",
]
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


@pytest.fixture(scope="module")
def begun(
    server: Server, three_months: Published, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A database, named begun, in which the second of the three months is missing."""
    with lasting_database(server, "begun") as database:
        settings = {"--warehouse-url": database.url, "--source-url": three_months.url}
        luigi = Luigi(tmp_path_factory.mktemp("begun"), settings)
        for month in ("2024-01", "2024-03"):
            run = luigi("TaxiMerge", f"--month={month}", "--taxi-type=green")
            assert run.code == 0, run.output
        yield


@pytest.fixture
def database(server: Server, begun: None) -> Iterator[Database]:
    """A database in which the second of the three months is missing."""
    with lasting_database(server, "to_be_killed", "begun") as database:
        yield database


def run_killed_at(point: str, command: Luigi, of: str = "TaxiMerge") -> Run:
    """A range, in a process that is killed, or has something killed, at a point."""
    flags = [*command.range_flags("green", "2024-01", "2024-04"), f"--of={of}"]
    words = [str(KILLED_AT), point, *command.command("RangeMonthly", *flags)[1:]]
    return Run(*FORKS.run(words, command.folder, os.environ, 120))


def assert_next_run_completes(command: Luigi, database: Database, undisturbed: Undisturbed) -> Run:
    """The database is then as if nothing had happened, the ledger too, and so is the disk."""
    run = command.merge_range("green", "2024-01", "2024-04")
    assert run.code == 0, run.output
    assert "Traceback" not in run.output, run.output
    assert database.contents() == undisturbed.contents
    assert files_in_work(command.folder / "data") == []
    return run


@on_one_server
@pytest.mark.parametrize("point", WITH_FILES)
def test_the_next_run_completes_a_file_that_was_killed_at(
    command: Luigi, database: Database, undisturbed: Undisturbed, point: str
) -> None:
    killed = run_killed_at(point, command)
    assert killed.code == -SIGKILL, killed.output
    assert "2024-02: staged" not in killed.output
    assert_next_run_completes(command, database, undisturbed)


# (a mark that names servers and points would start a server for each of them)
@pytest.mark.parametrize("point", IN_TRANSACTIONS)
def test_the_next_run_completes_a_table_that_was_killed_at(
    command: Luigi, database: Database, undisturbed: Undisturbed, point: str
) -> None:
    killed = run_killed_at(point, command)
    assert killed.code == -SIGKILL, killed.output
    assert "2024-02: read" in killed.output
    assert_next_run_completes(command, database, undisturbed)


@on_one_server
@pytest.mark.parametrize("point", AFTER_TRANSACTIONS)
def test_the_next_run_completes_a_table_that_was_killed_after(
    command: Luigi, database: Database, undisturbed: Undisturbed, point: str
) -> None:
    killed = run_killed_at(point, command)
    assert killed.code == -SIGKILL, killed.output
    assert "2024-02: read" in killed.output
    assert_next_run_completes(command, database, undisturbed)


@on_one_server
@pytest.mark.parametrize("point", ["half_a_download", "download_without_its_record"])
def test_a_download_goes_on_where_it_was_killed(
    command: Luigi,
    database: Database,
    three_months: Published,
    undisturbed: Undisturbed,
    point: str,
) -> None:
    size = (three_months.folder / "green_tripdata_2024-02.parquet").stat().st_size
    with Mirror(three_months.folder) as mirror:
        command.settings["--source-url"] = mirror.url(
            "{{ taxi_type }}_tripdata_{{ month }}.parquet"
        )
        killed = run_killed_at(point, command)
        assert killed.code == -SIGKILL, killed.output
        mirror.requests.clear()
        assert_next_run_completes(command, database, undisturbed)
        [resumed] = mirror.asked("GET")
    start = size // 2 if point == "half_a_download" else size - 1
    assert resumed.headers["Range"] == f"bytes={start}-"
    assert resumed.path.endswith("2024-02.parquet")


def test_killing_a_run_again_and_again_loses_nothing(
    command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    for point in ("half_a_download", "transform_kept", "middle_of_copy", "middle_of_merge"):
        killed = run_killed_at(point, command)
        assert killed.code == -SIGKILL, killed.output
    assert_next_run_completes(command, database, undisturbed)


@pytest.fixture(scope="module")
def corrected(
    three_months: Published, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Published, list[int]]:
    """The three months after a correction of the second one: a third of its rows is gone, and some
    are new. How many are gone, kept and new."""
    published = Published(tmp_path_factory.mktemp("corrected"))
    shutil.copytree(three_months.folder, published.folder, dirs_exist_ok=True)
    file = published.folder / "green_tripdata_2024-02.parquet"
    before = pq.read_table(file)
    new = pq.read_table(published.write("green", "2024-02", rows=40, seed=9, strays=0))
    after = pa.concat_tables([before.slice(before.num_rows // 3), new])
    pq.write_table(after, file)
    old, now = ({*map(str, table.to_pylist())} for table in (before, after))  # duplicates are one
    return published, [len(old - now), len(old & now), len(now - old)]


@on_one_server
@pytest.mark.parametrize(
    "point",
    [
        "half_a_download",
        "download_with_its_name",
        "transform_kept",
        "middle_of_copy",
        "staging_committed",
        "raw_file_removed",
        "middle_of_refresh",
        "merge_before_its_commit",
        "merge_committed",
        "middle_of_clean_up",
    ],
)
def test_the_next_refresh_completes_one_that_was_killed_at(
    command_merged: Luigi,
    merged: Database,
    undisturbed: Undisturbed,
    corrected: tuple[Published, list[int]],
    point: str,
) -> None:
    """Until the new edition is merged, the old one is there as it was."""
    published, counts = corrected
    command_merged.settings["--source-url"] = published.url
    killed = run_killed_at(point, command_merged, of="TaxiRefresh")
    assert killed.code == -SIGKILL, killed.output
    if point not in ("merge_committed", "middle_of_clean_up"):
        assert merged.query("SELECT unique_row_id FROM green_trips ORDER BY 1") == (
            undisturbed.database.query("SELECT unique_row_id FROM green_trips ORDER BY 1")
        )
    contents = []
    for _ in range(2):
        words = [*command_merged.range_flags("green", "2024-01", "2024-04"), "--of=TaxiRefresh"]
        run = command_merged("RangeMonthly", *words)
        assert run.code == 0, run.output
        assert "Traceback" not in run.output, run.output
        contents.append(merged.contents())
        [last] = merged.query(
            "SELECT rows_removed, rows_present, rows_inserted FROM load_history "
            "ORDER BY load_id DESC LIMIT 1"
        )
        assert list(last) == counts
        assert files_in_work(command_merged.folder / "data") == []
    assert contents[0] == contents[1]
    assert contents[0]["relations"] == undisturbed.contents["relations"]
    assert len(contents[0]["ledger"]) == len(undisturbed.contents["ledger"]) + 1


@on_one_server
def test_a_transform_that_is_killed_fails_its_run_and_no_other(
    command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    run = run_killed_at("child_of_the_transform", command)
    assert run.code == 30, run.output
    assert "Traceback" not in run.output
    told = [line for line in run.output.splitlines() if "SIGKILL" in line]
    assert len(told) == 1, run.output
    assert "failed    TaxiTransform(month=2024-02" in told[0]
    assert database.value("SELECT count(DISTINCT filename) FROM green_trips") == 2
    run = command.merge_range("green", "2024-01", "2024-04")
    assert run.code == 0, run.output
    assert database.contents() == undisturbed.contents
    assert files_in_work(command.folder / "data") == []


@on_one_server
def test_a_warehouse_that_is_killed_is_started_again_and_fails_no_run(
    command: Luigi, undisturbed: Undisturbed, embedded_root: Path
) -> None:
    command.settings |= {"--warehouse-url": "embedded", "--storage-root": str(embedded_root)}
    run = run_killed_at("server_in_the_middle_of_copy", command)
    assert run.code == 0, run.output
    assert "Traceback" not in run.output, run.output
    assert "trying again in 1 s" in run.output
    with embedded_database(embedded_root) as database:
        assert database.contents() == undisturbed.contents
    run = command.merge_range("green", "2024-01", "2024-04")
    assert run.code == 0, run.output
    with embedded_database(embedded_root) as database:
        assert database.contents() == undisturbed.contents
    assert files_in_work(embedded_root) == []
