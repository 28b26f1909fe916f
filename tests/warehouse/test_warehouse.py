"""What stands in the warehouse and what its markers promise; who may be there, and who waits."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import wired
from conftest import WITH_TESTS, Database, Server
from months import FEBRUARY, JANUARY, Months, close_sessions, load_of, trip, trips

from luigi_tasks import config, records
from luigi_tasks.catalog import TAXI_TYPES, YELLOW, Zone
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse import connection, merging, migrations, session
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.locks import ADVISORY_LOCKS

Set = Callable[[str, str, str], None]

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)

STRAYS = [trip("2024-02-01 00:00:01"), trip("2008-12-31 23:59:59")]


def refusal(act: Callable[[], Any]) -> str:
    """What is said of a mistake: one line, and no traceback behind it."""
    with pytest.raises(TaxiError) as refused:
        act()
    assert "\n" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return str(refused.value)


@contextmanager
def counted_statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that the warehouse is sent meanwhile."""
    sent: list[str] = []
    execute = Cursor.execute

    def count(cursor: Any, query: Any, values: Any = None) -> None:
        sent.append(query)
        execute(cursor, query, values)

    with monkeypatch.context() as patched:
        patched.setattr(Cursor, "execute", count)
        yield sent


# tables


def test_every_table_and_column_has_a_comment(months: Months) -> None:
    months.load([*trips(2), *STRAYS])
    without = months.database.query("""
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
            AND obj_description(oid, 'pg_class') IS NULL
        UNION ALL
        SELECT relname || '.' || attname FROM pg_class INNER JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')
            AND NOT relispartition AND attnum > 0 AND NOT attisdropped
            AND col_description(pg_class.oid, attnum) IS NULL
    """)  # noqa: E501
    assert without == []


def test_a_trips_table_has_the_catalogs_columns_in_order(months: Months) -> None:
    wired.merged_target("green", JANUARY).touch()
    for kind in TAXI_TYPES.values():
        found = months.database.query(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
            "ORDER BY attnum",
            f"{kind.name}_trips",
        )
        names = ["unique_row_id", "filename", *(column.name for column in kind.columns)]
        assert [name for (name,) in found] == names


@pytest.mark.empty_database
@pytest.mark.parametrize(
    "lost",
    ["DROP VIEW trips", "DROP TABLE load_history CASCADE", "DROP TABLE yellow_trips CASCADE"],
)
def test_what_is_missing_is_created_and_what_is_there_stays(months: Months, lost: str) -> None:
    months.load([*trips(2), *STRAYS])
    before = months.database.contents()
    for _ in range(2):
        months.database.query(lost)
        wired.merged_target("green", JANUARY).touch()
        after = months.database.contents()
        assert after["relations"] == before["relations"]
        assert after["trips"] == before["trips"]


@pytest.mark.parametrize(
    "table", ["taxi.{{ taxi_type }}_trips", "{{ taxi_type }}", 'Odd "n\'ame" of {{ taxi_type }}']
)
def test_trips_go_to_the_table_of_the_settings(months: Months, settings: Set, table: str) -> None:
    settings("trips", "table", table)
    schema, name = config.open_warehouse().trips["green"].name
    for _ in range(2):
        months.load([*trips(2), *STRAYS])
        assert wired.merged_months("green", [JANUARY]) == {JANUARY}
        assert months.count(f'"{schema}"."{name}"') == 4
    settings("trips", "table", "public.other_{{ taxi_type }}")
    assert wired.merged_months("green", [JANUARY]) == set()


@pytest.mark.empty_database
@pytest.mark.parametrize(
    "name",
    [
        "green_trips",
        "green_trips_other",
        "green_trips_2024_01",
        "green_trips_staging_2024_01",
        "trips",
        "load_history",
    ],
)
def test_a_table_of_somebody_else_is_refused_and_left_alone(months: Months, name: str) -> None:
    months.database.query(f"CREATE TABLE {name} (note text)")
    months.database.query(f"INSERT INTO {name} VALUES ('mine')")
    before = months.database.query(f"SELECT *, xmin::text FROM {name}")
    for _ in range(2):
        assert name in refusal(lambda: months.load(trips(2)))
        assert months.database.query(f"SELECT *, xmin::text FROM {name}") == before
        comment = months.database.value("SELECT obj_description(%s::regclass, 'pg_class')", name)
        assert comment is None


#: What may stand under a name that we need, by a statement that makes it.
SOMEBODY_ELSES = {
    "view": "CREATE VIEW {name} AS SELECT 'mine' AS note",
    "materialized view": "CREATE MATERIALIZED VIEW {name} AS SELECT 'mine' AS note",
    "foreign table": "CREATE FOREIGN TABLE {name} (note text) SERVER nowhere",
    "sequence": "CREATE SEQUENCE {name}",
    "index": "CREATE INDEX {name} ON indexed (note)",
    "type": "CREATE TYPE {name} AS (note text)",
    "enum": "CREATE TYPE {name} AS ENUM ('mine')",
    "table": "CREATE TABLE {name} (update_id integer, vendor_id text, location_id text)",
    "partitioned table": "CREATE TABLE {name} (month date) PARTITION BY RANGE (month)",
}
NEEDED = [
    "trips",
    "table_updates",
    "taxi_zones",
    "load_history",
    "vendors",
    "green_trips",
    "green_trips_other",
    "green_trips_named",
    "green_trips_staging_2024_01_pkey",
    "green_trips_staging_2024_01",
    "green_trips_2024_01",
    "green_trips_2024_01_pkey",
]


