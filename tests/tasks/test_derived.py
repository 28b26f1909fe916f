"""Tables of a user's own: right after a refresh, a reset and a kill, and nothing done twice."""

import signal

import pytest
from conftest import Database, Luigi, Published, Run

pytestmark = pytest.mark.slow

MODULE = '''
import os
import signal

from luigi_tasks import TaxiDerivedTable


class DailyRevenue(TaxiDerivedTable):
    """What the trips of each day cost, by the day of the pickup."""

    table = "daily_revenue"
    query = """
        SELECT  -- the trips of a month's file
            pickup_datetime::date AS day,
            count(*) AS trips,
            sum(total_amount) AS revenue
        FROM month_trips
        GROUP BY day;
    """


class PickupZones(TaxiDerivedTable):
    table = "reports.pickup_zones"

    def work(self, cursor):
        cursor.execute("CREATE SCHEMA IF NOT EXISTS reports")
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS reports.pickup_zones (file text, zone text, trips bigint)"
        )
        file = f"{self.taxi_type} {self.month:%Y-%m}"
        cursor.execute("DELETE FROM reports.pickup_zones WHERE file = %s", (file,))
        cursor.execute(
            "INSERT INTO reports.pickup_zones "
            "SELECT %s, pickup_zone, count(*) FROM month_trips GROUP BY pickup_zone",
            (file,),
        )
        if os.environ.get("KILL_MONTH") == f"{self.month:%Y-%m}":
            os.kill(os.getpid(), signal.SIGKILL)


class Misspelt(TaxiDerivedTable):
    table = "misspelt"
    query = "SELECT pikcup_datetime FROM month_trips"


class Unfinished(TaxiDerivedTable):
    table = "unfinished"
'''
MONTHS = ("2024-01", "2024-02", "2024-03")
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


@pytest.fixture
def mine(luigi_command: Luigi, published: Published) -> Luigi:
    """The command with a module of tasks beside it, and three published months."""
    (luigi_command.folder / "my_tasks.py").write_text(MODULE)
    luigi_command.module = "my_tasks"
    luigi_command.environment["PYTHONPATH"] = "."
    luigi_command.settings["--source-url"] = published.url
    for month in MONTHS:
        published.write("green", month, rows=300, seed=int(month[-1]), strays=40)
    return luigi_command


def derive(command: Luigi, of: str = "DailyRevenue", *flags: str) -> Run:
    """``RangeMonthly --of`` a task for the three months."""
    words = command.range_flags("green", MONTHS[0], "2024-04")
    run = command("RangeMonthly", *words[1:], f"--of={of}", *flags)
    assert "Traceback" not in run.output, run.output
    return run


def is_right(database: Database) -> bool:
    """Whether the table is what one statement makes of all trips."""
    derived, wanted = (
        database.query(
            f"SELECT day, sum(trips)::bigint, round(sum(revenue)::numeric, 2) FROM {source} "
            "GROUP BY day ORDER BY day"
        )
        for source in (
            "daily_revenue",
            "(SELECT pickup_datetime::date AS day, 1 AS trips, total_amount AS revenue "
            "FROM green_trips) AS trips",
        )
    )
    return bool(derived) and derived == wanted


def markers(database: Database) -> list[str]:
    found = database.query("SELECT update_id FROM table_updates ORDER BY update_id")
    return [each for (each,) in found if not each.startswith("Taxi")]


def versions(database: Database) -> list[tuple[str, ...]]:
    """Which transaction wrote each month's rows."""
    return database.query(
        "SELECT month::text, min(xmin::text), max(xmin::text) FROM daily_revenue "
        "GROUP BY month ORDER BY month"
    )


def test_months_are_derived_once(mine: Luigi, database: Database) -> None:
    """With a taxi type and a month beside the query's columns."""
    assert derive(mine).code == 0
    assert is_right(database)
    assert len(markers(database)) == 3
    before = versions(database)
    assert [month for month, first, last in before if first == last] == [f"{m}-01" for m in MONTHS]
    comment = "SELECT obj_description('daily_revenue'::regclass)"
    assert database.value(comment).startswith("What the trips of each day cost")
    run = derive(mine)
    assert run.code == 0
    assert "DailyRevenue" not in run.output.replace("of=DailyRevenue", "")
    assert versions(database) == before


