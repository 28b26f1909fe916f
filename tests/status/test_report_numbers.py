"""Every number on the report, and every length and shade in it, equals what SQL says."""

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, Server, changed_settings, lasting_database
from filled import SIZES, draw_zones, fill
from kept import Kept, ago, kept_in
from pages import Page

from luigi_tasks.catalog import QUALITY_CHECKS
from luigi_tasks.status.report import write_report
from luigi_tasks.status.report.charts import Scale, compact
from luigi_tasks.texts import sized

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)

#: What is counted of a load, each with what the page calls such rows.
CHECKS = {
    "rows_rejected": "can't be read",
    "rows_duplicate": "are equal to another in every column",
    **{f"quality ->> '{name}'": f"have {meaning}" for name, meaning in QUALITY_CHECKS.items()},
}
NAMES = ["reject", "duplicate", *QUALITY_CHECKS]
#: The months of the warehouse, and the numbers of those that aren't loaded.
FIRST, MONTHS, GAPS = ago(44), 45, [7, 8, 30]
#: The month of which a tenth of the usual trips was taken.
QUIET = ago(20)
SECONDS = "download_seconds + transform_seconds + stage_seconds + merge_seconds"
IN_PLACE = "JOIN load_history AS loaded ON loaded.taxi_type = t.taxi_type AND loaded.month = "
IN_ORDER = "array_position(ARRAY['yellow', 'green', 'fhv', 'fhvhv'], t.taxi_type)"