@pytest.mark.empty_database
@on_one_server
@pytest.mark.parametrize("kind", SOMEBODY_ELSES)
def test_whatever_has_a_name_that_we_need_is_refused_and_left_alone(
    months: Months, kind: str
) -> None:
    months.database.query("CREATE FOREIGN DATA WRAPPER nobody; CREATE TABLE indexed (note text)")
    months.database.query("CREATE SERVER nowhere FOREIGN DATA WRAPPER nobody")
    drop = "type" if kind == "enum" else kind.replace("partitioned ", "")
    # one kind for every name, and every kind for some
    for name in NEEDED if kind == "view" else NEEDED[::5]:
        months.database.query(SOMEBODY_ELSES[kind].format(name=name))
        months.database.query(f"COMMENT ON {drop} {name} IS 'mine, since 2019'")
        before = relations(months.database)
        for _ in range(2):
            told = refusal(lambda: months.load(trips(2)))
            assert name in told
            assert "isn't one of ours" in told or f"{kind} public.{name} exists but" in told
        if name not in NEEDED[-4:]:
            assert relations(months.database) == before
        found = "SELECT obj_description(oid) FROM pg_class WHERE relname = %s"
        if kind in ("type", "enum"):
            found = "SELECT obj_description(oid) FROM pg_type WHERE typname = %s"
        assert months.database.value(found, name) == "mine, since 2019"
        months.database.query(f"DROP {drop} {name}")
    assert months.load(trips(2)).rows_inserted == 2


@on_one_server
def test_views_and_lookups_of_ours_are_not_taken_from_somebody_later(months: Months) -> None:
    """An earlier version's things are put right, and new columns change a view: not if it isn't
    ours."""
    months.load(trips(2))
    for name, made in ("trips", "trips"), ("green_trips_named", "trips, green_trips_named"):
        months.database.query(f"DROP VIEW {made}")
        months.database.query(f"CREATE VIEW {name} AS SELECT 'mine' AS note")
        months.database.query("UPDATE warehouse_version SET package = '0.0.1'")
        for new in ({}, {"night_fee": "text"}):
            told = refusal(partial(months.load, trips(2), FEBRUARY, new_columns=new))
            assert told.startswith(f"view public.{name} exists but isn't one of ours; rename it")
            assert months.database.query(f"SELECT note FROM {name}") == [("mine",)]
        months.database.query(f"DROP VIEW {name}")
        months.load(trips(2))


@pytest.mark.empty_database
@on_one_server
@pytest.mark.parametrize("comment", [None, "shared by all pipelines"])
def test_the_markers_of_other_pipelines_are_kept(months: Months, comment: str | None) -> None:
    months.database.query(
        "CREATE TABLE table_updates (update_id text PRIMARY KEY, target_table text, "
        "inserted timestamp DEFAULT now())"
    )
    months.database.query("COMMENT ON TABLE table_updates IS %s", comment)
    months.database.query("INSERT INTO table_updates VALUES ('Other()', 'theirs', '2020-01-01')")
    other = "SELECT * FROM table_updates WHERE update_id = 'Other()'"
    before = months.database.query(other)
    for _ in range(2):
        months.load(trips(2))
        wired.reset("green", JANUARY)
        months.database.query("UPDATE warehouse_version SET package = '0.0.1'")
        assert months.database.query(other) == before
        found = "SELECT obj_description('table_updates'::regclass)"
        assert months.database.value(found) == comment


def grants(database: Database, name: str) -> list[tuple[Any, ...]]:
    """The rights on a table or view, on its columns, and its options and owner."""
    return database.query(
        "SELECT relacl::text, reloptions, relowner, (SELECT array_agg(attname || attacl::text) "
        "FROM pg_attribute WHERE attrelid = pg_class.oid AND attacl IS NOT NULL) "
        "FROM pg_class WHERE relname = %s",
        name,
    )


@on_one_server
@pytest.mark.parametrize("is_other", [False, True])
def test_what_is_made_anew_keeps_owner_options_and_grants(
    months: Months, settings: Set, role: Callable[[str], str], is_other: bool
) -> None:
    wired.merged_target("green", JANUARY).touch()
    url = wired.url().replace("%", "%%")
    name = role("GRANT USAGE, CREATE ON SCHEMA public TO {role}")
    settings("warehouse", "url", url)
    for table in ("trips", "green_trips_named", "green_trips"):
        months.database.query(f"GRANT SELECT ON {table} TO PUBLIC")
        months.database.query(f"GRANT INSERT ON {table} TO pg_monitor WITH GRANT OPTION")
        months.database.query(f"GRANT UPDATE (extra) ON {table} TO pg_monitor")
    months.database.query("ALTER VIEW trips SET (security_invoker = true)")
    months.database.query(f"ALTER VIEW green_trips_named OWNER TO {name}")
    expected = [grants(months.database, each) for each in ("trips", "green_trips_named")]
    of_table = grants(months.database, "green_trips")
    if is_other:
        settings("transform", "columns", "extra, fare_amount")
    for _ in range(2):
        months.load([])
        wired.reset("green", JANUARY)
        found = [grants(months.database, each) for each in ("trips", "green_trips_named")]
        assert found == expected
        assert grants(months.database, "green_trips") == of_table
        months.load([], new_columns={"night_fee": "text"})
        found = [grants(months.database, each) for each in ("trips", "green_trips_named")]
        assert found == expected
        months.database.query("UPDATE warehouse_version SET package = '0.0.1'")
    months.database.query(f"REASSIGN OWNED BY {name} TO postgres")


