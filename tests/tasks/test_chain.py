"""The whole chain, by the real command line: what a user runs, and what is in the tables then."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
from conftest import (
    ROOT,
    Database,
    Luigi,
    Published,
    Run,
    Undisturbed,
    embedded_database,
    files_in_work,
)
from mirror import Cut, Header, Mirror, Status

import luigi_tasks

pytestmark = pytest.mark.slow

MONTHS = ("2024-01", "2024-04")
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def succeeded(run: Run) -> Run:
    assert run.code == 0, run.output
    assert "Traceback" not in run.output, run.output
    return run


def merge_three(command: Luigi, *flags: str) -> Run:
    return succeeded(command.merge_range("green", *MONTHS, *flags))


def at_once(*started: "subprocess.Popen[str]") -> list[Run]:
    """Wait for commands that run at the same time."""
    outputs = [process.communicate(timeout=300)[0] for process in started]
    return [Run(p.returncode, text) for p, text in zip(started, outputs, strict=True)]


def mirror_url(mirror: Mirror) -> str:
    return mirror.url("{{ taxi_type }}_tripdata_{{ month }}.parquet")


def fetched(mirror: Mirror) -> list[str]:
    return [Path(request.path).name for request in mirror.asked("GET")]


def all_but_ledger(database: Database) -> dict[str, Any]:
    """The contents, for a comparison with a database that took fewer loads to get there."""
    return {key: value for key, value in database.contents().items() if key != "ledger"}


def next_month(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02}"


# --- eras and ranges ----------------------------------------------------------------------------

#: First month and number of months; with what the types and columns of the published files did.
STRETCHES = {
    "yellow": [
        ("2011-01", 3),  # the first with zones
        ("2015-11", 3),  # surcharges cease to be of type null
        ("2018-05", 4),  # counts turn from int64 to double
        ("2022-12", 4),  # int32, large_string, Airport_fee
        ("2024-12", 3),  # cbd_congestion_fee
        ("2026-05", 3),  # request_source
    ],
    "green": [
        ("2013-08", 3),
        ("2015-11", 3),
        ("2018-05", 4),
        ("2022-12", 4),
        ("2024-12", 3),
        ("2026-05", 3),
    ],
}


@pytest.mark.parametrize(
    ("server", "taxi_type"), [("embedded", "yellow"), ("system", "green")], indirect=["server"]
)
def test_twenty_months_of_every_era_balance_exactly(
    luigi_command: Luigi, database: Database, published: Published, taxi_type: str
) -> None:
    luigi_command.settings["--source-url"] = published.url
    ranges = []
    for first, length in STRETCHES[taxi_type]:
        stop = first
        for number in range(length):
            dirt = {"strays": 2 + number, "reversals": 3, "twins": 2, "duplicates": 4 - number}
            published.write(taxi_type, stop, rows=150, seed=number, **dirt)
            stop = next_month(stop)
        ranges.append((first, stop))

    for start, stop in ranges:
        succeeded(luigi_command.merge_range(taxi_type, start, stop))

    assert len(published.counts) == 20
    ledger = {
        filename: counts
        for filename, *counts in database.ledger(
            "filename",
            "rows_read",
            "rows_rejected",
            "rows_duplicate",
            "rows_inserted",
            "rows_present",
            "rows_stray",
        )
    }
    assert ledger == {
        filename: [each.rows, 0, each.duplicates, each.trips, 0, each.strays]
        for filename, each in published.counts.items()
    }
    in_table = f"SELECT filename, count(*) FROM {taxi_type}_trips GROUP BY filename"
    assert dict(database.query(in_table)) == {
        filename: each.trips for filename, each in published.counts.items()
    }
    assert files_in_work(luigi_command.folder / "data") == []

    before = database.contents()
    for start, stop in ranges:
        succeeded(luigi_command.merge_range(taxi_type, start, stop))
    assert database.contents() == before


def test_a_second_run_inserts_nothing(
    command_merged: Luigi, merged: Database, undisturbed: Undisturbed
) -> None:
    for _ in range(2):
        run = merge_three(command_merged)
        assert "inserted" not in run.output
        assert merged.contents() == undisturbed.contents
        assert files_in_work(command_merged.folder / "data") == []


def test_months_are_loaded_oldest_first(undisturbed: Undisturbed) -> None:
    inserted = re.findall(r"green (\S+): inserted", undisturbed.run.output)
    assert inserted == ["2024-01", "2024-02", "2024-03"]


def test_a_task_tells_its_counts_in_one_line(
    undisturbed: Undisturbed, three_months: Published
) -> None:
    size = (three_months.folder / "green_tripdata_2024-02.parquet").stat().st_size
    told = [line for line in undisturbed.run.output.splitlines() if "green 2024-02:" in line]
    assert told == [
        f"INFO: green 2024-02: fetched {size:,} bytes",
        "INFO: green 2024-02: read 605 rows, rejected 0",
        "INFO: green 2024-02: staged 605 rows",
        "INFO: green 2024-02: inserted 600 rows, 0 were there, 5 duplicates, 6 strays",
    ]


@on_one_server
def test_a_range_of_sixty_months_is_not_clipped(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    luigi_command.settings["--source-url"] = published.url
    for month in ("2019-01", "2021-06", "2023-12"):
        published.write("green", month, rows=20)
    for _ in range(2):
        run = luigi_command.merge_range("green", "2019-01", "2024-01")
        assert run.code == 20, run.output
        assert "57 not yet published; " in run.output
        assert database.ledger("filename") == [
            ("green_tripdata_2019-01.parquet",),
            ("green_tripdata_2021-06.parquet",),
            ("green_tripdata_2023-12.parquet",),
        ]
        assert database.value("SELECT count(*) FROM green_trips") == 60


@on_one_server
def test_the_bare_command_takes_its_range_from_luigi_cfg(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    for month in ("2023-11", "2023-12", "2024-01", "2024-02"):
        published.write("yellow", month, rows=30)
    (luigi_command.folder / "luigi.cfg").write_text(
        "[RangeMonthly]\nstart = 2023-12\nstop = 2024-02\n"
        f"[source]\nurl = {published.url}\n[warehouse]\nurl = {database.url}\n"
    )
    luigi_command.settings.clear()
    for _ in range(2):
        succeeded(luigi_command("RangeMonthly", "--of", "TaxiMerge"))
        assert database.ledger("filename", "rows_inserted") == [
            ("yellow_tripdata_2023-12.parquet", 30),
            ("yellow_tripdata_2024-01.parquet", 30),
        ]


@pytest.mark.bare_install
@on_one_server
def test_workers_load_into_the_warehouse_that_is_named(command: Luigi, database: Database) -> None:
    """On every Python that scripts/check-installs finds, however it starts processes."""
    succeeded(command.merge_range("green", "2024-02", "2024-04", "--workers=2"))
    assert database.ledger("rows_read") == [(605,), (605,)]
    assert not (command.folder / "data" / "warehouse").exists()


@on_one_server
def test_two_workers_make_what_one_makes(
    command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    for _ in range(2):
        merge_three(command, "--workers=2")
        assert database.contents() == undisturbed.contents


@on_one_server
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_workers_know_the_flags_however_python_starts_processes(
    method: str, command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    """Since 3.14 it doesn't fork."""
    command.start_method = method
    for _ in range(2):
        run = merge_three(command, "--workers=2", "--parallel-scheduling")
        assert database.contents() == undisturbed.contents
    assert not (command.folder / "data" / "warehouse").exists()
    assert "INFO" in run.output