@pytest.fixture(scope="module")
def loaded(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A warehouse of all services, with a month in each state."""
    folder = tmp_path_factory.mktemp("numbers") / "data"
    with (
        lasting_database(server, "report_numbers") as database,
        changed_settings() as settings,
        kept_in(database, settings, folder) as kept,
    ):
        settings("quality", "least_rows", "0")
        settings("quality", "most", '{"null_passenger_count": 0.3}')
        for taxi_type in SIZES:
            fill(database.url, taxi_type, FIRST, MONTHS, gaps=GAPS)
        draw_zones(database.url)
        database.query("UPDATE load_history SET finished_at = now() - load_id * interval '1 hour'")
        for table in ("daily_trips_by_file", "monthly_trips_by_file"):
            database.query(f"UPDATE {table} SET trips = trips / 10 WHERE file_month = %s", QUIET)
        database.query(
            "UPDATE zone_pickups_by_file SET trips = 0 WHERE location_id BETWEEN 40 AND 60 "
            "AND taxi_type = 'green'"
        )
        database.query("INSERT INTO taxi_zones VALUES (7, 'Queens', 'Astoria', 'Boro Zone')")
        kept.see(ago(2), "corrected since")
        kept.see(ago(37), "overdue", date(2020, 1, 1))
        kept.attempt(ago(36), "failed", "content")
        kept.attempt(ago(14), "running")
        yield kept


@pytest.fixture(scope="module")
def page(loaded: Kept) -> Page:
    return Page(write_report(loaded.opened, FIRST))


def check_of(check: str) -> str:
    return f"coalesce(({check})::bigint, 0)"


def share_of(check: str) -> str:
    return f"100.0 * {check_of(check)} / rows_read"


def sums_of(check: str) -> str:
    """How many rows in all, which share of the last month's, the largest share of a month, and
    which month that is."""
    share = share_of(check)
    return (
        f"sum({check_of(check)}), (array_agg({share} ORDER BY month DESC))[1], max({share}), "
        f"(array_agg(to_char(month, 'YYYY-MM') ORDER BY {share} DESC, month))[1]"
    )


def is_percent(shown: str, percent: float) -> bool:
    """Whether a text is a percentage, however a half is rounded."""
    return abs(float(shown.removesuffix("\u00a0%").removesuffix(" %")) - float(percent)) < 0.00501


def x_of(day: date) -> float:
    """Where a day is on the axis of time, which ends with the last month loaded."""
    stop = ago(-1)
    return (day - FIRST).days / (stop - FIRST).days * 1000


def test_the_head_and_the_states(loaded: Kept, page: Page) -> None:
    query = loaded.database.query
    [(months, trips, size, newest)] = query(
        "SELECT count(*), sum(rows_staged - rows_duplicate), sum(bytes), max(finished_at) "
        "FROM load_history"
    )
    assert page.text["h1"] == f"New York taxi trips: {months:,} months, {trips:,} trips"
    at = newest.astimezone().isoformat(sep=" ", timespec="minutes")
    assert f"{sized(float(size))} of files; last loaded {at}<" in page.html
    states = dict(
        query(
            "SELECT CASE WHEN s.state = 'merged' AND (l.quality ->> 'null_passenger_count')::int "
            "> 0.3 * (l.rows_staged - l.rows_duplicate) THEN 'suspicious' ELSE s.state END, "
            "count(*) FROM load_status AS s LEFT JOIN load_history AS l USING (taxi_type, month) "
            "GROUP BY 1"
        )
    )
    assert set(states) >= {"merged", "missing", "corrected since", "overdue", "suspicious"}
    shown = re.findall(r'<li><b class="s(\w)">\1</b>([\d,]+) ([^<]+)</li>', page.html)
    assert {state: int(count.replace(",", "")) for _, count, state in shown} == states
    known = sum(states.values())
    assert page.text["months"] == f"{months:,} of {known:,} months are loaded"
    calm = {"merged", "not yet published", "running"}
    needing = sum(count for state, count in states.items() if state not in calm)
    assert page.text["needs"] == f"{needing:,} months need somebody"
    ranges = query(
        "SELECT taxi_type, string_agg(concat_ws(' to ', first, nullif(last, first)), ', ' "
        "ORDER BY first) FROM (SELECT taxi_type, to_char(min(month), 'YYYY-MM') AS first, "
        "to_char(max(month), 'YYYY-MM') AS last FROM (SELECT taxi_type, month, month - "
        "row_number() OVER (PARTITION BY taxi_type ORDER BY month) * interval '1 month' AS island "
        "FROM load_status WHERE state = 'missing') AS m GROUP BY taxi_type, island) AS ranges "
        "GROUP BY taxi_type"
    )
    assert ranges
    for taxi_type, text in ranges:
        assert f"<dt>missing</dt><dd>{taxi_type} {text}<" in page.html


def test_the_sums_of_years(loaded: Kept, page: Page) -> None:
    years = loaded.database.query(
        "SELECT t.taxi_type, extract(year FROM t.month)::text, count(*), sum(trips), "
        "sum(passengers), round(sum(distance)), round(sum(fares)), round(sum(tips)), "
        f"round(sum(revenue)) FROM monthly_trips AS t {IN_PLACE} t.month "
        f"GROUP BY 1, 2, {IN_ORDER} ORDER BY {IN_ORDER}, 2"
    )
    dollars = [
        [*map(str, row[:2]), *(f"{n:,}" for n in row[2:6])]
        + ["-" if n is None else f"${n:,}" for n in row[6:]]
        for row in years
    ]
    assert page.table("By year of pickup") == dollars


@pytest.mark.parametrize("taxi_type", SIZES)
def test_the_months_by_state_rows_quality_and_time(
    loaded: Kept, page: Page, taxi_type: str
) -> None:
    of_months = loaded.database.query(
        "SELECT to_char(month, 'YYYY-MM'), rows_staged - rows_duplicate, "
        f"100.0 * ({' + '.join(map(check_of, CHECKS))}) / rows_read, {SECONDS} "
        "FROM load_history WHERE taxi_type = %s ORDER BY month",
        taxi_type,
    )
    caption = f"{taxi_type} {sum(rows for _, rows, *_ in of_months):,} trips in"
    cells = {
        f"{row[0]}-{number:02}": cell
        for row in page.table(caption)
        for number, cell in enumerate(row[1:], 1)
        if len(cell) > 1
    }
    assert {month: cell[1:] for month, cell in cells.items()} == {
        month: f"{compact(rows)}{compact(round(float(failed), 1))}{compact(round(seconds, 1))}"
        for month, rows, failed, seconds in of_months
    }
    letters = dict(
        loaded.database.query(
            "SELECT to_char(month, 'YYYY-MM'), state FROM load_status WHERE taxi_type = %s",
            taxi_type,
        )
    )
    of_letter = {"M": "merged", "S": "merged", "C": "corrected since", "R": "running"}
    assert {month: of_letter[cell[0]] for month, cell in cells.items()} == {
        month: letters[month] for month in cells
    }
    levels = loaded.database.query(
        "SELECT least(floor(8.0 * rows / max(rows) OVER ()), 7)::int, "
        "least(floor(8 * failed / max(failed) OVER ()), 7)::int, "
        "least(floor(8 * seconds / max(seconds) OVER ()), 7)::int "
        "FROM (SELECT month, rows_staged - rows_duplicate AS rows, "
        f"({' + '.join(map(check_of, CHECKS))})::double precision / rows_read AS failed, "
        f"{SECONDS} AS seconds FROM load_history WHERE taxi_type = %s) AS loads ORDER BY month",
        taxi_type,
    )
    grid = page.html.split(f"<b>{taxi_type}</b> ")[1].split("</table>")[0]
    shown = re.findall(r'<td class="s\w r(\d) q(\d) t(\d)"', grid)
    assert shown == [tuple(map(str, each)) for each in levels]
    assert len({each[0] for each in levels}) > 3


@pytest.mark.parametrize("taxi_type", SIZES)
def test_the_days(loaded: Kept, page: Page, taxi_type: str) -> None:
    """The line is the mean of some days, the band their least and their most."""
    [(days, trips, a_day, most, day)] = loaded.database.query(
        "SELECT count(*), sum(trips), round(avg(trips)), max(trips), "
        "(array_agg(day ORDER BY trips DESC, day))[1] FROM daily_trips AS t "
        f"{IN_PLACE} date_trunc('month', t.day) WHERE t.taxi_type = %s",
        taxi_type,
    )
    assert f"{trips:,} trips on {days:,} days, {a_day:,} a day" in page.html
    assert f">{day}: {most:,}</text>" in page.chart(f"daily-{taxi_type}")
    bins = loaded.database.query(
        "WITH days AS (SELECT day::date, coalesce(trips, 0) AS trips, "
        "ceil(count(*) OVER () / 800.0)::int AS size FROM load_history AS l "
        "CROSS JOIN generate_series(l.month, l.month + interval '1 month' - interval '1 day', "
        "interval '1 day') AS day LEFT JOIN daily_trips AS t USING (taxi_type, day) "
        "WHERE taxi_type = %s), parts AS (SELECT *, day - (row_number() OVER (ORDER BY day))::int "
        "AS part FROM days), numbered AS (SELECT *, (row_number() OVER (PARTITION BY part ORDER BY "
        "day) - 1) / size AS bin FROM parts) SELECT part, min(day) + (count(*) / 2)::int, "
        "avg(trips)::double precision, max(trips), min(trips) FROM numbered GROUP BY part, bin "
        "ORDER BY part, bin",
        taxi_type,
    )
    top = Scale.of(most).top
    line: dict[date, list[tuple[int, int]]] = {}
    band: dict[date, list[tuple[int, int]]] = {}
    for part, at, mean, largest, _ in bins:
        line.setdefault(part, []).append((round(x_of(at)), round(200 - mean / top * 200)))
        band.setdefault(part, []).append((round(x_of(at)), round(200 - largest / top * 200)))
    for part, at, _, _, least in reversed(bins):
        band[part].append((round(x_of(at)), round(200 - least / top * 200)))
    assert len(line) == 3
    assert page.path(f"daily-{taxi_type}", "line") == list(line.values())
    assert page.path(f"daily-{taxi_type}", "band") == list(band.values())
    assert f">{compact(top)}</text>" in page.html


@pytest.mark.parametrize("taxi_type", SIZES)
def test_trips_and_revenue_of_months(loaded: Kept, page: Page, taxi_type: str) -> None:
    sums = loaded.database.query(
        "SELECT t.month, trips, revenue, round(revenue), round(sum(revenue) OVER ()) "
        f"FROM monthly_trips AS t {IN_PLACE} t.month "
        "WHERE t.taxi_type = %s ORDER BY 1",
        taxi_type,
    )
    facts = f"{sum(trips for _, trips, *_ in sums):,} trips"
    for number, what in enumerate(("trips", "revenue"), 1):
        amounts = {each[0]: each[number] for each in sums}
        if None in amounts.values():
            assert taxi_type == "fhv"
            assert f"{facts}; it publishes no amounts of money</span>" in page.html
            assert f'id="revenue-{taxi_type}-t"' not in page.html
            continue
        top = Scale.of(float(max(amounts.values()))).top
        heights = [200 - round(200 - float(amount) / top * 200) for amount in amounts.values()]
        assert page.bars(f"{what}-{taxi_type}") == [height for height in heights if height]
        best = max(sums, key=lambda each: each[number])
        shown = f"${best[3]:,}" if what == "revenue" else f"{best[1]:,}"
        assert f">{best[0]:%Y-%m}: {shown}</text>" in page.chart(f"{what}-{taxi_type}")
        if what == "revenue":
            assert f"{facts}, ${best[4]:,}</span>" in page.html


@pytest.mark.parametrize("taxi_type", SIZES)
def test_the_hours(loaded: Kept, page: Page, taxi_type: str) -> None:
    hours = loaded.database.query(
        "SELECT weekday, hour, sum(trips)::bigint, "
        "least(floor(8.0 * sum(trips) / max(sum(trips)) OVER ()), 7)::int FROM hourly_trips AS t "
        f"{IN_PLACE} t.month WHERE t.taxi_type = %s GROUP BY 1, 2 ORDER BY 1, 2",
        taxi_type,
    )
    shown = [cell for row in page.table(f"{taxi_type} most on") for cell in row[1:]]
    assert shown == [compact(trips) for _, _, trips, _ in hours]
    counts = [trips for _, _, trips, _ in hours]
    assert f"{max(counts):,} of {sum(counts):,} trips</caption>" in page.html
    table = page.html.split(f"<b>{taxi_type}</b> most on")[1].split("</table>")[0]
    levels = re.findall(r'<td class="a(\d)">', table)
    assert levels == [str(level) for *_, level in hours]
    assert len(set(levels)) > 4


#: The pickups of each zone, of one service or of all.
PICKUPS = (
    "SELECT location_id, sum(trips) AS trips FROM zone_pickups AS t "
    f"{IN_PLACE} t.month WHERE t.taxi_type = ANY(%s) GROUP BY location_id"
)
MAPS = {"all": [*SIZES], **{taxi_type: [taxi_type] for taxi_type in SIZES}}


@pytest.mark.parametrize("number", range(len(MAPS)))
def test_the_maps_shades_and_the_ranking(loaded: Kept, page: Page, number: int) -> None:
    """Each shade has as many zones as any other; one without pickups has none."""
    name = [*MAPS][number]
    zones = loaded.database.query(
        f"WITH pickups AS ({PICKUPS}), placed AS (SELECT location_id, "
        "1 + (rank() OVER (ORDER BY trips) - 1) * 7 / count(*) OVER () AS level "
        "FROM pickups JOIN zone_outlines USING (location_id) WHERE trips > 0) "
        "SELECT coalesce(level, 0), coalesce(trips, 0), coalesce(z.zone, format('zone %%s', "
        "location_id)) FROM zone_outlines LEFT JOIN placed USING (location_id) "
        "LEFT JOIN pickups USING (location_id) LEFT JOIN taxi_zones AS z USING (location_id) "
        "ORDER BY location_id",
        MAPS[name],
    )
    assert (len(zones), {level for level, *_ in zones} >= set(range(1, 8))) == (263, True)
    shown = re.findall(rf'<path class="zone [^"]*\bm{number}(\d)\b[^>]*><title>([^<]*)<', page.html)
    assert [int(level) for level, _ in shown] == [level for level, *_ in zones]
    for (_, title), (_, trips, zone) in zip(shown, zones, strict=True):
        assert title.startswith(f"{zone}: all ")
        assert f"{name} {trips:,}" in re.split(": |, (?=[a-z])", title)

    ranking = loaded.database.query(
        f"WITH pickups AS ({PICKUPS}) SELECT CASE WHEN location_id IS NULL THEN 'no zone' "
        "ELSE coalesce(z.zone || ' ' || z.borough, format('zone %%s', location_id)) END, trips, "
        "100 * trips / sum(trips) OVER (), sum(trips) OVER () "
        "FROM pickups LEFT JOIN taxi_zones AS z USING (location_id) "
        "ORDER BY trips DESC, coalesce(location_id, 0) LIMIT 15",
        MAPS[name],
    )
    of_all = ranking[0][3]
    table = page.table(f"{name}: the zones where most of {of_all:,} trips begin")
    assert [row[:3] for row in table] == [
        [str(place), zone, f"{trips:,}"] for place, (zone, trips, *_) in enumerate(ranking, 1)
    ]
    assert all(is_percent(row[3], each[2]) for row, each in zip(table, ranking, strict=True))
    if name == "all":
        assert page.text["zones"] == (
            f"Most trips begin in {ranking[0][0]}: {ranking[0][1]:,} of {of_all:,}"
        )
        [(unplaced,)] = loaded.database.query(
            f"SELECT sum(trips) FROM ({PICKUPS}) AS pickups "
            "WHERE location_id IS NULL OR location_id NOT IN (SELECT location_id FROM "
            "zone_outlines)",
            MAPS[name],
        )
        assert f"{unplaced:,} trips of all have no zone that is on the map." in page.html


@pytest.mark.parametrize("taxi_type", SIZES)
def test_data_quality(loaded: Kept, page: Page, taxi_type: str) -> None:
    query = loaded.database.query
    loads = query(
        "SELECT to_char(month, 'YYYY-MM'), finished_at, rows_read, rows_staged - rows_duplicate, "
        f"{', '.join(map(check_of, CHECKS))} "
        "FROM load_history WHERE taxi_type = %s ORDER BY month DESC",
        taxi_type,
    )
    shown = page.table(f"{taxi_type}: rows of each month's file")
    assert shown == [
        [month, str(at.astimezone().date()), *(f"{n:,}" for n in counts)]
        for month, at, *counts in loads
    ]

    [found] = query(
        f"SELECT {', '.join(map(sums_of, CHECKS))} FROM load_history WHERE taxi_type = %s",
        taxi_type,
    )
    sums = dict(zip(CHECKS, (found[at : at + 4] for at in range(0, len(found), 4)), strict=True))
    table = page.table(f"{taxi_type}: data quality checks")
    failing = {check: each for check, each in sums.items() if each[0]}
    assert len(failing) > 3
    for row, (check, (rows, last, most, month)) in zip(table, failing.items(), strict=True):
        assert (row[0], row[2], row[4][-7:]) == (CHECKS[check], f"{rows:,}", month)
        assert is_percent(row[3], last)
        assert is_percent(row[4][:-7], most)
    clean = ", and none that ".join(CHECKS[check] for check in sums if check not in failing)
    assert f"There are no rows that {clean}." in page.html.replace("&#39;", "'")


#: The share of rows that fail a check by month, with the months in which it jumps: those that lie
#: on another side of the six months before than the month before does.
JUMPS = """
WITH shares AS (
    SELECT month, {check}::double precision / rows_read AS share,
        row_number() OVER (ORDER BY month) AS number
    FROM load_history WHERE taxi_type = %s
),
judged AS (
    SELECT month, share, usual, CASE
        WHEN number <= 6 OR abs(share - usual) < 0.005 THEN 0
        WHEN share >= 2 * usual THEN 1
        WHEN share <= usual / 2 THEN -1
        ELSE 0
    END AS side
    FROM shares AS mine, LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY share) AS usual FROM shares
        WHERE number BETWEEN mine.number - 6 AND mine.number - 1
    ) AS before
)
SELECT month, share, share / nullif(max(share) OVER (), 0), 100 * usual, 100 * share,
    side <> 0 AND side IS DISTINCT FROM lag(side) OVER (ORDER BY month)
