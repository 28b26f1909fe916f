"""``luigid``, Luigi's scheduler with a page: started, stopped, and found again by its record.

Its record, state and log are in ``luigid/`` below ``[storage] root``. It has no password, and
whoever reaches it can have workers import modules, so it listens on this machine's own address, or
on one of a private network.
"""

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
from luigi.scheduler import Scheduler
from luigi.task_status import PENDING, RUNNING

from luigi_tasks.errors import TaxiError
from luigi_tasks.operations import logs

#: The address that it listens on: this machine's own.
ADDRESS = "127.0.0.1"
#: Seconds until a luigid that has been started must answer, and one that is stopped be gone.
PATIENCE = 20.0
INTERVAL = 0.1


@dataclass(frozen=True)
class Luigid:
    """A running luigid, and when its process began, which tells it from another of its number."""

    pid: int
    began: float
    port: int
    address: str = ADDRESS

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"

    def answers(self) -> bool:
        """Whether it can be used."""
        try:
            return requests.get(f"{self.url}/api/resource_list", timeout=5).ok
        except requests.RequestException:
            return False


def running(root: Path) -> Luigid | None:
    """The luigid of a storage folder, if it runs."""
    try:
        found = Luigid(**json.loads(_record(root).read_text()))
        process = psutil.Process(found.pid)
        is_it = process.create_time() == found.began and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return found if is_it else None


def start(root: Path, port: int, address: str = ADDRESS) -> Luigid:
    """Start luigid, and wait until it answers.

    :raises TaxiError: the address isn't one of a private network, the port is taken, or it doesn't
        start.
    """
    log = folder_of(root) / "log"
    family = _check_address(address)
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((address, 0))
        except OSError as error:
            raise TaxiError(
                f"--address {address}: {error}; name one that this machine has"
            ) from None
    with socket.socket(family) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((address, port))
        except (OSError, OverflowError) as error:
            raise TaxiError(f"--port {port}: {error}; name another") from None
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        logs.roll_over(log)
        with log.open("ab") as opened:
            before = opened.tell()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", __name__),
                    *(str(port), str(folder_of(root) / "state"), address),
                ],
                stdin=subprocess.DEVNULL,
                stdout=opened,
                stderr=opened,
                start_new_session=True,
            )
        made = Luigid(process.pid, psutil.Process(process.pid).create_time(), port, address)
        _record(root).write_text(json.dumps(asdict(made)))
    except OSError as error:
        raise TaxiError(f"[storage] root: {error}") from None
    deadline = time.monotonic() + PATIENCE
    while not made.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            _record(root).unlink(missing_ok=True)
            said = log.read_bytes()[before:].decode(errors="replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "it said nothing")
            raise TaxiError(f"luigid didn't start at {made.url}: {last.strip()}; see {log}")
        time.sleep(INTERVAL)
    process.returncode = 0  # it outlives this process, and is waited for by none
    return made


def stop(root: Path, luigid: Luigid) -> None:
    """Stop a luigid, which keeps its state for the next one."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(luigid.pid)
        if process.create_time() == luigid.began:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except psutil.TimeoutExpired:
                process.kill()
    _record(root).unlink(missing_ok=True)


def folder_of(root: Path) -> Path:
    return root.resolve() / "luigid"


def _record(root: Path) -> Path:
    return folder_of(root) / "luigid.json"


def _check_address(address: str) -> socket.AddressFamily:
    """Refuse an address that others than a private network's hosts may reach.

    :returns: the family of its sockets.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise TaxiError(f"--address {address}: must be an address such as 10.0.0.5") from None
    if parsed.is_unspecified or parsed.is_global:
        raise TaxiError(
            f"--address {address}: luigid has no password; name this machine's address in a "
            "private network, such as 10.0.0.5"
        )
    return socket.AF_INET6 if parsed.version == 6 else socket.AF_INET


def _serve(port: int, state: str, address: str = ADDRESS) -> None:
    """Be luigid, until SIGTERM. Luigi's own command would log every request, without end."""
    import logging

    import luigi.configuration
    import luigi.server

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    luigi.configuration.get_config().set("scheduler", "state_path", state)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    luigi.server.run(api_port=port, address=address, scheduler=_SharedScheduler())


class _SharedScheduler(Scheduler):
    """Luigi's, which hands over at once what a worker that is gone had in hand.

    Luigi's own marks it as failed. The others would leave before it is tried again, or, if that
    were soon, try each month that fails again and again. Its graphs name the month of each task.
    """

    def _prune_tasks(self) -> None:
        assistants = {worker.id for worker in self._state.get_assistants()}
        for task in list(self._state.get_active_tasks_by_status(RUNNING)):
            if task.worker_running not in task.stakeholders | assistants:
                task.worker_running = None
                self._state.set_status(task, PENDING, self._config)
        super()._prune_tasks()

    def dep_graph(self, task_id: str, include_done: bool = True, **kwargs: Any) -> Any:
        return _with_months(super().dep_graph(task_id, include_done, **kwargs))

    def inverse_dep_graph(self, task_id: str, include_done: bool = True, **kwargs: Any) -> Any:
        return _with_months(super().inverse_dep_graph(task_id, include_done, **kwargs))


def _with_months(graph: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for task in graph.values():
        values = [task.get("params", {}).get(key) for key in ("taxi_type", "month")]
        task["name"] = " ".join([task["name"], *filter(None, values)])
    return graph


if __name__ == "__main__":
    os.umask(0o077)
    _serve(int(sys.argv[1]), *sys.argv[2:])
