"""``luigi-tasks luigid``: started once, found again, and stopped by its own process only."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests
from conftest import PYTHON
from luigids import free_port

from luigi_tasks.errors import TaxiError
from luigi_tasks.operations import luigid
from luigi_tasks.operations.luigid import Luigid


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data of taxis"


def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [PYTHON, "-m", "luigi_tasks", "luigid", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_it_is_started_once_and_stopped(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    flags = [f"--port={port}", "--storage-root=taxis"]
    assert call(tmp_path, "status", *flags).returncode == 3
    started = call(tmp_path, "start", *flags)
    try:
        assert (started.returncode, started.stdout) == (0, f"luigid runs: {url}\n"), started.stderr
        assert "Luigi Task Visualiser" in requests.get(f"{url}/", timeout=10).text
        [listening] = [
            each.laddr
            for each in psutil.Process(record(tmp_path / "taxis").pid).net_connections()
            if each.status == psutil.CONN_LISTEN
        ]
        assert listening == ("127.0.0.1", port)
        again = call(tmp_path, "start", *flags)
        assert (again.returncode, again.stdout) == (0, f"luigid runs already: {url}\n")
        assert call(tmp_path, "status", *flags).returncode == 0
    finally:
        stopped = call(tmp_path, "stop", *flags)
    assert (stopped.returncode, stopped.stdout) == (0, "luigid is stopped\n")
    assert call(tmp_path, "stop", *flags).stdout == "luigid doesn't run\n"
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)
    assert sorted(path.name for path in (tmp_path / "taxis" / "luigid").iterdir()) == [
        "log",
        "state",
    ]


def record(root: Path) -> Luigid:
    return Luigid(**json.loads((root / "luigid" / "luigid.json").read_text()))


def test_another_process_with_its_number_is_left_alone(root: Path) -> None:
    """After a restart of the machine, for example."""
    (root / "luigid").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        recorded = {"pid": other.pid, "began": 1.5, "port": 8082}
        (root / "luigid" / "luigid.json").write_text(json.dumps(recorded))
        assert luigid.running(root) is None
        luigid.stop(root, Luigid(**recorded))
        assert other.poll() is None
        other.kill()


def test_a_killed_one_does_not_run(root: Path) -> None:
    found = luigid.start(root, free_port())
    assert luigid.running(root) == found
    os.kill(found.pid, signal.SIGKILL)
    os.waitpid(found.pid, 0)
    assert luigid.running(root) is None


def test_a_port_that_is_taken_is_told(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(TaxiError, match=rf"--port {port}: .*in use; name another"):
            luigid.start(root, port)
    assert luigid.running(root) is None


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "8.8.8.8", "2001:4860::1"])
def test_an_address_that_everybody_may_reach_is_refused(root: Path, address: str) -> None:
    with pytest.raises(TaxiError, match=rf"--address {address}: luigid has no password; name"):
        luigid.start(root, free_port(), address)


@pytest.mark.parametrize(
    ("address", "told"),
    [("10.255.255.9", "name one that this machine has"), ("here", "must be an address such as")],
)
def test_an_address_of_no_host_here_is_refused(root: Path, address: str, told: str) -> None:
    with pytest.raises(TaxiError, match=rf"--address {address}: .*{told}"):
        luigid.start(root, free_port(), address)


def test_another_address_is_known_afterwards(root: Path) -> None:
    found = luigid.start(root, free_port(), "127.0.0.2")
    try:
        assert found.url.startswith("http://127.0.0.2:")
        assert luigid.running(root) == found
        assert requests.get(found.url, timeout=10).ok
        resources = requests.get(f"{found.url}/api/resource_list", timeout=10).json()["response"]
        assert {each["name"]: each["num_total"] for each in resources} == {"merge": 1, "copy": 64}
    finally:
        luigid.stop(root, found)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "began": 1, "port": 1}']
)
def test_a_record_that_cannot_be_read_is_none(root: Path, text: str) -> None:
    (root / "luigid").mkdir(parents=True)
    (root / "luigid" / "luigid.json").write_text(text)
    assert luigid.running(root) is None


def test_its_graphs_name_the_months() -> None:
    scheduler = luigid._SharedScheduler()
    values = {"taxi_type": "green", "month": "2024-01"}
    words = {"worker": "w", "family": "TaxiMerge", "params": values}
    scheduler.add_task(task_id="TaxiMerge_1", deps=["TaxiDownload_1"], **words)
    scheduler.add_task(task_id="TaxiDownload_1", **{**words, "family": "TaxiDownload"})
    scheduler.add_task(task_id="TaxiDue_1", deps=["TaxiMerge_1"], worker="w", family="TaxiDue")
    named = {"TaxiMerge green 2024-01", "TaxiDownload green 2024-01"}
    assert {task["name"] for task in scheduler.dep_graph("TaxiMerge_1").values()} == named
    above = scheduler.inverse_dep_graph("TaxiDownload_1").values()
    assert {task["name"] for task in above} == {*named, "TaxiDue"}
    assert {task["name"] for task in scheduler.task_list("", "").values()} == {
        *("TaxiMerge", "TaxiDownload", "TaxiDue")
    }
