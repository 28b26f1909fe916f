"""How long the server of the embedded warehouse runs.

Every process that uses it holds a shared lock, and the one that finds itself alone when it ends
stops the server. The system releases a dead process's locks, so a killed run doesn't keep the
server alive longer than the next run. The server holds a lock, too, which shows other machines and
containers that it runs.
"""

import atexit
import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from luigi_tasks import stopping
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse.embedded.cluster import cluster_folder, lock_file
from luigi_tasks.warehouse.embedded.server import (
    check_port,
    is_running,
    is_starting_or_running,
    read_note,
    start,
    stop,
    url_of,
)

#: This process's lock as a user, by the cluster's folder.
_users: dict[Path, IO[str]] = {}


def ensure_running(root: Path) -> str:
    """Start the server of the warehouse under ``root`` unless it runs; it stays until this process
    ends.

    :returns: its URL, ``postgresql://…``, by a Unix socket.
    :raises TaxiError: the folder can't be written, the server doesn't start, or another machine's
        uses it.
    """
    folder = cluster_folder(root)
    with _starting(root, folder):
        _use(folder)
        start(folder)
        return url_of(folder)


def serve(root: Path, port: int) -> bool:
    """Serve the warehouse on a TCP port of this machine, too, until no process uses it any more.

    A server that runs without the port is restarted, which isn't possible while a process uses it.

    :returns: whether it is served.
    :raises TaxiError: as for ``ensure_running``, or the port is taken.
    """
    folder = cluster_folder(root)
    with _starting(root, folder):
        if is_served(root, port):
            _use(folder)
        else:
            try:
                _use(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if is_running(folder):
                stop(folder)
            check_port(port)
        start(folder, port)
    return True


def is_served(root: Path, port: int) -> bool:
    """Whether the server runs, and listens on the port."""
    folder = cluster_folder(root)
    note = read_note(folder) if is_running(folder) else None
    return note is not None and bool(note.address) and note.port == port


@contextmanager
def _starting(root: Path, folder: Path) -> Iterator[None]:
    """Be the only process that creates the cluster, starts the server or stops it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock_file(folder, "starting", fcntl.LOCK_EX):
            yield
    except (OSError, subprocess.SubprocessError) as error:
        raise TaxiError(f"[storage] root: {root} can't hold the warehouse: {error}") from None


def _use(folder: Path, kind: int = fcntl.LOCK_SH) -> None:
    """Count as a user until this process ends; as the only one if the lock is exclusive."""
    if folder not in _users:
        _users[folder] = lock_file(folder, "users", kind)
        stop = partial(_stop_if_alone, folder, os.getpid())
        atexit.register(stop)
        stopping.at_last(stop)
    else:
        fcntl.flock(_users[folder], kind)
    # who may start and stop the server is the only one that changes this
    fcntl.flock(_users[folder], fcntl.LOCK_SH)


def _stop_if_alone(folder: Path, owner: int) -> None:
    if os.getpid() != owner:
        return
    with (
        suppress(KeyboardInterrupt, OSError, KeyError),
        stopping.undisturbed(),
        _users.pop(folder) as users,
    ):
        if not folder.parent.exists():  # the whole storage was removed
            return
        with lock_file(folder, "starting", fcntl.LOCK_EX):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_starting_or_running(folder):
                stop(folder)
