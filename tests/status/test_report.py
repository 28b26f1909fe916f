"""The report: what it makes of any warehouse. Its numbers are in ``test_report_numbers.py``."""

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from conftest import PYTHON, Database, Luigi, Server, lasting_database
from filled import SIZES, draw_zones, empty, fill
from kept import LAST, Kept, ago, kept_in
from pages import Page

from luigi_tasks.errors import TaxiError
from luigi_tasks.status.report import write_report

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)

Set = Callable[[str, str, str], None]


@pytest.fixture(scope="module")
def prepared(server: Server) -> Iterator[Database]:
    with lasting_database(server, "report") as database:
        yield database


@pytest.fixture
def kept(prepared: Database, settings: Set, tmp_path: Path) -> Iterator[Kept]:
    with kept_in(prepared, settings, tmp_path / "data") as kept:
        prepared.query("TRUNCATE runs, load_attempts, alarms, months_seen, taxi_zones")
        empty(prepared.url)
        yield kept


def page_of(kept: Kept) -> Page:
    return Page(write_report(kept.opened, ago(5)))


def test_trips_decades_off_are_counted_and_not_drawn(kept: Kept) -> None:
    fill(kept.database.url, "green", date(2020, 1, 1), 12)
    page = page_of(kept)
    assert "3 more trips begin in months whose own file isn't loaded, from 2002-12 to 2041-08" in (
        page.html.replace("&#39;", "'")
    )
    assert "2041</text>" not in page.html


def test_a_page_of_nothing_and_of_one_month(kept: Kept) -> None:
    page = page_of(kept)
    assert page.text["h1"] == "New York taxi trips: 0 months, 0 trips"
    fill(kept.database.url, "fhv", LAST, 1)
    page = page_of(kept)
    assert page.text["h1"].startswith("New York taxi trips: 1 month, ")
    assert page.text["needs"] == "All is well"
    assert "it publishes no amounts of money" in page.html


def test_months_that_are_not_counted_are_named_with_what_counts_them(kept: Kept) -> None:
    fill(kept.database.url, "green", ago(2), 3)
    assert "TaxiFeatures" not in page_of(kept).html
    kept.database.query("DELETE FROM counted_loads WHERE month = %s", ago(1))
    page = page_of(kept)
    assert f"green {ago(1):%Y-%m}" in page.html
    assert "TaxiFeatures" in page.html


def test_a_warehouse_without_tables_for_analysts_has_a_page(kept: Kept) -> None:
    fill(kept.database.url, "green", ago(2), 3)
    for view in ("daily_trips", "monthly_trips", "hourly_trips", "zone_pickups"):
        kept.database.query(f"ALTER VIEW {view} RENAME TO not_{view}")
    kept.database.query("ALTER TABLE zone_outlines RENAME TO not_zone_outlines")
    try:
        page = page_of(kept)
    finally:
        for view in ("daily_trips", "monthly_trips", "hourly_trips", "zone_pickups"):
            kept.database.query(f"ALTER VIEW not_{view} RENAME TO {view}")
        kept.database.query("ALTER TABLE not_zone_outlines RENAME TO zone_outlines")
    assert "TaxiFeatures" in page.html
    assert page.table("The ledger's last") != []


def test_hostile_text_stays_text(kept: Kept, tmp_path: Path) -> None:
    evil = "</title><script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m\u202eé"
    fill(kept.database.url, "green", ago(1), 2)
    draw_zones(kept.database.url)
    kept.attempt(ago(3), "failed", "content")
    kept.database.query("UPDATE load_attempts SET error = %s", evil + "x" * 10_000)
    kept.database.query("UPDATE runs SET host = %s, command = %s", evil, evil)
    kept.database.query("INSERT INTO taxi_zones VALUES (7, %s, %s, 'x')", evil, evil * 100)
    kept.database.query(
        "UPDATE load_history SET package_version = %s, rows_rejected = 2, "
        "rows_read = rows_staged + 2",
        evil,
    )
    rejects = tmp_path / "data" / "rejects" / f"green_tripdata_{ago(1):%Y-%m}.jsonl"
    rejects.parent.mkdir(parents=True)
    reject = {"row": 5, "column": evil, "value": evil + "y" * 100_000, "reason": evil}
    lines = [
        json.dumps({**reject, "value": evil}),
        "{broken",
        "[1]",
        json.dumps(reject),
        "[" * 9_999,
    ]
    rejects.write_text("\n".join(lines))
    page = page_of(kept)
    tags = {tag for tag, _ in page.elements}
    assert "script" not in tags
    assert "img" not in tags
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", page.html)
    assert "&lt;script&gt;" in page.html
    assert len(page.html) < 250_000


