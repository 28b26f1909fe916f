"""A Python that has a module's imports, and forks for each of its jobs.

A small month's transform is mostly Python's start and its imports. A fork of a process that has
them takes none of that, and is as separate from other jobs as a process of its own would be.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_MODULE = "luigi_tasks.runner.fork_server"


class Forked:
    """A job's process that another process started; it has what this package uses of ``Popen``."""

    def __init__(self, line: socket.socket, pid: int, output: IO[bytes], errors: IO[bytes]) -> None:
        self.pid, self.stdout, self.stderr = pid, output, errors
        self.returncode: int | None = None
        #: Closing it kills the process, and whatever else is in its group.
        self.stdin = open(line.detach(), "r+b", buffering=0)  # noqa: SIM115, PTH123

    def wait(self) -> int:
        """Wait for its end: its exit code, or the number of the signal that ended it, negative."""
        if self.returncode is None:
            message = self.stdin.read(16)
            self.returncode = int(message) if message else -signal.SIGKILL
        return self.returncode


class ForkServer:
    """A Python that forks for the jobs of one module, asked by this process and its forks.

    It ends with the last of these, or when the process that started it closes it.

    :param memory: KiB that a job may write to; empty for no limit.
    :raises OSError: it can't be started.
    """

    def __init__(
        self, module: str, python: str, environment: Mapping[str, str], memory: str
    ) -> None:
        self._owner = os.getpid()
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        nothing = subprocess.DEVNULL
        with other:
            self._process = subprocess.Popen(
                [python, "-m", _MODULE, module, str(other.fileno()), memory],
                cwd="/",
                env=environment,
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
                start_new_session=True,
                pass_fds=[other.fileno()],
            )

    def run(self, folder: Path, words: Sequence[str]) -> Forked | None:
        """Run the module in a folder, if the server is still there.

        :param words: ``sys.argv`` of the module.
        """
        line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output, into_output = os.pipe()
        errors, into_errors = os.pipe()
        streams = open(output, "rb"), open(errors, "rb")  # noqa: SIM115, PTH123
        message = json.dumps([str(folder.absolute()), list(words)]).encode()
        pid = b""
        try:
            with suppress(ConnectionError), other:
                socket.send_fds(
                    self._channel, [message], [into_output, into_errors, other.fileno()]
                )
        finally:
            os.close(into_output)
            os.close(into_errors)
        try:
            with suppress(ConnectionError):
                pid = line.recv(16)
        finally:
            if not pid:
                for each in (line, *streams):
                    each.close()
        return Forked(line, int(pid), *streams) if pid else None

    def close(self) -> None:
        """End the server, if it is this process's; its jobs end with those who asked for them."""
        self._channel.close()
        if self._owner == os.getpid():
            with self._process:
                self._process.kill()
