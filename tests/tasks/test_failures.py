"""What goes wrong is told in one line, by an exit code, and leaves the database as it was."""

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import (
    Database,
    Luigi,
    Published,
    Run,
    Server,
    Undisturbed,
    files_in_work,
)
from disks import remount
from mirror import Mirror, Page

from luigi_tasks import config, runner
from luigi_tasks.errors import TaxiError, is_systemic
from luigi_tasks.runner import CommandError, Job
from luigi_tasks.sample import schema
from luigi_tasks.tasks.log import OneLine

pytestmark = [pytest.mark.slow, pytest.mark.empty_database]

KILLED_AT = Path(__file__).parent / "killed_at.py"
WRONG_VALUE, FAILED, NOT_ASKED = 40, 30, 35

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def assert_refused(run: Run, code: int | None, *words: str) -> None:
    """The exit code is this one, or some error; one line has all the words; no traceback."""
    assert run.code == code if code is not None else run.code > 0, run.output
    assert "Traceback" not in run.output, run.output
    told = [line for line in run.output.splitlines() if all(word in line for word in words)]
    assert len(told) == 1, run.output


def is_empty(database: Database) -> bool:
    relations = "SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    return database.query(relations) == []


# --- wrong values -------------------------------------------------------------------------------

RANGE = ("RangeMonthly", "--of=TaxiMerge")
MONTH = ("TaxiMerge", "--month=2024-01", "--taxi-type=green")


