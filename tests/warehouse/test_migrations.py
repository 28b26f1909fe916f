"""Numbered migrations of the control tables, also of warehouses from before there were any."""

import gzip
from pathlib import Path

import pytest
import wired
from conftest import Database
from months import FEBRUARY, JANUARY, Months, trips

from luigi_tasks.errors import SystemicError
from luigi_tasks.warehouse import migrations

pytestmark = pytest.mark.empty_database

#: Made by pg_dump 15 of a warehouse that version 0.1.0 loaded before it had migrations: two months
#: of green trips, one of yellow.
BEFORE = Path(__file__).parent / "before_migrations.sql.gz"
LOADED = ("taxi_type", "month", "rows_staged", "rows_inserted", "rows_duplicate", "sha256")


@pytest.fixture
def before(months: Months) -> Months:
    """A warehouse from before migrations."""
    months.database.query(gzip.decompress(BEFORE.read_bytes()).decode())
    return months


def version_of(database: Database) -> list[tuple[int, str]]:
    return database.query("SELECT migration, package FROM warehouse_version")


def test_a_warehouse_from_before_migrations_goes_on(before: Months) -> None:
    database = before.database
    ledger, rows = database.ledger(*LOADED), database.trips()
    assert len(ledger) == 3
    assert wired.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY, FEBRUARY}
    wired.merged_target("green", JANUARY).touch()
    [(migration, _)] = version_of(database)
    assert migration == migrations.newest()
    # nothing is loaded again
    assert wired.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY, FEBRUARY}
    assert wired.merged_months("yellow", [JANUARY]) == {JANUARY}
    assert (database.ledger(*LOADED), database.trips()) == (ledger, rows)
    # a refresh and a reset work on it
    assert before.load(trips(3, "2024-02-10 10:00:00"), FEBRUARY).rows_removed == 30
    assert wired.reset("green", JANUARY) == 30
    assert database.trips() == [row for row in database.trips() if "2024-02" in row[1]]
    assert wired.merged_months("yellow", [JANUARY]) == {JANUARY}


def test_migrations_are_applied_once(before: Months, monkeypatch: pytest.MonkeyPatch) -> None:
    applied = []
    create = migrations.create

    def record(cursor: object, what: object, file: str, **names: object) -> None:
        applied.append(file)
        create(cursor, what, file, **names)

    monkeypatch.setattr(migrations, "create", record)
    before.load(trips(1, "2024-03-10"), FEBRUARY)
    assert len(applied) == migrations.newest()
    assert applied == sorted(applied)
    applied.clear()
    before.load(trips(2, "2024-03-10"), FEBRUARY)
    assert applied == []
    # only those that are new
    before.database.query("UPDATE warehouse_version SET migration = migration - 1")
    before.load(trips(3, "2024-03-10"), FEBRUARY)
    assert len(applied) == 1


def test_a_package_that_is_older_than_the_warehouse_says_so_and_changes_nothing(
    months: Months,
) -> None:
    months.load(trips(2))
    months.database.query("UPDATE warehouse_version SET migration = 900, package = '7.1'")
    before = months.database.contents()
    with pytest.raises(SystemicError, match=r"luigi-tasks 7\.1 \(migration 900\), .* upgrade"):
        months.load(trips(3))
    with pytest.raises(SystemicError, match="upgrade"):
        wired.reset("green", JANUARY)
    assert months.database.contents() == before


def test_a_table_of_somebody_elses_in_place_of_the_version_is_refused(months: Months) -> None:
    months.database.query("CREATE TABLE warehouse_version (migration integer)")
    with pytest.raises(SystemicError, match="warehouse_version exists but isn't one of ours"):
        months.load(trips(1))
    assert months.database.query("SELECT * FROM warehouse_version") == []
