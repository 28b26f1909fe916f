"""Servers, databases and runs for the tests.

Every test that needs PostgreSQL runs on each server that is here: the embedded one, and a system's
PostgreSQL of version 15 or later. A test that can't run for want of a tool or of the real files is
skipped with the reason; LUIGI_TASKS_NO_SKIPS=1 makes that a failure.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import forks
import luigi.configuration
import psycopg2
import pytest
from luigi.task_register import Register
from months import Months, close_sessions

import luigi_tasks.tasks  # noqa: F401  (its defaults are in place before a test changes them)
from luigi_tasks import config
from luigi_tasks.sample import Counts, write_month
from luigi_tasks.warehouse.tables import prepare

pytest_plugins = ["buckets", "disks", "fetched", "servers"]

ROOT = Path(__file__).parent.parent
#: Whose ``luigi`` the tests run: this Python's, or that of an installation to be tried.
PYTHON = os.environ.get("LUIGI_TASKS_PYTHON", sys.executable)
FORKS = forks.Server(PYTHON, forks.__file__)
#: The environment of a Python that imports what the tests share.
WITH_TESTS = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}


def pytest_xdist_auto_num_workers() -> int:
    """How many workers ``-n auto`` is: more than cores, as tests wait for servers and deadlines."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have one worker run the tests of the real months, so that these are loaded once."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.endswith("test_real_months.py") else nodeid

    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is slow first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: not item.get_closest_marker("slow"))