FROM judged ORDER BY month
"""


def test_jumps_in_data_quality(loaded: Kept, page: Page) -> None:
    total = 0
    for taxi_type in SIZES:
        of_service = 0
        tables = page.table(f"{taxi_type}: data quality checks")
        for name, (check, meaning) in zip(NAMES, CHECKS.items(), strict=True):
            months = loaded.database.query(JUMPS.format(check=check_of(check)), taxi_type)
            if not any(share for _, share, *_ in months):
                continue
            found = [each for each in months if each[-1]]
            [row] = [each for each in tables if each[0] == meaning]
            shown = re.findall(r"(\d{4}-\d\d): ([\d.]+ %) to ([\d.]+ %)", row[5])
            assert [month for month, *_ in shown] == [f"{each[0]:%Y-%m}" for each in found]
            for (_, usual, share), each in zip(shown, found, strict=True):
                assert is_percent(usual, each[3])
                assert is_percent(share, each[4])
            line = [
                (round(x_of(month) + 1000 / (ago(-1) - FIRST).days * 15), round(200 - height * 200))
                for month, _, height, *_ in months
            ]
            drawn = page.path(f"{name}-{taxi_type}", "line")
            assert [point for part in drawn for point in part] == line
            assert len(drawn) == 3
            marks = page.chart(f"{name}-{taxi_type}").count('class="jump"')
            assert marks == len(found)
            of_service += len(found)
        noun = "jump" if of_service == 1 else "jumps"
        heading = page.html.split('id="quality"')[1].split(f'<div class="{taxi_type}">')[1]
        assert f'<span class="quiet">{of_service:,} {noun}</span>' in heading.split("<table")[0]
        total += of_service
    assert total > 4
    assert page.text["quality"] == f"{total:,} jumps in data quality"


@pytest.mark.parametrize("taxi_type", SIZES)
def test_load_seconds_of_each_step(loaded: Kept, page: Page, taxi_type: str) -> None:
    steps = ["download", "transform", "stage", "merge"]
    sums = [" + ".join(f"{each}_seconds" for each in steps[: n + 1]) for n in range(4)]
    months = loaded.database.query(
        f"SELECT {', '.join(sums)} FROM load_history WHERE taxi_type = %s ORDER BY month",
        taxi_type,
    )
    top = Scale.of(max(each[3] for each in months)).top
    for number, step in enumerate(steps):
        heights = [200 - round(200 - each[number] / top * 200) for each in months]
        assert page.bars(f"seconds-{taxi_type}", step) == [each for each in heights if each]
    [(total, most, month)] = loaded.database.query(
        "SELECT round(sum(seconds)::numeric, 1), round(max(seconds)::numeric, 1), "
        "(array_agg(to_char(month, 'YYYY-MM') ORDER BY seconds DESC, month DESC))[1] FROM ("
        f"SELECT month, {SECONDS} AS seconds FROM load_history WHERE taxi_type = %s) AS loads",
        taxi_type,
    )
    assert f"{total:,} s for 42 months; most for {month}: {most:,} s" in page.html


def test_the_headings_of_the_charts(loaded: Kept, page: Page) -> None:
    query = loaded.database.query
    sums = f"SELECT t.* FROM monthly_trips AS t {IN_PLACE} t.month"
    [(share, months, month)] = query(
        f"WITH sums AS ({sums}) SELECT round(100 - 100 * sum(now.trips) / sum(was.trips)), ago, "
        "to_char(now.month, 'FMMonth YYYY') FROM sums AS now CROSS JOIN (VALUES (1), (12)) "
        "AS lags (ago) JOIN sums AS was ON was.taxi_type = now.taxi_type "
        "AND was.month = now.month - ago * interval '1 month' GROUP BY now.month, ago "
        "HAVING sum(was.trips) >= 1000 ORDER BY sum(now.trips) / sum(was.trips) LIMIT 1"
    )
    than = {1: "the month before", 12: "a year before"}[months]
    assert page.text["trips"] == f"Trips fell by {share} % in {month}, against {than}"
    [(month, revenue)] = query(
        f"WITH sums AS ({sums}) SELECT to_char(month, 'FMMonth YYYY'), round(sum(revenue)) "
        "FROM sums GROUP BY month ORDER BY sum(revenue) DESC NULLS LAST LIMIT 1"
    )
    assert page.text["revenue"] == f"Most was earned in {month}: ${revenue:,}"
    [(day, hour)] = query(
        "SELECT to_char(date '2024-01-01' + weekday - 1, 'FMDay'), hour FROM hourly_trips AS t "
        f"{IN_PLACE} t.month GROUP BY weekday, hour ORDER BY sum(trips) DESC LIMIT 1"
    )
    assert page.text["hours"] == f"No hour is busier than {day}, {hour:02}:00 to {hour + 1:02}:00"
    [(step, share)] = query(
        "SELECT name, 100 * sum(seconds) / sum(sum(seconds)) OVER () FROM load_history, "
        "LATERAL (VALUES ('Fetching the files', download_seconds), ('The transform', "
        "transform_seconds), ('Staging', stage_seconds), ('Merging', merge_seconds)) "
        "AS steps (name, seconds) GROUP BY name ORDER BY 2 DESC LIMIT 1"
    )
    assert page.text["seconds"] == f"{step} takes most of the time: {share:.0f} %"
    [(trips, first, last)] = query(
        "SELECT sum(trips), to_char(min(month), 'YYYY-MM'), to_char(max(month), 'YYYY-MM') "
        "FROM monthly_trips AS t WHERE NOT EXISTS (SELECT FROM load_history AS l "
        "WHERE l.taxi_type = t.taxi_type AND l.month = t.month)"
    )
    text = page.html.replace("&#39;", "'")
    assert f"{trips:,} more trips begin in months whose own file isn't loaded, " in text
    assert f"isn't loaded, from {first} to {last}: " in text


def test_the_ledgers_last_lines(loaded: Kept, page: Page) -> None:
    lines = loaded.database.query(
        "SELECT load_id, finished_at, taxi_type, to_char(month, 'YYYY-MM'), rows_read, "
        "rows_rejected, rows_duplicate, rows_inserted, rows_removed, "
        f"round(({SECONDS})::numeric, 1), package_version "
        "FROM load_history ORDER BY load_id DESC LIMIT 20"
    )
    assert page.table("The ledger's last 20 lines") == [
        [
            f"{number:,}",
            at.astimezone().isoformat(sep=" ", timespec="minutes"),
            taxi_type,
            month,
            *(f"{n:,}" for n in counts),
            version,
        ]
        for number, at, taxi_type, month, *counts, version in lines
    ]


# --- rejects ------------------------------------------------------------------------------------


def write_rejects(folder: Path, database: Database) -> list[dict[str, Any]]:
    """Write files of rejects for most months that have any, and return what is in them."""
    found: list[dict[str, Any]] = []
    months = database.query(
        "SELECT taxi_type, to_char(month, 'YYYY-MM'), rows_rejected FROM load_history "
        "WHERE rows_rejected > 0 AND taxi_type <> 'yellow' ORDER BY month DESC, taxi_type"
    )
    folder.mkdir(parents=True)
    for taxi_type, month, count in months:
        rejects = [
            {
                "row": 1_000 * number + len(found),
                "column": ["fare_amount", "pickup_datetime"][number % 2],
                "value": [f"{number} dollars", number][number % 2],
                "reason": ["not a number", "not a time", "too large"][(len(found) + number) % 3],
            }
            for number in range(count)
        ]
        path = folder / f"{taxi_type}_tripdata_{month}.jsonl"
        path.write_text("".join(f"{json.dumps(each)}\n" for each in rejects))
        found += [{**each, "taxi_type": taxi_type, "month": month} for each in rejects]
    return found


def test_rejects_by_reason_with_their_count_months_and_examples(loaded: Kept) -> None:
    database = loaded.database
    written = write_rejects(loaded.opened.root / "rejects", database)
    page = Page(write_report(loaded.opened, FIRST))
    [(total,)] = database.query("SELECT sum(rows_rejected) FROM load_history")
    assert page.text["rejects"] == f"{total:,} rows could not be read"
    assert f"{len(written):,} of them were found on" in page.html
    reasons = database.query(
        "SELECT taxi_type, reject_column, reason, count(*), CASE WHEN count(DISTINCT month) > 3 "
        "THEN format('%%s months, %%s to %%s', count(DISTINCT month), min(month), max(month)) "
        "ELSE string_agg(DISTINCT month, ', ' ORDER BY month) END, (array_agg(format("
        "'%%s %%s, row %%s', value, month, to_char(row, 'FM999,999')) ORDER BY at))[:3] "
        "FROM (SELECT at, each ->> 'taxi_type' AS taxi_type, each ->> 'month' AS month, "
        "each ->> 'column' AS reject_column, each ->> 'reason' AS reason, "
        "each ->> 'value' AS value, (each ->> 'row')::int AS row "
        "FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS rejects (each, at)) AS rejects "
        "GROUP BY 1, 2, 3 ORDER BY 4 DESC, array_position(ARRAY['fhv', 'fhvhv', 'green'], "
        "taxi_type), 2, min(at)",
        json.dumps(written),
    )
    assert len(reasons) == 3 * 2 * 3
    shown = page.table("Rejected rows by reason")
    assert shown == [
        [taxi_type, column, reason, f"{rows:,}", months, "".join(examples)]
        for taxi_type, column, reason, rows, months, examples in reasons
    ]