@on_one_server
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("TaxiMerge", "--month=2019-13"), ["month '2019-13'", "between 01 and 12"]),
        (("TaxiMerge", "--month=January"), ["month 'January'", "such as 2024-01"]),
        ((*RANGE, "--start=2019-13"), ["month '2019-13'", "between 01 and 12"]),
        ((*RANGE, "--start=2019-01", "--stop=2019-13"), ["month '2019-13'", "between 01 and 12"]),
        (("TaxiMerge", "--month=2024-01", "--taxi-type=blue"), ["'blue'", "yellow, green"]),
        ((*RANGE, '--of-params={"taxi_type": "blue"}'), ["'blue'", "yellow, green"]),
        ((*RANGE, '--of-params={"colour": "green"}'), ["--of-params", "colour"]),
        ((*RANGE, '--of-params={"taxi_type": "green"'), ["of-params", "JSON"]),
        ((*RANGE, "--of-params=green"), ["of-params", "JSON"]),
        (("TaxiMerge", "--month=2008-12"), ["yellow 2008-12", "no trips", "from 2009-01 on"]),
        (
            ("TaxiMerge", "--month=2013-07", "--taxi-type=green"),
            ["green 2013-07", "no trips", "from 2013-08 on"],
        ),
        (
            (*RANGE, "--start=2024-03", "--stop=2024-01"),
            ["start 2024-03 is after stop 2024-01"],
        ),
        ((*MONTH, "--source-url=nope://a/b"), ["[source] url", "scheme is nope", "https://"]),
        ((*MONTH, "--source-url=file:///{{ colour }}"), ["[source] url", "'colour'", "taxi_type"]),
        ((*MONTH, "--source-url=file:///{{ month"), ["[source] url", "end of"]),
        ((*MONTH, "--source-timeout=soon"), ["[source] timeout", "soon"]),
        ((*MONTH, "--source-timeout=0"), ["[source] timeout", "above 0"]),
        ((*MONTH, "--source-retries=many"), ["[source] retries", "many"]),
        ((*MONTH, "--source-retries=-1"), ["[source]", "retries", "0 or more"]),
        ((*MONTH, "--storage-root={{ folder }}"), ["[storage] root", "'folder'"]),
        ((*MONTH, "--warehouse-url=mysql://a/b"), ["[warehouse] url", "postgresql://"]),
        ((*MONTH, "--warehouse-url={{ host }}"), ["[warehouse] url", "'host'"]),
        ((*MONTH, "--trips-table={{ colour }}_trips"), ["[trips] table", "'colour'", "taxi_type"]),
        ((*MONTH, "--trips-table=trips"), ["[trips] table", "must differ by taxi type"]),
        ((*MONTH, "--trips-table=a.b.{{ taxi_type }}"), ["[trips] table", "schema.name"]),
        ((*MONTH, "--trips-staging-table=staging"), ["[trips] staging_table", "must differ"]),
        ((*MONTH, "--transform-max-reject-ratio=2"), ["max_reject_ratio", "from 0 to 1"]),
        ((*MONTH, "--transform-max-reject-ratio=few"), ["[transform] max_reject_ratio", "few"]),
        ((*MONTH, "--runner-kind=magic"), ["[runner] kind", "magic"]),
        ((*MONTH, "--cleanup-enabled=perhaps"), ["[cleanup] enabled", "perhaps"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_value_is_refused_before_anything_runs(
    command: Luigi, database: Database, arguments: tuple[str, ...], words: list[str]
) -> None:
    given = [argument.partition("=")[0] for argument in arguments]
    command.settings = {k: v for k, v in command.settings.items() if k not in given}
    assert_refused(command(*arguments), WRONG_VALUE, *words)
    assert is_empty(database)
    assert not (command.folder / "data").exists()


@on_one_server
@pytest.mark.parametrize(
    ("section", "line", "words"),
    [
        ("source", "url = {{ where }}/{{ month }}", ["[source] url", "'where'", "month"]),
        ("source", "timeout = soon", ["[source] timeout", "soon"]),
        ("trips", "table = {{ taxi_type", ["[trips] table"]),
        ("transform", "max_reject_ratio = -0.1", ["[transform] max_reject_ratio", "-0.1"]),
        ("runner", "kind = docker-compose", ["[runner] kind", "docker-compose"]),
        ("cleanup", "enabled = maybe", ["[cleanup] enabled", "maybe"]),
        ("RangeMonthly", "start = 2024-00", ["2024-00", "between 01 and 12"]),
    ],
)
def test_a_wrong_line_in_luigi_cfg_is_refused(
    command: Luigi, database: Database, section: str, line: str, words: list[str]
) -> None:
    (command.folder / "luigi.cfg").write_text(f"[{section}]\n{line}\n")
    if section == "source":
        del command.settings["--source-url"]
    run = command(*RANGE, "--stop=2030-01")
    assert_refused(run, WRONG_VALUE, *words)
    assert is_empty(database)


@on_one_server
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RangeMonthly", "--of=TaxiMerg"], ["TaxiMerg"]),
        (["TaxiMerge", "--month=2024-01", "--colour=green"], ["--colour"]),
        (["TaxiMerge"], ["month", "TaxiMerge"]),
        ([], ["No task"]),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_named(
    luigi_command: Luigi, database: Database, arguments: list[str], words: list[str]
) -> None:
    luigi_command.settings.clear()
    binary, module, name, *_ = luigi_command.command("TaxiMerge")
    finished = subprocess.run(
        [binary, module, name, *arguments],
        cwd=luigi_command.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert_refused(Run(finished.returncode, finished.stdout), None, *words)
    assert not (luigi_command.folder / "data").exists()


# --- wrong files --------------------------------------------------------------------------------


class Wrong:
    """Publishes files that can't be loaded, as green 2024-04."""

    NAME = "green_tripdata_2024-04.parquet"
    GREEN = schema("green", date(2024, 4, 1))

    @staticmethod
    def page(published: Published) -> None:
        (published.folder / Wrong.NAME).write_text("<!DOCTYPE html><title>Sorry</title>")

    @staticmethod
    def nothing(published: Published) -> None:
        (published.folder / Wrong.NAME).write_bytes(b"")

    @staticmethod
    def truncated(published: Published) -> None:
        file = published.write("green", "2024-04")
        file.write_bytes(file.read_bytes()[:-5_000])

    @staticmethod
    def other_service(published: Published) -> None:
        file = published.write("yellow", "2024-04")
        file.rename(published.folder / Wrong.NAME)

    @staticmethod
    def without_fare(published: Published) -> None:
        columns = Wrong.GREEN.remove(Wrong.GREEN.get_field_index("fare_amount"))
        published.write("green", "2024-04", schema=columns)

    @staticmethod
    def two_vendors(published: Published) -> None:
        published.write(
            "green", "2024-04", schema=Wrong.GREEN.append(pa.field(" vendorid", "int32"))
        )

    @staticmethod
    def many_rejects(published: Published) -> None:
        file = published.write("green", "2024-04", rows=200)
        table = pq.read_table(file)
        at = table.schema.get_field_index("PULocationID")
        zones = [str(zone) for zone in table["PULocationID"].to_pylist()]
        zones[7:50:10] = ["Midtown"] * 5
        pq.write_table(table.set_column(at, "PULocationID", pa.array(zones)), file)


WRONG_FILES = {
    Wrong.page: ["got an HTML page", "wanted parquet, CSV or JSON", "check the URL"],
    Wrong.nothing: ["got an empty file", "wanted parquet, CSV or JSON"],
    Wrong.truncated: ["the file is truncated", "try again later"],
    Wrong.other_service: ["not a file of green trips, it looks like yellow", "lpep_pickup"],
    Wrong.without_fare: ["not a file of green trips", "it has no column fare_amount"],
    Wrong.two_vendors: ["columns 'VendorID' and ' vendorid' both stand for vendor_id"],
    Wrong.many_rejects: ["5 of the first 200 rows can't be read", "at most 2 of 200", "Midtown"],
}


@on_one_server
@pytest.mark.parametrize("wrong", WRONG_FILES, ids=lambda wrong: wrong.__name__)
def test_a_wrong_file_fails_its_month_until_it_is_replaced(
    command_merged: Luigi,
    merged: Database,
    undisturbed: Undisturbed,
    published: Published,
    wrong: Any,
) -> None:
    published.folder.mkdir()
    wrong(published)
    command_merged.settings["--source-url"] = published.url
    run = command_merged.merge_range("green", "2024-01", "2024-05")
    assert_refused(run, FAILED, "green_tripdata_2024-04.parquet", *WRONG_FILES[wrong])
    assert merged.contents() == undisturbed.contents

    published.write("green", "2024-04")
    run = command_merged.merge_range("green", "2024-01", "2024-05")
    assert run.code == 0, run.output
    assert merged.ledger("filename", "rows_inserted")[-1] == (Wrong.NAME, 100)


@on_one_server
def test_a_page_in_place_of_a_file_is_told(
    command: Luigi, database: Database, three_months: Published
) -> None:
    with Mirror(three_months.folder, [Page()]) as mirror:
        url = mirror.url("{{ taxi_type }}_tripdata_{{ month }}.parquet")
        command.settings["--source-url"] = url
        run = command(*MONTH)
        assert_refused(run, FAILED, "got an HTML page", "wanted parquet, CSV or JSON")
        assert database.holds_nothing()
        run = command(*MONTH)
        assert run.code == 0, run.output


@on_one_server
def test_rejects_that_pass_are_told_and_kept(
    command: Luigi, database: Database, published: Published
) -> None:
    published.folder.mkdir()
    Wrong.many_rejects(published)
    command.settings["--source-url"] = published.url
    month = ("TaxiMerge", "--month=2024-04", "--taxi-type=green")
    run = command(*month, "--transform-max-reject-ratio=0.1")
    assert run.code == 0, run.output
    assert "green 2024-04: read 200 rows, rejected 5" in run.output
    assert database.ledger("rows_rejected", "rows_inserted") == [(5, 195)]
    rejects = command.folder / "data" / "rejects" / "green_tripdata_2024-04.jsonl"
    assert str(rejects) in run.output
    assert len(rejects.read_text().splitlines()) == 5


# --- the source ---------------------------------------------------------------------------------


@on_one_server
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/{{ month }}", ["cannot reach http://127.0.0.1:1", "check the URL"]),
        ("http://reader:secret@127.0.0.1:1/{{ month }}", ["cannot reach http://127.0.0.1:1"]),
        (
            "file:///no/such/folder/{{ month }}",
            ["nothing is published at", "is [source] url right?"],
        ),
    ],
)
def test_a_source_that_cannot_be_asked_is_told(
    command: Luigi, database: Database, url: str, words: list[str]
) -> None:
    command.settings |= {"--source-url": url, "--source-retries": "0"}
    run = command(*MONTH)
    assert_refused(run, NOT_ASKED, *words)
    assert "secret" not in run.output
    assert database.holds_nothing()


@on_one_server
@pytest.mark.parametrize("step", ["TaxiDownload", "TaxiTransform", "TaxiStageLoad"])
def test_what_came_from_another_source_is_fetched_anew(
    command: Luigi, database: Database, published: Published, step: str
) -> None:
    month = ("--month=2024-01", "--taxi-type=green")
    assert command(step, *month).code == 0
    published.write("green", "2024-01", rows=77)
    command.settings["--source-url"] = published.url
    run = command("TaxiMerge", *month)
    assert run.code == 0, run.output
    url = f"file://{published.folder}/green_tripdata_2024-01.parquet"
    assert database.ledger("rows_read", "url") == [(77, url)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["RangeMonthly", "--of=TaxiZones"], "--of TaxiZones: a task without a month"),
        (["RangeMonthly", "--of=TaxiMerge", '--of-params="green"'], "must be JSON such as"),
    ],
)
@on_one_server
def test_a_range_of_nothing_is_told(command: Luigi, words: list[str], told: str) -> None:
    assert_refused(command(*words), 40, told)


