"""A ``luigid`` for tests that do something to it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Luigid:
    """Luigi's own ``luigid`` on a port of this machine, with its state in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        binary = Path(sys.executable).with_name("luigid")
        state = f"--state-path={self.folder / 'state'}"
        command = [binary, "--address=127.0.0.1", f"--port={self.port}", state]
        with (self.folder / "luigid.log").open("a") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not self.answers():
            assert time.monotonic() < deadline
            assert self.process.poll() is None, (self.folder / "luigid.log").read_text()
            time.sleep(0.05)
        return self.process

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/api/task_list", timeout=5).ok
        except requests.RequestException:
            return False


@contextmanager
def running_luigid(folder: Path) -> Iterator[Luigid]:
    luigid = Luigid(folder)
    try:
        yield luigid
    finally:
        luigid.process.kill()
        luigid.process.wait()
