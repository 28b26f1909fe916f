"""Runs that are killed, stopped or cut off while they hold a month's lock."""

import os
import random
import signal
import time
from collections.abc import Callable

import pytest
from conftest import Database, Luigi, Undisturbed, files_in_work
from paused import Locks, Paused, ending, state_of, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]

#: How many moments are tried, and how long a process is stopped.
KILLS = int(os.environ.get("LUIGI_TASKS_KILLED_HOLDERS", "5"))
STOPPED_SECONDS = float(os.environ.get("LUIGI_TASKS_STOPPED_SECONDS", "1"))
#: Where a process is stopped.
POINTS = ["download", "transformed", "merge"]
if "LUIGI_TASKS_STOPPED_SECONDS" in os.environ:
    POINTS += ["downloaded", "copy", "staging", "merged"]
MONTH = ("--month=2024-01", "--taxi-type=green")
SECOND = "green 2024-01"
#: Seconds within which whoever waits has the lock, on a machine with nothing else to do.
SOON = 5.0


@pytest.fixture
def expected(undisturbed: Undisturbed) -> list[tuple[object, ...]]:
    """The trips of January, as an undisturbed run has merged them."""
    return undisturbed.database.query(
        "SELECT unique_row_id FROM green_trips WHERE filename LIKE '%2024-01%' ORDER BY 1"
    )


def assert_loaded_once(database: Database, expected: list[tuple[object, ...]]) -> None:
    assert database.query("SELECT unique_row_id FROM green_trips ORDER BY 1") == expected
    assert database.ledger("month::text", "rows_removed") == [("2024-01-01", 0)]
    staging = database.query("SELECT 1 FROM pg_class WHERE relname LIKE '%staging%'")
    assert staging == []


#: The steps, and the seconds that one of a small month takes on a machine with nothing else to do.
STEPS = {"TaxiDownload": 0.1, "TaxiTransform": 0.8, "TaxiStageLoad": 0.2, "TaxiMerge": 0.2}


@pytest.mark.parametrize("seed", range(KILLS))
def test_who_waits_goes_on_at_once_when_the_holder_is_killed(
    command: Luigi,
    new_database: Callable[[], str],
    expected: list[tuple[object, ...]],
    seed: int,
) -> None:
    """Step and moment are drawn by a seed. Half of the runs share a storage folder."""
    draw = random.Random(seed)
    step = list(STEPS)[seed % len(STEPS)]
    moment = draw.uniform(0, 1.2 * STEPS[step])
    for _ in range(6):
        database = Database(new_database())
        command.settings["--warehouse-url"] = database.url
        took = killed_in(command, database, step, moment, shared=draw.random() < 0.5)
        if took is not None:
            break
        moment /= 2  # the month was loaded before it came
    print(f"seed {seed}: {step} + {moment:.2f} s: the other one went on in {took:.2f} s")
    assert took is not None
    assert took < SOON
    assert_loaded_once(database, expected)


def killed_in(
    command: Luigi, database: Database, step: str, moment: float, *, shared: bool
) -> float | None:
    """Kill the holder so many seconds after a step has begun, and wait for the other run's end.

    Returns the seconds until that one went on; None if the month was loaded before the moment.
    """
    roots = ["one", "one" if shared else "other"]
    words = [command.command("TaxiMerge", *MONTH, f"--storage-root={root}") for root in roots]
    first = Paused(words[0], "download", command.folder)
    with Locks(database, SECOND) as locks, ending(first):
        first.paused()
        second = Paused(words[1], "nowhere", command.folder)
        with ending(second):
            until(lambda: "waiting for it" in second.output, second)
            first.go()
            until(lambda: database.query("SELECT 1 FROM load_attempts WHERE step = %s", step))
            time.sleep(moment)
            # each step takes the lock for itself, so either of the two may have it
            while not (holders := locks.holders()):
                if database.query("SELECT 1 FROM load_history"):
                    return None
            [holder] = holders
            survivor = second if holder == first.pid else first
            os.kill(holder, signal.SIGKILL)
            killed = time.monotonic()

            def goes_on() -> bool:
                holders = locks.holders()
                assert len(holders) <= 1
                return holders == [survivor.pid] or survivor.popen.poll() is not None

            until(goes_on)
            took = time.monotonic() - killed
            run = survivor.ended()
    assert run.code == 0, run.output
    return took


@pytest.mark.parametrize(
    ("point", "shared"),
    [*((point, True) for point in POINTS), *((point, False) for point in POINTS[1:2] + POINTS[3:])],
)
def test_a_run_that_is_woken_after_it_lost_the_lock_writes_nothing(
    command: Luigi,
    database: Database,
    expected: list[tuple[object, ...]],
    point: str,
    shared: bool,
) -> None:
    """Another run has done the month meanwhile."""
    frozen = Paused(
        command.command("TaxiMerge", *MONTH, "--storage-root=one"), point, command.folder
    )
    with Locks(database, SECOND) as locks, ending(frozen):
        frozen.paused()
        os.kill(frozen.pid, signal.SIGSTOP)
        frozen.go()
        began = time.monotonic()
        locks.end_sessions_of(frozen.pid)
        root = "one" if shared else "two"
        run = command("TaxiMerge", *MONTH, f"--storage-root={root}")
        assert run.code == 0, run.output
        assert_loaded_once(database, expected)
        time.sleep(max(0, STOPPED_SECONDS - (time.monotonic() - began)))
        files, contents = state_of(command.folder / "one"), database.contents()
        os.kill(frozen.pid, signal.SIGCONT)
        run = frozen.ended()
    assert run.code == 0, run.output
    assert "Traceback" not in run.output
    assert database.contents() == contents
    assert_loaded_once(database, expected)
    left = state_of(command.folder / "one")
    assert left.items() <= files.items(), run.output


@pytest.mark.parametrize("point", POINTS[:2] + POINTS[3:5])
def test_a_run_that_is_woken_beside_the_new_holder_leaves_its_files_alone(
    command: Luigi, database: Database, expected: list[tuple[object, ...]], point: str
) -> None:
    """They share a storage folder, and the new one is at work when the old one is woken."""
    words = command.command("TaxiMerge", *MONTH, "--storage-root=one")
    frozen = Paused(words, point, command.folder)
    with Locks(database, SECOND) as locks, ending(frozen):
        frozen.paused()
        os.kill(frozen.pid, signal.SIGSTOP)
        frozen.go()
        locks.end_sessions_of(frozen.pid)
        at = {"downloaded": "download", "transformed": "copy"}.get(point, point)
        holder = Paused(words, at, command.folder)
        with ending(holder):
            holder.paused()
            files, contents = state_of(command.folder / "one"), database.contents()
            os.kill(frozen.pid, signal.SIGCONT)
            until(lambda: "waiting for it" in frozen.output, frozen)
            assert state_of(command.folder / "one") == files
            assert database.contents() == contents
            holder.go()
            runs = [holder.ended(), frozen.ended()]
    for run in runs:
        assert run.code == 0, run.output
        assert "Traceback" not in run.output
    assert_loaded_once(database, expected)
    assert files_in_work(command.folder / "one") == []
