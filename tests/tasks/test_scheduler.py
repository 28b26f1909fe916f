"""``luigid`` may be away, be killed, hang or forget: the run costs nothing but its page."""

import http.server
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Database, Luigi, Run, Undisturbed, files_in_work
from luigi.scheduler import Scheduler
from luigi.task_status import DONE, FAILED, PENDING
from luigids import Luigid, free_port, running_luigid

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
    assert len(told) == 1
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


def test_a_scheduler_that_has_forgotten_the_run_is_noticed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was started anew says that there is nothing to do."""
    made = lasting(monkeypatch)
    monkeypatch.setattr(made, "_remote", Scheduler())
    made.ping(worker="w")
    assert made.get_work(worker="w", host="here")["task_id"] == "second"
    assert made.get_work(worker="w", host="here")["task_id"] is None
    assert [each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [
        "luigid at http://127.0.0.1:1: it was started anew; the run goes on without it"
    ]


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
    """Nor is it lost what was said while another thread found out that luigid is gone."""
    made = lasting(monkeypatch)
    assert made.get_work(worker="w", host="here")["task_id"] == "second"
    made._fall_back("for a test")
    assert made.get_work(worker="w", host="here")["task_id"] is None
    made._note("add_task", (), {"task_id": "third", "worker": "w", "status": PENDING}, None)
    assert made.get_work(worker="w", host="here")["task_id"] == "third"
