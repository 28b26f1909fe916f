"""``luigid`` may be away, be killed, hang or forget: the run costs nothing but its page."""

import http.server
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, Luigi, Run, Undisturbed, files_in_work
from luigi.rpc import RemoteScheduler
from luigi.scheduler import Scheduler
from luigi.task_status import DONE, FAILED, PENDING, RUNNING
from luigids import Luigid, free_port, running_luigid

from luigi_tasks.months import Month
from luigi_tasks.operations.due import MISSING, DueMonth
from luigi_tasks.operations.luigid import _SharedScheduler
from luigi_tasks.tasks import scheduler
from luigi_tasks.tasks.chain import TaxiMerge, TaxiMonth
from luigi_tasks.tasks.due import TaxiDue
from luigi_tasks.tasks.scheduler import LastingScheduler

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
RANGE = ("green", "2024-01", "2024-04")
#: Waits in the second month, until the test has done something to luigid.
WAITING = """
import os, pathlib, shutil, time
go = os.environ["GO"]
while os.environ["TAXI_MONTH"] == "2024-02" and not pathlib.Path(go).exists():
    pathlib.Path(go + "-asked").touch()
    time.sleep(0.02)
shutil.copy(os.environ["TAXI_FILE"], "trips.parquet")
"""


def befall(luigid: Luigid, fate: str) -> None:
    luigid.process.send_signal(signal.SIGSTOP if fate == "frozen" else signal.SIGKILL)
    if fate == "killed and started anew":
        luigid.process.wait()
        luigid.start()


def warnings_of(run: Run) -> list[str]:
    return [line for line in run.output.splitlines() if line.startswith("WARNING")]


def use(command: Luigi, url: str, more: str = "") -> None:
    text = f"[core]\nlocal_scheduler = false\nscheduler_url = {url}\n{more}"
    (command.folder / "luigi.cfg").write_text(text)


@on_one_server
@pytest.mark.parametrize("workers", [1, 2])
def test_a_scheduler_that_is_away_is_one_warning(
    command: Luigi, database: Database, undisturbed: Undisturbed, workers: int
) -> None:
    url = f"http://taxi:hush@127.0.0.1:{free_port()}"
    use(command, url)
    for _ in range(2):
        began = time.monotonic()
        run = command.merge_range(*RANGE, f"--workers={workers}")
        assert run.code == 0, run.output
        told = f"WARNING: luigid at {url.replace('taxi:hush@', '')}: Connection refused; "
        assert warnings_of(run) == [f"{told}the run goes on without it"]
        assert time.monotonic() - began < 60
    assert database.contents() == undisturbed.contents


