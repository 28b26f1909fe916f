"""Two runs with one luigid: who ends how, when the other one has done or failed a month."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Database, Luigi, Published, Run, Undisturbed
from luigids import free_port

from luigi_tasks.operations import luigid

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]

#: Waits in the first month, until the test has seen how the other run ends.
WAITING = """
import os, pathlib, shutil, time
go = os.environ["GO"]
while os.environ["TAXI_MONTH"] == "2024-01" and not pathlib.Path(go).exists():
    pathlib.Path(go + "-asked").touch()
    time.sleep(0.02)
shutil.copy(os.environ["TAXI_FILE"], "trips.parquet")
"""


@pytest.fixture
def first(command: Luigi, tmp_path: Path) -> Iterator[Luigi]:
    """A host whose luigid others use, too."""
    root = tmp_path / "luigid"
    found = luigid.start(root, free_port())
    (command.folder / "wait.py").write_text(WAITING)
    variables = json.dumps({"GO": str(tmp_path / "go")})
    command.settings |= {"--transform-script": "wait.py", "--runner-environment": variables}
    (command.folder / "luigi.cfg").write_text(
        f"[core]\nlocal_scheduler = false\nscheduler_url = {found.url}\n"
    )
    yield command
    luigid.stop(root, found)


@pytest.fixture
def second(first: Luigi, tmp_path: Path) -> Luigi:
    """Another host, which shares nothing with the first one but PostgreSQL and luigid."""
    folder = tmp_path / "second"
    folder.mkdir()
    for name in ("wait.py", "luigi.cfg"):
        (folder / name).write_text((first.folder / name).read_text())
    return replace(first, folder=folder)


def words() -> list[str]:
    of_params = json.dumps({"taxi_type": "green"})
    return ["--of=TaxiMonth", f"--of-params={of_params}", "--start=2024-01", "--stop=2024-04"]


def side_by_side(first: Luigi, second: Luigi, go: Path) -> tuple[Run, Run]:
    """The first one is in the first month until the second one has done what it can."""
    process = first.start("RangeMonthly", *words())
    deadline = time.monotonic() + 120
    while not go.with_name("go-asked").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    other = second.start("RangeMonthly", *words())
    database = Database(first.settings["--warehouse-url"])
    asked = "SELECT count(*) FROM load_attempts WHERE state IN ('succeeded', 'failed')"
    while other.poll() is None and database.value(asked) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    go.touch()
    outputs = process.communicate(timeout=120)[0], other.communicate(timeout=120)[0]
    return Run(process.returncode, outputs[0]), Run(other.returncode, outputs[1])


def months(database: Database) -> list[str]:
    found = database.query("SELECT month::text FROM load_history ORDER BY month")
    return [month[:7] for (month,) in found]


def test_both_end_with_0_though_each_has_done_a_part(
    first: Luigi, second: Luigi, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    one, other = side_by_side(first, second, tmp_path / "go")
    assert (one.code, other.code) == (0, 0), one.output + other.output
    assert "inserted" in one.output
    assert other.output.count("inserted") == 2
    database = Database(first.settings["--warehouse-url"])
    assert database.trips() == undisturbed.database.trips()
    assert months(database) == ["2024-01", "2024-02", "2024-03"]


def test_what_fails_by_a_fault_of_one_host_is_loaded_by_the_other(
    first: Luigi, second: Luigi, tmp_path: Path
) -> None:
    """The host with the fault begins no other month."""
    (second.folder / "data").mkdir()
    (second.folder / "data" / "raw").write_text("a file in place of the folder")
    one, other = side_by_side(first, second, tmp_path / "go")
    assert (one.code, other.code) == (0, 30), one.output + other.output
    database = Database(first.settings["--warehouse-url"])
    assert months(database) == ["2024-01", "2024-02", "2024-03"]
    assert database.value("SELECT count(*) FROM load_attempts WHERE state = 'failed'") == 1


def test_both_end_with_30_if_a_month_fails_by_its_file(
    first: Luigi, second: Luigi, published: Published, tmp_path: Path
) -> None:
    """Whoever had it in hand, and nobody tries it again."""
    for month in ("2024-01", "2024-03"):
        published.write("green", month)
    (published.folder / "green_tripdata_2024-02.parquet").write_bytes(b"damaged" * 100)
    for host in (first, second):
        host.settings["--source-url"] = published.url
    one, other = side_by_side(first, second, tmp_path / "go")
    assert (one.code, other.code) == (30, 30), one.output + other.output
    assert "TaxiMonth(month=2024-02, taxi_type=green) failed in another run's hands" in one.output
    database = Database(first.settings["--warehouse-url"])
    assert months(database) == ["2024-01", "2024-03"]
    assert database.value("SELECT count(*) FROM load_attempts WHERE state = 'failed'") == 1
