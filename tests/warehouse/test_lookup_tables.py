"""Names beside codes: the zones, the lookups, and the views that show them."""

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import wired
from conftest import Database, Luigi, Server
from mirror import Mirror
from months import FEBRUARY, JANUARY, Months, close_sessions, trip

from luigi_tasks.catalog import LOOKUPS, TAXI_TYPES, Zone, shared_columns
from luigi_tasks.errors import TaxiError

HEADER = '"LocationID","Borough","Zone","service_zone"\n'
ZONES = HEADER + '1,"EWR","Newark Airport","EWR"\n75,"Manhattan","East Harlem South","Boro Zone"\n'
Set = Callable[[str, str, str], None]
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def load_zones(command: Luigi, content: str) -> int:
    file = command.folder / "zones.csv"
    file.write_text(content)
    without_outlines(command)
    run = command("TaxiZones", f"--source-zones-url=file://{file}")
    assert "Traceback" not in run.output
    return run.code


def without_outlines(command: Luigi) -> None:
    (command.folder / "luigi.cfg").write_text("[source]\nzone_shapes_url =\n")


def test_zones_are_loaded_once_and_healed(luigi_command: Luigi, database: Database) -> None:
    query = "SELECT location_id, zone FROM taxi_zones ORDER BY 1"
    expected = [(1, "Newark Airport"), (75, "East Harlem South")]
    for lost in ("SELECT", "SELECT", "DELETE FROM taxi_zones", "DROP TABLE taxi_zones CASCADE"):
        database.query(lost)
        assert load_zones(luigi_command, ZONES) == 0
        assert database.query(query) == expected
    assert list((luigi_command.folder / "data").rglob("*zone*")) == []


@on_one_server
def test_zones_of_another_source_take_their_place(luigi_command: Luigi, database: Database) -> None:
    """And the first ones count as loaded no more; a password isn't kept."""
    assert load_zones(luigi_command, ZONES) == 0
    before = database.query("SELECT update_id FROM table_updates")
    other = luigi_command.folder / "other.csv"
    other.write_text(HEADER + "1,a,b,c\n")
    with Mirror(luigi_command.folder) as mirror:
        url = mirror.url("other.csv", "me:secret@")
        for told in (True, False):
            run = luigi_command("TaxiZones", f"--source-zones-url={url}")
            assert run.code == 0
            assert ("WARNING: loaded 1 taxi zones in place of 2" in run.output) == told
            assert database.query("SELECT * FROM taxi_zones") == [(1, "a", "b", "c")]
            after = database.query("SELECT update_id FROM table_updates")
            assert after == [(f"TaxiZones {mirror.url('other.csv')}",)]
    assert load_zones(luigi_command, ZONES) == 0
    assert database.query("SELECT update_id FROM table_updates") == before
    assert database.value("SELECT count(*) FROM taxi_zones") == 2


@on_one_server
def test_all_published_zones_are_loaded(
    luigi_command: Luigi, database: Database, shared_data: Path
) -> None:
    file = shared_data / "lookup" / "taxi_zone_lookup.csv"
    without_outlines(luigi_command)
    assert luigi_command("TaxiZones", f"--source-zones-url=file://{file}").code == 0
    assert database.value("SELECT count(*) FROM taxi_zones") == 265
    query = "SELECT borough, zone, service_zone FROM taxi_zones WHERE location_id >= 264 ORDER BY 1"
    assert database.query(query) == [
        ("N/A", "Outside of NYC", "N/A"),
        ("Unknown", "N/A", "N/A"),
    ]


@on_one_server
@pytest.mark.parametrize("flags", [["--source-timeout=x"], ["--source-zones-url=zones.csv"]])
def test_a_wrong_setting_is_told_before_zones_are_loaded(
    luigi_command: Luigi, flags: list[str]
) -> None:
    run = luigi_command("TaxiZones", *flags)
    assert run.code == 40
    assert "[source] " in run.output
    assert "Traceback" not in run.output