# versions


def made(database: Database) -> list[Any]:
    """All that DDL makes: definitions, columns and comments; and the names of codes."""
    return [
        database.query(
            "SELECT relname, attname, format_type(atttypid, atttypmod), attnum, "
            "col_description(attrelid, attnum), obj_description(pg_class.oid, 'pg_class'), "
            "CASE WHEN relkind = 'v' THEN pg_get_viewdef(pg_class.oid) END "
            "FROM pg_class INNER JOIN pg_attribute ON attrelid = pg_class.oid "
            "WHERE relnamespace = 'public'::regnamespace AND attnum > 0 "
            "AND relname !~ '_20' ORDER BY 1, 4"
        ),
        database.query("SELECT * FROM vendors ORDER BY 1"),
    ]


@on_one_server
def test_versions_that_take_turns_change_nothing_of_each_other(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_turn(package_version: str, **facts: Any) -> list[str]:
        for module in (migrations, merging, records):
            monkeypatch.setattr(module, "version", lambda package: package_version)
        with counted_statements(monkeypatch) as sent:
            months.load(trips(2), **facts)
            months.load(trips(2, "2024-02-10 10:00:00"), FEBRUARY)
        return [
            each for each in sent if "COMMENT ON VIEW" in each or 'INSERT INTO "public"."v' in each
        ]

    months.load(trips(1))
    assert take_turn("0.9.0")  # an earlier version's are put right
    months.database.query("ALTER TABLE green_trips ADD COLUMN surprise text")
    months.database.query("ALTER TABLE load_history ADD COLUMN mood text")
    months.database.query("UPDATE vendors SET name = 'by a later version'")
    months.database.query("COMMENT ON COLUMN green_trips.extra IS 'by a later version'")
    definition = months.database.value("SELECT pg_get_viewdef('green_trips_named'::regclass)")
    later = definition.replace("\n   FROM", ",\n    'x' AS mood\n   FROM", 1)
    months.database.query(f"CREATE OR REPLACE VIEW green_trips_named AS {later}")
    before = made(months.database)
    for each in ("0.1.0", "0.9.0", "0.9.0rc1", "0.8.10"):
        assert take_turn(each) == []
        assert made(months.database) == before
    # a later version's view stays, whatever an earlier one's files bring
    take_turn("0.1.0", new_columns={"night_fee": "text"})
    view = "SELECT attname FROM pg_attribute WHERE attrelid = 'green_trips_named'::regclass"
    assert ("mood",) in months.database.query(view)
    # and what is missing is made
    months.database.query("DROP VIEW trips")
    take_turn("0.1.0")
    assert months.database.query("SELECT taxi_type FROM trips LIMIT 1") == [("green",)]
    assert made(months.database)[1] == before[1]


# schemas (the ledger)


@on_one_server
def test_trips_without_their_ledger_are_refused(months: Months, settings: Set) -> None:
    """As after search_path had led an earlier version to another schema."""
    months.load([*trips(3), *STRAYS])
    months.database.query("CREATE SCHEMA taxi")
    for kind, names in {
        "TABLE": ["load_history", "table_updates", "taxi_zones", "vendors", "payment_types"],
        "VIEW": ["trips"],
    }.items():
        for name in names:
            months.database.query(f"ALTER {kind} {name} SET SCHEMA taxi")
    before = relations(months.database), months.database.trips()
    for _ in range(2):
        for act in (
            lambda: wired.merged_months("green", [JANUARY]),
            lambda: wired.merged_editions("green", [JANUARY]),
            lambda: months.load(trips(3)),
            lambda: wired.reset("green", JANUARY),
        ):
            told = refusal(act)
            assert told.startswith("table public.green_trips was loaded by the ledger in schema ta")
            assert "set it to taxi" in told
        assert (relations(months.database), months.database.trips()) == before
    settings("trips", "table", "public.{{ taxi_type }}_trips")
    settings("warehouse", "schema", "taxi")
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}
    months.load(trips(2, "2024-02-10 10:00:00"), FEBRUARY)
    assert wired.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY, FEBRUARY}


@pytest.mark.empty_database
@on_one_server
def test_two_warehouses_in_one_database_do_without_each_other(
    months: Months, settings: Set
) -> None:
    months.load(trips(3))
    settings("warehouse", "schema", "taxi")
    for _ in range(2):
        assert wired.merged_months("green", [JANUARY]) == set()
        months.load(trips(3))
        assert wired.merged_months("green", [JANUARY]) == {JANUARY}
        months.database.query("DROP TABLE taxi.load_history CASCADE")