def test_a_corrected_month_is_derived_anew_and_no_other(
    mine: Luigi, database: Database, published: Published
) -> None:
    assert derive(mine).code == 0
    before = versions(database)
    published.write("green", MONTHS[1], rows=200, seed=9, strays=20)
    assert derive(mine, "TaxiRefresh").code == 0
    assert not is_right(database)
    for _ in range(2):
        assert derive(mine).code == 0
        assert is_right(database)
        changed = [
            old[0] for old, new in zip(before, versions(database), strict=True) if old != new
        ]
        assert changed == [f"{MONTHS[1]}-01"]
        assert len(markers(database)) == 3


def test_a_month_that_was_reset_is_not_complete(mine: Luigi, database: Database) -> None:
    """Its task loads it again, and derives its rows from that."""
    assert derive(mine).code == 0
    before = versions(database)
    assert mine("TaxiReset", f"--month={MONTHS[0]}", "--taxi-type=green").code == 0
    assert not is_right(database)
    assert derive(mine).code == 0
    assert is_right(database)
    assert database.ledger("month::text")[-1] == (f"{MONTHS[0]}-01",)
    assert [old == new for old, new in zip(before, versions(database), strict=True)] == [
        False,
        True,
        True,
    ]


@on_one_server
def test_a_run_that_is_killed_leaves_nothing_half(mine: Luigi, database: Database) -> None:
    """The task that is killed has replaced the rows, and not committed."""
    mine.environment["KILL_MONTH"] = MONTHS[1]
    assert derive(mine, "PickupZones").code == -signal.SIGKILL
    asked = "SELECT file, sum(trips)::integer FROM reports.pickup_zones GROUP BY file ORDER BY file"
    assert len(database.query(asked)) == len(markers(database)) == 1
    del mine.environment["KILL_MONTH"]
    for _ in range(2):
        assert derive(mine, "PickupZones").code == 0
        loaded = database.ledger("taxi_type || to_char(month, ' YYYY-MM')", "rows_inserted")
        assert database.query(asked) == loaded
        assert len(markers(database)) == 3


@on_one_server
def test_another_query_is_run_for_every_month(mine: Luigi, database: Database) -> None:
    assert derive(mine).code == 0
    before = versions(database)
    module = mine.folder / "my_tasks.py"
    module.write_text(MODULE.replace("sum(total_amount)", "sum(total_amount) + 1"))
    assert derive(mine).code == 0
    changed = [old != new for old, new in zip(before, versions(database), strict=True)]
    assert changed == [True] * 3
    assert len(markers(database)) == 3
    module.write_text(MODULE.replace("AS revenue", "AS income"))
    run = derive(mine)
    assert run.code == 30
    assert (
        'PostgreSQL refuses a statement: column "income" of relation "daily_revenue"' in run.output
    )
    assert len(markers(database)) == 3


@on_one_server
def test_a_table_that_was_dropped_is_filled_again(mine: Luigi, database: Database) -> None:
    assert derive(mine).code == 0
    database.query("DROP TABLE daily_revenue")
    assert derive(mine).code == 0
    assert is_right(database)


@on_one_server
def test_two_workers_derive_what_one_does(mine: Luigi, database: Database) -> None:
    assert derive(mine, "DailyRevenue", "--workers=2").code == 0
    assert is_right(database)


@on_one_server
def test_a_single_month_loads_what_it_needs(
    mine: Luigi, database: Database, published: Published
) -> None:
    for schema in ("taxi", None):
        flags = [f"--warehouse-schema={schema}"] if schema else []
        flags += [f"--month={MONTHS[0]}", "--taxi-type=green"]
        run = mine("DailyRevenue", *flags)
        assert run.code == 0, run.output
        assert database.value(f"SELECT count(*) FROM {schema or 'public'}.daily_revenue") > 27


@on_one_server
def test_a_mistake_is_reported_on_one_line(mine: Luigi, database: Database) -> None:
    run = derive(mine, "Misspelt")
    assert run.code == 30
    asked = 'Misspelt green 2024-01: PostgreSQL refuses a statement: column "pikcup_datetime" does'
    assert asked in run.output
    run = derive(mine, "Unfinished")
    assert run.code == 40
    assert "Unfinished: has no table or no query; it must be a subclass" in run.output
