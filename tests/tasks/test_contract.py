"""Columns that the catalog doesn't know: kept, left out or not let pass."""

import threading
import time
from datetime import date, datetime
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wired
from conftest import Database, Luigi, Published, Run
from months import FEBRUARY, Months, trip, trips

from luigi_tasks.errors import TaxiError

pytestmark = pytest.mark.slow

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
MONTHS = ("2024-01", "2024-02", "2024-03")


def publish(published: Published, month: str, **columns: pa.Array) -> None:
    """Publish a month of some rows, with more columns than the catalog has."""
    rows = len(next(iter(columns.values()))) if columns else 3
    file = published.write("green", month, rows=rows, strays=0)
    table = pq.read_table(file)
    for name, values in columns.items():
        table = table.append_column(name, values)
    pq.write_table(table, file)


def merge(command: Luigi, published: Published, *flags: str, start: str = MONTHS[0]) -> Run:
    run = command.merge_range("green", start, "2024-04", f"--source-url={published.url}", *flags)
    assert "Traceback" not in run.output, run.output
    return run


def column(database: Database, name: str) -> list[Any]:
    query = f"SELECT to_char(pickup_datetime, 'YYYY-MM'), \"{name}\" FROM green_trips ORDER BY 1, 2"
    return database.query(query)


# the file


# the table


