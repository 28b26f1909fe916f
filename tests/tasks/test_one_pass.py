"""A month in one pass, its trips copied while they are transformed: as exact and as safe as by the
chain of tasks."""

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import FORKS, Database, Luigi, Published, Run, Undisturbed, files_in_work, folder_url

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]
KILLED_AT = Path(__file__).parent / "killed_at.py"


def load(command: Luigi, task: str, start: str, stop: str) -> Run:
    of_params = json.dumps({"taxi_type": "green"})
    words = [f"--of={task}", f"--of-params={of_params}", f"--start={start}", f"--stop={stop}"]
    return command("RangeMonthly", *words)


def both_ways(
    command: Luigi, new_database: Callable[[], str], start: str, stop: str
) -> list[tuple[Run, Database, Path]]:
    """Load months by the chain of tasks, and in one pass, each into a database of its own."""
    done = []
    for task in ("TaxiMerge", "TaxiMonth"):
        folder = command.folder / task
        folder.mkdir()
        database = Database(new_database())
        settings = {**command.settings, "--warehouse-url": database.url}
        run = load(replace(command, folder=folder, settings=settings), task, start, stop)
        assert "Traceback" not in run.output, run.output
        done.append((run, database, folder / "data"))
    return done


def assert_alike(chain: tuple[Run, Database, Path], one_pass: tuple[Run, Database, Path]) -> None:
    """Both left the same tables, ledger, attempts and rejects; one pass made no canonical file."""
    assert one_pass[0].code == chain[0].code, one_pass[0].output
    assert one_pass[1].contents() == chain[1].contents()
    facts = "month, quality, new_columns, unknown_columns, bytes, etag"
    attempts = "SELECT month, state, error, cause FROM load_attempts ORDER BY month"
    for question in (f"SELECT {facts} FROM load_history ORDER BY month", attempts):
        assert one_pass[1].query(question) == chain[1].query(question)
    assert rejects(one_pass[2]) == rejects(chain[2])
    assert (chain[2] / "trips").is_dir()
    assert not (one_pass[2] / "trips").exists()
    assert files_in_work(one_pass[2]) == files_in_work(chain[2])


def rejects(storage: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (storage / "rejects").glob("*")}


@pytest.fixture
def dirty(published: Published) -> Published:
    """Green 2024-01 to 2024-08: each another format, with each kind of dirt; the last two can't be
    loaded."""
    dirt = {"strays": 20, "duplicates": 5, "reversals": 4, "twins": 3}

    def table(month: str, rows: int = 400, **columns: Any) -> tuple[Path, pa.Table]:
        file = published.write("green", month, rows=rows, **(dirt if rows else {}))
        table = pq.read_table(file)
        for name, values in columns.items():
            index = table.schema.get_field_index(name)
            if index >= 0:
                table = table.remove_column(index)
            table = table.append_column(name, pa.array(values(table.num_rows)))
        return file, table

    def counts(unreadable: int) -> Callable[[int], list[str]]:
        return lambda rows: ["x"] * unreadable + ["1"] * (rows - unreadable)

    file, trips = table("2024-01", passenger_count=counts(2))
    pq.write_table(trips, file)
    file, trips = table("2024-02", passenger_count=counts(3))
    pa.csv.write_csv(trips, file)
    with file.open("a") as lines:
        lines.write("1,2,3\n")
    file, trips = table("2024-03", passenger_count=counts(1))
    records = json.dumps(trips.to_pylist(), default=str)
    file.write_bytes(gzip.compress(records.encode()))
    new = {"source": lambda rows: ["app"] * rows, "places": range}
    file, trips = table("2024-04", **new)
    pq.write_table(trips, file)
    file, trips = table("2024-05", **new)
    pa.csv.write_csv(trips, file)
    table("2024-06", rows=0)
    file, trips = table("2024-07", passenger_count=counts(300))
    pq.write_table(trips, file)
    pq.write_table(pa.table({"distance": [1.0]}), table("2024-08")[0])
    return published