# --- single tasks -------------------------------------------------------------------------------


def test_a_single_month_can_be_merged(command: Luigi, database: Database) -> None:
    month = ["--month=2024-02", "--taxi-type=green"]
    for _ in range(2):
        succeeded(command("TaxiMerge", *month))
        assert database.ledger("filename", "rows_inserted") == [
            ("green_tripdata_2024-02.parquet", 600)
        ]
        assert files_in_work(command.folder / "data") == []


@on_one_server
def test_single_tasks_are_taken_up_where_they_ended(
    command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    month = ["--month=2024-02", "--taxi-type=green"]
    file = "green_tripdata_2024-02.parquet"
    raw = [f"raw/{file}", f"raw/{file}.edition.json"]
    trips = [f"trips/{file}", f"trips/{file}.load.json"]
    for _ in range(2):
        succeeded(command("TaxiDownload", *month))
        assert files_in_work(command.folder / "data") == raw
    for _ in range(2):
        succeeded(command("TaxiTransform", *month))
        assert files_in_work(command.folder / "data") == raw + trips
    assert database.holds_nothing()
    for _ in range(2):
        succeeded(command("TaxiStageLoad", *month))
        assert database.value("SELECT count(*) FROM green_trips_staging_2024_02") == 600
        assert files_in_work(command.folder / "data") == trips
    run = merge_three(command)
    assert "2024-02: fetched" not in run.output
    assert "2024-02: staged" not in run.output
    assert database.contents() == undisturbed.contents
    assert files_in_work(command.folder / "data") == []


# --- what is published --------------------------------------------------------------------------


@on_one_server
@pytest.mark.parametrize("scheme", ["file", "http"])
def test_a_month_that_is_not_published_leaves_the_others_alone(
    command: Luigi,
    database: Database,
    three_months: Published,
    undisturbed: Undisturbed,
    scheme: str,
) -> None:
    with Mirror(three_months.folder) as mirror:
        if scheme == "http":
            command.settings["--source-url"] = mirror_url(mirror)
        for _ in range(2):
            run = command.merge_range("green", "2024-01", "2024-05")
            assert run.code == 20, run.output
            assert "_tripdata_2024-04.parquet isn't published yet\n" in run.output
            assert "1 not yet published; " in run.output
            assert "Traceback" not in run.output
            assert database.contents() == undisturbed.contents
            assert files_in_work(command.folder / "data") == []


@on_one_server
@pytest.mark.parametrize("wrong", ["http", "file", "folder"])
def test_a_wrong_url_is_told_from_a_month_that_is_not_published(
    command_merged: Luigi, merged: Database, three_months: Published, tmp_path: Path, wrong: str
) -> None:
    name = "{{ taxi_type }}_trips_{{ month }}.parquet"
    with Mirror(three_months.folder) as mirror:
        url, message = {
            "http": (mirror.url(name), "nothing is published at"),
            "file": (f"file://{three_months.folder}/{name}", "nothing is published at"),
            "folder": (f"file://{tmp_path}/nowhere/{name}", "nothing is published at"),
        }[wrong]
        command_merged.settings["--source-url"] = url
        before = merged.contents()
        run = command_merged.merge_range("green", "2024-04", "2024-05")
    assert run.code == 35, run.output
    assert "Traceback" not in run.output
    told = [line for line in run.output.splitlines() if message in line]
    assert len(told) == 1, run.output
    assert "is [source] url right?" in told[0]
    assert merged.contents() == before


@on_one_server
def test_only_missing_months_are_asked_for(
    command_merged: Luigi, merged: Database, three_months: Published, published: Published
) -> None:
    published.write("green", "2024-04")
    with Mirror(published.folder) as mirror:
        command_merged.settings["--source-url"] = mirror_url(mirror)
        succeeded(command_merged.merge_range("green", "2024-01", "2024-05"))
        assert {request.path for request in mirror.requests} == {"/green_tripdata_2024-04.parquet"}
        assert len(mirror.asked("GET")) == 1
        mirror.requests.clear()
        succeeded(command_merged.merge_range("green", "2024-01", "2024-05"))
        assert mirror.requests == []
    assert merged.value("SELECT count(*) FROM load_history") == 4


@on_one_server
def test_a_month_that_one_source_lacks_comes_from_the_next(
    command: Luigi,
    database: Database,
    three_months: Published,
    published: Published,
    undisturbed: Undisturbed,
) -> None:
    published.folder.mkdir(parents=True)
    first = three_months.folder / "green_tripdata_2024-01.parquet"
    (published.folder / first.name).write_bytes(first.read_bytes())
    with Mirror(three_months.folder) as mirror:
        command.settings["--source-url"] = f"{published.url}\n  {mirror_url(mirror)}\n"
        for _ in range(2):
            merge_three(command)
        assert len(mirror.asked("GET")) == 2
        run = command.merge_range("green", "2024-04", "2024-05")
        assert (run.code, "not published" in run.output) == (20, False)
    assert database.contents() == undisturbed.contents


@on_one_server
def test_a_network_that_fails_for_a_while_fails_no_run(
    command: Luigi, database: Database, three_months: Published, undisturbed: Undisturbed
) -> None:
    faults = [
        Status(503, method="HEAD"),
        Status(429, {"Retry-After": "0", "Content-Length": "0"}),
        Cut(after=9_000),
        Cut(after=5_000, reset=True),
        Status(500),
        Header("Content-Length", None),
    ]
    with Mirror(three_months.folder, faults) as mirror:
        command.settings["--source-url"] = mirror_url(mirror)
        merge_three(command)
        assert mirror.faults == []
        resumed = [each.headers["Range"] for each in mirror.requests if "Range" in each.headers]
    assert resumed[0] == "bytes=9000-"
    assert database.contents() == undisturbed.contents
    assert files_in_work(command.folder / "data") == []


# --- clean-up, reset, editions ------------------------------------------------------------------


@on_one_server
def test_files_that_are_kept_are_used_again_and_cleaned_later(
    command: Luigi, database: Database, three_months: Published, undisturbed: Undisturbed
) -> None:
    keep = "--cleanup-enabled=false"
    with Mirror(three_months.folder) as mirror:
        command.settings["--source-url"] = mirror_url(mirror)
        for _ in range(2):
            merge_three(command, keep)
            assert database.contents() == undisturbed.contents
            kept = files_in_work(command.folder / "data")
            assert len(kept) == 3 * 4
            assert len(fetched(mirror)) == 3
        succeeded(command("TaxiReset", "--month=2024-02", "--taxi-type=green", keep))
        assert files_in_work(command.folder / "data") == kept
        merge_three(command, keep)
        assert len(fetched(mirror)) == 3
        trips = undisturbed.contents["trips"]
        assert database.contents()["trips"] == trips
        assert files_in_work(command.folder / "data") == kept
        merge_three(command)
        assert files_in_work(command.folder / "data") == []
        assert database.contents()["trips"] == trips
        assert len(fetched(mirror)) == 3


@on_one_server
def test_a_month_that_was_reset_comes_back_as_it_was(
    command_merged: Luigi, merged: Database, undisturbed: Undisturbed
) -> None:
    month = ["--month=2024-01", "--taxi-type=green"]
    file = "green_tripdata_2024-01.parquet"
    before = all_but_ledger(merged)
    for last_line in ("INFO: done; ", "INFO: nothing was to be done; "):
        run = command_merged("TaxiReset", *month)
        succeeded(run)
        assert run.output.splitlines()[-1].startswith(last_line)
        assert merged.value("SELECT count(*) FROM green_trips WHERE filename = %s", file) == 0
        assert merged.value("SELECT count(*) FROM green_trips") == 1200
    for _ in range(2):
        merge_three(command_merged)
        assert all_but_ledger(merged) == before
        assert merged.ledger("filename", "rows_inserted", "rows_present")[-1] == (file, 600, 0)
        assert len(merged.ledger("load_id")) == len(undisturbed.contents["ledger"]) + 1


@pytest.mark.parametrize("taken_out_by", ["TaxiReset", "marker"])
def test_another_edition_replaces_the_rows_of_its_month(
    command: Luigi, database: Database, published: Published, taken_out_by: str
) -> None:
    command.settings["--source-url"] = published.url
    for month in ("2024-01", "2024-02", "2024-03"):
        published.write("green", month, rows=200, strays=5)
    merge_three(command)
    others = "SELECT * FROM green_trips WHERE filename <> 'green_tripdata_2024-02.parquet'"
    before = sorted(database.query(others))

    published.write("green", "2024-02", rows=150, strays=8, duplicates=2, seed=7)
    if taken_out_by == "TaxiReset":
        succeeded(command("TaxiReset", "--month=2024-02", "--taxi-type=green"))
    else:
        marker = "DELETE FROM table_updates WHERE update_id = 'TaxiMerge green 2024-02'"
        database.query(marker)
    for _ in range(2):
        merge_three(command)
        counts = dict(database.query("SELECT filename, count(*) FROM green_trips GROUP BY 1"))
        assert counts == {
            "green_tripdata_2024-01.parquet": 200,
            "green_tripdata_2024-02.parquet": 150,
            "green_tripdata_2024-03.parquet": 200,
        }
        assert sorted(database.query(others)) == before
    inserted, removed = database.ledger("rows_inserted", "rows_removed")[-1]
    assert (inserted, removed) == (150, 0 if taken_out_by == "TaxiReset" else 200)
    assert database.value("SELECT count(*) FROM load_history") == 4


def test_the_same_edition_again_finds_its_rows_there(
    command_merged: Luigi, merged: Database
) -> None:
    before = all_but_ledger(merged)
    merged.query("DELETE FROM table_updates WHERE update_id = 'TaxiMerge green 2024-02'")
    merge_three(command_merged)
    assert all_but_ledger(merged) == before
    counts = merged.ledger("rows_inserted", "rows_present", "rows_removed", "rows_duplicate")
    assert counts[-1] == (0, 600, 0, 5)


# --- healing ------------------------------------------------------------------------------------


DAMAGES = ["DROP TABLE green_trips CASCADE"]
MORE_DAMAGES = [
    "TRUNCATE green_trips_other",
    "DELETE FROM green_trips_2024_01",
    "DROP VIEW trips; DELETE FROM green_trips WHERE filename LIKE '%2024-01%'",
    "DROP TABLE green_trips, yellow_trips CASCADE; DROP TABLE load_history, table_updates CASCADE",
    "DROP TABLE green_trips_2024_02",
    "TRUNCATE green_trips",
    "TRUNCATE green_trips_2024_03",
    "DELETE FROM table_updates",
    "DELETE FROM load_history",
]


# (a mark that names servers and damages would start a server for each of them)
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_gone_is_loaded_again(command_merged: Luigi, merged: Database, damage: str) -> None:
    assert_loaded_again(command_merged, merged, damage)


@on_one_server
@pytest.mark.parametrize("damage", MORE_DAMAGES)
def test_what_is_gone_is_loaded_again_on_one_server(
    command_merged: Luigi, merged: Database, damage: str
) -> None:
    assert_loaded_again(command_merged, merged, damage)


def assert_loaded_again(command_merged: Luigi, merged: Database, damage: str) -> None:
    before = all_but_ledger(merged)
    assert before["trips"]["green_trips_other"][0][0] > 0
    merged.query(damage)
    for _ in range(2):
        merge_three(command_merged)
        assert all_but_ledger(merged) == before
        assert files_in_work(command_merged.folder / "data") == []


# --- at once ------------------------------------------------------------------------------------


@pytest.mark.empty_database
@on_one_server
def test_two_of_one_command_at_once_make_what_one_makes(
    command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    flags = command.range_flags("green", *MONTHS)
    for run in at_once(*(command.start("RangeMonthly", *flags) for _ in range(2))):
        succeeded(run)
    assert database.contents() == undisturbed.contents
    assert files_in_work(command.folder / "data") == []


@pytest.mark.empty_database
@on_one_server
def test_two_commands_with_folders_of_their_own_make_what_one_makes(
    command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    flags = command.range_flags("green", *MONTHS)
    roots = ("one", "two")
    started = [command.start("RangeMonthly", *flags, f"--storage-root={root}") for root in roots]
    for run in at_once(*started):
        succeeded(run)
    assert database.contents() == undisturbed.contents
    merge_three(command)
    for root in roots:
        assert files_in_work(command.folder / root) == []


@on_one_server
def test_ranges_that_overlap_can_run_at_once(
    command: Luigi, database: Database, undisturbed: Undisturbed
) -> None:
    ranges = [("2024-01", "2024-03"), ("2024-02", "2024-04")]
    started = [command.start("RangeMonthly", *command.range_flags("green", *r)) for r in ranges]
    for run in at_once(*started):
        succeeded(run)
    assert all_but_ledger(database) == all_but_ledger(undisturbed.database)
    assert database.contents()["ledger"] == undisturbed.contents["ledger"]
    assert files_in_work(command.folder / "data") == []


@on_one_server
def test_two_commands_at_once_share_the_embedded_warehouse(
    command: Luigi, undisturbed: Undisturbed, embedded_root: Path
) -> None:
    command.settings |= {"--warehouse-url": "embedded", "--storage-root": str(embedded_root)}
    flags = command.range_flags("green", *MONTHS)
    for run in at_once(*(command.start("RangeMonthly", *flags) for _ in range(2))):
        succeeded(run)
    assert not (embedded_root / "warehouse" / "postmaster.pid").exists()
    merge_three(command)
    with embedded_database(embedded_root) as database:
        assert database.contents() == undisturbed.contents
    assert files_in_work(embedded_root) == []


# --- flags and help -----------------------------------------------------------------------------


@on_one_server
def test_every_key_of_our_sections_is_a_flag(luigi_command: Luigi) -> None:
    luigi_command.settings.clear()
    listed = luigi_command("RangeMonthly", "--help-all").output
    packaged = RawConfigParser()
    packaged.read(ROOT / "luigi.cfg")
    sections = ("source", "storage", "warehouse", "trips", "transform", "runner", "cleanup")
    for section in sections:
        assert packaged.options(section)
        for key in packaged.options(section):
            assert f"--{section}-{key.replace('_', '-')}" in listed


@on_one_server
@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        (luigi_tasks.TaxiMerge, ["month", "taxi_type"]),
        (luigi_tasks.TaxiReset, ["month", "taxi_type"]),
        (luigi_tasks.RangeMonthly, ["start", "stop", "months_forward", "task_limit"]),
    ],
)
def test_help_describes_the_parameters(
    luigi_command: Luigi, task: Any, parameters: list[str]
) -> None:
    luigi_command.settings.clear()
    luigi_command.environment["COLUMNS"] = "500"
    printed = succeeded(luigi_command(task.__name__, "--help")).output
    described = dict(task.get_params())
    for name in parameters:
        description = described[name].description.partition(" Choices:")[0]
        assert description
        flag = f"--{name.replace('_', '-')} {name.upper()}"
        assert re.search(rf"{flag}\s+{re.escape(description)}", printed)


# --- the central scheduler ----------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def scheduler(tmp_path: Path) -> Any:
    """The URL of a running ``luigid``."""
    port = free_port()
    binary = Path(sys.executable).with_name("luigid")
    arguments = ["--address=127.0.0.1", f"--port={port}", f"--state-path={tmp_path / 'state'}"]
    with (tmp_path / "luigid.log").open("w") as log:
        process = subprocess.Popen([binary, *arguments], cwd=tmp_path, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: ask_scheduler(url, "task_list") is not None)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def ask_scheduler(url: str, method: str, **arguments: Any) -> Any:
    """Call a method of the scheduler's API; None while it isn't up."""
    body = urllib.parse.urlencode({"data": json.dumps(arguments)}).encode()
    try:
        with urllib.request.urlopen(f"{url}/api/{method}", body, timeout=10) as answer:
            return json.load(answer)["response"]
    except OSError:
        return None


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.1)
    return found