@on_one_server
def test_a_new_column_is_added_and_filled_from_then_on(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    """A month before it, one with it, one after it; then an older one."""
    publish(published, MONTHS[1], request_source=pa.array(["app", "hail"]))
    publish(published, MONTHS[2])
    for _ in range(2):
        assert merge(luigi_command, published, start=MONTHS[1]).code == 0
        nothing: list[Any] = [(MONTHS[2], None)] * 3
        assert column(database, "request_source") == [
            (MONTHS[1], "app"),
            (MONTHS[1], "hail"),
            *nothing,
        ]
    publish(published, MONTHS[0])
    assert merge(luigi_command, published).code == 0
    assert len(column(database, "request_source")) == 8
    comment = database.value(
        "SELECT col_description('green_trips'::regclass, attnum) FROM pg_attribute "
        "WHERE attrelid = 'green_trips'::regclass AND attname = 'request_source'"
    )
    assert comment.startswith("Came with green_tripdata_2024-02.parquet")
    assert database.ledger("new_columns") == [({"request_source": "text"},), ({},), ({},)]


@on_one_server
def test_a_column_that_changes_its_type_stays_and_gets_another_beside_it(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    publish(published, MONTHS[0], new=pa.array([1, 2]), fee=pa.array([0.5, 1.0]))
    publish(published, MONTHS[1], new=pa.array(["a"]), fee=pa.array([2]))
    publish(published, MONTHS[2], new=pa.array([3]), fee=pa.array([None], pa.float64()))
    assert merge(luigi_command, published).code == 0
    january, february, march = MONTHS
    assert column(database, "new") == [(january, 1), (january, 2), (february, None), (march, 3)]
    assert [value for _, value in column(database, "new__text")] == [None, None, "a", None]
    assert [value for _, value in column(database, "fee")] == [0.5, 1.0, 2.0, None]


@on_one_server
def test_a_new_column_changes_no_fingerprint(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    publish(published, MONTHS[0])
    assert merge(luigi_command, published).code == 20
    before = database.query("SELECT unique_row_id FROM green_trips ORDER BY 1")
    publish(published, MONTHS[0], new=pa.array([1, 2, 3]))
    database.query("DELETE FROM table_updates")
    assert merge(luigi_command, published).code == 20
    assert database.query("SELECT unique_row_id FROM green_trips ORDER BY 1") == before


@on_one_server
def test_another_edition_brings_values_to_trips_that_stay(months: Months) -> None:
    """And takes them away; a stray of the month has them too. Those of other files stay."""
    rows = [*trips(3), trip("2024-03-05 01:02:03")]
    months.load(rows)
    months.load([trip("2024-02-15 10:00:00")], date(2024, 2, 1))
    facts = {"new_columns": {"source": "text"}, "sha256": "1" * 64}
    for value in ("app", "hail"):
        again = [*({**each, "source": value} for each in rows), trip("2024-02-15 10:00:00")]
        merged = months.load(again, **facts | {"sha256": value[0] * 64})
        assert (merged.rows_present, merged.rows_shared, merged.rows_inserted) == (5, 1, 0)
        query = "SELECT source, count(*) FROM green_trips GROUP BY 1 ORDER BY 1"
        assert months.database.query(query) == [(value, 4), (None, 1)]
    months.load(rows, sha256="2" * 64)
    assert months.database.query(query) == [(None, 5)]


@on_one_server
def test_a_refreshed_month_has_the_values_of_its_new_columns(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    publish(published, MONTHS[0])
    assert merge(luigi_command, published).code == 20
    publish(published, MONTHS[0], new=pa.array([1, 2, 3]))
    for _ in range(2):
        words = luigi_command.range_flags("green", MONTHS[0], MONTHS[1])
        run = luigi_command(
            "RangeMonthly", *words, "--of=TaxiRefresh", f"--source-url={published.url}"
        )
        assert run.code == 0, run.output
        assert [value for _, value in column(database, "new")] == [1, 2, 3]
        assert database.ledger("rows_present", "rows_inserted")[1:] == [(3, 0)]


@on_one_server
def test_views_have_new_columns_and_any_name_will_do(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    """Names that the SQL or PostgreSQL has for itself, too."""
    names = ("place", "pickup_month", "ctid", "xmin", "pickup_zone", "select", "staged", "trip")
    publish(published, MONTHS[0], **{name: pa.array([1, 2]) for name in names})
    for _ in range(2):
        assert merge(luigi_command, published).code == 20
        for name in (
            "place_",
            "pickup_month_",
            "ctid_",
            "xmin_",
            "pickup_zone_",
            '"select"',
            "trip",
        ):
            query = f"SELECT t.{name} FROM green_trips_named AS t ORDER BY 1"
            assert database.query(query) == [(1,), (2,)]
    publish(published, MONTHS[1], later=pa.array([True]))
    assert merge(luigi_command, published).code == 20
    query = "SELECT later FROM green_trips_named ORDER BY 1"
    assert database.query(query) == [(True,), (None,), (None,)]


@on_one_server
def test_a_type_that_is_none_is_refused(months: Months) -> None:
    wrong = "bigint; CREATE TABLE pwned ()"
    with pytest.raises(TaxiError, match="column x: its type is 'bigint; CREATE"):
        months.load([trip()], new_columns={"x": wrong})
    assert months.database.query("SELECT to_regclass('pwned')") == [(None,)]


@on_one_server
def test_a_large_number_fits_into_a_column_of_doubles(months: Months) -> None:
    months.load([trip(fee=0.5)], new_columns={"fee": "double precision"})
    months.load(
        [trip("2024-02-15 10:00:00", fee=2**60 + 1)], FEBRUARY, new_columns={"fee": "bigint"}
    )
    assert months.database.query("SELECT fee FROM green_trips ORDER BY 1") == [(0.5,), (2.0**60,)]


@on_one_server
def test_the_contract_of_the_settings_holds(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    publish(published, MONTHS[0], new=pa.array([1, 2]))
    run = merge(luigi_command, published, "--transform-schema-contract=freeze")
    assert run.code == 30
    assert "schema_contract = freeze lets none pass" in run.output
    assert database.holds_nothing()
    run = merge(luigi_command, published, "--transform-schema-contract=discard")
    assert run.code == 20
    assert "columns that aren't loaded: new" in run.output
    assert database.ledger("unknown_columns", "new_columns") == [(["new"], {})]


@on_one_server
@pytest.mark.parametrize(("contract", "code"), [("discard", 0), ("freeze", 30)])
def test_months_around_one_with_a_column_that_is_not_let_in_are_loaded(
    luigi_command: Luigi, database: Database, published: Published, contract: str, code: int
) -> None:
    """One with it and one after it; then an older one."""
    publish(published, MONTHS[0])
    publish(published, MONTHS[1], new=pa.array([1, 2]))
    publish(published, MONTHS[2])
    flag = f"--transform-schema-contract={contract}"
    expected = {MONTHS[2]} if contract == "freeze" else {MONTHS[1], MONTHS[2]}
    for start, more in ((MONTHS[1], set()), (MONTHS[0], {MONTHS[0]}), (MONTHS[0], {MONTHS[0]})):
        assert merge(luigi_command, published, flag, start=start).code == code
        rows = database.query(
            "SELECT DISTINCT to_char(pickup_datetime, 'YYYY-MM') FROM green_trips"
        )
        assert {month for (month,) in rows} == expected | more
    assert "new" not in dict(_columns(database))


@on_one_server
def test_strays_and_staged_months_take_new_columns_along(
    luigi_command: Luigi, database: Database, published: Published
) -> None:
    """A month that was staged before another one brought a column, and a stray with a value."""
    publish(published, MONTHS[0])
    staged = ["TaxiStageLoad", "--month=2024-01", "--taxi-type=green"]
    assert luigi_command(*staged, f"--source-url={published.url}").code == 0
    publish(published, MONTHS[1], new=pa.array([1, 2, 3]))
    file = published.folder / "green_tripdata_2024-02.parquet"
    table = pq.read_table(file)
    moved = pa.array([datetime(2024, 1, 15, 3), *table[1].to_pylist()[1:]], table.schema[1].type)
    pq.write_table(table.set_column(1, table.schema[1], moved), file)
    assert merge(luigi_command, published, start=MONTHS[1]).code == 20
    assert [value for _, value in column(database, "new")] == [1, 2, 3]
    assert merge(luigi_command, published).code == 20
    found = column(database, "new")
    assert [month for month, _ in found] == [MONTHS[0]] * 4 + [MONTHS[1]] * 2
    assert found[0] == (MONTHS[0], 1)


@on_one_server
def test_a_reader_is_not_kept_waiting_by_a_new_column(
    months: Any, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits for a slow reader does so without others behind it."""
    months.load([trip()])
    facts = {"new_columns": {"new": "bigint"}, "sha256": "1" * 64}
    months.stage([trip(new=1)], **facts)
    session = psycopg2.connect(database.url)
    with session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM green_trips")
    adding = threading.Thread(target=wired.merge, args=("green", date(2024, 1, 1)))
    adding.start()
    longest = 0.0
    for _ in range(20):
        began = time.monotonic()
        assert database.value("SELECT count(*) FROM green_trips") == 1
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.05)
    assert "new" not in dict(_columns(database))
    session.close()
    adding.join(30)
    assert database.query("SELECT new FROM green_trips") == [(1,)]


def _columns(database: Database) -> list[tuple[Any, ...]]:
    return database.query(
        "SELECT attname, attnum FROM pg_attribute WHERE attrelid = 'green_trips'::regclass"
    )