@pytest.mark.empty_database
def test_a_partitioned_table_without_our_columns_is_refused(months: Months) -> None:
    months.database.query(
        "CREATE TABLE green_trips (pickup_datetime timestamp, fare_amount float) "
        "PARTITION BY RANGE (pickup_datetime)"
    )
    assert "public.green_trips" in refusal(lambda: months.load(trips(2)))


# schemas


def relations(database: Database) -> dict[str, set[str]]:
    """The tables and views that are ours, or may be, by schema."""
    found: dict[str, set[str]] = {}
    for schema, name in database.query(
        "SELECT relnamespace::regnamespace::text, relname FROM pg_class "
        "WHERE relkind IN ('r', 'p', 'v') AND relnamespace <> 'pg_catalog'::regnamespace "
        "AND relnamespace <> 'information_schema'::regnamespace"
    ):
        found.setdefault(schema, set()).add(name)
    return found


@on_one_server
@pytest.mark.parametrize("schema", ["taxi", 'Odd "n\'ame". of'])
def test_all_that_is_ours_is_in_the_schema_of_the_settings(
    months: Months, settings: Set, schema: str
) -> None:
    months.load(trips(2))
    usual = relations(months.database)
    before = months.database.contents()
    settings("warehouse", "schema", schema)
    for _ in range(2):
        assert months.load([*trips(3), *STRAYS]).rows_staged == 5
        assert wired.merged_months("green", [JANUARY]) == {JANUARY}
        wired.load_zones("file:///zones.csv", [Zone(75, "Manhattan", "East Harlem", "Boro")])
        assert wired.zones_target("file:///zones.csv").exists()
    found = relations(months.database)
    assert found.pop("public") == usual["public"]
    assert list(found.values()) == [usual["public"]]
    quoted = '"' + schema.replace('"', '""') + '"'
    zone = f"SELECT DISTINCT pickup_zone FROM {quoted}.green_trips_named"
    assert months.database.query(zone) == [("East Harlem",)]
    settings("trips", "table", "public.{{ taxi_type }}_trips")
    settings("warehouse", "schema", "public")
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}
    assert months.database.contents() == before


#: Functions and operators that fit our queries better than PostgreSQL's own.
HOSTILE = """
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.to_char(date, text) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$;
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '1999-01-01'::timestamptz $$;
CREATE FUNCTION hostile.same(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT FALSE $$;
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.same);
CREATE TABLE hostile.strays (note text);
CREATE TABLE hostile.load_history (note text);
CREATE TYPE hostile.text AS (note uuid);
"""  # noqa: E501


@on_one_server
@pytest.mark.parametrize("path", ["''", "hostile, public", "hostile, pg_catalog, public"])
def test_a_search_path_changes_nothing(months: Months, path: str) -> None:
    rows = [*trips(5), *STRAYS]
    months.load(rows)
    months.database.query(HOSTILE)
    before = months.database.contents()
    name = months.database.value("SELECT current_database()")
    months.database.query(f"ALTER DATABASE {name} SET search_path = {path}")
    close_sessions()
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}
    assert months.load(rows).rows_present == 7
    months.load(trips(3, "2024-02-10 10:00:00"), FEBRUARY)
    assert wired.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY, FEBRUARY}
    assert wired.reset("green", FEBRUARY) == 3
    months.database.query(f"ALTER DATABASE {name} RESET search_path")
    after = months.database.contents()
    assert after["markers"] == before["markers"]
    assert months.count("hostile.strays") == months.count("hostile.load_history") == 0


@pytest.mark.parametrize("schema", ["", "pg_mine", "information_schema", "x" * 64, "ü" * 32])
def test_a_schema_that_cannot_be_one_is_refused(settings: Set, schema: str) -> None:
    settings("warehouse", "schema", schema)
    for _ in range(2):
        assert refusal(config.check).startswith("[warehouse] schema: ")


# staging


def test_a_staged_month_is_complete(months: Months) -> None:
    target = wired.staged_target("green", JANUARY)
    assert not target.exists()
    for _ in range(2):
        months.stage(trips(3))
        assert target.exists()
        assert months.count("green_trips_staging_2024_01") == 3
    assert not wired.staged_target("green", FEBRUARY).exists()
    assert not wired.staged_target("yellow", JANUARY).exists()


@pytest.mark.parametrize(
    "damage",
    [
        "TRUNCATE green_trips_staging_2024_01",  # as a crash of the server does
        "DROP TABLE green_trips_staging_2024_01",
        "DELETE FROM table_updates WHERE update_id = 'TaxiStageLoad green 2024-01'",
        "DROP TABLE table_updates CASCADE",
    ],
)
def test_a_staged_month_that_is_gone_is_not_complete(months: Months, damage: str) -> None:
    for _ in range(2):
        months.stage(trips(3))
        months.database.query(damage)
        assert not wired.staged_target("green", JANUARY).exists()
    assert months.load(trips(3)).rows_inserted == 3