@on_one_server
def test_the_central_scheduler_shows_how_far_a_download_is(
    luigi_command: Luigi, database: Database, published: Published, scheduler: str
) -> None:
    size = published.write("green", "2024-01", rows=8_000).stat().st_size
    (luigi_command.folder / "luigi.cfg").write_text(
        f"[core]\nlocal_scheduler = false\nscheduler_url = {scheduler}\n"
    )
    with Mirror(published.folder, delay=0.6) as mirror:
        mirror.piece = size // 6
        luigi_command.settings["--source-url"] = mirror_url(mirror)
        process = luigi_command.start("TaxiMerge", "--month=2024-01", "--taxi-type=green")

        def half_done() -> Any:
            tasks = ask_scheduler(scheduler, "task_list", status="RUNNING", upstream_status="")
            for task_id in tasks:
                if task_id.startswith("TaxiDownload_2024_01_green"):
                    percent = ask_scheduler(
                        scheduler, "get_task_progress_percentage", task_id=task_id
                    )["progressPercentage"]
                    message = ask_scheduler(scheduler, "get_task_status_message", task_id=task_id)
                    if percent and 0 < percent < 100:
                        return message["statusMessage"]
            return None

        message = wait_for(half_done)
        [run] = at_once(process)
    succeeded(run)
    assert re.fullmatch(r"fetching green 2024-01: [\d.]+ k?B of [\d.]+ kB", message)
    done = ask_scheduler(scheduler, "task_list", status="DONE", upstream_status="")
    merge = next(task for name, task in done.items() if name.startswith("TaxiMerge"))
    assert merge["status_message"].startswith("inserted 8,000 rows")
    assert database.value("SELECT count(*) FROM green_trips") == 8_000