def skip(reason: str) -> Any:
    if os.environ.get("LUIGI_TASKS_NO_SKIPS"):
        pytest.fail(f"may not be skipped here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real TLC files: $LUIGI_TASKS_SHARED_DATA, or beside the checkout."""
    folder = Path(os.environ.get("LUIGI_TASKS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "MANIFEST.tsv").is_file():
        skip(f"the real TLC files aren't at {folder}; LUIGI_TASKS_SHARED_DATA names their folder")
    return folder


# --- servers ------------------------------------------------------------------------------------


@dataclass
class Server:
    """A running PostgreSQL that a superuser without password reaches by a Unix socket."""

    socket: Path

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.socket}"

    def create(self, database: str, template: str = "template1") -> None:
        """Make a database, by copying files: that is half the work of logging each page."""
        self.execute(f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY FILE_COPY")

    def execute(self, statement: str) -> None:
        session = psycopg2.connect(self.url("postgres"))
        session.autocommit = True
        try:
            session.cursor().execute(statement)
        finally:
            session.close()


def _embedded_server(folder: Path) -> Iterator[Server]:
    with embedded_database(folder) as database:
        server = Server(Path(database.url.partition("host=")[2]))
        server.execute("ALTER SYSTEM SET fsync = off")
        server.execute("SELECT pg_reload_conf()")
        yield server


def _system_binaries() -> Path | None:
    """The newest system PostgreSQL that is 15 or later."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), Path(shutil.which("initdb") or "/")]
    for initdb in sorted(found, key=lambda p: p.parent.parent.name, reverse=True):
        if initdb.is_file():
            printed = subprocess.run([initdb, "--version"], capture_output=True, text=True)
            if int(printed.stdout.split()[2].split(".")[0]) >= 15:
                return initdb.parent
    return None


def _system_server(folder: Path) -> Iterator[Server]:
    binaries = _system_binaries()
    if not binaries:
        skip("no system PostgreSQL of version 15 or later is installed")
        return
    # PostgreSQL doesn't run as root
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, "postgres")
    cluster = folder / "cluster"

    def run(*command: str | Path) -> None:
        subprocess.run(
            [binaries / command[0], *command[1:]], check=True, stdout=subprocess.DEVNULL, **user
        )

    run("initdb", "-D", cluster, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-D", cluster, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield Server(folder)
    finally:
        run("pg_ctl", "-D", cluster, "-w", "-m", "immediate", "stop")


@pytest.fixture(scope="session", params=["embedded", "system"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for the whole session; tests get databases of their own on it."""
    # not pytest's folder: a socket's path is short, and the server's user must get to it
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o755)
        start = {"embedded": _embedded_server, "system": _system_server}[request.param]
        yield from start(Path(folder))


_numbers = count(1)


@pytest.fixture(scope="session")
def prepared_template(server: Server) -> str:
    """The name of a database with the tables and views of an empty warehouse."""
    server.create("prepared")
    with changed_settings() as change:
        change("warehouse", "url", server.url("prepared"))
        prepare(config.open_warehouse(), "tests")
        close_sessions()
    return "prepared"


@pytest.fixture
def new_database(server: Server, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Makes warehouses without a trip, by URL, which are gone after the test; of one that is marked
    ``empty_database``, databases without a table."""
    is_empty = request.node.get_closest_marker("empty_database")
    template = "template1" if is_empty else request.getfixturevalue("prepared_template")
    names = []

    def make() -> str:
        names.append(f"test_{next(_numbers)}")
        server.create(names[-1], template)
        return server.url(names[-1])

    yield make
    for name in names:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


#: Tables whose rows tell when and how often something was done.
HISTORY = ("load_history", "table_updates", "runs", "load_attempts", "months_seen", "counted_loads")


@dataclass
class Database:
    """An empty database and questions to it."""

    url: str

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement, commit, and return its rows."""
        session = psycopg2.connect(self.url)
        try:
            with session, session.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            session.close()

    def value(self, statement: str, *values: Any) -> Any:
        return self.query(statement, *values)[0][0]

    def trips(self, table: str = "green_trips") -> list[tuple[Any, ...]]:
        """A table, row by row in a fixed order."""
        return self.query(f"SELECT * FROM {table} ORDER BY unique_row_id, filename")

    def ledger(self, *columns: str) -> list[tuple[Any, ...]]:
        return self.query(f"SELECT {', '.join(columns)} FROM load_history ORDER BY load_id")

    def holds_nothing(self) -> bool:
        """Whether nothing is staged or merged, and no load in the ledger; a run that failed has
        left its own rows."""
        tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        names = {name for (name,) in self.query(tables)}
        if any("staging" in name for name in names):
            return False
        loaded = {"load_history", "table_updates", "green_trips", "yellow_trips"} & names
        return not any(self.value(f"SELECT count(*) FROM {name}") for name in loaded)

    def contents(self) -> dict[str, Any]:
        """Every relation and every row but times: what an undisturbed run would leave as well."""
        relations = self.query(
            "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relkind IN ('r', 'p', 'v') ORDER BY relname"
        )
        checksums = {
            table: self.query(
                f"SELECT count(*), md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {table} t"
            )
            for table, kind in relations
            if kind == "r" and table not in HISTORY
        }
        return {
            "relations": relations,
            "trips": checksums,
            "markers": self.query("SELECT update_id FROM table_updates ORDER BY update_id"),
            "ledger": self.query(
                "SELECT taxi_type, month, filename, bytes, sha256, rows_read, rows_rejected, "
                "rows_staged, rows_duplicate, rows_present, rows_inserted, rows_removed, "
                "rows_stray, script, outputs, metrics, "
                "ARRAY(SELECT jsonb_object_keys(pickup_months)) AS pickup_months "
                "FROM load_history ORDER BY taxi_type, month, load_id"
            ),
        }


@pytest.fixture
def database(new_database: Callable[[], str]) -> Database:
    """A warehouse without a trip."""
    return Database(new_database())


# --- runs ---------------------------------------------------------------------------------------


@dataclass
class Run:
    """What a finished command printed and returned."""

    code: int
    output: str


STARTING_BY = """
import multiprocessing, sys
multiprocessing.set_start_method(sys.argv.pop(1))
from luigi.cmdline import luigi_run
luigi_run()
"""


@dataclass
class Luigi:
    """The real ``luigi`` command, in a folder of its own."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    #: How Python starts processes, where it isn't to be this Python's own way.
    start_method: str = ""
    #: What ``--module`` names.
    module: str = "luigi_tasks"

    def command(self, task: str, *flags: str) -> list[str]:
        binary = [str(Path(PYTHON).with_name("luigi"))]
        if self.start_method:
            binary = [PYTHON, "-c", STARTING_BY, self.start_method]
        settings = [word for flag, value in self.settings.items() for word in (flag, value)]
        return [*binary, "--module", self.module, task, *flags, *settings]

    def start(self, task: str, *flags: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(task, *flags),
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, task: str, *flags: str, timeout: float = 300) -> Run:
        environment = {**os.environ, **self.environment}
        if sys.executable == PYTHON and not self.start_method and FORKS.can_run(environment):
            words = self.command(task, *flags)
            return Run(*FORKS.run(words, self.folder, environment, timeout))
        process = self.start(task, *flags)
        output, _ = process.communicate(timeout=timeout)
        return Run(process.returncode, output)

    def merge_range(self, taxi_type: str, start: str, stop: str, *flags: str) -> Run:
        """The main job: ``RangeMonthly --of TaxiMerge``."""
        return self("RangeMonthly", *self.range_flags(taxi_type, start, stop), *flags)

    @staticmethod
    def range_flags(taxi_type: str, start: str, stop: str) -> list[str]:
        of_params = json.dumps({"taxi_type": taxi_type})
        return ["--of=TaxiMerge", f"--of-params={of_params}", f"--start={start}", f"--stop={stop}"]


@pytest.fixture
def luigi_command(tmp_path: Path, database: Database) -> Luigi:
    """The command with an empty database and an empty storage folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    return Luigi(folder, {"--warehouse-url": database.url})


def folder_url(folder: Path) -> str:
    """The template for ``[source] url`` of months in a folder."""
    return f"file://{folder}/{{{{ taxi_type }}}}_tripdata_{{{{ month }}}}.parquet"


# --- settings and months in this process --------------------------------------------------------


@pytest.fixture
def settings() -> Iterator[Callable[[str, str, str], None]]:
    """Sets a value of Luigi's configuration, by section and key, for one test."""
    with changed_settings() as change:
        yield change


@contextmanager
def changed_settings() -> Iterator[Callable[[str, str, str], None]]:
    """Sets values of Luigi's configuration, which are as before in the end.

    Luigi has one instance of a task for its parameters, which has checked the settings of its time.
    """
    Register.clear_instance_cache()
    configuration = luigi.configuration.get_config()
    before = {name: dict(configuration.items(name, raw=True)) for name in configuration.sections()}
    yield configuration.set
    for name in configuration.sections():
        configuration.remove_section(name)
    configuration.read_dict(before)
    Register.clear_instance_cache()


@pytest.fixture
def months(
    database: Database, settings: Callable[[str, str, str], None], tmp_path: Path
) -> Iterator[Months]:
    """Stages and merges rows by this process's connection to an empty database."""
    settings("warehouse", "url", database.url)
    settings("storage", "root", str(tmp_path / "data"))
    yield Months(database, tmp_path)
    close_sessions()


# --- published months and what they make --------------------------------------------------------


@dataclass
class Published:
    """A folder of made-up months, named as the TLC names them."""

    folder: Path
    counts: dict[str, Counts] = field(default_factory=dict)

    def write(self, taxi_type: str, month: str, rows: int = 100, **dirt: Any) -> Path:
        """Publish a month, or another edition of it; ``dirt`` is what ``write_month`` takes."""
        file = self.folder / f"{taxi_type}_tripdata_{month}.parquet"
        first_day = date.fromisoformat(f"{month}-01")
        self.counts[file.name] = write_month(file, taxi_type, first_day, rows=rows, **dirt)
        return file

    @property
    def url(self) -> str:
        return folder_url(self.folder)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return Published(tmp_path / "published")


@pytest.fixture(scope="session")
def three_months(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Green 2024-01 to 2024-03, with every kind of dirt. Not to be changed."""
    three_months = Published(tmp_path_factory.mktemp("published"))
    for month, strays in ("2024-01", 60), ("2024-02", 6), ("2024-03", 0):
        dirt = {"strays": strays, "duplicates": 5, "reversals": 4, "twins": 3}
        three_months.write("green", month, rows=600, **dirt)
    return three_months


@dataclass
class Undisturbed:
    """What the main job makes of three months when nothing comes in its way."""

    run: Run
    database: Database
    contents: dict[str, Any]


@pytest.fixture(scope="session")
def undisturbed(
    server: Server, three_months: Published, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Undisturbed]:
    with lasting_database(server, "undisturbed") as database:
        settings = {"--warehouse-url": database.url, "--source-url": three_months.url}
        command = Luigi(tmp_path_factory.mktemp("undisturbed"), settings)
        run = command.merge_range("green", "2024-01", "2024-04")
        assert run.code == 0, run.output
        yield Undisturbed(run, database, database.contents())


@contextmanager
def lasting_database(server: Server, name: str, template: str = "template1") -> Iterator[Database]:
    """A database under a name of its own, empty or a copy of another."""
    server.create(name, template)
    yield Database(server.url(name))
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def merged(server: Server, undisturbed: Undisturbed) -> Iterator[Database]:
    """A database in which the three months are merged."""
    with lasting_database(server, "merged", "undisturbed") as database:
        yield database


@pytest.fixture
def command(luigi_command: Luigi, three_months: Published) -> Luigi:
    """The command with an empty database and the three months to load."""
    luigi_command.settings["--source-url"] = three_months.url
    return luigi_command


@pytest.fixture
def command_merged(tmp_path: Path, merged: Database, three_months: Published) -> Luigi:
    """The command with a database in which the three months are merged."""
    folder = tmp_path / "run-merged"
    folder.mkdir()
    return Luigi(folder, {"--warehouse-url": merged.url, "--source-url": three_months.url})


@pytest.fixture
def embedded_root() -> Iterator[Path]:
    """An empty storage folder for an embedded warehouse of the test's own."""
    # not pytest's folder: another run of pytest closes that to the server's user
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        yield Path(folder).resolve()


@contextmanager
def embedded_database(root: Path) -> Iterator[Database]:
    """The embedded warehouse of a storage folder, which runs while it is looked at."""
    code = (
        "import pathlib, sys, luigi_tasks.warehouse.embedded as embedded\n"
        "print(embedded.ensure_running(pathlib.Path(sys.argv[1])), flush=True)\n"
        "sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code, root], stdin=pipe, stdout=pipe, text=True
    ) as user:
        assert user.stdout
        yield Database(user.stdout.readline().strip())


def files_in_work(storage_root: Path) -> list[str]:
    """What is in raw/, trips/ and work/ of a storage folder."""
    found = [path for name in ("raw", "trips", "work") for path in (storage_root / name).glob("*")]
    return sorted(str(path.relative_to(storage_root)) for path in found)