@pytest.mark.empty_database
@on_one_server
@pytest.mark.parametrize(
    "table",
    [
        "vendors (vendor_id integer PRIMARY KEY, name text)",
        "taxi_zones (location_id integer PRIMARY KEY, borough text, zone text, service_zone text)",
    ],
)
def test_a_table_of_somebody_elses_is_refused(months: Months, table: str) -> None:
    name = table.partition(" ")[0]
    months.database.query(f"CREATE TABLE {table}")
    months.database.query(f"INSERT INTO {name} VALUES (1, 'mine')")
    for _ in range(2):
        with pytest.raises(TaxiError, match=f"table public.{name} exists but isn't one of ours"):
            months.load([trip()])
        assert months.database.query(f"SELECT * FROM {name}")[0][1] == "mine"
        assert months.database.query("SELECT to_regclass('green_trips')") == [(None,)]


@on_one_server
def test_another_version_puts_names_and_comments_right(months: Months) -> None:
    months.load([trip()])
    months.database.query("UPDATE vendors SET name = 'old'")
    months.database.query("COMMENT ON COLUMN green_trips.extra IS 'old'")
    months.load([trip()])
    assert months.database.query("SELECT DISTINCT name FROM vendors") == [("old",)]
    months.database.query("UPDATE warehouse_version SET package = '0.0.1'")
    months.load([trip()])
    assert months.database.value("SELECT name FROM vendors WHERE vendor_id = 7") == "Helix"
    comment = "SELECT obj_description('vendors'::regclass), col_description(c.oid, attnum)"
    comment += " FROM pg_class AS c JOIN pg_attribute ON attrelid = c.oid"
    comment += " WHERE relname = 'green_trips' AND attname = 'extra'"
    [(_, found)] = months.database.query(comment)
    assert found.startswith("USD")


def put_zones(*zones: tuple[int, str]) -> None:
    wired.load_zones("file:///z.csv", [Zone(number, "B", name, "S") for number, name in zones])


@on_one_server
@pytest.mark.parametrize("on_delete", ["NO ACTION", "CASCADE"])
def test_zones_and_names_that_others_refer_to_are_put_right_in_place(
    months: Months, on_delete: str, caplog: pytest.LogCaptureFixture
) -> None:
    put_zones((75, "East Harlem"), (236, "Upper East Side"), (1, "Newark"), (2, "Jamaica Bay"))
    months.load([trip()])
    months.database.query(
        "CREATE SCHEMA mine; CREATE TABLE mine.shifts (zone integer, vendor integer)"
    )
    months.database.query("INSERT INTO mine.shifts VALUES (1, 2), (NULL, NULL)")
    key = "ADD FOREIGN KEY ({}) REFERENCES {} ON DELETE " + on_delete
    for table, column, to in (
        ("green_trips", "pickup_location_id", "taxi_zones"),
        ("mine.shifts", "zone", "taxi_zones"),
        ("green_trips", "vendor_id", "vendors"),
        ("mine.shifts", "vendor", "vendors"),
    ):
        months.database.query(f"ALTER TABLE {table} {key.format(column, to)}")
    before = months.database.trips(), months.database.query("SELECT * FROM mine.shifts")
    for _ in range(2):
        caplog.clear()
        put_zones((236, "Upper East Side North"), (3, "Allerton"))
        zones = "SELECT location_id, zone FROM taxi_zones ORDER BY 1"
        assert months.database.query(zones) == [
            (1, "Newark"),
            (3, "Allerton"),
            (75, "East Harlem"),
            (236, "Upper East Side North"),
        ]
        assert "zones that other tables refer to stay, though gone: 1, 75" in caplog.text
        months.database.query("UPDATE warehouse_version SET package = '0.0.1'")
        put_zones((236, "Upper East Side"), (2, "Jamaica Bay"))
        assert months.database.value("SELECT count(*) FROM taxi_zones") == 4
        shifts = months.database.query("SELECT * FROM mine.shifts")
        assert (months.database.trips(), shifts) == before
        assert months.load([trip()]).rows_present == 1
    assert months.load([trip("2024-02-10 10:00:00")], FEBRUARY).rows_inserted == 1
    # a zone that isn't there
    unknown = [trip("2024-02-11 10:00:00", pickup_location_id=99)]
    for month, rows in (
        (FEBRUARY, unknown),
        (date(2024, 3, 1), [trip("2024-03-01", pickup_location_id=98)]),
    ):
        with pytest.raises(TaxiError, match=r"foreign key constraint.*\(9[89]\) is not present"):
            months.load(rows, month)


