"""A standalone Spark cluster on 127.0.0.1: a master, and workers of one core each.

The package ``pyspark`` has no scripts to start one; its ``spark-class`` does.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

#: Seconds that Java may take on a machine with much else to do.
PATIENCE = 120
#: What is in the command of an executor, and of the process of a month.
EXECUTOR, MONTH = "CoarseGrainedExecutorBackend", "luigi_tasks.tasks.on_executor"


@dataclass
class Cluster:
    """A running cluster, and where it writes."""

    master: str
    folder: Path
    pages: list[str]
    java_options: str = ""
    pids: list[int] = field(default_factory=list)

    @property
    def conf(self) -> dict[str, str]:
        """Options for a session on this machine, with an event log."""
        return {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.executor.memory": "512m",
            "spark.driver.extraJavaOptions": self.java_options,
            "spark.executor.extraJavaOptions": self.java_options,
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": f"file://{self.folder}/events",
            "spark.ui.port": str(free_port()),
        }

    def processes(self, word: str) -> list[psutil.Process]:
        """The processes of its workers whose command has a word."""
        return [
            process
            for process in psutil.process_iter()
            if word in " ".join(_command(process))
            and {each.pid for each in _parents(process)} & {*self.pids}
        ]


@contextmanager
def cluster(folder: Path, *, workers: int = 2, java_options: str = "") -> Iterator[Cluster]:
    """Start one, and end it and whatever it runs.

    :param folder: where it writes logs, work files and, if a session wants it, events.
    """
    import pyspark

    home = Path(pyspark.__file__).parent
    port, page = free_port(), free_port()
    for name in ("events", "work", "local", "logs"):
        (folder / name).mkdir(parents=True)
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_WORKER_DIR": str(folder / "work"),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": java_options,
    }
    found = Cluster(f"spark://127.0.0.1:{port}", folder, [f"http://127.0.0.1:{page}"], java_options)
    with ExitStack() as stack:

        def start(name: str, *arguments: str) -> None:
            command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}"]
            log = stack.enter_context((folder / "logs" / f"{name}-{len(found.pids)}").open("wb"))
            process = subprocess.Popen(
                [*command, *arguments],
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            found.pids.append(process.pid)
            stack.callback(_end, process)

        at = ["--host", "127.0.0.1", "--webui-port"]
        start("master.Master", *at, str(page), "--port", str(port))
        _wait_for(port)
        for _ in range(workers):
            own = free_port()
            found.pages.append(f"http://127.0.0.1:{own}")
            limits = ["--cores", "1", "--memory", "600m"]
            start("worker.Worker", *at, str(own), *limits, found.master)
        deadline = time.monotonic() + PATIENCE
        while _state(f"{found.pages[0]}/json/").get("aliveworkers") != workers:
            if time.monotonic() > deadline:
                raise TimeoutError("the workers of Spark don't come up")
            time.sleep(0.2)
        yield found


def read_page(url: str) -> str:
    """A page; empty if it isn't there."""
    try:
        answer = requests.get(url, timeout=10)
    except requests.RequestException:
        return ""
    return answer.text if answer.ok else ""


def _state(url: str) -> dict[str, Any]:
    text = read_page(url)
    return dict(json.loads(text)) if text else {}


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError("the master of Spark doesn't come up") from None
            time.sleep(0.2)


def _end(process: "subprocess.Popen[bytes]") -> None:
    left = _descendants(process.pid)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(left, timeout=10)
    for each in alive:
        each.kill()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _parents(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.parents()
    except psutil.Error:
        return []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
