"""What stops a run stops it: in one line, by its exit code, and with nothing left at work."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from conftest import Database, Luigi, Published, Run, Undisturbed, files_in_work
from mirror import Mirror, Stall, Status
from months import Months, trips
from paused import embedded_servers

from luigi_tasks import chunks
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse import encoding

pytestmark = [pytest.mark.slow, pytest.mark.empty_database]

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


# --- what psycopg2 makes of an error -------------------------------------------------------------


@on_one_server
@pytest.mark.parametrize(
    ("error", "where"),
    [
        (KeyboardInterrupt(), "encoding"),
        (KeyboardInterrupt(), "reading"),
        (SystemExit(7), "encoding"),
        (ZeroDivisionError("a bug"), "encoding"),
        (TaxiError("a mistake"), "encoding"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_breaks_off_a_copy_comes_up_as_it_is(
    months: Months, monkeypatch: pytest.MonkeyPatch, error: BaseException, where: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    def encoded(*_: Any, **__: Any) -> Iterator[bytes]:
        yield b"PGCOPY\n"
        raise error

    with monkeypatch.context() as patched:
        if where == "encoding":
            patched.setattr(encoding, "encoded", encoded)
        else:
            patched.setattr(chunks, "bytes", fail, raising=False)
        with pytest.raises(type(error)) as raised:
            months.stage(trips(3))
    assert raised.value is error
    assert (
        months.database.query("SELECT relname FROM pg_class WHERE relname LIKE '%staging%'") == []
    )
    assert months.load(trips(3)).rows_inserted == 3


# --- signals ------------------------------------------------------------------------------------

STOPPED_AT = Path(__file__).parent / "stopped_at.py"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
#: Seconds that it may take on a machine with much else to do; what it waits for takes ten minutes.
SOON = 10


class Started:
    """A range of the main job, with a process group of its own as a shell makes one."""

    def __init__(self, command: Luigi, point: str = "", *flags: str, of: str = "TaxiMerge") -> None:
        words = [*command.range_flags("green", "2024-01", "2024-04"), f"--of={of}", *flags]
        words = command.command("RangeMonthly", *words)
        if point:
            words = [sys.executable, str(STOPPED_AT), point, *words[1:]]
        self.output = command.folder / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                words,
                cwd=command.folder,
                env={**os.environ, **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def until(self, condition: Callable[[], Any]) -> "Started":
        """Wait until it has come to where it is to be stopped."""
        deadline = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)
        return self

    def says(self, words: str) -> "Started":
        return self.until(lambda: words in self.output.read_text())

    def stop(self, number: int = signal.SIGINT, *, group: bool = True) -> Run:
        """Send a signal as the terminal does, to the group, or to the process alone."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        try:
            if group:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
            self.process.wait(SOON)
        finally:
            self.process.kill()
        _, alive = psutil.wait_procs(processes, timeout=5)
        assert alive == []
        return Run(self.process.returncode, self.output.read_text())


def assert_stopped(run: Run, number: int = signal.SIGINT) -> None:
    """It ended with the signal's code and one line."""
    assert run.code == CODES[number], run.output  # type: ignore[index]
    assert "Traceback" not in run.output, run.output
    assert "ERROR" not in run.output, run.output
    told = [line for line in run.output.splitlines() if "stopped by" in line]
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    assert told == [f"WARNING: stopped by {name}; the same command continues from there"]


def sleeps(database: Database) -> bool:
    """Whether the server sleeps in one of our statements."""
    return bool(sessions(database, "query LIKE '%pg_sleep(600)%'"))


def sessions(database: Database, condition: str = "TRUE") -> list[tuple[Any, ...]]:
    return database.query(
        "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() "
        f"AND pid <> pg_backend_pid() AND application_name LIKE 'luigi_tasks%' AND {condition}"
    )


def assert_no_sessions(database: Database) -> None:
    """The server works on nothing of ours any more."""
    deadline = time.monotonic() + SOON
    while left := sessions(database):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.fixture
def mirror(three_months: Published, command: Luigi) -> Iterator[Mirror]:
    with Mirror(three_months.folder) as mirror:
        url = mirror.url("{{ taxi_type }}_tripdata_{{ month }}.parquet")
        command.settings["--source-url"] = url
        yield mirror


@on_one_server
@pytest.mark.parametrize(
    ("point", "number", "group"),
    [
        ("ledger/merged_months.sql", signal.SIGINT, True),
        ("migrations/001_ledger.sql", signal.SIGTERM, False),
        ("staging/add_key.sql", signal.SIGHUP, True),
        ("merge/make_partition.sql", signal.SIGINT, False),
    ],
    ids=str,
)
def test_what_the_server_works_on_is_stopped(
    command: Luigi, database: Database, point: str, number: int, group: bool
) -> None:
    run = Started(command, point).until(lambda: sleeps(database)).stop(number, group=group)
    assert_stopped(run, number)
    assert_no_sessions(database)
    tables = database.query("SELECT relname FROM pg_class WHERE relname LIKE 'green_trips_2%'")
    assert tables == []