#: A letter that none of these encodings has, as they are named by PostgreSQL.
LACKING = {"LATIN1": "Ł", "EUC_JP": "𝄞"}


@on_one_server
@pytest.mark.parametrize("encoding", [*LACKING, "SQL_ASCII"])
def test_a_character_that_the_database_cannot_hold_is_named(
    server: Server, settings: Set, tmp_path: Path, encoding: str
) -> None:
    name = f"in_{encoding.lower()}"
    options = f"ENCODING '{encoding}' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
    server.execute(f"CREATE DATABASE {name} {options}")
    try:
        settings("warehouse", "url", server.url(name))
        months = Months(Database(server.url(name)), tmp_path)
        text = {"night_fee": "text"}
        months.load([trip(night_fee="plain")], new_columns=text, outputs={"note": "plain"})
        put_zones((1, "Newark"))
        lacking = LACKING.get(encoding, "Ł€")
        month = {"month": FEBRUARY, "new_columns": text}
        acts: list[tuple[str, Callable[[], Any]]] = [
            (
                "column night_fee",
                partial(months.load, [trip("2024-02-01", night_fee=lacking)], **month),
            ),
            ("'a Z", lambda: put_zones((2, f"a Z{lacking}ne"))),
            (
                "note",
                partial(months.load, [trip("2024-02-01")], **month, outputs={"note": lacking}),
            ),
            (
                "file:///s",
                partial(months.load, [trip("2024-02-01")], **month, url=f"file:///s/{lacking}"),
            ),
            (
                "script",
                partial(months.load, [trip("2024-02-01")], **month, script=f"a script {lacking}"),
            ),
        ]
        for where, act in acts:
            if encoding == "SQL_ASCII":  # it takes whatever comes
                act()
                continue
            with pytest.raises(TaxiError) as refused:
                act()
            told = str(refused.value)
            assert f"is in {encoding}, which has no {lacking!r} (U+{ord(lacking):04X})" in told
            assert where in told
            assert "\n" not in told
            assert wired.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY}
        wired.reset("green", FEBRUARY)
        if encoding.startswith(("LATIN", "WIN")):
            rows = [trip("2024-02-01", night_fee="Café")]
            months.load(rows, FEBRUARY, new_columns=text, outputs={"note": "é"}, url="file:///é")
            assert months.database.ledger("outputs", "url")[-1] == ({"note": "é"}, "file:///é")
    finally:
        close_sessions()
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@on_one_server
def test_a_broken_lookup_changes_nothing(luigi_command: Luigi, database: Database) -> None:
    assert load_zones(luigi_command, ZONES) == 0
    database.query("DELETE FROM table_updates")
    assert load_zones(luigi_command, HEADER + "1,a,b\n") == 30
    assert database.value("SELECT count(*) FROM taxi_zones") == 2


@on_one_server
def test_views_show_names_beside_codes(months: Months) -> None:
    months.load([trip(vendor_id=2, payment_type=1, pickup_location_id=75, rate_code_id=98)])
    months.database.query(
        "INSERT INTO taxi_zones VALUES (75, 'Manhattan', 'East Harlem South', 'Boro Zone')"
    )
    shown = (
        "vendor_name, payment_type_name, rate_code_name, pickup_borough, pickup_zone, dropoff_zone"
    )
    expected = [("Curb Mobility, LLC", "Credit card", None, "Manhattan", "East Harlem South", None)]
    assert months.database.query(f"SELECT {shown} FROM green_trips_named") == expected
    assert months.database.query(f"SELECT {shown} FROM trips") == expected