@on_one_server
@pytest.mark.parametrize("comment", [None, "mine", "[]", "null", '{"mine": 1}', '"load"'])
def test_a_table_with_the_name_of_a_staging_table_is_left_alone(
    months: Months, comment: str | None
) -> None:
    name = "green_trips_staging_2024_01"
    months.load(trips(2, "2024-02-10 10:00:00"), FEBRUARY)
    months.database.query(f"CREATE TABLE {name} (LIKE green_trips)")
    months.database.query(f"INSERT INTO {name} SELECT * FROM green_trips")
    months.database.query(f"COMMENT ON TABLE {name} IS %s", comment)
    marker = "INSERT INTO table_updates VALUES ('TaxiStageLoad green 2024-01', %s)"
    months.database.query(marker, f"public.{name}")
    before = months.database.query(f"SELECT * FROM {name}")
    for _ in range(2):
        told = refusal(lambda: months.load(trips(3)))
        assert told.startswith(f"table public.{name} exists but isn't one of ours; rename it, or")
        assert "[trips] staging_table" in told
        wired.unstage("green", JANUARY)
        assert wired.reset("green", JANUARY) == 0
        assert not wired.staged_target("green", JANUARY).exists()
        assert months.database.query(f"SELECT * FROM {name}") == before
    months.database.query(f"DROP TABLE {name}")
    assert months.load(trips(3)).rows_inserted == 3


def test_a_file_with_other_rows_than_it_should_have_is_not_staged(
    months: Months, tmp_path: Path
) -> None:
    months.stage(trips(3))
    wrong = load_of(4)
    for _ in range(2):
        told = refusal(lambda: wired.stage("green", FEBRUARY, tmp_path / "trips.parquet", wrong))
        assert "has 3 rows and should have 4; remove it and run again" in told
        assert not wired.staged_target("green", FEBRUARY).exists()
        relations = dict(months.database.contents()["relations"])
        assert "green_trips_staging_2024_02" not in relations


def test_staging_tells_how_far_it_is(months: Months, tmp_path: Path) -> None:
    months.stage(trips(5))
    told: list[tuple[int, int]] = []
    file = tmp_path / "trips.parquet"
    wired.stage("green", JANUARY, file, load_of(5), lambda *at: told.append(at))
    assert told[-1] == (5, 5)


# what is merged, and still there


DAMAGES = [
    "DROP TABLE green_trips CASCADE",
    "TRUNCATE green_trips",
    "DELETE FROM green_trips",
    "DROP TABLE green_trips_2024_01",
    "TRUNCATE green_trips_2024_01",
    "DELETE FROM green_trips_2024_01",
    "TRUNCATE green_trips_other",  # where strays are
    "TRUNCATE load_history",
    "DROP TABLE load_history CASCADE",
    "DELETE FROM table_updates",
    "DROP TABLE table_updates CASCADE",
]


@pytest.mark.parametrize("damage", ["TRUNCATE", "DROP TABLE"])
def test_a_month_whose_strays_are_gone_is_not_merged_and_heals(months: Months, damage: str) -> None:
    loads = [(FEBRUARY, trips(5, "2024-02-10 10:00:00")), (JANUARY, [*trips(20), *STRAYS])]
    for month, rows in loads:
        months.load(rows, month)
    before = months.database.trips()
    for _ in range(2):
        months.database.query(f"{damage} green_trips_2024_02")
        assert wired.merged_months("green", [JANUARY, FEBRUARY]) == set()
        for month, rows in loads:
            months.load(rows, month)
        assert months.database.trips() == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_month_that_is_not_all_there_is_not_merged_and_heals(months: Months, damage: str) -> None:
    rows = [*trips(20), *STRAYS]
    months.load(rows)
    before = months.database.contents()
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}
    for _ in range(2):
        months.database.query(damage)
        assert wired.merged_months("green", [JANUARY]) == set()
        assert not wired.merged_target("green", JANUARY).exists()

        months.load(rows)
        after = months.database.contents()
        assert {**after, "ledger": []} == {**before, "ledger": []}
        assert wired.merged_target("green", JANUARY).exists()


def test_many_months_are_one_question(months: Months, monkeypatch: pytest.MonkeyPatch) -> None:
    months.load(trips(2))
    months.load(trips(2, "2024-02-10 10:00:00"), FEBRUARY)
    asked = [date(year, month, 1) for year in range(2013, 2027) for month in range(1, 13)]
    for _ in range(2):
        with counted_statements(monkeypatch) as sent:
            assert wired.merged_months("green", asked) == {JANUARY, FEBRUARY}
        assert len(sent) == 1


@pytest.mark.empty_database
def test_an_empty_database_has_no_month(months: Months) -> None:
    for _ in range(2):
        assert wired.merged_months("green", [JANUARY]) == set()
        assert not wired.month_exists("green", JANUARY)
        assert not wired.staged_target("green", JANUARY).exists()


@pytest.mark.empty_database
def test_looking_creates_nothing(months: Months) -> None:
    wired.merged_months("green", [JANUARY])
    assert months.database.query("SELECT 1 FROM pg_class WHERE relname ~ 'trips|load_hist'") == []


def test_a_marker_can_be_touched_again(months: Months) -> None:
    target = wired.merged_target("green", JANUARY)
    for _ in range(2):
        target.touch()
        assert months.database.query("SELECT update_id, target_table FROM table_updates") == [
            ("TaxiMerge green 2024-01", "public.green_trips")
        ]
    # a marker alone promises nothing
    assert not target.exists()