# --- the warehouse ------------------------------------------------------------------------------


@pytest.fixture
def role(server: Server, merged: Database) -> Iterator[str]:
    """A role without any rights but those of everyone."""
    server.execute("CREATE ROLE visitor LOGIN")
    yield "visitor"
    merged.query("DROP OWNED BY visitor")
    server.execute("DROP ROLE visitor")


def test_a_role_or_database_that_is_not_there_is_told(
    command_merged: Luigi, merged: Database, undisturbed: Undisturbed, server: Server
) -> None:
    wrong = {
        server.url("merged", "nobody"): ['role "nobody" does not exist', "nobody@"],
        server.url("nowhere"): ['database "nowhere" does not exist', "/nowhere"],
    }
    for url, words in wrong.items():
        command_merged.settings["--warehouse-url"] = url
        run = command_merged.merge_range("green", "2024-01", "2024-04")
        assert_refused(run, NOT_ASKED, "can't be reached", *words)
        assert files_in_work(command_merged.folder / "data") == []
    assert merged.contents() == undisturbed.contents


@pytest.mark.parametrize("server", ["system"], indirect=True)
def test_a_wrong_password_is_told_but_not_shown(
    command_merged: Luigi, merged: Database, undisturbed: Undisturbed, server: Server, role: str
) -> None:
    server.execute(f"ALTER ROLE {role} PASSWORD 'right'")
    access = server.socket / "cluster" / "pg_hba.conf"
    before = access.read_text()
    access.write_text(f"local all {role} scram-sha-256\n{before}")
    try:
        server.execute("SELECT pg_reload_conf()")
        url = server.url("merged", f"{role}:wrong%20one")
        command_merged.settings["--warehouse-url"] = url
        run = command_merged.merge_range("green", "2024-01", "2024-04")
        assert_refused(run, NOT_ASKED, "can't be reached", "password authentication failed")
        assert "wrong%20one" not in run.output
        assert "wrong one" not in run.output
    finally:
        access.write_text(before)
        server.execute("SELECT pg_reload_conf()")
    assert merged.contents() == undisturbed.contents


