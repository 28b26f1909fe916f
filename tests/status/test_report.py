"""The report: that its numbers are those of SQL, and what it makes of any warehouse."""

import base64
import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import PYTHON, Database, Luigi, Server, lasting_database
from filled import SIZES, draw_zones, empty, fill
from kept import LAST, Kept, ago, kept_in

from luigi_tasks.catalog import QUALITY_CHECKS
from luigi_tasks.errors import TaxiError
from luigi_tasks.status.report import write_report
from luigi_tasks.status.report.charts import Scale, compact

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)

Set = Callable[[str, str, str], None]
CHECKS = ["rows_rejected", "rows_duplicate", *(f"quality ->> '{name}'" for name in QUALITY_CHECKS)]


class Page(HTMLParser):
    """A page's text, its tables by caption or id, and its elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.tables: dict[str, list[list[str]]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._rows: list[list[str]] = []
        self._caption: str | None = None
        self._cell = False
        self._heading: str | None = None
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag == "table":
            self._rows, self._caption, self._cell = [], "", False
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._cell = True
        elif tag == "caption":
            self._cell = False
        elif tag in ("h1", "h2"):
            self._heading = found.get("id") or tag

    def handle_data(self, data: str) -> None:
        if self._heading:
            self.text[self._heading] = self.text.get(self._heading, "") + data
        if self._caption is not None and self._cell:
            self._rows[-1][-1] += data
        elif self._caption is not None:
            self._caption += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("h1", "h2"):
            self._heading = None
        elif tag == "table":
            rows = [[" ".join(cell.split()) for cell in row] for row in self._rows]
            self.tables[" ".join((self._caption or "").split())] = rows
            self._caption = None

    def table(self, words: str) -> list[list[str]]:
        """The rows of the body of the table whose caption has these words."""
        [found] = [rows for caption, rows in self.tables.items() if words in caption]
        return found[1:]


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


def check_of(check: str) -> str:
    return f"coalesce(({check})::bigint, 0)"


def share_of(check: str) -> str:
    return f"100.0 * {check_of(check)} / rows_read"


def sums_of(check: str) -> str:
    """How many rows in all, which share of the last month's, and the largest share of a month."""
    return (
        f"sum({check_of(check)}), (array_agg({share_of(check)} ORDER BY month DESC))[1], "
        f"max({share_of(check)})"
    )


