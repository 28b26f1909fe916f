"""Bad files by whole runs: a month each, published beside months that are merged already."""

import os
import random
import shutil
from pathlib import Path

import pytest
from bad_files import BAD, MOST_REJECTS
from conftest import Database, Luigi, Published, Undisturbed

pytestmark = pytest.mark.slow

#: How many of the files are tried, and which.
COUNT = int(os.environ.get("LUIGI_TASKS_BAD_FILES", "16"))
SEED = int(os.environ.get("LUIGI_TASKS_BAD_FILES_SEED", "1"))
#: The limits of each transform.
LIMITS = ("--runner-memory=1g", "--runner-time-limit=30")
#: Months of a run that is refused all of them: those before the months that are merged already.
MOST_MONTHS = 120
#: Characters of the log's line that names the file.
MOST_CHARACTERS = 1_200


def drawn(*, refused: bool) -> list[str]:
    """Names of files that are refused, or that are loaded."""
    names = [
        name
        for name, bad in BAD.items()
        if (bad.rows is None) is refused and (refused or bad.refused is None)
    ]
    share = COUNT * len(names) // len(BAD) + 1
    return sorted(random.Random(SEED).sample(names, min(len(names), share)))


def publish(folder: Path, names: list[str]) -> dict[str, str]:
    """Publish files from 2013-08 on, one a month; returns their months."""
    months = {}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, name in enumerate(names, 7):
        months[name] = f"{2013 + number // 12}-{number % 12 + 1:02}"
        file = folder / f"green_tripdata_{months[name]}.parquet"
        file.write_bytes(BAD[name].make())
    return months


#: The months of the files, and the lines of the log.
Outcome = tuple[dict[str, str], list[str]]


def run_all(command: Luigi, published: Published, names: list[str]) -> Outcome:
    months = publish(published.folder, names)
    command.settings["--source-url"] = published.url
    end = max(months.values())
    year, month = int(end[:4]), int(end[5:])
    stop = f"{year + month // 12}-{month % 12 + 1:02}"
    flags = (*LIMITS, f"--transform-max-reject-ratio={MOST_REJECTS}")
    run = command.merge_range("green", "2013-08", stop, *flags)
    assert "Traceback" not in run.output, run.output
    return months, run.output.splitlines()


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_a_range_of_bad_files_leaves_the_warehouse_as_it_was(
    command_merged: Luigi, merged: Database, undisturbed: Undisturbed, published: Published
) -> None:
    wrong = {}
    names = drawn(refused=True)
    for at in range(0, len(names), MOST_MONTHS):
        months, lines = run_all(command_merged, published, names[at : at + MOST_MONTHS])
        for name, month in months.items():
            told = [line for line in lines if line.startswith("ERROR") and f"={month}," in line]
            if [f"_{month}.parquet" in line[:MOST_CHARACTERS] for line in told] != [True]:
                wrong[name] = told
    assert wrong == {}
    assert merged.contents() == undisturbed.contents


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_every_row_of_a_bad_file_that_is_loaded_is_counted(
    command: Luigi, database: Database, published: Published
) -> None:
    months, lines = run_all(command, published, drawn(refused=False))
    columns = ("month", "rows_inserted + rows_duplicate + rows_present", "rows_rejected")
    counted = {
        f"{month:%Y-%m}": (rows, rejects) for month, rows, rejects in database.ledger(*columns)
    }
    wrong = {
        name: [counted.get(month), *(line for line in lines if month in line)]
        for name, month in months.items()
        if counted.get(month) != (BAD[name].rows, BAD[name].rejects)
    }
    assert wrong == {}
    held = "SELECT count(*) FROM green_trips"
    assert database.value(held) == database.value("SELECT sum(rows_inserted) FROM load_history")
