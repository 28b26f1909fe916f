"""The metrics file: what it says after good and bad runs, and that it never changes a run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import ROOT, Database, Server, lasting_database, skip
from months import close_sessions
from prometheus_client.parser import text_string_to_metric_families

from luigi_tasks import config, warehouse
from luigi_tasks.months import Month
from luigi_tasks.operations import metrics
from luigi_tasks.operations.outcome import Expected, Outcome
from luigi_tasks.tables import Warehouse

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
Settings = Callable[[str, str, str], None]
BEGAN = datetime(2026, 3, 1, 6, 15, tzinfo=timezone.utc)
LATE, NOT_LATE = (Expected(Month("green", date(2025, m, 1)), m == 1, None) for m in (1, 2))


@pytest.fixture
def file(tmp_path: Path, settings: Settings) -> Path:
    path = tmp_path / "textfiles" / "luigi_tasks.prom"
    settings("metrics", "textfile", str(path))
    return path


def outcome(state: str = "succeeded", code: int = 0, **facts: object) -> Outcome:
    ended = BEGAN + timedelta(seconds=90)
    values = {"run_id": 7, "state": state, "exit_code": code, "began": BEGAN, "ended": ended}
    return Outcome("TaxiDue", **{**values, **facts})  # type: ignore[arg-type]


def read(file: Path) -> dict[str, float]:
    """The samples of the file, by name and labels without quotation marks."""
    families = text_string_to_metric_families(file.read_text())
    return {
        sample.name.removeprefix("luigi_tasks_")
        + "".join(f" {v}" for v in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def loaded(
    server: Server, settings: Settings, tmp_path: Path
) -> Iterator[tuple[Database, Warehouse]]:
    """A warehouse whose ledger has green 2024-01 twice and 2024-03, and a failure in 2024-02."""
    with lasting_database(server, "metrics") as database:
        settings("warehouse", "url", database.url)
        settings("storage", "root", str(tmp_path / "data"))
        opened = config.open_warehouse()
        warehouse.prepare(opened, "test")
        for month, rows in (("2024-01", 50), ("2024-01", 100), ("2024-03", 300)):
            database.query(
                "INSERT INTO load_history (taxi_type, month, trips_table, filename, url, bytes, "
                "sha256, rows_read, rows_rejected, rows_staged, rows_duplicate, rows_present, "
                "rows_inserted, rows_removed, rows_stray, pickup_months, unknown_columns, "
                "download_seconds, transform_seconds, stage_seconds, merge_seconds, started_at, "
                "finished_at, package_version) VALUES ('green', %s, 't', 'x', 'x', %s, "
                "'x', %s, 5, %s, 2, 0, %s, 0, 0, '{}', '{}', 1.5,2.5, 3.5, 4.5, now(), now(), 'x')",
                f"{month}-01",
                rows * 10,
                rows + 5,
                rows,
                rows - 2,
            )
            database.query(
                "INSERT INTO table_updates (update_id) VALUES (%s) ON CONFLICT DO NOTHING",
                f"TaxiMerge green {month}",
            )
        database.query(
            "INSERT INTO runs (host, pid, started_by, command, state, package_version, ended_at) "
            "VALUES ('here', 1, 'x', 'x', 'succeeded', '0', '2026-02-28 06:15:00+00')"
        )
        database.query(
            "INSERT INTO load_attempts (run_id, taxi_type, month, state, step, cause, ended_at) "
            "VALUES (1, 'green', '2024-02-01', 'failed', 'TaxiTransform', 'content', now())"
        )
        yield database, opened
        close_sessions()


@on_one_server
def test_the_file_has_what_is_loaded_and_how_the_run_ended(
    loaded: tuple[Database, Warehouse], file: Path
) -> None:
    metrics.write(loaded[1], outcome("failed", 30, expected=(LATE, NOT_LATE)))
    ended = (BEGAN + timedelta(seconds=90)).timestamp()
    assert read(file) == {
        "last_run_timestamp_seconds": ended,
        "last_run_exit_code": 30,
        "last_run_failed": 1,
        "last_run_duration_seconds": 90,
        "last_success_timestamp_seconds": (BEGAN - timedelta(days=1)).timestamp(),
        "months green": 2,
        "months_failed green": 1,
        "months_overdue green": 1,
        "months_missing green": 1,
        "trips green": 98 + 298,
        "rejects green": 10,
        "duplicates green": 4,
        "published_bytes green": 4000,
        "newest_month_end_timestamp_seconds green": datetime(
            2024, 4, 1, tzinfo=timezone.utc
        ).timestamp(),
        "last_load_step_seconds download green": 1.5,
        "last_load_step_seconds transform green": 2.5,
        "last_load_step_seconds stage green": 3.5,
        "last_load_step_seconds merge green": 4.5,
    }
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@on_one_server
def test_what_cannot_be_asked_keeps_its_value(
    loaded: tuple[Database, Warehouse], file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics.write(loaded[1], outcome(expected=(LATE,)))
    before = read(file)
    metrics.write(loaded[1], outcome("failed", 35, run_id=None))
    loaded[0].query("DROP TABLE load_history CASCADE")
    metrics.write(loaded[1], outcome("failed", 35))
    assert read(file) == {**before, "last_run_exit_code": 35, "last_run_failed": 1}
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "[metrics] textfile has older figures: UndefinedTable"
    ]


@on_one_server
def test_a_service_that_is_looked_at_again_may_have_nothing_late(
    loaded: tuple[Database, Warehouse], file: Path
) -> None:
    metrics.write(loaded[1], outcome(expected=(LATE,)))
    metrics.write(loaded[1], outcome())
    assert read(file)["months_overdue green"] == 1
    metrics.write(loaded[1], outcome(services=["green"]))
    assert read(file)["months_overdue green"] == 0


def test_a_file_that_is_not_ours_is_replaced(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"\xff not metrics {")
    metrics.write(None, outcome())
    assert read(file)["last_run_exit_code"] == 0


def test_what_a_killed_run_left_is_removed(file: Path) -> None:
    file.parent.mkdir()
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    left = file.with_name(f"{file.name}.{finished.pid}.140001")
    left.write_text("half")
    metrics.write(None, outcome())
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("what", ["no folder", "no package"])
def test_a_file_that_cannot_be_written_is_one_line(
    file: Path, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if what == "no folder":
        file.parent.write_text("a file")
    else:
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
    metrics.write(None, outcome())
    [record] = caplog.records
    said = {"no folder": "can't be written: ", "no package": "'luigi-tasks[metrics]'"}[what]
    assert said in record.getMessage()


def test_the_alerts_name_metrics_that_exist() -> None:
    named = set(re.findall(r"luigi_tasks_(\w+)", (ROOT / "docs" / "alerts.yml").read_text()))
    assert named <= set(metrics.METRICS)
    assert {"last_run_failed", "months_overdue"} <= named


@pytest.mark.parametrize(
    "words",
    [["check", "rules", "docs/alerts.yml"], ["test", "rules", "tests/operations/alerts_test.yml"]],
)
def test_prometheus_accepts_the_alerts_and_they_fire(words: list[str]) -> None:
    if not shutil.which("promtool"):
        skip("promtool isn't installed (Debian's package prometheus)")
    run = subprocess.run(["promtool", *words], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_prometheus_accepts_the_file(file: Path) -> None:
    if not shutil.which("promtool"):
        skip("promtool isn't installed (Debian's package prometheus)")
    metrics.write(None, outcome(expected=(LATE,)))
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=file.read_bytes(), capture_output=True
    )
    assert run.returncode == 0, run.stderr
