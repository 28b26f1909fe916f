"""How ``luigi-tasks run`` ends where it's stopped or has no room: soon, heard once, cleaned up."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import (
    FORKS,
    Database,
    Luigi,
    Published,
    Run,
    Server,
    embedded_database,
    files_in_work,
)
from disks import remount
from paused import Paused, embedded_servers, ending

pytestmark = pytest.mark.slow

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
PROGRAM = str(Path(sys.executable).with_name("luigi-tasks"))
#: Seconds that a stop may take on a machine with much else to do.
SOON = 15
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
POINTS = ["asking", "copy", "merged", "reporting"]
if "LUIGI_TASKS_ALL_STOPS" in os.environ:
    POINTS = ["asking", "download", "downloaded", "transformed", "copy", "staging", "merge"]
    POINTS += ["merged", "reporting"]


def test_a_run_is_stopped_in_each_step(
    three_months: Published, embedded_root: Path, tmp_path: Path
) -> None:
    """Within seconds, as cancelled; the embedded server goes as well, and the next run goes on."""
    words = [PROGRAM, "run", "--storage-root", str(embedded_root), "--source-url"]
    words += [three_months.url, "--schedule-taxi-types=green", "--schedule-first-month=2024-01"]
    expected = []
    for number, signal_number in [(n, s) for n in range(len(POINTS)) for s in CODES]:
        point = POINTS[number]
        run = Paused(words, point, tmp_path)
        with ending(run):
            run.paused()
            began = time.monotonic()
            os.kill(run.pid, signal_number)
            ended = run.ended()
            took = time.monotonic() - began
        _, alive = psutil.wait_procs(embedded_servers(embedded_root), timeout=SOON)
        gone = time.monotonic() - began
        name = signal.Signals(signal_number).name
        print(f"{name} in {point}: ended after {took:.2f} s, the server gone after {gone:.2f} s")
        assert ended.code == CODES[signal_number], ended.output
        assert alive == []
        assert took < SOON
        assert "Traceback" not in ended.output, ended.output
        expected.append(("cancelled", CODES[signal_number]))
    run = Paused(words, "nowhere", tmp_path)
    assert run.ended().code == 20, run.output  # the later months are overdue
    with embedded_database(embedded_root) as database:
        rows = [three_months.counts[f"green_tripdata_2024-0{n}.parquet"].rows for n in (1, 2, 3)]
        assert database.ledger("rows_read") == [(each,) for each in rows]
        found = database.query("SELECT state, exit_code FROM runs ORDER BY run_id")
        assert found == [*expected, ("succeeded", 20)]
        unfinished = "SELECT 1 FROM load_attempts WHERE state IN ('running', 'waiting')"
        assert database.query(unfinished) == []
    assert files_in_work(embedded_root) == []


@pytest.fixture
def luigi(luigi_command: Luigi, published: Published) -> Luigi:
    """The command with alarms that come into a file."""
    script = luigi_command.folder / "alarm"
    script.write_text(f"#!/bin/sh\nhead -1 >> {luigi_command.folder / 'heard'}\n")
    script.chmod(0o755)
    luigi_command.settings |= {
        "--source-url": published.url,
        "--schedule-taxi-types": "green",
        "--schedule-first-month": "2024-01",
        "--alarms-command": str(script),
        "--alarms-overdue-days": "36500",
    }
    return luigi_command


def run_due(luigi: Luigi) -> Run:
    words = [PROGRAM, "run", *(word for pair in luigi.settings.items() for word in pair)]
    return Run(*FORKS.run(words, luigi.folder, os.environ, 300))


def titles(luigi: Luigi) -> list[str]:
    """Of the messages that somebody heard."""
    return (luigi.folder / "heard").read_text().splitlines()


@on_one_server
def test_a_full_disk_is_heard_of_once_and_ends_the_run(
    luigi: Luigi, published: Published, tiny_disk: Path
) -> None:
    luigi.settings["--storage-root"] = str(tiny_disk)
    published.write("green", "2024-01", rows=50)
    assert run_due(luigi).code == 0
    for month in ("2024-02", "2024-03"):
        published.write("green", month, rows=60_000)
    for _ in range(2):
        run = run_due(luigi)
        assert run.code == 30, run.output
        assert run.output.count("No space left on device") == 1, run.output
        assert "2024-03" not in run.output, run.output
    [title] = titles(luigi)
    assert title.startswith("runs on ")
    assert title.endswith(" fail")
    assert list(tiny_disk.glob("work/*")) == []
    remount(tiny_disk, "size=100m")
    run = run_due(luigi)
    assert run.code == 0, run.output
    assert len(titles(luigi)) == 2
    assert titles(luigi)[1].endswith(" work again")


@on_one_server
def test_a_full_disk_of_the_server_is_heard_of_once_and_ends_the_run(
    luigi: Luigi, database: Database, published: Published, tiny_disk: Path, server: Server
) -> None:
    published.write("green", "2024-01", rows=50)
    assert run_due(luigi).code == 0
    for month in ("2024-02", "2024-03"):
        published.write("green", month, rows=10_000)
    cluster = Path(database.value("SELECT current_setting('data_directory')"))
    name = database.value("SELECT current_database()")
    os.chown(tiny_disk, cluster.stat().st_uid, -1)
    server.execute(f"CREATE TABLESPACE tiny_for_runs LOCATION '{tiny_disk}'")
    try:
        server.execute(f"ALTER DATABASE {name} SET default_tablespace = tiny_for_runs")
        for _ in range(2):
            run = run_due(luigi)
            assert run.code == 30, run.output
            assert run.output.count("No space left on device") == 1, run.output
            assert "2024-03" not in run.output, run.output
        [title] = titles(luigi)
        assert title.startswith("runs on ")
        assert database.query("SELECT 1 FROM pg_class WHERE relname LIKE '%staging%'") == []
        remount(tiny_disk, "size=100m")
        assert run_due(luigi).code == 0
        assert len(titles(luigi)) == 2
        assert database.value("SELECT count(*) FROM load_history") == 3
    finally:
        database.query("DROP TABLE IF EXISTS green_trips CASCADE")
        server.execute("DROP TABLESPACE tiny_for_runs")