@on_one_server
def test_of_two_workers_of_one_scheduler_each_tells_that_all_is_merged(
    command: Luigi, database: Database, undisturbed: Undisturbed, scheduler: str
) -> None:
    (command.folder / "luigi.cfg").write_text(
        f"[core]\nlocal_scheduler = false\nscheduler_url = {scheduler}\n"
    )
    flags = [*command.range_flags("green", *MONTHS), "--log-level=DEBUG"]
    started = [command.start("RangeMonthly", *flags, f"--workers={n}") for n in (1, 2)]
    for run in at_once(*started):
        succeeded(run)
        assert "This progress looks :)" in run.output
    assert database.contents() == undisturbed.contents
    assert files_in_work(command.folder / "data") == []


@on_one_server
def test_a_worker_whose_tasks_others_failed_does_not_say_that_all_is_merged(
    command: Luigi, database: Database, scheduler: str
) -> None:
    (command.folder / "luigi.cfg").write_text(
        f"[core]\nlocal_scheduler = false\nscheduler_url = {scheduler}\n"
    )
    (command.folder / "mine.py").write_text("import time; time.sleep(3); raise SystemExit(1)")
    flags = [*command.range_flags("green", "2024-01", "2024-02"), "--transform-script=mine.py"]
    runs = at_once(*(command.start("RangeMonthly", *flags) for _ in range(2)))
    assert sorted(run.code for run in runs) in ([25, 30], [30, 30])
    assert database.holds_nothing()


