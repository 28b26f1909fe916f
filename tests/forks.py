"""Luigi without Python's start and its imports, which are most of what a short run takes.

A server process has imported what others wrote, and what of this project knows no settings, and
forks for each command. Settings and tasks are imported in the fork, with its folder, its
environment and its arguments.
"""

import atexit
import configparser
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

#: This project's first: it registers its tasks where Luigi was imported before it.
IMPORTED = (
    *(f"luigi_tasks.{name}" for name in ("source", "source.http", "runner", "storage", "formats")),
    *(f"luigi_tasks.{name}" for name in ("warehouse", "warehouse.encoding")),
    *(
        "luigi.cmdline",
        "luigi.retcodes",
        "luigi.tools.range",
        "luigi.util",
        "luigi.contrib.postgres",
    ),
    *("pyarrow.parquet", "pgpq", "psycopg2.extras", "requests", "jinja2.sandbox", "psutil"),
    *("numpy.ma", "multiprocessing.queues", "multiprocessing.synchronize"),
)
#: Variables with these beginnings are read by what is imported.
READ_EARLY = ("PYTHON", "LUIGI", "LC_", "LANG")


class Server:
    """Runs commands one by one, from any thread. Its process starts with the first of them.

    :param command: what starts it; the number of its socket is added.
    """

    def __init__(self, *command: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._environment = {**os.environ, **(environment or {})}

    @cached_property
    def _channel(self) -> socket.socket:
        channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            process = subprocess.Popen(
                [*self._command, str(other.fileno())],
                cwd="/",
                env=self._environment,
                pass_fds=[other.fileno()],
            )
        self._process = process
        atexit.register(self.close)
        return channel

    def close(self) -> None:
        """End the process, if it has started."""
        if "_channel" in vars(self):
            self._channel.close()
            self._process.wait()

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Whether a command with this environment would find what it would by itself."""
        names = environment.keys() | self._environment.keys()
        early = [name for name in names if name.startswith(READ_EARLY) and name != "PYTHONPATH"]
        return all(environment.get(name) == self._environment.get(name) for name in early)

    def run(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
    ) -> tuple[int, str]:
        """Run a script until it and its output end: the exit code and the output."""
        output, into_output = os.pipe()
        status, into_status = os.pipe()
        order = json.dumps([list(words), str(folder), dict(environment)]).encode()
        socket.send_fds(self._channel, [order], [into_output, into_status])
        os.close(into_output)
        os.close(into_status)
        with open(output) as printed, open(status) as told:  # noqa: PTH123
            number = int(told.readline())
            limit = threading.Timer(timeout, os.kill, (number, signal.SIGKILL))
            limit.start()
            try:
                text = printed.read()
                return os.waitstatus_to_exitcode(int(told.readline())), text
            finally:
                limit.cancel()


def prepare() -> None:
    """Import what commands have in common, and start the Python that forks for their transforms."""
    for name in IMPORTED:
        importlib.import_module(name)
    sys.modules["luigi_tasks.warehouse.sql"].load_sql()
    runner = sys.modules["luigi_tasks.runner"]
    # for the transforms of commands with this process's environment and default settings
    defaults = configparser.RawConfigParser()
    defaults.read(Path(runner.__file__).parent.parent / "luigi.cfg")
    settings = SimpleNamespace(environment={}, memory=defaults["runner"]["memory"])
    transform = ["python", "-m", "luigi_tasks.transform"]
    runner.prepare(runner.Job("TaxiTransform", "", transform), settings)
    gc.collect()
    gc.freeze()  # else each fork looks through it all when it ends


def serve(
    channel: socket.socket, look: Callable[[list[str]], object] = lambda words: None
) -> list[str]:
    """Take orders until there are no more; in a fork, return the words to run.

    :param look: is called with the words before the fork.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 2)
        if not order:
            os._exit(0)
        look(json.loads(order)[0])
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    channel.close()
    output, status = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if number := os.fork():
        os.close(output)
        os.write(status, f"{number}\n".encode())
        os.write(status, f"{os.waitpid(number, 0)[1]}\n".encode())
        os._exit(0)
    words, folder, environment = json.loads(order)
    os.close(status)
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    return [str(word) for word in words]


if __name__ == "__main__":
    prepare()
    sys.argv = serve(socket.socket(fileno=int(sys.argv[1])))
    sys.path[0] = str(Path(sys.argv[0]).parent)
    if folders := os.environ.get("PYTHONPATH"):
        sys.path[1:1] = [str(Path(folder).resolve()) for folder in folders.split(os.pathsep)]

    import luigi.cmdline
    from luigi.configuration import LuigiConfigParser

    import luigi_tasks

    # what they have read of the server's arguments and folder
    luigi.cmdline.luigi_run.__defaults__ = (sys.argv[1:],)
    LuigiConfigParser._instance = None
    importlib.reload(luigi_tasks)  # which registers the tasks, now that Luigi is imported
    runpy.run_path(sys.argv[0], run_name="__main__")
