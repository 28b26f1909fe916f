"""The log: what a line of the file has, what stays off the terminal, and files that are full."""

import logging
import multiprocessing
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from conftest import Database, Luigi

from luigi_tasks.months import Month
from luigi_tasks.operations import logs

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
RANGE = ("green", "2024-01", "2024-04")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d) (INFO|WARNING) \[(\d+)\] (.+)")


@on_one_server
@pytest.mark.parametrize("workers", [1, 2])
def test_each_line_has_its_time_level_run_and_month(command: Luigi, workers: int) -> None:
    command.environment["TZ"] = "EST5"
    run = command.merge_range(*RANGE, f"--workers={workers}", "--log-file=logs/taxis.log")
    assert run.code == 0, run.output
    written = (command.folder / "logs" / "taxis.log").read_text().splitlines()
    lines = [LINE.fullmatch(line) for line in written]
    assert all(lines), written
    assert {line[1] for line in lines if line} == {"-05:00"}
    assert len({line[3] for line in lines if line}) == 1  # the run's, also of its workers
    texts = [line[4] for line in lines if line]
    assert texts[0].startswith("warehouse: ")
    for month in ("2024-01", "2024-02", "2024-03"):
        assert sum(text.startswith(f"green {month}: ") for text in texts) >= 4
    assert not [text for text in texts if text.count("green 2024-0") > 1]
    printed = [line.partition(": ")[2] for line in run.output.splitlines()]
    assert sorted(printed) == sorted(texts)


@on_one_server
def test_nothing_is_printed_when_nothing_happened(command_merged: Luigi) -> None:
    """The file has what would have been printed."""
    (command_merged.folder / "luigi.cfg").write_text("[log]\nfile = taxis.log\n")
    for number in (1, 2):
        run = command_merged.merge_range(*RANGE, "--log-level=WARNING")
        assert (run.code, run.output) == (0, "")
        written = (command_merged.folder / "taxis.log").read_text()
        assert written.count(" INFO ") >= written.count("warehouse: ") == number


@on_one_server
def test_luigis_own_lines_are_for_debugging(command_merged: Luigi) -> None:
    own = ("Informed scheduler", "Done scheduling", "Luigi Execution Summary", "Running Worker")
    said = {
        level: command_merged.merge_range(*RANGE, f"--log-level={level}").output
        for level in ("INFO", "DEBUG")
    }
    assert [line for line in own if line in said["INFO"]] == []
    assert [line for line in own if f"DEBUG: {line}" not in said["DEBUG"]][:1] in (
        [],
        ["Luigi Execution Summary"],  # which begins with an empty line
    )
    assert "Luigi Execution Summary" in said["DEBUG"]


@on_one_server
def test_a_failure_is_said_with_its_month(command: Luigi, tmp_path: Path) -> None:
    """In each line of it."""
    broken = tmp_path / "green_tripdata_2024-01.parquet"
    broken.write_bytes(b"PAR1 is how it begins")
    command.settings["--source-url"] = f"file://{broken}"
    flags = ["--month=2024-01", "--taxi-type=green", "--log-file=log", "--log-level=DEBUG"]
    run = command("TaxiMerge", *flags)
    assert run.code == 30, run.output
    assert "Traceback" in run.output
    written = (command.folder / "log").read_text()
    of_month = r"(?m)^\S+ ERROR \[\d+\] green 2024-01: "
    assert len(re.findall(of_month, written)) == len(re.findall(r"(?m)^\S+ ERROR ", written)) > 3


@on_one_server
def test_no_password_is_in_the_file(command: Luigi, database: Database) -> None:
    command.settings["--warehouse-url"] = database.url.replace("postgres@", "postgres:hush@")
    command.settings["--source-url"] = command.settings["--source-url"].replace(
        "file://", "http://taxi:hush@127.0.0.1:9/"
    )
    flags = ["--month=2024-01", "--taxi-type=green", "--log-file=log", "--log-level=DEBUG"]
    run = command("TaxiMerge", *flags, "--source-retries=0")
    written = (command.folder / "log").read_text()
    assert "127.0.0.1:9" in written
    assert "hush" not in written + run.output