# taking a month out


def test_a_reset_takes_out_the_rows_of_its_file_alone(months: Months) -> None:
    months.load([*trips(5), *STRAYS], JANUARY)
    february = [*trips(3, "2024-02-10 10:00:00"), trip("2024-01-31 23:59:59")]
    months.load(february, FEBRUARY)
    ledger = months.database.ledger("load_id", "month")
    assert wired.month_exists("green", JANUARY)

    assert wired.reset("green", JANUARY) == 7
    assert wired.reset("green", JANUARY) == 0
    assert not wired.month_exists("green", JANUARY)
    assert wired.merged_months("green", [JANUARY, FEBRUARY]) == {FEBRUARY}
    assert months.database.query("SELECT DISTINCT filename FROM green_trips") == [
        ("green_tripdata_2024-02.parquet",)
    ]
    assert months.count() == 4
    assert months.database.ledger("load_id", "month") == ledger
    assert months.load([*trips(5), *STRAYS], JANUARY).rows_inserted == 7


def test_a_reset_without_the_ledger_finds_the_rows_as_well(months: Months) -> None:
    months.load([*trips(5), *STRAYS])
    months.database.query("TRUNCATE load_history")
    assert wired.reset("green", JANUARY) == 7
    assert months.count() == 0


def test_a_reset_ends_what_is_staged(months: Months) -> None:
    months.stage(trips(3))
    assert wired.month_exists("green", JANUARY)
    wired.reset("green", JANUARY)
    assert not wired.staged_target("green", JANUARY).exists()
    assert not wired.month_exists("green", JANUARY)


def test_a_reset_of_a_month_that_was_never_loaded_does_nothing(months: Months) -> None:
    assert wired.reset("green", JANUARY) == 0
    months.load(trips(3))
    before = months.database.contents()
    for _ in range(2):
        assert wired.reset("green", FEBRUARY) == 0
        assert months.database.contents() == before


# who may be there


@pytest.fixture
def role(months: Months, server: Server, settings: Set) -> Iterator[Callable[[str], str]]:
    """Makes this process connect as a new role; returns its name."""
    name = f"somebody_{os.getpid()}"
    months.database.query(f"CREATE ROLE {name} LOGIN")

    def become(grants: str = "") -> str:
        for grant in filter(None, grants.split(";")):
            months.database.query(grant.format(role=name))
        database = months.database.value("SELECT current_database()")
        settings("warehouse", "url", server.url(database, name))
        return name

    yield become
    close_sessions()
    months.database.query(f"DROP OWNED BY {name}")
    months.database.query(f"DROP ROLE {name}")


@pytest.mark.empty_database
def test_a_role_that_may_not_create_is_told_what_it_needs(
    months: Months, role: Callable[[str], str], settings: Set
) -> None:
    role("")
    for _ in range(2):
        assert "needs CREATE on the schemas" in refusal(lambda: months.stage(trips(2)))
    settings("warehouse", "schema", "taxi")
    told = refusal(lambda: months.stage(trips(2)))
    assert "permission denied for database" in told
    assert "on the database, if they don't exist" in told


@pytest.mark.empty_database
def test_a_role_that_may_not_create_the_schema_of_a_staging_table_is_told_so(
    months: Months, role: Callable[[str], str], settings: Callable[[str, str, str], None]
) -> None:
    """The month stays as it was."""
    settings("trips", "staging_table", "apart.{{ taxi_type }}_{{ month }}")
    role("GRANT CREATE ON SCHEMA public TO {role}")
    for _ in range(2):
        told = refusal(lambda: months.stage(trips(2)))
        assert "permission denied for database" in told
        assert "needs CREATE on the schemas" in told
    settings("trips", "staging_table", "{{ taxi_type }}_{{ month }}")
    assert months.load(trips(2)).rows_inserted == 2


@pytest.mark.parametrize("schema", ["apart", "apart_{{ month }}"])
def test_the_schema_of_a_staging_table_is_made_when_it_is_not_there(
    months: Months, settings: Callable[[str, str, str], None], schema: str
) -> None:
    settings("trips", "staging_table", schema + ".{{ taxi_type }}_{{ month }}")
    for present in (0, 2):
        merged = months.load([*trips(2), *STRAYS])
        assert merged.rows_present == present + (len(STRAYS) if present else 0)
    partition = "SELECT count(*) FROM green_trips_2024_01"
    assert months.database.value(partition) == 2


@pytest.mark.empty_database
def test_a_role_that_may_create_loads(months: Months, role: Callable[[str], str]) -> None:
    role("GRANT CREATE ON SCHEMA public TO {role}")
    for present in (0, 2):
        assert months.load(trips(2)).rows_present == present


def test_tables_of_another_owner_are_refused(months: Months, role: Callable[[str], str]) -> None:
    months.load([*trips(2), *STRAYS])
    before = months.database.contents()
    role("GRANT CREATE ON SCHEMA public TO {role}")
    for _ in range(2):
        assert "must own the tables" in refusal(lambda: months.load(trips(2)))
        assert "must own the tables" in refusal(lambda: wired.merged_months("green", [JANUARY]))
    assert months.database.contents() == before


