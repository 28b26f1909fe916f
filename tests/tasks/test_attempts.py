"""Runs and attempts as they are recorded, by the real command line."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from conftest import Database, Luigi, Published
from mirror import Mirror, Status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]

TEMPLATE = "{{ taxi_type }}_tripdata_{{ month }}.parquet"
MERGE = ("--month", "2024-01", "--taxi-type", "green")
ATTEMPTS = "SELECT state, step, cause, error FROM load_attempts ORDER BY attempt_id"


@pytest.fixture
def mirror(luigi_command: Luigi, published: Published) -> Iterator[Mirror]:
    """Publishes green 2024-01 for the command."""
    published.write("green", "2024-01", rows=50)
    with Mirror(published.folder) as running:
        luigi_command.settings["--source-url"] = running.url(TEMPLATE)
        yield running


def start(command: Luigi, mirror: Mirror) -> "subprocess.Popen[str]":
    """Start a run that downloads until the mirror is released, and wait until that has begun."""
    mirror.released.clear()
    process = command.start("TaxiMerge", *MERGE)
    deadline = time.monotonic() + 60
    while not mirror.asked("GET"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def runs(database: Database) -> list[tuple[object, ...]]:
    return database.query("SELECT command, state, exit_code, error FROM runs ORDER BY run_id")


def test_a_run_and_its_attempts_are_recorded(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    luigi_command.settings["--source-url"] = published.url
    published.write("green", "2024-01", rows=50)
    run = luigi_command("TaxiMerge", *MERGE, "--run-label", "by hand")
    assert run.code == 0, run.output
    assert "green: 1 month loaded, 50 rows; " in run.output
    assert runs(database) == [("TaxiMerge month=2024-01 taxi_type=green", "succeeded", 0, None)]
    assert database.query(ATTEMPTS) == [("succeeded", "TaxiMerge", None, None)]
    facts = "label, pid > 1, host <> '', started_by <> '', ended_at >= began_at"
    assert database.query(f"SELECT {facts} FROM runs") == [("by hand", True, True, True, True)]

    assert luigi_command("TaxiMerge", *MERGE).code == 0
    assert [state for _, state, *_ in runs(database)] == ["succeeded"] * 2
    assert len(database.query(ATTEMPTS)) == 1


def test_a_bad_file_is_fetched_once_until_there_is_another(
    luigi_command: Luigi, database: Database, mirror: Mirror
) -> None:
    file = mirror.folder / "green_tripdata_2024-01.parquet"
    file.rename(file.with_name("good"))
    file.write_bytes(b"PAR1" + bytes(1000) + b"PAR1")
    assert luigi_command("TaxiMerge", *MERGE).code == 30
    fetched = len(mirror.asked("GET"))
    assert luigi_command("TaxiMerge", *MERGE).code == 30
    assert len(mirror.asked("GET")) == fetched
    states = database.query(ATTEMPTS)
    assert {(state, cause) for state, _, cause, _ in states} == {("failed", "content")}
    assert len({error for *_, error in states}) == 1  # what it failed by at first

    file.write_bytes(file.with_name("good").read_bytes())
    run = luigi_command("TaxiMerge", *MERGE)
    assert run.code == 0, run.output


def test_a_passing_fault_is_tried_again(
    luigi_command: Luigi, database: Database, mirror: Mirror
) -> None:
    luigi_command.settings["--source-retries"] = "0"
    mirror.faults.append(Status(503))
    assert luigi_command("TaxiMerge", *MERGE).code == 30
    assert luigi_command("TaxiMerge", *MERGE).code == 0
    states = [(state, cause) for state, _, cause, _ in database.query(ATTEMPTS)]
    assert states == [("failed", "passing"), ("succeeded", None)]


def test_a_killed_run_is_found_to_have_died_by_the_next(
    luigi_command: Luigi, database: Database, mirror: Mirror
) -> None:
    process = start(luigi_command, mirror)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    mirror.released.set()
    assert [state for _, state, *_ in runs(database)] == ["running"]
    assert luigi_command("TaxiMerge", *MERGE).code == 0
    assert [state for _, state, *_ in runs(database)] == ["cancelled", "succeeded"]
    assert [state for state, *_ in database.query(ATTEMPTS)] == ["cancelled", "succeeded"]


@pytest.mark.parametrize(("behavior", "code"), [("cancel", 25), ("fail", 30)])
def test_a_second_run_gives_way_or_fails(
    luigi_command: Luigi,
    database: Database,
    mirror: Mirror,
    behavior: str,
    code: int,
) -> None:
    first = start(luigi_command, mirror)
    second = luigi_command("TaxiMerge", *MERGE, "--concurrency-behavior", behavior)
    assert second.code == code, second.output
    assert "another run is at work on it" in second.output
    assert f"luigi_tasks {first.pid} on" in second.output
    mirror.released.set()
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert [each for _, each, *_ in runs(database)] == [
        "succeeded",
        f"{behavior}led" if behavior == "cancel" else "failed",
    ]


def test_a_second_run_that_queues_says_for_whom(
    luigi_command: Luigi, database: Database, mirror: Mirror
) -> None:
    first = start(luigi_command, mirror)
    second = luigi_command.start("TaxiMerge", *MERGE)
    waiting = "SELECT waiting_for FROM runs WHERE state = 'waiting'"
    deadline = time.monotonic() + 60
    while not (found := database.query(waiting)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    [(message,)] = found
    assert "another run is at work on green 2024-01" in message
    assert f"luigi_tasks {first.pid} on" in message
    mirror.released.set()
    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert [each for _, each, *_ in runs(database)] == ["succeeded"] * 2
    assert sorted(state for state, *_ in database.query(ATTEMPTS)) == ["cancelled", "succeeded"]


def test_a_wait_for_another_run_ends(
    luigi_command: Luigi, database: Database, mirror: Mirror
) -> None:
    first = start(luigi_command, mirror)
    second = luigi_command("TaxiMerge", *MERGE, "--concurrency-queue-timeout", "0.02")
    assert second.code == 30
    assert "gave up after 0.02 minutes, [concurrency] queue_timeout" in second.output
    mirror.released.set()
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