@on_one_server
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me@127.0.0.1:1/trips", ["me@127.0.0.1:1/trips can't be reached"]),
        ("postgresql://me:secret@127.0.0.1:1/trips", ["me@127.0.0.1:1/trips can't be reached"]),
        ("postgresql://me@/trips?host=/no/such/folder", ["/no/such/folder", "can't be reached"]),
        ("postgresql://me:sec/ret@host:port/x", ["[warehouse] url can't be read", "%xx"]),
    ],
)
def test_a_server_that_cannot_be_reached_is_told(
    command: Luigi, url: str, words: list[str]
) -> None:
    command.settings |= {"--warehouse-url": url, "--warehouse-retries": "0"}
    run = command(*MONTH)
    assert_refused(run, NOT_ASKED, *words)
    assert "secret" not in run.output
    assert "sec/ret" not in run.output
    assert files_in_work(command.folder / "data") == []


def test_a_server_that_is_too_old_is_told(command: Luigi, database: Database) -> None:
    finished = subprocess.run(
        [sys.executable, KILLED_AT, "old_server", *command.command(*MONTH)[1:]],
        cwd=command.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    run = Run(finished.returncode, finished.stdout)
    version = database.value("SELECT current_setting('server_version_num')::int / 10000")
    assert_refused(run, NOT_ASKED, f"is PostgreSQL {version}", "99 or later is needed")
    assert is_empty(database)


def test_a_role_that_may_not_create_tables_is_told(
    command: Luigi, database: Database, server: Server, role: str
) -> None:
    name = database.value("SELECT current_database()")
    command.settings["--warehouse-url"] = server.url(name, role)
    run = command(*MONTH)
    assert_refused(run, FAILED, "the warehouse refuses", "permission denied", "needs CREATE")
    assert is_empty(database)


def test_tables_of_another_role_are_told(
    command_merged: Luigi, merged: Database, server: Server, role: str, published: Published
) -> None:
    for month in ("2024-04", "2024-05"):
        published.write("green", month)
    merged.query(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    merged.query(f"GRANT CREATE ON SCHEMA public TO {role}")
    before = merged.contents()
    command_merged.settings["--warehouse-url"] = server.url("merged", role)
    command_merged.settings["--source-url"] = published.url
    run = command_merged.merge_range("green", "2024-01", "2024-06")
    assert_refused(run, FAILED, "the tables", "belong to role postgres", f"{role} may not")
    assert merged.contents() == before


@pytest.mark.parametrize("server", ["system"], indirect=True)
def test_a_warehouse_that_only_reads_is_told(
    command_merged: Luigi, merged: Database, undisturbed: Undisturbed, published: Published
) -> None:
    for month in ("2024-04", "2024-05"):
        published.write("green", month)
    merged.query("ALTER DATABASE merged SET default_transaction_read_only = on")
    command_merged.settings["--source-url"] = published.url
    run = command_merged.merge_range("green", "2024-01", "2024-06")
    assert_refused(run, FAILED, "the warehouse refuses", "read-only transaction")
    assert merged.contents() == undisturbed.contents


def test_a_table_that_is_not_ours_is_told_and_left(command: Luigi, database: Database) -> None:
    database.query("CREATE TABLE green_trips AS SELECT 1 AS number")
    run = command(*MONTH)
    assert_refused(run, FAILED, "public.green_trips", "isn't one of ours", "[trips] table")
    assert database.query("SELECT * FROM green_trips") == [(1,)]
    relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert database.query(relations) == [("green_trips",)]


# --- the storage folder -------------------------------------------------------------------------


@on_one_server
@pytest.mark.parametrize("warehouse", ["embedded", "server"])
def test_a_storage_folder_that_cannot_be_written_is_told(
    command: Luigi, database: Database, warehouse: str
) -> None:
    # a folder below a file: root isn't held up by permissions
    (command.folder / "file").write_text("")
    command.settings["--storage-root"] = "file/data"
    if warehouse == "embedded":
        command.settings["--warehouse-url"] = "embedded"
        assert_refused(command(*MONTH), NOT_ASKED, "[storage] root", "file/data", "Not a directory")
    else:
        run = command.merge_range("green", "2024-01", "2024-04")
        assert_refused(run, FAILED, "cannot write", "file/data", "Not a directory")
        assert database.holds_nothing()


@on_one_server
@pytest.mark.parametrize(
    ("rows", "workers"), [(60_000, 2), (20_000, 1)], ids=["by the download", "by the transform"]
)
def test_a_full_disk_ends_the_run(
    command_merged: Luigi, published: Published, tiny_disk: Path, rows: int, workers: int
) -> None:
    """Of two workers, each may have a month in work."""
    merged = Database(command_merged.settings["--warehouse-url"])
    file = published.write("green", "2024-04", rows=rows)
    if rows == 60_000:
        assert file.stat().st_size > 1_048_576
        words = ["cannot write", "No space left on device", "the run ends here"]
    else:
        assert 500_000 < file.stat().st_size < 1_000_000
        words = ["No space left on device", "the run ends here"]
    for month in ("2024-05", "2024-06", "2024-07"):
        shutil.copy(file, published.folder / f"green_tripdata_{month}.parquet")
    command_merged.settings["--source-url"] = published.url
    before = merged.contents()
    flags = [f"--storage-root={tiny_disk}", f"--workers={workers}"]
    for _ in range(2):
        run = command_merged.merge_range("green", "2024-01", "2024-08", *flags)
        told = [line for line in run.output.splitlines() if all(word in line for word in words)]
        assert run.code == FAILED, run.output
        assert 1 <= len(told) <= workers, run.output
        assert "Traceback" not in run.output, run.output
        assert "2024-06" not in run.output, run.output
        assert merged.contents() == before
        left = files_in_work(tiny_disk)
        assert not [name for name in left if "2024-06" in name or "2024-07" in name]
        assert workers == 2 or not [name for name in left if "2024-05" in name]
    run = command_merged.merge_range("green", "2024-01", "2024-05")
    assert run.code == 0, run.output
    assert merged.value("SELECT count(*) FROM load_history") == 4


@on_one_server
def test_a_disk_that_can_only_be_read_ends_the_run(
    command: Luigi, database: Database, tiny_disk: Path
) -> None:
    remount(tiny_disk, "ro")
    try:
        run = command.merge_range("green", "2024-01", "2024-04", f"--storage-root={tiny_disk}")
    finally:
        remount(tiny_disk, "rw")
    assert_refused(run, FAILED, "cannot write", "Read-only file system", "the run ends here")
    assert database.holds_nothing()


@on_one_server
def test_a_full_disk_of_the_server_ends_the_run(
    command_merged: Luigi,
    merged: Database,
    published: Published,
    tiny_disk: Path,
    server: Server,
) -> None:
    """What the failed month has written there goes with its transaction."""
    cluster = Path(merged.value("SELECT current_setting('data_directory')"))
    os.chown(tiny_disk, cluster.stat().st_uid, -1)
    for month in ("2024-04", "2024-05"):
        published.write("green", month, rows=10_000)
    server.execute(f"CREATE TABLESPACE tiny LOCATION '{tiny_disk}'")
    try:
        server.execute("ALTER DATABASE merged SET default_tablespace = tiny")
        command_merged.settings["--source-url"] = published.url
        before = merged.contents()
        run = command_merged.merge_range("green", "2024-01", "2024-06")
        words = ["the warehouse refuses", "No space left on device", "the run ends here"]
        assert_refused(run, FAILED, *words)
        assert merged.contents() == before
        assert "2024-05: fetched" not in run.output
        server.execute("ALTER DATABASE merged RESET default_tablespace")
        run = command_merged.merge_range("green", "2024-01", "2024-06")
        assert run.code == 0, run.output
    finally:
        merged.query("DROP TABLE IF EXISTS green_trips CASCADE")
        server.execute("DROP TABLESPACE tiny")


def test_a_script_that_finds_no_room_ends_the_run(tiny_disk: Path) -> None:
    code = "open('trips.parquet', 'wb').write(bytes(2_000_000))"
    job = Job("TaxiTransform", "green 2024-01", ["python", "-c", code], outputs=["*.parquet"])
    with pytest.raises(CommandError, match="No space left on device") as failed:
        runner.run(job, tiny_disk, config.runner(), "process")
    assert is_systemic(failed.value)
    job = Job("TaxiTransform", "green 2024-01", ["python", "-c", "raise SystemExit('broken')"])
    with pytest.raises(CommandError, match="broken") as failed:
        runner.run(job, tiny_disk, config.runner(), "process")
    assert not is_systemic(failed.value)


@pytest.mark.parametrize(
    ("number", "systemic"),
    [(errno.EDQUOT, True), (errno.EMFILE, True), (errno.ENOENT, False), (errno.EISDIR, False)],
)
def test_a_fault_of_the_machine_is_told_from_others(number: int, systemic: bool) -> None:
    error = OSError(number, os.strerror(number), "/a/file")
    assert is_systemic(error) is systemic
    mistake = TaxiError("a file can't be written")
    mistake.__context__ = error
    assert is_systemic(mistake) is systemic
    record = logging.makeLogRecord({"msg": "failed TaxiDownload", "exc_info": (None, error, None)})
    OneLine().filter(record)
    assert (record.exc_info is None) is systemic
    assert ("the run ends here" in record.getMessage()) is systemic