def test_one_pass_leaves_what_the_chain_leaves(
    luigi_command: Luigi, dirty: Published, new_database: Callable[[], str]
) -> None:
    luigi_command.settings |= {"--source-url": dirty.url, "--quality-least-rows": "0"}
    chain, one_pass = both_ways(luigi_command, new_database, "2024-01", "2024-09")
    assert_alike(chain, one_pass)
    assert len(rejects(one_pass[2])) == 3
    counted = "SELECT count(*), sum(rows_rejected), sum(rows_duplicate) FROM load_history"
    assert one_pass[1].query(counted) == [(6, 7, 25)]
    [(too_many,), (no_trips,)] = one_pass[1].query(
        "SELECT error FROM load_attempts WHERE cause = 'content' ORDER BY month"
    )
    assert "300 of the first" in too_many
    assert "green_tripdata_2024-08.parquet" in no_trips


def test_one_pass_leaves_what_the_chain_leaves_of_real_files(
    luigi_command: Luigi, new_database: Callable[[], str], shared_data: Path
) -> None:
    folder = luigi_command.folder / "real"
    folder.mkdir()
    for name in ("green_tripdata_2020-04.csv.gz", "green_tripdata_2020-05.csv.gz"):
        (folder / name.replace(".csv.gz", ".parquet")).symlink_to(shared_data / "csv" / name)
    luigi_command.settings["--source-url"] = folder_url(folder)
    chain, one_pass = both_ways(luigi_command, new_database, "2020-04", "2020-06")
    assert chain[0].code == 0, chain[0].output
    assert_alike(chain, one_pass)


@pytest.mark.parametrize("flag", ["--cleanup-enabled=false", "--transform-script"])
def test_what_needs_the_canonical_file_gets_it(
    command: Luigi, database: Database, undisturbed: Undisturbed, flag: str
) -> None:
    if flag == "--transform-script":
        script = command.folder / "same.py"
        script.write_text("import os, shutil\nshutil.copy(os.environ['TAXI_FILE'], 'a.parquet')\n")
        flag = f"{flag}={script}"
    run = command("TaxiMonth", "--month=2024-01", "--taxi-type=green", flag)
    assert run.code == 0, run.output
    assert (command.folder / "data" / "trips").is_dir()
    count = "SELECT count(*), sum(total_amount) FROM green_trips WHERE filename LIKE '%2024-01%'"
    assert database.query(count) == undisturbed.database.query(count)


# --- kills ---------------------------------------------------------------------------------------


def load_killed_at(point: str, command: Luigi) -> Run:
    """The three months in one pass each, in a process in which something is killed at a point."""
    flags = [*command.range_flags("green", "2024-01", "2024-04"), "--of=TaxiMonth"]
    words = [str(KILLED_AT), point, *command.command("RangeMonthly", *flags)[1:]]
    return Run(*FORKS.run(words, command.folder, os.environ, 120))


def assert_next_run_completes(command: Luigi, database: Database, undisturbed: Undisturbed) -> None:
    run = load(command, "TaxiMonth", "2024-01", "2024-04")
    assert run.code == 0, run.output
    assert "Traceback" not in run.output, run.output
    assert database.contents() == undisturbed.contents
    assert files_in_work(command.folder / "data") == []


@pytest.mark.parametrize(
    "point",
    [
        "transform_running",
        "middle_of_copy",
        "rejects_not_yet_kept",
        "staging_before_its_commit",
        "staging_committed",
    ],
)
def test_the_next_run_completes_one_pass_that_was_killed_at(
    command: Luigi, database: Database, undisturbed: Undisturbed, point: str
) -> None:
    killed = load_killed_at(point, command)
    assert killed.code == -SIGKILL, killed.output
    staged = database.query("SELECT relname FROM pg_class WHERE relname LIKE '%staging%'")
    assert len(staged) == (2 if point == "staging_committed" else 0)  # the table and its key
    assert_next_run_completes(command, database, undisturbed)


def test_a_transform_that_is_killed_leaves_nothing_staged(
    command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    run = load_killed_at("transform_in_the_middle_of_copy", command)
    assert run.code == 30, run.output
    assert "Traceback" not in run.output
    [told] = [line for line in run.output.splitlines() if "SIGKILL" in line]
    assert "failed    TaxiMonth(month=" in told
    assert database.query("SELECT relname FROM pg_class WHERE relname LIKE '%staging%'") == []
    assert database.value("SELECT count(DISTINCT filename) FROM green_trips") == 2
    assert_next_run_completes(command, database, undisturbed)