@on_one_server
@pytest.mark.parametrize("file", ["a file/taxis.log", "/dev/full"])
def test_a_file_that_cannot_be_written_is_one_line(command: Luigi, file: str) -> None:
    """And all months are merged."""
    (command.folder / "a file").touch()
    run = command.merge_range(*RANGE, f"--log-file={file}")
    assert run.code == 0, run.output
    told = [line for line in run.output.splitlines() if "log file" in line]
    assert len(told) == 1, run.output
    assert told[0].startswith("WARNING: the run goes on without log file ")
    assert "Traceback" not in run.output
    assert "Logging error" not in run.output


@on_one_server
@pytest.mark.parametrize("file", [".", "logs/", "~nobody-of-this-name/log"])
def test_a_file_that_is_none_is_refused(command: Luigi, file: str) -> None:
    run = command.merge_range(*RANGE, f"--log-file={file}")
    assert run.code == 40, run.output
    assert "ERROR: [log] file: " in run.output
    assert run.output.count("\n") == 1


def test_lines_of_others_at_luigis_logger_stay_as_they_are() -> None:
    """A task of yours may log there."""
    name, here = "luigi-interface", __file__
    record = logging.LogRecord(name, logging.INFO, here, 1, "of a task", (), None)
    assert logs._of_luigi(record)
    assert record.levelname == "INFO"


# --- rolling over -------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST", 1_000)


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[logging.Handler]:
    made = logs._LogFile(tmp_path / "log")
    made.addFilter(logs._add_month)
    made.setFormatter(logs._Lines("%(message)s"))
    yield made
    made.close()


def written_by(handler: logging.Handler, text: str) -> None:
    record = logging.LogRecord("luigi-interface.x", logging.INFO, "", 1, text, (), None)
    handler.handle(record)


@pytest.mark.usefixtures("small")
def test_a_full_file_is_put_aside_when_a_run_begins(
    tmp_path: Path, handler: logging.Handler
) -> None:
    """A run that is under way goes on in the new one."""
    file = tmp_path / "log"
    written_by(handler, "first " + 1_000 * "x")
    for _ in range(2):
        written_by(handler, "still of the same run")
    logs.roll_over(file)
    written_by(handler, "after")
    assert file.read_text().count("\n") == 1
    assert (tmp_path / "log.1").read_text().count("\n") == 3
    logs.roll_over(file)
    assert not (tmp_path / "log.2").exists()


@pytest.mark.usefixtures("small")
def test_so_many_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "log"
    for number in range(logs.KEPT + 3):
        file.write_text(f"{number}\n" + 1_000 * "x")
        logs.roll_over(file)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["log", *(f"log.{number + 1}" for number in range(logs.KEPT))] or (
        found == [f"log.{number + 1}" for number in range(logs.KEPT)]
    )
    assert (tmp_path / "log.1").read_text().startswith(f"{logs.KEPT + 2}\n")


def _begin_and_write(file: Path, number: int) -> None:
    for round_ in range(20):
        logs.roll_over(file)
        made = logs._LogFile(file)
        made.setFormatter(logs._Lines("%(message)s"))
        for line in range(10):
            written_by(made, f"of {number} {round_} {line}")
        made.close()


def test_runs_that_begin_at_once_lose_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LARGEST", 2_000)
    monkeypatch.setattr(logs, "KEPT", 1_000)
    forks = multiprocessing.get_context("fork")
    running = [
        forks.Process(target=_begin_and_write, args=(tmp_path / "log", number))
        for number in range(4)
    ]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert [each.exitcode for each in running] == [0, 0, 0, 0]
    files = list(tmp_path.iterdir())
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert len(files) > 5
    assert len(set(re.findall(r"of \d \d+ \d", "\n".join(lines)))) == len(lines) == 4 * 20 * 10


def test_a_month_is_named_once(tmp_path: Path, handler: logging.Handler) -> None:
    with logs.month_context(Month("green", date(2024, 1, 1))):
        written_by(handler, "green 2024-01: staged 3 rows")
        written_by(handler, "the source broke off\nand again")
    written_by(handler, "done")
    texts = [line.split("] ")[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert texts == [
        "green 2024-01: staged 3 rows",
        "green 2024-01: the source broke off",
        "green 2024-01: and again",
        "done",
    ]
