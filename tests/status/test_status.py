"""The state of each month: what the query finds, and what is shown of it."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from conftest import PYTHON, ROOT, Database, Luigi, Published, Server, lasting_database
from kept import LAST, Kept, ago, kept_in
from months import close_sessions
from rich.console import Console

from luigi_tasks import config
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import due
from luigi_tasks.status import Overview, command_of, exit_code, read_overview
from luigi_tasks.status.document import as_json
from luigi_tasks.status.grid import STATES, draw
from luigi_tasks.warehouse import MonthState

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)

Set = Callable[[str, str, str], None]


@pytest.fixture(scope="module")
def prepared(server: Server) -> Iterator[Database]:
    with lasting_database(server, "status") as database:
        yield database


@pytest.fixture
def kept(prepared: Database, settings: Set, tmp_path: Path) -> Iterator[Kept]:
    tables = "runs, load_attempts, alarms, table_updates, load_history, months_seen, counted_loads"
    with kept_in(prepared, settings, tmp_path / "data") as kept:
        prepared.query(f"TRUNCATE {tables}")
        yield kept


@pytest.fixture
def all_states(kept: Kept, settings: Set) -> Kept:
    """A warehouse with a month in each state, the oldest first."""
    settings("quality", "most", '{"null_passenger_count": 0.5}')
    kept.load(ago(8), rows=1_000, rows_duplicate=3, rows_rejected=7)
    kept.load(ago(7), rows=1_000)
    kept.see(ago(7), "corrected since")
    kept.load(ago(5), rows=900, quality='{"null_passenger_count": 451}')
    kept.attempt(ago(4), "failed", "content")
    kept.attempt(ago(3), "running")
    kept.see(ago(2), "overdue", date.today() - timedelta(days=1))
    kept.see(ago(1), "not yet published", date.today() + timedelta(days=1))
    kept.load(LAST, rows=100)
    return kept


def test_every_state_is_found(all_states: Kept) -> None:
    found = all_states.overview().months
    assert [each.month.first_day for each in found] == [ago(months) for months in range(8, -1, -1)]
    assert [each.state for each in found] == [
        "merged",
        "corrected since",
        "missing",
        "suspicious",
        "failed",
        "running",
        "overdue",
        "not yet published",
        "merged",
    ]
    first, failed, running = found[0], found[4], found[5]
    assert (first.rows, first.duplicates, first.rejects, first.bytes) == (1_000, 3, 7, 10_000)
    assert (first.seconds, first.exceeded) == (10.5, [])
    assert found[3].exceeded == ["null_passenger_count"]
    told = "50.11\u00a0% of its rows have no number of passengers, more than 50.00\u00a0%"
    assert told in drawn(all_states.overview(), 200)
    assert (failed.host, failed.step, failed.error) == (
        "somewhere",
        "TaxiTransform",
        "it is broken",
    )
    assert (running.host_at_work, running.step_at_work) == ("somewhere", "TaxiTransform")
    assert {each.rows for each in found if not each.is_merged} == {None}


def test_what_the_source_said_counts_until_the_next_load(kept: Kept) -> None:
    kept.load(ago(1))
    kept.see(ago(1), "corrected since")
    kept.see(LAST, "overdue")
    assert kept.states() == {ago(1): "corrected since", LAST: "overdue"}
    kept.load(ago(1))
    kept.load(LAST)
    assert kept.states() == {ago(1): "merged", LAST: "merged"}


def test_one_line_refreshes_many_months(kept: Kept) -> None:
    for months in range(1, 6):
        kept.load(ago(months))
        if months != 2:
            kept.see(ago(months), "corrected since")
    text = drawn(kept.overview(), 200)
    of = """RangeMonthly --of TaxiRefresh --of-params '{"taxi_type": "green"}'"""
    assert f"{of} --start {ago(5):%Y-%m} --stop {LAST:%Y-%m}" in text
    assert "TaxiRefresh --month" not in text


def test_a_month_whose_same_file_was_published_again_is_merged(kept: Kept) -> None:
    kept.load(LAST)
    kept.see(LAST, "corrected since")
    kept.database.query(
        "WITH run AS (INSERT INTO runs (host, pid, started_by, command, state, package_version) "
        "VALUES ('x', 1, 'x', 'x', 'succeeded', '0') RETURNING run_id) "
        "INSERT INTO load_attempts (run_id, taxi_type, month, state, step, ended_at) "
        "SELECT run_id, 'green', %s, 'succeeded', 'TaxiRefresh', clock_timestamp() FROM run",
        LAST,
    )
    assert kept.states() == {LAST: "merged"}


def test_a_month_is_overdue_from_its_deadline_on_though_nobody_looks(kept: Kept) -> None:
    kept.load(ago(1))
    kept.see(LAST, "not yet published", date.today())
    assert kept.states()[LAST] == "not yet published"
    kept.see(LAST, "not yet published", date.today() - timedelta(days=1))
    assert kept.states()[LAST] == "overdue"


def test_a_fault_that_passes_leaves_the_month_missing(kept: Kept) -> None:
    kept.load(ago(1))
    kept.attempt(LAST, "failed", "passing")
    assert kept.states()[LAST] == "missing"


def test_a_refresh_that_failed_leaves_the_trips_and_a_load_mends_it(kept: Kept) -> None:
    kept.load(LAST, rows=70)
    kept.attempt(LAST, "failed", "content")
    [month] = kept.overview().months
    assert (month.state, month.is_merged, month.rows) == ("failed", True, 70)
    assert "TaxiRefresh" in str(command_of(month))
    kept.load(LAST, rows=80)
    [month] = kept.overview().months
    assert (month.state, month.rows) == ("merged", 80)


def test_a_run_that_died_has_nothing_in_hand(kept: Kept) -> None:
    kept.load(ago(1))
    kept.attempt(LAST, "running")
    assert kept.states()[LAST] == "running"
    kept.database.query("UPDATE runs SET last_seen_at = now() - interval '1 hour'")
    overview = kept.overview()
    assert overview.months[-1].state == "missing"
    assert overview.last_run
    assert (overview.last_run.state, overview.last_run.error) == ("cancelled", "it died")


def test_fewer_rows_than_the_month_before_are_suspicious(kept: Kept, settings: Set) -> None:
    for months, rows in (3, 100), (2, 49), (1, 49), (0, 0):
        kept.load(ago(months), rows=rows)
    found = kept.overview().months
    assert [each.exceeded for each in found] == [[], ["least_rows"], [], ["no_rows", "least_rows"]]
    text = drawn(kept.overview(), 200)
    assert f"{ago(2):%Y-%m}: 49 rows, less than 0.5 times the 100 of the month before" in text
    assert f"{LAST:%Y-%m}: it has no rows; 0 rows, less than" in text
    for month in (ago(2), LAST):
        assert f"TaxiRefresh --month {month:%Y-%m} --taxi-type green" in text
    settings("quality", "least_rows", "0")
    assert [each.exceeded for each in kept.overview().months][1] == []


def test_a_month_whose_trips_are_gone_is_missing(kept: Kept) -> None:
    gone = '{"2024-01": {"unique_row_id": "%s", "pickup_datetime": "2024-01-01"}}' % ("0" * 32)
    kept.load(ago(1))
    kept.load(LAST)
    kept.database.query("UPDATE load_history SET pickup_months = %s WHERE month = %s", gone, LAST)
    month = kept.overview().months[-1]
    assert (month.state, month.is_merged, month.rows) == ("missing", False, None)


@pytest.mark.empty_database
def test_an_empty_warehouse_has_all_to_load(
    database: Database, settings: Set, tmp_path: Path
) -> None:
    settings("warehouse", "url", database.url)
    settings("storage", "root", str(tmp_path / "data"))
    settings("schedule", "taxi_types", "green")
    overview = read_overview(config.open_warehouse(), ago(2))
    assert [each.state for each in overview.months] == ["missing"] * 3
    assert overview.last_run is None
    assert database.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    close_sessions()


def test_a_warehouse_of_an_earlier_version_says_so_and_the_next_look_mends_it(kept: Kept) -> None:
    kept.load(LAST)
    kept.database.query("DROP TABLE months_seen CASCADE")
    with pytest.raises(TaxiError, match="earlier version of luigi-tasks"):
        kept.overview()
    kept.see(LAST, "corrected since")
    assert kept.states() == {LAST: "corrected since"}


def test_the_exit_code_is_that_of_the_worst_month(kept: Kept) -> None:
    assert exit_code(kept.overview().months) == 20

    def of(*months: MonthState) -> int:
        return exit_code(months)

    month = Month("green", LAST)
    well = [MonthState(month, state=each) for each in ("merged", "suspicious", "not yet published")]
    running = MonthState(month, state="running")
    assert of() == of(*well) == 0
    assert of(MonthState(month, state="running", is_merged=True)) == 0
    for state in ("missing", "corrected since", "overdue"):
        assert of(*well, MonthState(month, state=state)) == 20
    assert of(running) == 20
    assert of(running, MonthState(month, state="failed", has_failed=True)) == 30


def drawn(overview: Overview, width: int, **terminal: Any) -> str:
    file = io.StringIO()
    draw(overview, Console(file=file, width=width, highlight=False, markup=False, **terminal))
    return file.getvalue()


def test_the_grid_has_a_letter_for_each_state_and_fits_80_columns(all_states: Kept) -> None:
    for taxi_type in ("yellow", "fhv"):
        all_states.load(LAST, rows=1_234_567, taxi_type=taxi_type)
    text = drawn(all_states.overview(), 80)
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0] == "6 months, 2,472,134 trips, 25 MB of files".replace(
        "2,472,134", f"{1_000 + 1_000 + 900 + 100 + 2 * 1_234_567:,}"
    )
    for state, (letter, _) in STATES.items():
        assert f" {letter}  " in text, state
        assert state in text
    assert max(len(line) for line in lines if "luigi" not in line) <= 80
    letters = "".join(
        line[31:59] if line[:4].isdigit() and len(line) > 31 else "" for line in lines
    )
    assert [each for each in letters if each.isalpha()] == [*"MCXSFRONM"]
    assert not any(line.endswith(" ") for line in lines)


def test_commands_are_whole_lines_and_colours_are_for_terminals(all_states: Kept) -> None:
    text = drawn(all_states.overview(), 80, force_terminal=True, color_system="truecolor")
    assert "\x1b[38;2;0;0;0;48;2;213;94;0m F" in text
    plain = drawn(all_states.overview(), 80)
    failed = f"{ago(4):%Y-%m}"
    assert f"TaxiReset --month {failed} --taxi-type green\n" in plain
    assert f"TaxiMerge --month {failed} --taxi-type green\n" in plain
    assert f"next       green {ago(1):%Y-%m}, expected by " in plain


def test_a_command_fits_the_terminal_and_can_still_be_copied(
    all_states: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = "/srv/taxis/somewhere/with/a/long/name/.venv/bin"
    monkeypatch.setattr(sys, "executable", f"{folder}/python")
    terminal = {"force_terminal": True, "color_system": None}
    text = drawn(all_states.overview(), 80, **terminal)
    assert all(len(line) <= 80 for line in text.splitlines())
    joined = re.sub(r" \\\n +", " ", text)
    assert f"{folder}/luigi --module luigi_tasks TaxiReset --month {ago(4):%Y-%m} --taxi" in joined
    assert f"{folder}/luigi --module" in drawn(all_states.overview(), 80)
    assert "\\" not in drawn(all_states.overview(), 80)


def test_what_a_month_failed_by_moves_no_cursor(all_states: Kept) -> None:
    all_states.database.query("UPDATE load_attempts SET error = E'\\x1b[2Jgone [red]not[/red]'")
    assert "\\x1b[2Jgone [red]not[/red]" in drawn(all_states.overview(), 80)


def test_the_document_is_as_its_schema_says(all_states: Kept) -> None:
    schema = json.loads((ROOT / "docs" / "status.schema.json").read_text())
    jsonschema_rs.meta.validate(schema)
    document = json.loads(as_json(all_states.overview()))
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(document)
    assert {each["state"] for each in document["months"]} == {*STATES}
    assert set(schema["$defs"]["month"]["properties"]["state"]["enum"]) == {*STATES}
    assert document["totals"]["rows"] == all_states.database.value(
        "SELECT sum(rows_staged - rows_duplicate) FROM load_history"
    )
    by_month = {each["month"]: each for each in document["months"]}
    failed = by_month[f"{ago(4):%Y-%m}"]
    assert failed["command"].startswith("cd ")
    assert (failed["host"], failed["error"]) == ("somewhere", "it is broken")
    assert by_month[f"{LAST:%Y-%m}"]["command"] is None
    assert (document["exit_code"], document["next"]["month"]) == (30, f"{ago(1):%Y-%m}")


def run_status(database: Database, folder: Path, *arguments: str) -> tuple[int, str]:
    words = [PYTHON, "-m", "luigi_tasks", "status", "--warehouse-url", database.url, *arguments]
    environment = {**os.environ, "COLUMNS": "80"}
    run = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert not run.stderr
    return run.returncode, run.stdout


def test_the_command_shows_the_services_that_are_named(all_states: Kept, tmp_path: Path) -> None:
    all_states.load(LAST, rows=40, taxi_type="yellow")
    code, text = run_status(all_states.database, tmp_path)
    assert (code, "green  " in text, "yellow  40 trips" in text) == (30, True, True)
    code, text = run_status(all_states.database, tmp_path, "--taxi-types", "yellow", "--json")
    document = json.loads(text)
    assert (code, document["exit_code"]) == (0, 0)
    assert [each["taxi_type"] for each in document["months"]] == ["yellow"]


def test_what_is_wanted_is_what_a_run_would_load(kept: Kept, settings: Set) -> None:
    """A hole of a service that the schedule leaves out is none, unless the service is named; then
    the line to run names it, too."""
    for taxi_type in ("green", "yellow"):
        kept.load(ago(9), taxi_type=taxi_type)
        kept.load(ago(7), taxi_type=taxi_type)
    settings("schedule", "taxi_types", "green")
    start = ago(2)

    def missing(*named: str) -> dict[str, int]:
        months = read_overview(kept.opened, start, named).by_service
        return {name: sum(m.state == "missing" for m in each) for name, each in months.items()}

    assert due.first_wanted(kept.opened, start) == {"green": ago(9)}
    assert missing() == {"yellow": 0, "green": 8}
    assert missing("yellow") == {"yellow": 8}
    line = "luigi-tasks run"
    assert f"{line}\n" in drawn(read_overview(kept.opened, start), 80)
    text = drawn(read_overview(kept.opened, start, ["yellow"]), 80)
    assert f"{line} --schedule-taxi-types yellow\n" in text


def test_a_run_leaves_what_the_source_said(
    luigi_command: Luigi, database: Database, published: Published, settings: Set
) -> None:
    """TaxiDue by itself, and RangeMonthly of TaxiRefresh what was corrected."""
    for month in (ago(2), ago(1)):
        published.write("green", f"{month:%Y-%m}", rows=20)
    luigi_command.settings["--source-url"] = published.url
    flags = ["--schedule-taxi-types=green", f"--schedule-first-month={ago(2):%Y-%m}"]
    run = luigi_command("TaxiDue", *flags)
    assert run.code == 0, run.output
    asked = "SELECT month, reason, deadline > current_date FROM months_seen ORDER BY month"
    seen = database.query(asked)
    assert seen == [
        (ago(2), "missing", None),
        (ago(1), "missing", None),
        (LAST, "not yet published", True),
    ]
    published.write("green", f"{ago(2):%Y-%m}", rows=21)
    luigi_command(
        "RangeMonthly",
        "--of=TaxiRefresh",
        '--of-params={"taxi_type": "green"}',
        f"--start={ago(2):%Y-%m}",
    )
    settings("warehouse", "url", database.url)
    found = read_overview(config.open_warehouse(), ago(2)).months
    assert [(each.state, each.rows) for each in found] == [
        ("merged", 21),
        ("merged", 20),
        ("not yet published", None),
    ]
    assert database.query(asked)[0] == (ago(2), "corrected since", None)
    close_sessions()
