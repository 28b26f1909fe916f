"""The server of the embedded warehouse: start it, stop it, find its socket."""

import fcntl
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from luigi_tasks import stopping
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse.embedded.cluster import (
    add_settings,
    as_server,
    binary,
    give_to_server,
    is_made,
    lock_file,
    make,
    server_environment,
)

logger = logging.getLogger("luigi-interface.embedded")

#: Seconds that a server may take to be ready; it recovers from a crash within them.
START_TIMEOUT = 300
#: Seconds that it may take to end.
STOP_TIMEOUT = 120
#: The number in the name of its socket, unless it serves a TCP port.
PORT = 5432
#: While a port is served: by TCP, one role with a password, and nobody else.
SERVED_ROLE = "taxi_reader"
HBA = f"local all all trust\nhost all {SERVED_ROLE} 127.0.0.1/32 scram-sha-256\n"
#: The prefix of folders for sockets that can't be in the cluster's.
_SOCKETS = "luigi_tasks-"
#: The process ids of servers that aren't ready yet, by the cluster's folder.
_launched: dict[Path, int] = {}


@dataclass(frozen=True)
class ServerNote:
    """The contents of a server's ``postmaster.pid``."""

    pid: int
    port: int
    socket: Path
    address: str
    is_ready: bool


def start(folder: Path, port: int | None = None) -> None:
    """Start the server unless it runs, and wait until it is ready."""
    deadline = time.monotonic() + START_TIMEOUT
    launched, log, log_size = None, folder / "log", 0
    while not _is_ready(folder):
        is_late = time.monotonic() > deadline
        if launched and not _is_alive(launched):
            reason = _reason(log, log_size)
            # processes of a server that was killed end by themselves, a moment later
            if is_late or "pre-existing shared memory block" not in reason:
                raise TaxiError(
                    f"the embedded warehouse doesn't start: {reason}; see the end of {log}"
                )
            launched = None
            time.sleep(1)
        elif is_late:
            raise TaxiError(
                f"the embedded warehouse isn't ready after {START_TIMEOUT} s; see the end of {log}"
            )
        if not launched and not is_running(folder):
            _refuse_if_elsewhere(folder)
            if not is_made(folder):
                make(folder)
            add_settings(folder)
            _forget_dead_server(folder)
            log_size = log.stat().st_size if log.exists() else 0
            with stopping.undisturbed():  # its number must be known to end it
                launched = _launched[folder] = _launch(folder, port)
        time.sleep(0.02)
    _launched.pop(folder, None)


def _launch(folder: Path, port: int | None) -> int:
    """Start the server's process, which outlives this one; returns its process id."""
    place = _socket_folder(folder, port or PORT)
    settings = {
        "unix_socket_directories": '"' + str(place).replace('"', '""') + '"',
        "port": port or PORT,
        "listen_addresses": "127.0.0.1" if port else "",
    }
    if port:
        hba = folder / "luigi_tasks_hba.conf"
        hba.write_text(HBA)
        give_to_server(hba, folder)
        settings["hba_file"] = hba
    command: list[Any] = [binary("postgres"), "-D", folder]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    lock = lock_file(folder, "server", fcntl.LOCK_SH)
    with lock, (folder / "log").open("ab") as log:
        for file in (folder / "log", Path(lock.name)):
            give_to_server(file, folder)
        lock.truncate(0)
        lock.write(json.dumps(_here()))
        lock.flush()
        shell = '"$@" </dev/null >&2 & echo $!'
        ran = subprocess.run(
            ["/bin/sh", "-c", shell, "sh", *command],
            check=True,
            cwd="/",
            env=server_environment(),
            pass_fds=[lock.fileno()],
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=log,
            **as_server(folder),
        )
    return int(ran.stdout)


def stop(folder: Path) -> None:
    """Stop the server, and end its sessions."""
    note = read_note(folder)
    number = _launched.pop(folder, note.pid if note else 0)
    if not number:
        return
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGINT)
    deadline = time.monotonic() + STOP_TIMEOUT
    while _is_alive(number):
        if time.monotonic() > deadline:
            logger.warning("the warehouse takes long to stop; see the end of %s/log", folder)
            return
        time.sleep(0.02)
    _remove_sockets(folder, note)


def _reason(log: Path, size_before: int) -> str:
    """Why the server didn't start, from what it logged since."""
    with log.open("rb") as file:
        file.seek(size_before)
        said = file.read().decode(errors="replace").splitlines()
    found = [re.sub(r"^.*?\b(LOG|FATAL|PANIC|HINT|DETAIL): +", "", line).strip() for line in said]
    is_level = re.compile(r"\b(FATAL|PANIC): ")
    last = [i for i, line in enumerate(said) if is_level.search(line)]
    if not last:
        return found[-1] if found else "it logged nothing"
    reasons = found[max(last[-1] - 1, 0) : last[-1] + 1]
    return "; ".join(reasons)


def url_of(folder: Path) -> str:
    note = read_note(folder)
    if note is None:
        raise TaxiError(f"the embedded warehouse in {folder} has just ended; run again")
    host = quote(os.fsencode(note.socket))
    return f"postgresql://postgres@/postgres?port={note.port}&host={host}"