def test_every_number_of_a_table_equals_sql(kept: Kept) -> None:
    url, query = kept.database.url, kept.database.query
    for taxi_type in SIZES:
        fill(url, taxi_type, date(2019, 2, 1), 60, gaps=[7, 8, 30])
    draw_zones(url)
    page = page_of(kept)
    in_place = "JOIN load_history AS loaded ON loaded.taxi_type = t.taxi_type AND loaded.month = "

    [(months, trips)] = query(
        "SELECT count(*), sum(rows_staged - rows_duplicate) FROM load_history"
    )
    assert page.text["h1"] == f"New York taxi trips: {months:,} months, {trips:,} trips"

    years = query(
        "SELECT t.taxi_type, extract(year FROM t.month)::text, count(*), sum(trips), "
        "sum(passengers), round(sum(distance)), round(sum(fares)), round(sum(tips)), "
        f"round(sum(revenue)) FROM monthly_trips AS t {in_place} t.month "
        "GROUP BY 1, 2, array_position(ARRAY['yellow', 'green', 'fhv', 'fhvhv'], t.taxi_type) "
        "ORDER BY array_position(ARRAY['yellow', 'green', 'fhv', 'fhvhv'], t.taxi_type), 2"
    )
    dollars = [
        [*map(str, row[:2]), *(f"{n:,}" for n in row[2:6])]
        + ["-" if n is None else f"${n:,}" for n in row[6:]]
        for row in years
    ]
    assert page.table("By year of pickup") == dollars

    for taxi_type in SIZES:
        loads = query(
            f"SELECT to_char(month, 'YYYY-MM'), rows_read, rows_staged - rows_duplicate, "
            f"{', '.join(map(check_of, CHECKS))} "
            "FROM load_history WHERE taxi_type = %s ORDER BY month DESC",
            taxi_type,
        )
        shown = page.table(f"{taxi_type}: rows of each month's file")
        assert shown == [[month, *(f"{n:,}" for n in counts)] for month, *counts in loads]

        hours = query(
            "SELECT weekday, hour, sum(trips) FROM hourly_trips AS t "
            f"{in_place} t.month WHERE t.taxi_type = %s GROUP BY 1, 2 ORDER BY 1, 2",
            taxi_type,
        )
        shown_hours = [cell for row in page.table(f"{taxi_type} most on") for cell in row[1:]]
        assert shown_hours == [compact(trips) for _, _, trips in hours]
        counts = [trips for _, _, trips in hours]
        assert f"{max(counts):,} of {sum(counts):,} trips</caption>" in page.html

        zones = query(
            "SELECT coalesce(format('zone %%s', location_id), 'no zone'), sum(trips), "
            "100 * sum(trips) / sum(sum(trips)) OVER () "
            f"FROM zone_pickups AS t {in_place} t.month WHERE t.taxi_type = %s "
            "GROUP BY location_id ORDER BY 2 DESC, coalesce(location_id, 0) LIMIT 15",
            taxi_type,
        )
        [(of_all,)] = query(
            f"SELECT sum(trips) FROM zone_pickups AS t {in_place} t.month WHERE t.taxi_type = %s",
            taxi_type,
        )
        ranking = page.table(f"{taxi_type}: the zones where most of {of_all:,} trips begin")
        assert [row[1:] for row in ranking] == [
            [zone, f"{trips:,}", f"{share:.2f} %"] for zone, trips, share in zones
        ]

        of_months = query(
            "SELECT to_char(month, 'YYYY-MM'), rows_staged - rows_duplicate, "
            f"100.0 * ({' + '.join(map(check_of, CHECKS))}) "
            "/ rows_read, download_seconds + transform_seconds + stage_seconds + merge_seconds "
            "FROM load_history WHERE taxi_type = %s ORDER BY month",
            taxi_type,
        )
        cells = [
            (f"{row[0]}-{number:02}", cell)
            for row in page.table(
                f"{taxi_type} {sum(rows for _, rows, *_ in of_months):,} trips in"
            )
            for number, cell in enumerate(row[1:], 1)
        ]
        assert [each for each in cells if each[1].startswith(("M", "S"))] == [
            (
                month,
                f"{letter}{compact(rows)}{compact(round(float(failed), 1))}"
                f"{compact(round(seconds, 1))}",
            )
            for (month, rows, failed, seconds), (_, letter) in zip(
                of_months,
                [(at, cell[0]) for at, cell in cells if cell.startswith(("M", "S"))],
                strict=True,
            )
        ]

        checks = query(
            f"SELECT {', '.join(map(sums_of, CHECKS))} FROM load_history WHERE taxi_type = %s",
            taxi_type,
        )[0]
        found = page.table(f"{taxi_type}: data quality checks")
        expected = [
            [f"{checks[at]:,}", f"{checks[at + 1]:.2f} %", f"{checks[at + 2]:.2f} %"]
            for at in range(0, len(checks), 3)
            if checks[at]
        ]
        assert [[row[2], row[3], row[4][:-7]] for row in found] == expected

        [(days, trips, a_day, most)] = query(
            "SELECT count(*), sum(trips), round(avg(trips)), max(trips) FROM daily_trips AS t "
            f"{in_place} date_trunc('month', t.day) WHERE t.taxi_type = %s",
            taxi_type,
        )
        assert f"{trips:,} trips on {days:,} days, {a_day:,} a day" in page.html
        assert re.search(rf'class="mark"[^>]*>\d{{4}}-\d\d-\d\d: {most:,}</text>', page.html)

        [(total, slowest)] = query(
            "SELECT round(sum(seconds)::numeric, 1), round(max(seconds)::numeric, 1) FROM ("
            "SELECT download_seconds + transform_seconds + stage_seconds + merge_seconds "
            "AS seconds FROM load_history WHERE taxi_type = %s) AS loads",
            taxi_type,
        )
        assert re.search(rf"{total:,} s for 57 months; most for [\d-]+: {slowest:,} s", page.html)

    lines = query(
        "SELECT load_id, taxi_type, to_char(month, 'YYYY-MM'), rows_read, rows_rejected, "
        "rows_duplicate, rows_inserted, rows_removed, round((download_seconds + "
        "transform_seconds + stage_seconds + merge_seconds)::numeric, 1) "
        "FROM load_history ORDER BY load_id DESC LIMIT 20"
    )
    assert [row[:1] + row[2:-1] for row in page.table("The ledger's last")] == [
        [f"{number:,}", taxi_type, month, *(f"{n:,}" for n in counts)]
        for number, taxi_type, month, *counts in lines
    ]


def test_the_charts_are_as_high_as_sql_says(kept: Kept) -> None:
    fill(kept.database.url, "green", date(2020, 1, 1), 24)
    page = page_of(kept)
    [(most,)] = kept.database.query(
        "SELECT max(trips) FROM monthly_trips WHERE month BETWEEN '2020-01-01' AND '2021-12-01'"
    )
    found = re.search(r'id="trips-green-t".*?<path class="bar" d="([^"]+)"', page.html, re.DOTALL)
    assert found
    heights = [int(height) for height in re.findall(r"v-(\d+)h", found[1])]
    amounts = kept.database.query(
        "SELECT trips FROM monthly_trips JOIN load_history USING (taxi_type, month) ORDER BY month"
    )
    scale = Scale.of(most)
    assert heights == [200 - round(200 - trips / scale.top * 200) for (trips,) in amounts]


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
