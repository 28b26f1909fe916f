"""A month as one task, on one host: what several workers and several hosts run."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Database, Luigi, Run, Undisturbed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]


def load(command: Luigi, *flags: str) -> Run:
    of_params = json.dumps({"taxi_type": "green"})
    words = ["--of=TaxiMonth", f"--of-params={of_params}", "--start=2024-01", "--stop=2024-04"]
    return command("RangeMonthly", *words, *flags)


def host(command: Luigi, folder: Path) -> Luigi:
    """Another host, which shares nothing with the first one but the warehouse."""
    folder.mkdir()
    return replace(command, folder=folder)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_range_of_months_gives_what_the_chain_of_tasks_gives(
    workers: str, command: Luigi, undisturbed: Undisturbed
) -> None:
    for _ in range(2):
        run = load(command, "--workers", workers)
        assert run.code == 0, run.output
        database = Database(command.settings["--warehouse-url"])
        assert database.contents() == undisturbed.contents
    assert "nothing was to be done" in run.output
    assert [file for file in (command.folder / "data").rglob("*.parquet") if file.is_file()] == []


def test_the_oldest_month_comes_first(command: Luigi) -> None:
    run = load(command, "--workers=1")
    merged = re.findall(r"green (\S+): inserted", run.output)
    assert merged == ["2024-01", "2024-02", "2024-03"], run.output


@pytest.mark.parametrize("task", ["TaxiTransform", "TaxiStageLoad"])
def test_another_host_goes_on_where_the_first_one_was_stopped(
    task: str, command: Luigi, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    assert command(task, "--month=2024-01", "--taxi-type=green").code == 0
    second = host(command, tmp_path / "second")
    run = load(second)
    assert run.code == 0, run.output
    assert ("green 2024-01: fetched" in run.output) == (task == "TaxiTransform")
    assert "green 2024-01: inserted" in run.output
    database = Database(command.settings["--warehouse-url"])
    assert database.contents() == undisturbed.contents
    again = load(command)
    assert again.code == 0, again.output
    assert [file for file in (command.folder / "data").rglob("*.parquet") if file.is_file()] == []