def read_note(folder: Path) -> ServerNote | None:
    """The server's ``postmaster.pid``; None until it is complete."""
    with suppress(FileNotFoundError, ValueError, IndexError):
        # not by splitlines, for which a path may have line ends
        lines = os.fsdecode((folder / "postmaster.pid").read_bytes()).split("\n")
        return ServerNote(
            pid=int(lines[0]),
            port=int(lines[3]),
            socket=Path(lines[4]),
            address=lines[5],
            is_ready=lines[7].strip() == "ready",
        )
    return None


def _is_ready(folder: Path) -> bool:
    note = read_note(folder)
    return note is not None and note.is_ready and is_running(folder)


def is_running(folder: Path) -> bool:
    """Whether the process that the cluster's note names is a living PostgreSQL of this cluster."""
    import psutil

    try:
        number = int((folder / "postmaster.pid").read_bytes().split()[0])
        process = psutil.Process(number)
        if not process.name().startswith("postgres"):
            return False
        if process.uids().real != folder.stat().st_uid:
            return False
        with suppress(psutil.AccessDenied):  # root in a container may not ask for it
            if not Path(process.cwd()).samefile(folder):
                return False
        return process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        return False


def _is_alive(number: int) -> bool:
    import psutil

    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _forget_dead_server(folder: Path) -> None:
    """Remove the files of a dead server, whose process id another program may have by now."""
    _remove_sockets(folder, read_note(folder))
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _socket_folder(folder: Path, port: int) -> Path:
    """The folder of the server's socket: the cluster's if that can have one.

    A socket's path may have 107 bytes on Linux, libpq takes one with a comma for two, psycopg2
    wants UTF-8, and not every drive can have sockets. Then it is in a new folder of ours.
    """
    is_simple = "," not in str(folder) and str(folder).isprintable()
    if is_simple and _can_have_socket(folder, port):
        return folder
    own = os.environ.get("XDG_RUNTIME_DIR") if os.geteuid() else None
    for place in filter(None, (own, tempfile.gettempdir(), "/tmp")):  # noqa: S108
        with suppress(OSError):
            made = Path(tempfile.mkdtemp(prefix=_SOCKETS, dir=place))
            if _can_have_socket(made, port):
                give_to_server(made, folder)
                return made
            made.rmdir()
    raise TaxiError(f"no folder can have the embedded warehouse's socket: {folder}, nor /tmp")


def _can_have_socket(folder: Path, port: int) -> bool:
    path = folder / f".s.PGSQL.{port}"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(os.fsencode(path))
        except OSError:
            return False
    path.unlink()
    return True


def _remove_sockets(folder: Path, note: ServerNote | None) -> None:
    """Remove the sockets that a dead server may have left."""
    for path in folder.iterdir():
        if path.name.startswith(".s.PGSQL."):
            path.unlink(missing_ok=True)
    if note and note.socket.name.startswith(_SOCKETS) and note.socket != folder:
        shutil.rmtree(note.socket, ignore_errors=True)


def check_port(port: int) -> None:
    if not 0 < port < 65536:
        raise TaxiError(f"port {port}: must be between 1 and 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise TaxiError(f"port {port}: {error}; choose another one by --port") from None


def _here() -> dict[str, str]:
    """What identifies this machine or container, and its boot."""
    facts = {"host": socket.gethostname()}
    for name, path in (("id", "/etc/machine-id"), ("boot", "/proc/sys/kernel/random/boot_id")):
        with suppress(OSError):
            facts[name] = Path(path).read_text().strip()
    with suppress(OSError):
        # process numbers mean nothing in another namespace of these
        facts["namespace"] = str(Path("/proc/self/ns/pid").readlink())
    return facts


def _refuse_if_elsewhere(folder: Path) -> None:
    """Raise a TaxiError if a server of another machine or container uses the cluster.

    Process ids mean nothing across machines. The server's file lock works where the drive has locks
    across machines, as NFS does; the content of that file names the machine of a server that was
    not shut down.
    """
    here = _here()
    with lock_file(folder, "server", fcntl.LOCK_UN) as lock:
        lock.seek(0)
        try:
            there = json.loads(lock.read())
            host = str(there["host"])
        except (ValueError, TypeError, KeyError):
            return  # no server was started yet, or by an earlier version
        in_use = f"the warehouse in {folder} is in use on {host}, another machine or container"
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if there == here:
                return  # what is left of a server that was killed
            raise TaxiError(f"{in_use}: stop what runs there first") from None
    is_here = there.get("boot") == here.get("boot") or (there["host"], there.get("id")) == (
        here["host"],
        here.get("id"),
    )
    note = folder / "postmaster.pid"
    if note.exists() and not is_here:
        raise TaxiError(f"{in_use}: stop what runs there first, or if it is gone, remove {note}")


def is_starting_or_running(folder: Path) -> bool:
    """Whether this process launched a server that isn't ready yet, or one runs."""
    return folder in _launched or is_running(folder)