def test_nothing_is_requested_and_the_style_is_the_one_that_is_allowed(kept: Kept) -> None:
    for taxi_type in ("yellow", "green"):
        fill(kept.database.url, taxi_type, date(2020, 1, 1), 30)
    draw_zones(kept.database.url)
    page = page_of(kept)
    [policy] = [found["content"] for tag, found in page.elements if "http-equiv" in found]
    style = re.search(r"<style>(.*?)</style>", page.html, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"
    for tag, found in page.elements:
        assert not {"src", "style", "srcset", "data", "action"} & found.keys(), tag
        assert not [name for name in found if name.startswith("on")], tag
        assert (found.get("href") or "#").startswith("#"), tag
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(ids) == len(set(ids))
    for _, found in page.elements:
        for label in (found.get("aria-labelledby") or "").split():
            assert label in ids


def test_sixteen_years_of_four_services_are_less_than_half_a_megabyte(kept: Kept) -> None:
    for taxi_type in SIZES:
        fill(kept.database.url, taxi_type, date(2010, 1, 1), 200)
    draw_zones(kept.database.url, 80_000 // 263)
    path = write_report(kept.opened, ago(5))
    assert Page(path).text["h1"].startswith("New York taxi trips: 800 months, ")
    assert path.stat().st_size < 500_000


def test_the_page_is_replaced_whole_or_not_at_all(
    kept: Kept, settings: Set, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "report.html"
    first = write_report(kept.opened, ago(5))
    assert first == path
    before = path.read_text()
    fill(kept.database.url, "green", ago(1), 2)
    assert write_report(kept.opened, ago(5)).read_text() != before
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    settings("report", "file", str(tmp_path / "elsewhere" / "é.html"))
    assert write_report(kept.opened, ago(5)) == tmp_path / "elsewhere" / "é.html"
    (tmp_path / "folder").mkdir()
    settings("report", "file", str(tmp_path / "folder"))
    with pytest.raises(TaxiError, match=r"\[report\] file: .*directory"):
        write_report(kept.opened, ago(5))
    assert [each.name for each in tmp_path.glob(".*")] == []


def test_the_task_and_the_command_write_the_same(command_merged: Luigi) -> None:
    ran = command_merged("TaxiReport")
    path = command_merged.folder / "data" / "report.html"
    assert ran.code == 0, ran.output
    assert str(path) in ran.output
    by_task = Page(path)
    path.unlink()
    words = ["-m", "luigi_tasks", "report"]
    named = {"--storage-root", "--warehouse-url"}
    flags = [
        word
        for flag, value in command_merged.settings.items()
        if flag in named
        for word in (flag, value)
    ]
    ran_again = subprocess.run(
        [PYTHON, *words, *flags], cwd=command_merged.folder, capture_output=True, text=True
    )
    assert ran_again.stdout.strip() == str(path), ran_again.stderr
    assert Page(path).tables == by_task.tables


@pytest.mark.slow
def test_a_line_of_the_page_mends_the_warehouse_that_flags_named(command_merged: Luigi) -> None:
    """Of a shell in the folder that the page names, and without a file of settings there."""
    command_merged.settings["--storage-root"] = "my data"
    assert command_merged("TaxiReset", "--month=2024-02", "--taxi-type=green").code == 0
    assert command_merged("TaxiReport").code == 0
    page = Page(command_merged.folder / "my data" / "report.html")
    [line] = [each for each in page.lines if " run " in each]
    assert "--warehouse-url" in line
    ran = subprocess.run(
        line, shell=True, cwd=command_merged.folder, capture_output=True, text=True
    )
    assert "1 month" in ran.stdout, ran.stderr
    assert command_merged("TaxiReport").code == 0
    page = Page(command_merged.folder / "my data" / "report.html")
    assert page.text["h1"].startswith("New York taxi trips: 3 months, ")