class _Nonsense(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>not found</html>")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def another_server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Nonsense) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@on_one_server
def test_another_server_in_its_place_is_one_warning(command: Luigi, database: Database) -> None:
    with another_server() as url:
        use(command, url)
        run = command("TaxiMerge", "--month=2024-01", "--taxi-type=green")
    assert run.code == 0, run.output
    [warned] = warnings_of(run)
    assert "what answers there is no luigid; the run goes on without it" in warned
    assert database.value("SELECT count(*) FROM load_history") == 1


@pytest.mark.slow
@on_one_server
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("fate", ["killed", "killed and started anew", "frozen"])
def test_what_happens_to_luigid_in_mid_run_costs_nothing(
    command: Luigi, undisturbed: Undisturbed, tmp_path: Path, fate: str, workers: int
) -> None:
    database = Database(command.settings["--warehouse-url"])
    (command.folder / "wait.py").write_text(WAITING)
    go = tmp_path / "go"
    variables = json.dumps({"GO": str(go)})
    with running_luigid(tmp_path) as luigid:
        use(command, luigid.url, "rpc_connect_timeout = 1\n")
        flags = ["--transform-script=wait.py", f"--runner-environment={variables}"]
        words = [*command.range_flags(*RANGE), *flags, f"--workers={workers}"]
        process = command.start("RangeMonthly", *words)
        while not (tmp_path / "go-asked").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        befall(luigid, fate)
        go.touch()
        output, _ = process.communicate(timeout=120)
        run = Run(process.returncode, output)
    assert run.code == 0, run.output
    told = [line for line in warnings_of(run) if "the run goes on without it" in line]
    assert warnings_of(run) == told
    assert len(told) == 1 or fate == "killed and started anew"
    assert "Traceback" not in run.output
    assert database.value("SELECT count(*) FROM load_history") == 3
    assert database.trips() == undisturbed.database.trips()
    assert files_in_work(command.folder / "data") == []


def lasting(monkeypatch: pytest.MonkeyPatch) -> LastingScheduler:
    """One whose luigid is a scheduler in this process, which has two tasks, the first one done."""
    made = LastingScheduler("http://127.0.0.1:1")
    monkeypatch.setattr(made, "_remote", Scheduler())
    made.add_worker("w", {"host": "here"})
    for task_id in ("first", "second"):
        made.add_task(task_id=task_id, worker="w", status=PENDING, runnable=True)
    assert made.get_work(worker="w", host="here")["task_id"] == "first"
    made.add_task(task_id="first", worker="w", status=DONE, runnable=False)
    return made


def test_a_scheduler_that_has_forgotten_the_run_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that was started anew says that there is nothing to do."""
    made = lasting(monkeypatch)
    monkeypatch.setattr(made, "_remote", Scheduler())
    made.ping(worker="w")
    assert made.get_work(worker="w", host="here")["task_id"] == "second"
    assert made.get_work(worker="w", host="here")["task_id"] is None
    assert made._local is None


def test_a_scheduler_that_knows_the_run_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though another worker has taken what was left."""
    made = lasting(monkeypatch)
    others = made._remote
    others.add_task(task_id="second", worker="other", status=PENDING)  # type: ignore[attr-defined]
    others.get_work(worker="other", host="there")  # type: ignore[attr-defined]
    others.add_task(task_id="second", worker="other", status=FAILED)  # type: ignore[attr-defined]
    made.get_work(worker="w", host="here")
    assert made._local is None


def test_what_runs_is_not_handed_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = lasting(monkeypatch)
    assert made.get_work(worker="w", host="here")["task_id"] == "second"
    made._fall_back("for a test")
    assert made.get_work(worker="w", host="here")["task_id"] is None


def test_nothing_is_lost_that_was_told_while_another_thread_fell_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = lasting(monkeypatch)
    told = made._remote.add_task  # type: ignore[attr-defined]

    def tell(**kwargs: Any) -> None:
        told(**kwargs)
        made._fall_back("for a test")

    monkeypatch.setattr(made._remote, "add_task", tell)
    made.add_task(task_id="third", worker="w", status=PENDING, runnable=True)
    found = [made.get_work(worker="w", host="here")["task_id"] for _ in range(3)]
    assert found == ["second", "third", None]


def test_a_worker_that_was_frozen_goes_on_with_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither what others have done meanwhile is done again, nor what they have in hand."""
    made = lasting(monkeypatch)
    luigid: Any = made._remote
    made.add_task(task_id="third", worker="w", status=PENDING, runnable=True)
    for task_id in ("second", "third"):
        luigid.add_task(task_id=task_id, worker="other", status=PENDING)
    luigid.get_work(worker="other", host="there")
    luigid._state.get_worker("w").last_active -= 1000
    luigid.prune()
    assert made.get_work(worker="w", host="here")["task_id"] == "third"
    luigid.add_task(task_id="second", worker="other", status=DONE)
    made.add_task(task_id="third", worker="w", status=DONE)
    assert made.get_work(worker="w", host="here")["task_id"] is None
    assert made._local is None


def test_what_a_worker_that_is_gone_had_in_hand_is_handed_over_at_once() -> None:
    """By luigid as this package runs it; a task that failed isn't tried again so soon."""
    luigid = _SharedScheduler(prune_on_get_work=True, worker_disconnect_delay=30)
    for worker in ("w", "other"):
        for task_id in ("first", "second"):
            luigid.add_task(task_id=task_id, worker=worker, status=PENDING)
    assert luigid.get_work(worker="w", host="here")["task_id"] == "first"
    assert luigid.get_work(worker="other", host="there")["task_id"] == "second"
    luigid.add_task(task_id="second", worker="other", status=FAILED)
    waiting = luigid.get_work(worker="other", host="there")
    assert (waiting["task_id"], len(waiting["running_tasks"])) == (None, 1)
    luigid._state.get_worker("w").last_active -= 31
    assert luigid.get_work(worker="other", host="there")["task_id"] == "first"
    luigid.add_task(task_id="first", worker="other", status=DONE)
    assert luigid.get_work(worker="other", host="there")["task_id"] is None


def test_a_machine_that_was_asleep_goes_on_with_its_own_scheduler() -> None:
    """It would be the one that takes its worker for gone."""
    local = scheduler._local_scheduler()
    local.add_task(task_id="first", worker="w", status=PENDING, runnable=True)
    local._state.get_worker("w").last_active -= 100_000
    assert local.get_work(worker="w", host="here")["task_id"] == "first"


@pytest.mark.parametrize(
    ("url", "task"),
    [("http://192.0.2.1:8082", TaxiMonth), ("http://127.0.0.1:8082", TaxiMerge)],
)
def test_what_is_due_is_loaded_month_by_month_where_hosts_share_a_luigid(
    settings: Callable[[str, str, str], None], url: str, task: type
) -> None:
    for section, key, value in [
        ("warehouse", "url", "postgresql://taxi@192.0.2.1/taxi"),
        ("core", "local_scheduler", "false"),
        ("core", "scheduler_url", url),
    ]:
        settings(section, key, value)
    missing = DueMonth(Month("green", date(2024, 1, 1)), MISSING)
    assert type(TaxiDue()._task_of(missing)) is task


def test_a_run_joins_luigid_again_when_that_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(scheduler, "RETRY_INTERVAL", 0.0)
    caplog.set_level("INFO")
    with running_luigid(tmp_path) as luigid:
        made = LastingScheduler(luigid.url)
        made.add_worker("w", {"host": "here"})
        for task_id in ("first", "second", "third"):
            made.add_task(task_id=task_id, worker="w", status=PENDING, runnable=True)
        luigid.process.kill()
        luigid.process.wait()
        assert made.get_work(worker="w", host="here")["task_id"] == "first"
        made.add_task(task_id="first", worker="w", status=DONE, runnable=False)
        made.ping(worker="w")
        assert made.get_work(worker="w", host="here")["task_id"] == "second"
        luigid.start()
        made.ping(worker="w")
        made.add_task(task_id="second", worker="w", status=DONE, runnable=False)
        assert made.get_work(worker="w", host="here")["task_id"] == "third"
        assert made._local is None
        made.close()
        tasks = RemoteScheduler(luigid.url).task_list()  # type: ignore[attr-defined]
    assert {name: task["status"] for name, task in tasks.items()} == {
        "first": DONE,
        "second": DONE,
        "third": RUNNING,
    }
    assert "answers again; the run goes on with it" in caplog.text