#: Fails the first month at once, and has the second one wait until it is told to go on.
HALTING = """
import os, pathlib, shutil, time
if os.environ["TAXI_MONTH"] == "2024-01":
    raise SystemExit("not this one")
while not pathlib.Path(os.environ["GO"]).exists():
    time.sleep(0.05)
shutil.copy(os.environ["TAXI_FILE"], "trips.parquet")
"""


@on_one_server
def test_a_month_that_failed_here_and_was_merged_by_another_run_is_merged(
    command: Luigi, database: Database
) -> None:
    (command.folder / "mine.py").write_text(HALTING)
    variables = json.dumps({"GO": str(command.folder / "go")})
    with (command.folder / "output").open("w+") as output:
        halting = subprocess.Popen(
            command.command(
                "RangeMonthly",
                *command.range_flags("green", "2024-01", "2024-03"),
                *("--transform-script=mine.py", f"--runner-environment={variables}"),
            ),
            cwd=command.folder,
            stdout=output,
            stderr=output,
        )
        wait_for(lambda: "failed    TaxiTransform" in (command.folder / "output").read_text())
        succeeded(command("TaxiMerge", "--month=2024-01", "--taxi-type=green"))
        (command.folder / "go").write_text("")
        assert halting.wait(60) == 0, (command.folder / "output").read_text()
    assert len(database.ledger("filename")) == 2
