"""``python -m luigi_tasks.runner.fork_server``: import a module, and fork for each of its jobs.

Its process is the child of a :class:`luigi_tasks.runner.forks.ForkServer`, and has one thread when
it forks. A job's process is in a session of its own, like one that was started as a command. A
*keeper* in between waits for it, reports on it, and kills its process group when the one that
asked for the job ends or has no more use for it.
"""

import importlib
import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

#: Bytes of the longest message: a folder and the arguments of a job.
LONGEST_MESSAGE = 1 << 17


def serve(main: Callable[[Sequence[str]], int], channel: socket.socket) -> int:
    """Run jobs until nobody is left to ask for them.

    A message is a folder and ``sys.argv`` as JSON, with three descriptors: for the job's standard
    output and standard error, and a socket to whoever asks. That gets the process's number, and
    then its exit code, or the number of the signal that ended it, negative.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's to wait for
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, LONGEST_MESSAGE, 3)
        if not message:
            return 0
        if os.fork() == 0:
            channel.close()
            folder, arguments = json.loads(message)
            with _kept(*descriptors):
                os.chdir(folder)
                sys.argv = arguments
                return main(arguments[1:])
        for descriptor in descriptors:
            os.close(descriptor)


@contextmanager
def _kept(output: int, errors: int, asking: int) -> Iterator[None]:
    """Be a job's process, with a keeper as the parent."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    line = socket.socket(fileno=asking)
    pid = os.fork()
    if pid:
        os.close(output)
        os.close(errors)
        _watch(line, pid)
        os._exit(0)
    os.setsid()
    with line:
        line.send(str(os.getpid()).encode())
    for descriptor, standard in ((output, 1), (errors, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    yield


def _watch(line: socket.socket, pid: int) -> None:
    """Report a job's end; wait until its process group isn't needed any more, and kill that.

    The job's process isn't reaped before, so nobody else gets its number.
    """
    killing = threading.Thread(target=_kill_at_end, args=(line, pid))
    killing.start()
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended  # noqa: S101 - only WNOHANG may give none
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    with suppress(OSError):  # nobody listens any more
        line.send(str(code).encode())
    killing.join()


def _kill_at_end(line: socket.socket, pid: int) -> None:
    with suppress(OSError):
        line.recv(1)
    for kill in (os.killpg, os.kill):  # it may not have a group of its own yet
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    if sys.path[0] == str(Path.cwd()):  # where a job's command wouldn't look for modules
        del sys.path[0]
    _, name, number, memory = sys.argv
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (int(memory) << 10, int(memory) << 10))
    module = importlib.import_module(f"{name}.__main__")
    sys.exit(serve(module.main, socket.socket(fileno=int(number))))
