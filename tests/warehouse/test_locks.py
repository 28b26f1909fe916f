"""Runs at once: what they wait for, how long, and what happens when their connection breaks."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import wired
from conftest import WITH_TESTS, Database, Luigi, Published, Server, skip
from luigids import free_port
from months import FEBRUARY, JANUARY, Months, close_sessions, trips
from servers import OwnServer, unprivileged

from luigi_tasks import source, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.tasks import TaxiDownload, TaxiMerge, TaxiStageLoad, TaxiTransform
from luigi_tasks.warehouse import (
    TransientError,
    check_locks,
    connection,
    locks,
    merging,
    staging,
)
from luigi_tasks.warehouse.locks import ADVISORY_LOCKS

pytestmark = pytest.mark.slow

Settings = Callable[[str, str, str], None]

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def held(name: str) -> str:
    """The statement that takes one of our advisory locks."""
    return f"SELECT pg_advisory_lock({ADVISORY_LOCKS}, hashtext('{name}'))"


@pytest.fixture
def impatient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits end after two seconds, and are reported at once."""
    settings("warehouse", "lock_timeout", str(2 / 60))
    monkeypatch.setattr(locks, "LOCK_INTERVAL", 0.05)
    monkeypatch.setattr(locks, "REPORT_INTERVAL", 0.2)
    monkeypatch.setattr(connection, "REPORT_INTERVAL", 0.2)


@contextmanager
def session(database: Database, *statements: str) -> Iterator[Any]:
    """Somebody else's session, in a transaction that has done some statements."""
    other = psycopg2.connect(database.url, application_name="report")
    try:
        with other.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            yield cursor
    finally:
        other.close()


def end_sessions(database: Database) -> None:
    """End this process's sessions, as a restart of the server does."""
    database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'luigi_tasks%'"
    )


def message(act: Callable[[], Any]) -> str:
    with pytest.raises(TaxiError) as refused:
        act()
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- who is waited for, and how long ------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "act"),
    [
        ("SELECT count(*) FROM green_trips", lambda: wired.merge("green", JANUARY)),
        ("LOCK TABLE green_trips IN SHARE MODE", lambda: wired.merge("green", JANUARY)),
        ("LOCK TABLE green_trips_other", lambda: wired.merge("green", JANUARY)),
        (held("table public.green_trips"), lambda: wired.reset("green", JANUARY)),
        (held("tables"), lambda: wired.load_zones("https://mirror.example.org/zones", [])),
        (held("green 2024-01"), lambda: wired.month_lock("green 2024-01").__enter__()),
    ],
    ids=["reader", "parent", "default partition", "table", "ddl", "month"],
)
@on_one_server
def test_who_is_in_the_way_is_named_and_not_waited_for_without_end(
    months: Months,
    impatient: None,
    caplog: pytest.LogCaptureFixture,
    statement: str,
    act: Callable[[], Any],
) -> None:
    months.stage(trips(3))
    caplog.set_level("INFO", "luigi-interface")
    with session(months.database, statement) as other:
        pid = other.connection.get_backend_pid()
        told = message(act)
        known = f"session {pid}, report, user postgres, idle in transaction for 00:00:0"
        assert "[warehouse] lock_timeout" in told
        assert known in caplog.text
    assert months.count() == 0
    wired.merge("green", JANUARY)
    assert months.count() == 3


ASIDE = """
import sys
from datetime import date
from luigi.configuration import get_config
import luigi_tasks.tasks
import wired
get_config().set("warehouse", "url", sys.argv[1])
JANUARY = date(2024, 1, 1)
print("begun", flush=True)
exec(sys.argv[2])
print("done", flush=True)
"""