@on_one_server
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_copy_is_stopped(
    command: Luigi, database: Database, undisturbed: Undisturbed, number: int
) -> None:
    run = Started(command, "copy").says("copying").stop(number, group=False)
    assert_stopped(run, number)
    assert_no_sessions(database)
    assert database.query("SELECT relname FROM pg_class WHERE relname LIKE '%staging%'") == []
    if number == signal.SIGINT:
        run = command.merge_range("green", "2024-01", "2024-04")
        assert run.code == 0, run.output
        assert database.contents() == undisturbed.contents
        assert files_in_work(command.folder / "data") == []


@on_one_server
def test_a_copy_is_stopped_together_with_the_transform_that_it_copies_from(
    command: Luigi, database: Database
) -> None:
    """Whose end ``stop`` waits for."""
    run = Started(command, "copy", of="TaxiMonth").says("copying").stop(signal.SIGTERM, group=False)
    assert_stopped(run, signal.SIGTERM)
    assert_no_sessions(database)
    assert database.query("SELECT relname FROM pg_class WHERE relname LIKE '%staging%'") == []


@on_one_server
@pytest.mark.parametrize("where", ["asked", "silent", "tried again", "refresh"])
def test_a_wait_for_the_source_is_stopped(
    command: Luigi, database: Database, mirror: Mirror, where: str
) -> None:
    if where == "refresh":
        assert command.merge_range("green", "2024-01", "2024-04").code == 0
        mirror.requests.clear()
    if where == "silent":
        mirror.faults.append(Stall(after=5_000))
    elif where == "tried again":
        mirror.faults.extend(Status(503, {"Retry-After": "100"}) for _ in range(5))
    else:
        mirror.pause = 600
    asked = (lambda: mirror.at_once) if mirror.pause else (lambda: mirror.asked("GET"))
    started = Started(command, of="TaxiRefresh" if where == "refresh" else "TaxiMerge")
    assert_stopped(started.until(asked).stop())


@on_one_server
def test_a_warehouse_that_does_not_answer_is_waited_for_no_longer(command: Luigi) -> None:
    """A connection is made inside libpq, which no signal interrupts."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(60)
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/trips?sslmode=disable"
        command.settings["--warehouse-url"] = url
        started = Started(command)
        with silent.accept()[0]:
            assert_stopped(started.stop())


@on_one_server
def test_a_wait_for_another_run_is_stopped(command: Luigi, database: Database) -> None:
    other = psycopg2.connect(database.url)
    try:
        other.cursor().execute(
            "SELECT pg_advisory_lock(%s, hashtext('green 2024-01'))", (0x74617869,)
        )
        assert_stopped(Started(command).says("waiting for it").stop())
    finally:
        other.close()


SCRIPT = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("begun", flush=True)
time.sleep(600)
"""


@on_one_server
@pytest.mark.parametrize(("workers", "group"), [("1", True), ("2", False)])
def test_a_transform_is_stopped_though_it_would_go_on(
    command: Luigi, database: Database, workers: str, group: bool
) -> None:
    (command.folder / "mine.py").write_text(SCRIPT)
    started = Started(command, "", "--transform-script=mine.py", f"--workers={workers}")
    assert_stopped(started.says("begun").stop(group=group))
    assert_no_sessions(database)
    assert list((command.folder / "data" / "work").glob("*")) == []


@on_one_server
@pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)], ids=str
)
def test_workers_are_stopped_in_the_midst_of_a_statement(
    command: Luigi, database: Database, number: int, group: bool
) -> None:
    started = Started(command, "staging/add_key.sql", "--workers=2")
    assert_stopped(started.until(lambda: sleeps(database)).stop(number, group=group), number)
    assert_no_sessions(database)


@pytest.mark.parametrize(
    ("moment", "group"), [("making", True), ("starting", False), ("copying", True)]
)
def test_the_embedded_server_ends_with_the_run(
    tmp_path: Path, three_months: Published, embedded_root: Path, moment: str, group: bool
) -> None:
    settings = {"--warehouse-url": "embedded", "--storage-root": str(embedded_root)}
    command = Luigi(tmp_path, {**settings, "--source-url": three_months.url})
    started = Started(command, "copy" if moment == "copying" else "")
    if moment == "copying":
        started.says("copying")
    elif moment == "making":
        started.until(lambda: list(embedded_root.glob("warehouse.making-*")))
    else:
        started.until((embedded_root / "warehouse").exists)
    run = started.stop(group=group)
    assert_stopped(run)
    _, alive = psutil.wait_procs(embedded_servers(embedded_root), timeout=SOON)
    assert alive == []
    if moment != "copying":
        return
    assert not (embedded_root / "warehouse" / "postmaster.pid").exists()
    assert command("TaxiMerge", "--month=2024-01", "--taxi-type=green").code == 0


@on_one_server
def test_a_second_ctrl_c_ends_at_once(command: Luigi, database: Database) -> None:
    """Though what must come to its end hasn't."""
    started = Started(command, "stubborn").says("stubborn")
    started.process.send_signal(signal.SIGINT)
    started.says("going on")
    time.sleep(0.5)
    run = started.stop(group=False)
    assert run.code == CODES[signal.SIGINT]
    assert "Traceback" not in run.output
    assert_no_sessions(database)
