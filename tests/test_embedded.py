"""The embedded warehouse: up while somebody uses it, gone afterwards, and sound after a crash."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from luigi_tasks import embedded
from luigi_tasks.errors import TaxiError

#: Uses the warehouse until its standard input ends.
USE = """
import sys
from pathlib import Path
from luigi_tasks import embedded
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
from luigi_tasks import embedded, warehouse
get_config().set("storage", "root", sys.argv[1])
sys.path.insert(0, sys.argv[2])
from months import FEBRUARY, JANUARY, Months, trips
months = Months(None, Path(sys.argv[1]))
"""


class User:
    """A process that uses the warehouse of a folder."""

    def __init__(self, root: Path, code: str = USE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(root), str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
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


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder whose path is short enough for a socket; what runs in it ends with the test."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    yield folder
    if runs(folder):
        psutil.Process(postmaster(folder)).kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def use(root: Path) -> Iterator[Callable[..., User]]:
    """Starts users of the folder; they end with the test."""
    users: list[User] = []

    def start(code: str = USE) -> User:
        users.append(User(root, code))
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


def test_two_that_begin_at_once_share_it(root: Path, use: Callable[..., User]) -> None:
    users = [use() for _ in range(4)]
    urls = {user.read_line() for user in users}
    assert len(urls) == 1
    assert ask(urls.pop()) == (1,)
    assert [user.end() for user in users] == [0] * 4
    assert not runs(root)


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


def test_a_cluster_that_does_not_start_is_one_line(
    root: Path, use: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    use().end()
    with (root / "warehouse" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    monkeypatch.setattr(embedded, "START_TIMEOUT", 0)
    with pytest.raises(TaxiError, match=r"doesn't start; see the end of .*/warehouse/log$"):
        embedded.ensure_running(root)


STAGE_AND_MERGE = (
    SETTINGS
    + """
months.load(trips(50))
months.stage(trips(60))
months.stage(trips(50, "2024-02-10 10:00:00"), FEBRUARY)
print(warehouse.StagedTarget("green", JANUARY).exists(), flush=True)
print(warehouse.StagedTarget("green", FEBRUARY).exists(), flush=True)
sys.stdin.read()
"""
)

LOOK = (
    SETTINGS
    + """
print(warehouse.StagedTarget("green", JANUARY).exists(), flush=True)
print(warehouse.StagedTarget("green", FEBRUARY).exists(), flush=True)
print(warehouse.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY}, flush=True)
print(warehouse.merge("green", FEBRUARY).rows_inserted, flush=True)
months.load(trips(50, "2024-02-10 10:00:00"), FEBRUARY)
print(warehouse.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY, FEBRUARY}, flush=True)
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


def psql(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luigi_tasks.psql", f"--storage-root={root}", *arguments]
    return subprocess.run(command, cwd=root.parent, capture_output=True, text=True)


def test_psql_asks_a_warehouse_and_makes_none(tmp_path: Path) -> None:
    for _ in range(2):
        ran = psql(tmp_path / "nowhere", "-c", "SELECT 1")
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr == f"no warehouse is in {tmp_path}/nowhere yet: load a month first\n"
        assert list(tmp_path.iterdir()) == []
    with subprocess.Popen(
        [sys.executable, "-c", USE, str(tmp_path / "data")], stdin=subprocess.PIPE
    ) as user:
        user.communicate()
    ran = psql(tmp_path / "data", "-Atc", "SELECT 40 + 2")
    assert (ran.returncode, ran.stdout) == (0, "42\n"), ran.stderr