def test_a_role_that_only_reads_can_look_and_is_refused_the_rest(
    months: Months, role: Callable[[str], str]
) -> None:
    months.load(trips(2))
    role(
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};"
        "ALTER ROLE {role} SET default_transaction_read_only = on"
    )
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}
    for _ in range(2):
        assert "read-only" in refusal(lambda: months.stage(trips(2)))
        assert "read-only" in refusal(lambda: wired.reset("green", JANUARY))
    assert months.count() == 2


@pytest.mark.empty_database
@on_one_server
def test_zones_that_a_table_refers_to_which_may_not_be_read_stay(
    months: Months, role: Callable[[str], str]
) -> None:
    name = role("GRANT CREATE ON SCHEMA public TO {role}")
    zones = [Zone(1, "EWR", "Newark", "EWR"), Zone(2, "Queens", "Jamaica Bay", "Boro Zone")]
    wired.load_zones("file:///zones.csv", zones)
    months.database.query("CREATE TABLE shifts (zone integer REFERENCES taxi_zones)")
    for put in (zones, zones[1:], zones[:1]):
        assert wired.load_zones("file:///zones.csv", put) == 2
        assert months.count("taxi_zones") == 2
    months.database.query(f"GRANT SELECT ON shifts TO {name}")
    wired.load_zones("file:///zones.csv", zones[:1])
    assert months.count("taxi_zones") == 1
    months.database.query("DROP TABLE shifts")


# who can't be reached


@pytest.fixture
def asks_for_password(months: Months) -> Iterator[str]:
    """A role that the server asks for its password, which is "secret"."""
    name = f"careful_{os.getpid()}"
    months.database.query(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    rules = Path(months.database.value("SHOW hba_file"))
    before = rules.read_text()

    def reload(text: str) -> None:
        rules.write_text(text)
        months.database.query("SELECT pg_reload_conf()")

    reload(f"local all {name} scram-sha-256\n{before}")
    for _ in range(100):  # until it is in force
        try:
            psycopg2.connect(months.database.url.replace("postgres@", f"{name}:wrong@")).close()
        except psycopg2.OperationalError:
            break
        time.sleep(0.05)
    yield name
    close_sessions()
    reload(before)
    months.database.query(f"DROP OWNED BY {name}")
    months.database.query(f"DROP ROLE {name}")


@pytest.mark.empty_database
def test_a_wrong_password_is_told_and_not_shown(
    months: Months, settings: Set, asks_for_password: str
) -> None:
    for password in ("s3cr3t", "o%%2Fther"):
        url = months.database.url.replace("postgres@", f"{asks_for_password}:{password}@")
        settings("warehouse", "url", url)
        told = refusal(lambda: wired.merged_months("green", [JANUARY]))
        assert "password authentication failed" in told
        assert "s3cr3t" not in told
        assert "2Fther" not in told
    url = months.database.url.replace("postgres@", f"{asks_for_password}:secret@")
    settings("warehouse", "url", url)
    assert wired.merged_months("green", [JANUARY]) == set()


@pytest.mark.empty_database
def test_a_password_may_come_from_the_environment(
    months: Months, settings: Set, asks_for_password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings("warehouse", "url", months.database.url.replace("postgres@", f"{asks_for_password}@"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    assert "password" in refusal(lambda: wired.merged_months("green", [JANUARY]))
    monkeypatch.setenv("PGPASSWORD", "secret")
    assert wired.merged_months("green", [JANUARY]) == set()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://taxi:secret@127.0.0.1:1/taxi", "taxi@127.0.0.1:1/taxi can't be reached"),
        ("postgresql://taxi:secret@nowhere.invalid/taxi", "taxi@nowhere.invalid:5432/taxi can't"),
        ("postgresql://taxi:secret@/taxi?host=/nowhere", "taxi@/nowhere:5432/taxi can't be reach"),
    ],
)
def test_a_server_that_is_not_there_is_named_without_the_password(
    settings: Set, url: str, told: str
) -> None:
    settings("warehouse", "url", url)
    settings("warehouse", "retries", "1")
    for _ in range(2):
        said = refusal(lambda: wired.merged_months("green", [JANUARY]))
        assert told in said
        assert "secret" not in said


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://taxi:se%%cret@host/taxi",
        "postgresql://taxi:se?cret@host/taxi",
        "postgresql://taxi:se/cret@host/taxi",
        "postgresql://taxi:10/cret@127.0.0.1/taxi",
        "postgresql://taxi:se@cret@host.invalid/taxi",
        "postgresql://taxi:se cret@host:port/taxi",
        "postgresql://taxi:secret@host.invalid/taxi?nonsense=1",
        "postgresql://[taxi:secret@host/taxi",
    ],
)
def test_a_url_that_cannot_be_read_does_not_show_its_password(settings: Set, url: str) -> None:
    settings("warehouse", "url", url)
    for _ in range(2):
        assert "cret" not in refusal(lambda: wired.merged_months("green", [JANUARY]))