@contextmanager
def aside(database: Database, code: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process at work on the same database; it has printed ``begun``."""
    command = [sys.executable, "-c", ASIDE, database.url, code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=WITH_TESTS) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        try:
            yield process
        finally:
            process.kill()


def assert_done(process: "subprocess.Popen[str]") -> None:
    output, _ = process.communicate(timeout=60)
    assert output.endswith("done\n")


def wait_for(database: Database, condition: str) -> None:
    """Wait until a query about other sessions has rows."""
    for _ in range(1_200):
        if database.query(f"SELECT 1 FROM pg_stat_activity WHERE {condition}"):
            return
        time.sleep(0.05)
    seen = database.query("SELECT application_name, state, query FROM pg_stat_activity")
    raise AssertionError(f"it never came to {condition}: {seen}")


@on_one_server
def test_a_reader_of_one_table_keeps_no_other_one_waiting(months: Months) -> None:
    months.stage(trips(3))
    months.stage(trips(4), JANUARY, "yellow")
    with (
        session(months.database, "SELECT count(*) FROM green_trips") as reader,
        aside(months.database, "wired.merge('green', JANUARY)") as stuck,
    ):
        wait_for(months.database, "query LIKE '/* TaxiMerge green 2024-01 */%SAVEPOINT%'")
        assert wired.merge("yellow", JANUARY).rows_inserted == 4
        months.stage(trips(2, "2024-02-01"), FEBRUARY)
        assert stuck.poll() is None
        reader.connection.rollback()
        assert_done(stuck)
    assert months.count() == 3


@on_one_server
def test_whoever_changes_tables_keeps_no_month_waiting(months: Months) -> None:
    months.load(trips(1, "2024-02-01"), FEBRUARY)
    with session(months.database, held("tables")):
        assert months.load(trips(3)).rows_inserted == 3


@on_one_server
def test_a_statement_waits_no_longer_than_a_lock(
    months: Months, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    months.load(trips(3))
    close_sessions()
    caplog.set_level("INFO", "luigi-interface")
    with session(months.database, "LOCK TABLE green_trips") as other:
        told = message(lambda: wired.merged_months("green", [JANUARY]))
        pid = other.connection.get_backend_pid()
    assert "[warehouse] lock_timeout" in told
    assert f"merged months of green: waiting for session {pid}, report" in caplog.text


@on_one_server
def test_staging_waits_for_no_merge(months: Months) -> None:
    months.load(trips(1, "2024-02-01"), FEBRUARY)
    with session(months.database, held("table public.green_trips")):
        months.stage(trips(3))
    assert wired.merge("green", JANUARY).rows_inserted == 3


def test_a_stray_that_comes_while_its_month_is_attached_breaks_nothing(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    months.load([*trips(2, "2024-02-01"), *trips(1, "2024-01-31")], FEBRUARY)
    months.stage(trips(3))
    attach = merging.attach
    stray = (
        "INSERT INTO green_trips (unique_row_id, filename, pickup_datetime)"
        " VALUES (gen_random_uuid(), 'green_tripdata_2024-03.parquet', '2024-01-20')"
    )

    def insert() -> None:
        with suppress(psycopg2.errors.CheckViolation):  # routed before the partition was there
            months.database.query(stray)

    inserting = threading.Thread(target=insert)

    def attach_later(*arguments: Any) -> None:
        inserting.start()
        wait_for(months.database, "query LIKE 'INSERT%' AND wait_event_type = 'Lock'")
        attach(*arguments)

    monkeypatch.setattr(merging, "attach", attach_later)
    assert wired.merge("green", JANUARY).rows_inserted == 3
    inserting.join(60)
    assert months.database.value("SELECT count(*) FROM green_trips_2024_01") >= 4
    assert months.database.value("SELECT count(*) FROM green_trips_other") == 0


# --- connections that break ---------------------------------------------------------------------


@on_one_server
def test_nothing_is_written_once_the_lock_is_lost(months: Months, tmp_path: Path) -> None:
    """Whether or not another run has it: one may have had it meanwhile."""
    published, fetched = tmp_path / "published.csv", tmp_path / "raw" / "fetched.csv"
    published.write_text("a,b\n1,2\n")
    months.stage(trips(2))
    for others in (held("green 2024-01"), "SELECT 1"):
        with wired.month_lock("green 2024-01"), session(months.database, "SELECT 1") as other:
            check_locks()
            end_sessions(months.database)
            other.execute(others)
            for act in (
                lambda: source.fetch(published.as_uri(), fetched, before_publishing=check_locks),
                lambda: months.stage(trips(3)),
                lambda: wired.merge("green", JANUARY),
                lambda: wired.reset("green", JANUARY),
            ):
                assert "green 2024-01: its lock was lost" in message(act)
            assert not fetched.exists()
            assert months.count() == 0
    with wired.month_lock("green 2024-01"):
        assert wired.merge("green", JANUARY).rows_inserted == 2


@on_one_server
def test_a_task_does_its_work_anew_when_the_warehouse_breaks_off(
    months: Months, published: Published, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings("source", "url", published.url)
    monkeypatch.setattr(wired.session, "BACKOFF", 0.01)
    published.write("green", "2024-01", rows=50)
    broken = []

    def breaking(act: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
        def once(*arguments: Any, **named: Any) -> Any:
            is_first = act not in broken
            broken.append(act)
            if is_first and before:
                end_sessions(months.database)
            result = act(*arguments, **named)
            if is_first and not before:
                raise TransientError("the answer to COMMIT was lost")
            return result

        return once

    for module, name, before in (
        (warehouse, "stage", True),
        (staging, "set_marker", True),
        (merging, "attach", True),
        (warehouse, "merge", False),
    ):
        act = getattr(module, name)
        monkeypatch.setattr(module, name, breaking(act, before=before))
    chain = [TaxiDownload, TaxiTransform, TaxiStageLoad, TaxiMerge]
    for task in chain:
        task(month=JANUARY, taxi_type="green").run()
    assert len(set(broken)) == 4
    assert months.count() == 50
    assert months.database.ledger("rows_inserted") == [(50,)]


def test_a_warehouse_that_stays_away_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wired.session, "BACKOFF", 0.01)
    settings("warehouse", "retries", "2")
    settings("warehouse", "url", "postgresql://taxi:secret@127.0.0.1:1/warehouse")
    refused = message(lambda: wired.merged_months("green", [JANUARY]))
    assert "taxi@127.0.0.1:1/warehouse can't be reached" in refused
    assert caplog.text.count("trying again in") == 2
    assert "secret" not in caplog.text + refused


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"user": "nobody_of_this_name"}, "does not exist"),
        ({"database": "no_database_of_this_name"}, "does not exist"),
    ],
)
@on_one_server
def test_what_no_pause_would_mend_is_not_tried_again(
    server: Server,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    facts: dict[str, str],
    words: str,
) -> None:
    settings("warehouse", "url", server.url(**{"database": "postgres", **facts}))
    assert words in message(lambda: wired.merged_months("green", [JANUARY]))
    assert "trying again" not in caplog.text


# --- servers of one's own -----------------------------------------------------------------------


def test_a_range_goes_on_when_its_server_is_restarted(
    own_server: OwnServer, three_months: Published, tmp_path: Path
) -> None:
    luigi = Luigi(tmp_path, {"--warehouse-url": own_server.url, "--source-url": three_months.url})
    database = Database(own_server.url)
    run = luigi.start("RangeMonthly", *luigi.range_flags("green", "2024-01", "2024-04"))
    wait_for(database, "application_name LIKE 'luigi_tasks%'")
    own_server.control("-m", "immediate", "stop")
    assert run.stdout
    output = ""
    while "trying again in 1 s" not in output:
        line = run.stdout.readline()
        assert line, output
        output += line
    own_server.control("start")
    rest, _ = run.communicate(timeout=120)
    output += rest
    assert run.returncode == 0, output
    assert "Traceback" not in output
    expected = [(three_months.counts[f"green_tripdata_2024-0{n}.parquet"].rows,) for n in (1, 2, 3)]
    assert database.ledger("rows_read") == expected


def test_a_host_that_loses_power_keeps_its_locks_for_a_minute_or_two(
    own_server: OwnServer, settings: Settings
) -> None:
    settings("warehouse", "url", own_server.url)
    with wired.labelled_cursor("test") as cursor:
        cursor.execute(
            "SELECT name, setting FROM pg_settings WHERE name ~ '^(tcp|client_connection)'"
        )
        found = {name: int(setting) for name, setting in cursor.fetchall()}
    close_sessions()
    parts = ("idle", "interval", "count")
    idle, interval, count = (found[f"tcp_keepalives_{part}"] for part in parts)
    assert 0 < idle + interval * count <= 120
    assert 0 < found["tcp_user_timeout"] <= 120_000
    assert 0 < found["client_connection_check_interval"] <= 30_000


@contextmanager
def pooler(server: OwnServer, mode: str) -> Iterator[str]:
    """A pgbouncer in front of a server; its URL."""
    binary = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if not binary:
        skip("pgbouncer isn't installed")
        return
    port, file = free_port(), server.folder / "pgbouncer.ini"
    users = server.folder / "users.txt"
    users.write_text('"postgres" ""\n')
    file.write_text(
        f"""
[databases]
postgres = host=127.0.0.1 port={server.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
logfile = {server.folder / "pgbouncer.log"}
"""
    )
    for each in (file, users):
        each.chmod(0o644)
    with subprocess.Popen([binary, "-q", file], **unprivileged()) as process:
        try:
            wait_for_port(port)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def wait_for_port(port: int) -> None:
    for _ in range(200):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_would_strand_locks_is_refused(
    own_server: OwnServer, settings: Settings, mode: str
) -> None:
    with pooler(own_server, mode) as url:
        settings("warehouse", "url", url)
        refused = message(lambda: wired.merged_months("green", [JANUARY]))
        assert "pool_mode = session" in refused
        close_sessions()
    locks = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"
    assert Database(own_server.url).query(locks) == []


def test_a_pooler_that_keeps_sessions_is_fine(
    own_server: OwnServer, settings: Settings, tmp_path: Path
) -> None:
    with pooler(own_server, "session") as url:
        settings("warehouse", "url", url)
        months = Months(Database(url), tmp_path)
        with wired.month_lock("green 2024-01"):
            assert months.load(trips(3)).rows_inserted == 3
        close_sessions()


@pytest.mark.empty_database
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@on_one_server
def test_two_first_runs_at_once_under_any_default_isolation(
    database: Database, three_months: Published, tmp_path: Path, isolation: str
) -> None:
    name = database.value("SELECT current_database()")
    database.query(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    runs = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        flags = {"--warehouse-url": database.url, "--source-url": three_months.url}
        luigi = Luigi(folder, flags)
        month = f"--month=2024-0{number}"
        runs.append(luigi.start("TaxiMerge", month, "--taxi-type=green"))
    for run in runs:
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
    assert len(database.ledger("month")) == 2


@pytest.mark.parametrize(
    "name", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
)
@on_one_server
def test_limits_that_a_role_has_for_queries_do_not_end_a_load(
    server: Server, database: Database, settings: Settings, name: str
) -> None:
    server.execute("CREATE ROLE hurried LOGIN")
    server.execute(f"ALTER ROLE hurried SET {name} = '1h'")
    settings("warehouse", "url", database.url.replace("postgres@", "hurried@"))
    settings("warehouse", "lock_timeout", "120")
    try:
        with wired.labelled_cursor("test") as cursor:
            cursor.execute(f"SHOW {name}")
            ours = {"lock_timeout": "2h", "statement_timeout": "4h"}
            assert cursor.fetchall() == [(ours.get(name, "0"),)]
    finally:
        close_sessions()
        server.execute("DROP ROLE hurried")
