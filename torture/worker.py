"""Luigi's command line in forks of a Python that has imported all of it.

    python -m torture.worker DESCRIPTOR

takes orders from a socket: the words of a command, a folder, an environment, and whether the
transform is forked, too, instead of started. What is done, and how often, is as always; only the
pauses between two attempts, and how long a connection is waited for, are tenths of a second where
they are seconds. No garbage is collected, and Luigi's parser of flags is made once.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from typing import Any

#: What is imported before the first fork: Luigi first, so that this project registers its tasks.
IMPORTED = (
    *(
        "luigi.cmdline",
        "luigi.retcodes",
        "luigi.tools.range",
        "luigi.contrib.postgres",
        "luigi_tasks",
    ),
    *(
        "requests",
        "tenacity",
        "psycopg2.extras",
        "pgpq",
        "jinja2.sandbox",
        "psutil",
        "rich.console",
    ),
    *("numpy.ma", "pyarrow.parquet", "pyarrow.csv", "pyarrow.compute", "multiprocessing.queues"),
    *("luigi_tasks.source.http", "luigi_tasks.source.local", "luigi_tasks.formats"),
    *(
        "luigi_tasks.warehouse.encoding",
        "luigi_tasks.warehouse.counting",
        "luigi_tasks.storage.part",
    ),
    *("luigi_tasks.warehouse.decoding", "luigi_tasks.transform", "luigi_tasks.transform.command"),
    *(
        "luigi_tasks.transform.files",
        "luigi_tasks.operations.reporting",
        "luigi_tasks.status.loads",
    ),
)


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    prepare()
    words = _serve(channel)
    from luigi.cmdline import luigi_run

    luigi_run(words)


def prepare() -> None:
    """Import what a run imports, and shorten its pauses."""
    for name in IMPORTED:
        importlib.import_module(name)

    import psycopg2
    from luigi import Parameter, Task
    from luigi.cmdline_parser import CmdlineParser

    from luigi_tasks import network
    from luigi_tasks.warehouse import session
    from luigi_tasks.warehouse.sql import load_sql

    load_sql()
    network.BACKOFF, network.BACKOFF_MAX = 0.02, 0.1
    session.BACKOFF, session.BACKOFF_MAX = 0.05, 0.5
    connect = psycopg2.connect

    def connect_soon(*words: Any, **names: Any) -> Any:
        if "connect_timeout" in names:
            names["connect_timeout"] = 2  # libpq takes no shorter one
        return connect(*words, **names)

    psycopg2.connect = connect_soon
    build = functools.lru_cache(None)(CmdlineParser._build_parser)
    CmdlineParser._build_parser = staticmethod(build)  # type: ignore[method-assign]
    CmdlineParser.__init__ = _parse_once(CmdlineParser.__init__)  # type: ignore[method-assign]
    # settings don't change while a run lasts, but are read some four hundred times
    cached: Any = functools.lru_cache(None)
    Parameter._get_value = cached(Parameter._get_value)  # type: ignore[method-assign]
    Task.get_params = classmethod(cached(Task.get_params.__func__))  # type: ignore[method-assign,assignment,attr-defined]
    gc.collect()
    gc.disable()
    gc.freeze()


_parsed: dict[tuple[str, ...], Any] = {}


def _parse_once(parse: Any) -> Any:
    def parsed(parser: Any, words: list[str]) -> None:
        if tuple(words) not in _parsed:
            parse(parser, words)
            _parsed[tuple(words)] = parser.known_args
        parser.known_args = _parsed[tuple(words)]

    return parsed


def _serve(channel: socket.socket) -> list[str]:
    """Take orders until there are no more; in a fork, return the words to run."""
    from luigi.cmdline_parser import CmdlineParser

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        order, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 2)
        if not order:
            os._exit(0)
        CmdlineParser(json.loads(order)[0])  # whose flags are parsed then
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
    words, folder, environment, is_forking = json.loads(order)
    os.close(status)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if is_forking:
        _fork_transforms()
    return [str(word) for word in words]


# --- transforms ----------------------------------------------------------------------------------


def _fork_transforms() -> None:
    """Have the transform forked by a process that has imported all, and has no threads."""
    from luigi_tasks.runner import process

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        _serve_transforms(theirs)
    theirs.close()
    start = subprocess.Popen

    def popen(command: Any, **names: Any) -> Any:
        words = list(command)
        if "-m" in words and words[words.index("-m") + 1] == "luigi_tasks.transform":
            return _Forked(ours, words[words.index("-m") + 2 :], names["cwd"], names["env"])
        return start(command, **names)

    process._HAS_FORKS = False  # each is a command, which is forked here
    process.subprocess = _Patched(popen)  # type: ignore[assignment]


class _Patched:
    """The module ``subprocess``, but for ``Popen``."""

    def __init__(self, popen: Any) -> None:
        self.Popen = popen

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


class _Forked:
    """What the runner uses of a ``Popen``."""

    returncode: int | None = None

    def __init__(
        self, channel: socket.socket, words: list[str], folder: Any, environment: dict[str, str]
    ) -> None:
        output, errors, status = os.pipe(), os.pipe(), os.pipe()
        order = json.dumps([words, str(folder), environment]).encode()
        socket.send_fds(channel, [order], [output[1], errors[1], status[1]])
        for _, writing in (output, errors, status):
            os.close(writing)
        self.stdin = io.BytesIO()
        self.stdout, self.stderr = os.fdopen(output[0], "rb"), os.fdopen(errors[0], "rb")
        self._status = os.fdopen(status[0])
        self.pid = int(self._status.readline())

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(int(self._status.readline() or 9))
        return self.returncode

    def poll(self) -> int | None:
        return self.returncode

    def __enter__(self) -> _Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()


def _serve_transforms(channel: socket.socket) -> None:
    """Fork a transform for each order, and end it with whoever ordered it."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    number, ended, status = 0, -1, -1
    while True:
        watched: list[Any] = [channel, ended] if number else [channel]
        ready, _, _ = select.select(watched, [], [])
        if ended in ready:
            os.write(status, f"{os.waitpid(number, 0)[1]}\n".encode())
            os.close(status)
            os.close(ended)
            number, ended = 0, -1
            continue
        order, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 3)
        if not order:
            if number:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(number, signal.SIGKILL)
            os._exit(0)
        output, errors, status = descriptors
        number = os.fork()
        if number == 0:
            _transform(order, output, errors)
        ended = os.pidfd_open(number)
        os.close(output)
        os.close(errors)
        os.write(status, f"{number}\n".encode())


def _transform(order: bytes, output: int, errors: int) -> None:
    from luigi_tasks.transform.command import main as transform

    code = 1
    try:
        os.setsid()
        words, folder, environment = json.loads(order)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = transform(words) or 0
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - as Python would, at its end
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