@pytest.mark.parametrize(
    ("replaced", "by"), [("postgres@", "nobody_here:secret@"), ("/test_", "/nowhere_")]
)
def test_a_role_or_database_that_is_not_there_is_told(
    months: Months, settings: Set, replaced: str, by: str
) -> None:
    settings("warehouse", "url", months.database.url.replace(replaced, by, 1))
    told = refusal(lambda: wired.merged_months("green", [JANUARY]))
    assert "does not exist" in told
    assert "secret" not in told


def test_a_server_that_is_too_old_is_refused(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "OLDEST_SERVER", 990000)
    for _ in range(2):
        told = refusal(lambda: months.stage(trips(2)))
        assert "99 or later is needed" in told


def test_a_connection_that_broke_is_made_anew(months: Months) -> None:
    months.load(trips(2))
    months.database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'luigi_tasks%'"
    )
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}


FORK = """
import os, sys
from luigi.configuration import get_config
import luigi_tasks.tasks
import wired
get_config().set("warehouse", "url", sys.argv[1])
mine = wired.open_session().get_backend_pid()
if os.fork() == 0:
    print(wired.open_session().get_backend_pid() != mine, flush=True)
    os._exit(0)
os.wait()
print(wired.open_session().get_backend_pid() == mine)
print(wired.merged_months("green", []) == set())
"""


def test_a_forked_child_has_a_connection_of_its_own(database: Database) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FORK, database.url],
        capture_output=True,
        text=True,
        check=True,
        env=WITH_TESTS,
    )
    assert told.stdout.split() == ["True", "True", "True"]


# who waits


@contextmanager
def lock_held(database: Database, key: str) -> Iterator[Callable[[], None]]:
    """Another session has one of the advisory locks, until what is given is called."""
    session = psycopg2.connect(database.url)
    session.autocommit = True
    session.cursor().execute(f"SELECT pg_advisory_lock({ADVISORY_LOCKS}, {key})")
    try:
        yield session.close
    finally:
        session.close()


def wait_until(holds: Callable[[], Any]) -> Any:
    for _ in range(1_200):
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it never came to it")


def waiting_statement(months: Months) -> str | None:
    """What a run that waits was last seen to do."""
    rows = months.database.query(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'luigi_tasks%' AND query LIKE '%pg_try_advisory%'"
    )
    return rows[0][0] if rows else None


class InThread(threading.Thread):
    """Runs something aside, and keeps what it returns."""

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.act, self.result = act, None
        self.start()

    def run(self) -> None:
        self.result = self.act()


def test_a_merge_waits_for_another_one_into_its_table(months: Months) -> None:
    months.stage(trips(3))
    with lock_held(months.database, "hashtext('table public.green_trips')") as release:
        merge = InThread(lambda: wired.merge("green", JANUARY))
        statement = wait_until(lambda: waiting_statement(months))
        assert statement.startswith("/* TaxiMerge green 2024-01 */")
        assert merge.is_alive()
        assert months.count() == 0
        release()
        merge.join(60)
    assert merge.result.rows_inserted == 3


def test_a_turn_waits_for_its_month_alone(months: Months) -> None:
    def take_turn() -> bool:
        with wired.month_lock("green 2024-01") as held:
            return held

    with lock_held(months.database, "hashtext('green 2024-01')") as release:
        with (
            wired.month_lock("green 2024-02") as other,
            wired.month_lock("yellow 2024-01") as one,
        ):
            assert (other, one) == (True, True)
        with wired.month_lock("green 2024-01", wait=False) as held:
            assert held is False
        turn = InThread(take_turn)
        wait_until(lambda: "green 2024-01" in (waiting_statement(months) or ""))
        assert turn.is_alive()
        release()
        turn.join(60)
    assert turn.result is True


def test_a_turn_ends_with_its_block_whatever_happens(months: Months) -> None:
    def break_off() -> None:
        with wired.month_lock("green 2024-01"):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            break_off()
    free = months.database.value(
        f"SELECT pg_try_advisory_lock({ADVISORY_LOCKS}, hashtext('green 2024-01'))"
    )
    assert free is True


def test_every_statement_tells_its_task_and_month(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    class Told(Cursor):
        def execute(self, query: Any, values: Any = None) -> None:
            super().execute(query, values)
            sent.append(self.query.decode())

    monkeypatch.setattr(session, "Cursor", Told)
    months.load(trips(3))
    wired.reset("green", JANUARY)
    labels = {each.split("\n")[0] for each in sent}
    tasks = ("TaxiStageLoad", "TaxiMerge", "TaxiReset")
    assert labels == {f"/* {task} green 2024-01 */" for task in tasks}


def test_the_sessions_name_tells_who_it_is(months: Months) -> None:
    months.stage(trips(1))
    names = months.database.query(
        "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'luigi_tasks%'"
    )
    assert any(f"luigi_tasks {os.getpid()} on " in name for (name,) in names)


def test_the_catalogs_yellow_is_loaded_as_well(months: Months) -> None:
    row = trip(airport_fee=1.75, cbd_congestion_fee=0.75)
    for inserted in (1, 0):
        assert months.load([row], JANUARY, YELLOW.name).rows_inserted == inserted
    assert months.database.value("SELECT airport_fee FROM yellow_trips") == 1.75