def test_every_lookup_has_its_codes(months: Months) -> None:
    for _ in range(2):
        wired.merged_target("green", JANUARY).touch()
        for lookup in LOOKUPS:
            rows = months.database.query(f"SELECT * FROM {lookup.table}")
            assert dict(rows) == lookup.names


def test_a_view_of_trips_has_what_two_types_have(months: Months) -> None:
    wired.merged_target("green", JANUARY).touch()
    [row] = months.database.query(
        "SELECT to_jsonb(t) FROM (VALUES (1)) AS one LEFT JOIN trips AS t ON TRUE"
    )
    found = months.database.query(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'trips'::regclass AND attnum > 0"
    )
    names = {name for (name,) in found}
    assert names >= {column.name for column in shared_columns(TAXI_TYPES.values())}
    assert names >= {"taxi_type", "vendor_name", "pickup_zone", "hvfhs_license_name"}
    assert "driver_pay" not in names
    assert row == (None,)


@on_one_server
def test_names_that_are_not_asked_for_are_not_looked_up(months: Months) -> None:
    months.load([trip()])
    for name in ("trips", *(f"{each}_trips_named" for each in TAXI_TYPES)):
        plan = months.database.query(f"EXPLAIN SELECT count(*), min(pickup_datetime) FROM {name}")
        assert not any("taxi_zones" in line or "vendors" in line for (line,) in plan)
    plan = months.database.query("EXPLAIN SELECT pickup_zone FROM trips")
    assert any("taxi_zones" in line for (line,) in plan)


def view_of_an_earlier_version(database: Database) -> None:
    """View ``trips`` with other columns than it has now."""
    database.query("CREATE VIEW trips AS SELECT unique_row_id FROM green_trips")
    database.query(
        "COMMENT ON VIEW trips IS "
        "'Trips of all taxi types, by the columns that more than one of them has'"
    )


def test_a_warehouse_of_an_earlier_version_gets_what_is_new(months: Months) -> None:
    wired.merged_target("green", JANUARY).touch()
    before = months.database.contents()["relations"]
    for view in ("trips", *(f"{each}_trips_named" for each in TAXI_TYPES)):
        months.database.query(f"DROP VIEW {view}")
    months.database.query("ALTER TABLE green_trips DROP COLUMN pickup_latitude")
    view_of_an_earlier_version(months.database)
    months.database.query("ALTER TABLE load_history DROP COLUMN quality CASCADE")
    months.database.query("DROP TABLE warehouse_version")
    for _ in range(2):
        assert months.load([trip(pickup_latitude=40.7)]).rows_staged == 1
        assert months.database.value("SELECT pickup_latitude FROM green_trips") == 40.7
    after = months.database.contents()["relations"]
    assert set(map(str, before)) <= set(map(str, after))


@on_one_server
def test_a_view_that_somebody_built_on_is_left_alone(months: Months) -> None:
    wired.merged_target("green", JANUARY).touch()
    months.database.query("CREATE VIEW mine AS SELECT unique_row_id FROM trips")
    months.database.query("DROP VIEW green_trips_named CASCADE")
    view_of_an_earlier_version(months.database)
    months.database.query("UPDATE warehouse_version SET package = '0.0.1'")
    months.database.query("CREATE VIEW mine AS SELECT unique_row_id FROM trips")
    told = (
        "cannot drop view public.trips because .*: "
        "view public.mine depends on view public.trips; drop what depends"
    )
    with pytest.raises(TaxiError, match=told):
        months.load([trip()])
    assert months.database.query("SELECT * FROM mine") == []
