"""The owner, the loader and the reader of a warehouse: what each may, and what none of them may."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
import wired
from click.testing import CliRunner
from conftest import PYTHON, Database, Luigi, Published, Server
from months import FEBRUARY, JANUARY, Months, close_sessions, trip, trips

from luigi_tasks import config, warehouse
from luigi_tasks.commands.roles import roles
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse import embedded

pytestmark = pytest.mark.empty_database

Set = Callable[[str, str, str], None]

STAGING = "loading.{{ taxi_type }}_{{ month }}"
DENIED = (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.RaiseException)


@dataclass
class Cast:
    """The three roles by their names, odd ones, and the URL by which each connects."""

    database: Database
    server: Server
    owner: str
    loader: str
    reader: str
    setting: Set

    def become(self, role: str) -> None:
        """Have this process connect as a role."""
        self.setting("warehouse", "url", self.url(role).replace("%", "%%"))

    def url(self, role: str) -> str:
        name = self.database.value("SELECT current_database()")
        quoted = role.replace('"', "%22").replace(" ", "%20").replace("'", "%27")
        return self.server.url(name, quoted)

    def run(self, role: str, *statements: str) -> None:
        """Run statements in one transaction, which is committed."""
        with closing(psycopg2.connect(self.url(role))) as session, session:
            for statement in statements:
                session.cursor().execute(statement)

    def may(self, role: str, *statements: str) -> bool:
        """Whether a role may run statements; nothing of them is left."""
        with closing(psycopg2.connect(self.url(role))) as session, session.cursor() as cursor:
            try:
                for statement in statements:
                    cursor.execute(statement)
            except DENIED:
                return False
            return True

    def command(self, *words: str, role: str = "") -> tuple[int, str]:
        """Run ``luigi-tasks roles`` by the owner, or another role: its exit code and output; of a
        user error, the one line."""
        flags = ["--loader", self.loader, "--reader", self.reader]
        self.become(role or self.owner)
        result = CliRunner().invoke(roles, [*flags, *words])
        close_sessions()
        if isinstance(result.exception, TaxiError):
            assert "\n" not in str(result.exception)
            return 1, str(result.exception)
        assert result.exit_code == 0, result.exception
        return 0, result.stdout


@pytest.fixture
def cast(database: Database, server: Server, settings: Set) -> Iterator[Cast]:
    """The owner of a database without tables, and names for the others."""
    name = database.value("SELECT current_database()")
    number = f"{os.getpid()}_{name}"
    found = Cast(
        database,
        server,
        f'the "owner" {number}',
        f"loader's {number}",
        f"reader_{number}",
        settings,
    )
    server.execute(f'CREATE ROLE "the ""owner"" {number}" LOGIN CREATEROLE')
    server.execute(f'ALTER DATABASE {name} OWNER TO "the ""owner"" {number}"')
    settings("trips", "staging_table", STAGING)
    yield found
    close_sessions()
    server.execute(f"ALTER DATABASE {name} OWNER TO postgres")
    for role in (found.loader, found.reader, found.owner):
        quoted = '"{}"'.format(role.replace('"', '""'))
        if database.query("SELECT 1 FROM pg_roles WHERE rolname = %s", role):
            database.query(f"REASSIGN OWNED BY {quoted} TO postgres")
            database.query(f"DROP OWNED BY {quoted}")
            server.execute(f"DROP ROLE {quoted}")


@pytest.fixture
def granted(cast: Cast) -> Cast:
    """The same with tables and grants."""
    assert cast.command("--yes") == (0, f"{cast.loader} may load, and {cast.reader} may read\n")
    return cast


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(TaxiError) as refused:
        act()
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- luigi-tasks roles ----------------------------------------------------------------------------


def test_what_is_printed_does_by_psql_what_yes_does(cast: Cast) -> None:
    """And nothing else, however often it runs."""
    _, printed = cast.command()
    assert cast.database.query("SELECT 1 FROM pg_roles WHERE rolname = %s", cast.loader) == []
    cast.become(cast.owner)
    warehouse.prepare(config.open_warehouse(), "owner")
    psql = [embedded.binary("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    subprocess.run([*psql, cast.url(cast.owner)], input=printed, text=True, check=True)
    rights = """
        SELECT relname, relacl::text, relowner FROM pg_class
        WHERE relnamespace::regnamespace::text IN ('public', 'loading')
        UNION ALL SELECT nspname, nspacl::text, nspowner FROM pg_namespace
        UNION ALL SELECT proname, proacl::text, proowner FROM pg_proc WHERE prosecdef ORDER BY 1
    """
    before = cast.database.query(rights)
    for _ in range(2):
        assert cast.command("--yes")[0] == 0
        assert cast.database.query(rights) == before


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_what_cannot_be_is_told_and_nothing_done(cast: Cast, settings: Set) -> None:
    for words, told in (
        (["--loader", "public"], "--loader: 'public' can't be a role of yours"),
        (["--reader", "pg_monitor"], "--reader: 'pg_monitor' can't be"),
        (["--reader", ""], "--reader: '' can't be"),
        (["--reader", "same", "--loader", "same"], "must be another role than --loader"),
        (["--warehouse-url", "embedded"], "the embedded warehouse is for one user"),
    ):
        code, output = cast.command(*words, "--yes")
        assert (code, told in output) == (1, True), output
    assert "postgres is a superuser; connect" in cast.command("--yes", role="postgres")[1]
    for template, told in (
        ("{{ taxi_type }}_{{ month }}", "schema public has other tables as well"),
        ("s_{{ month }}.{{ taxi_type }}", "names several schemas, such as s_2024_01 and s_2025_12"),
    ):
        settings("trips", "staging_table", template)
        assert told in cast.command("--yes")[1]
    assert cast.database.query("SELECT 1 FROM pg_class WHERE relname = 'load_history'") == []


# --- what a loader may ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("server", ["system"], indirect=True)
def test_a_loader_loads_what_an_owner_loads_and_a_reader_sees_it(
    granted: Cast, luigi_command: Luigi, three_months: Published
) -> None:
    (luigi_command.folder / "luigi.cfg").write_text(f"[trips]\nstaging_table = {STAGING}\n")
    luigi_command.settings["--source-url"] = three_months.url
    luigi_command.settings["--warehouse-url"] = granted.url(granted.loader)
    for count in (3, 0):
        run = luigi_command.merge_range("green", "2024-01", "2024-04", "--log-level=INFO")
        assert run.code == 0, run.output
        assert run.output.count(": inserted ") == count
        assert "WARNING" not in run.output
    assert [month for (month,) in granted.database.ledger("month::text")] == [
        f"2024-0{number}-01" for number in (1, 2, 3)
    ]
    words = [PYTHON, "-m", "luigi_tasks"], ["--warehouse-url", granted.url(granted.reader)]
    for name in ("status", "report"):
        shown = subprocess.run(
            [*words[0], name, *words[1]], cwd=luigi_command.folder, capture_output=True, text=True
        )
        assert (shown.returncode, shown.stderr) in ((0, ""), (20, ""))
    assert (luigi_command.folder / "data" / "report.html").is_file()


def test_a_loader_loads_strays_new_editions_and_triggers(
    granted: Cast, settings: Set, tmp_path: Path
) -> None:
    granted.become(granted.loader)
    settings("storage", "root", str(tmp_path / "data"))
    months = Months(granted.database, tmp_path)
    strays = [trip("2024-02-01 00:00:01"), trip("2008-12-31 23:59:59")]
    assert months.load([*trips(3), *strays]).rows_inserted == 5
    assert months.load([*trips(2, "2024-02-10 10:00:00")], FEBRUARY).rows_inserted == 2
    partitions = "SELECT relname, relowner::regrole::text FROM pg_class WHERE relname ~ '2024_..$'"
    owner = '"{}"'.format(granted.owner.replace('"', '""'))
    assert dict(granted.database.query(partitions)) == {
        f"green_trips_2024_0{number}": owner for number in (1, 2)
    }
    wired.analyze_trips("test", "green")
    analysed = "SELECT count(*) FROM pg_class WHERE relname ~ '^green_trips(_2024_0.)?$' "
    assert granted.database.value(f"{analysed} AND reltuples > 0") == 3
    again = months.load([*trips(4)[1:], *strays], sha256="1" * 64)
    assert (again.rows_inserted, again.rows_removed, again.rows_present) == (1, 1, 4)
    granted.run(
        granted.owner,
        "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER note BEFORE INSERT ON green_trips FOR EACH ROW EXECUTE FUNCTION note()",
    )
    march = months.load(trips(2, "2024-03-10 10:00:00"), FEBRUARY.replace(month=3))
    assert march.rows_inserted == 2
    assert months.count("green_trips_2024_03") == 2
    assert wired.reset("green", JANUARY) == 5
    assert months.load([*trips(3), *strays]).rows_inserted == 5


def test_a_column_that_is_new_takes_the_owner(granted: Cast, settings: Set, tmp_path: Path) -> None:
    """Who may load in between; the table stays as it was for the loader."""
    settings("storage", "root", str(tmp_path / "data"))
    months = Months(granted.database, tmp_path)
    granted.become(granted.loader)
    rows = [trip(fee=1)]
    told = refusal(lambda: months.load(rows, new_columns={"fee": "bigint"}))
    assert "only the owner of table public.green_trips may add them" in told
    assert months.count() == 0
    granted.become(granted.owner)
    assert months.load(rows, new_columns={"fee": "bigint"}).rows_inserted == 1
    granted.become(granted.loader)
    both = months.load([*rows, trip(fee=2, number=1)], new_columns={"fee": "bigint"}, sha256="1")
    assert (both.rows_inserted, both.rows_present) == (1, 1)
    assert granted.database.query("SELECT fee FROM green_trips_named ORDER BY fee") == [(1,), (2,)]


def test_a_warehouse_of_an_earlier_version_is_told_to_its_loader_and_altered_by_its_owner(
    granted: Cast, settings: Set, tmp_path: Path
) -> None:
    settings("storage", "root", str(tmp_path / "data"))
    granted.become(granted.loader)
    months = Months(granted.database, tmp_path)
    granted.database.query("UPDATE warehouse_version SET package = '0.0.1'")
    granted.database.query("DROP TABLE counted_loads")
    for _ in range(2):
        told = refusal(lambda: months.load(trips(2)))
        assert "needs other tables than the warehouse has" in told
        assert f"have {granted.owner} run luigi-tasks roles --yes" in told
    assert granted.command("--yes")[0] == 0
    granted.become(granted.loader)
    assert months.load(trips(2)).rows_inserted == 2


def test_who_has_no_grants_is_told_what_is_lacking(
    granted: Cast, settings: Set, tmp_path: Path
) -> None:
    settings("storage", "root", str(tmp_path / "data"))
    granted.become(granted.reader)
    told = refusal(lambda: Months(granted.database, tmp_path).load(trips(2)))
    assert f"belong to role {granted.owner}, and {granted.reader} may not load" in told


# --- what they may not ----------------------------------------------------------------------------

#: What takes the owner.
DEFINITIONS = [
    "DROP TABLE green_trips CASCADE",
    "DROP TABLE green_trips_2024_01",
    "DROP TABLE load_history CASCADE",
    "DROP VIEW trips",
    "DROP SCHEMA public CASCADE",
    "DROP SCHEMA loading CASCADE",
    "TRUNCATE green_trips",
    "TRUNCATE green_trips_2024_01",
    "TRUNCATE load_history",
    "ALTER TABLE green_trips ADD COLUMN mine integer",
    "ALTER TABLE green_trips_2024_01 ADD CHECK (FALSE)",
    "ALTER TABLE green_trips DETACH PARTITION green_trips_2024_01",
    "ALTER TABLE load_history DROP CONSTRAINT load_history_read_adds_up",
    "ALTER TABLE green_trips OWNER TO CURRENT_USER",
    "ALTER TABLE green_trips ENABLE ROW LEVEL SECURITY",
    "CREATE OR REPLACE VIEW trips AS SELECT 1",
    "CREATE TABLE public.mine (a integer)",
    "CREATE TABLE public.mine PARTITION OF green_trips "
    "FOR VALUES FROM ('2030-01-01') TO ('2030-02-01')",
    "CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE INDEX ON green_trips (fare_amount)",
    "CREATE RULE mine AS ON INSERT TO load_history DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE INSERT ON green_trips FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "COMMENT ON TABLE green_trips IS 'mine'",
    "CREATE PUBLICATION mine FOR TABLE green_trips",
    "INSERT INTO payment_types VALUES (99, 'mine')",
    "UPDATE warehouse_version SET package = '99'",
    "UPDATE load_history SET rows_inserted = 0",
    "DELETE FROM load_history",
    "DELETE FROM runs",
    "DELETE FROM load_attempts",
    "DELETE FROM alarms",
    "COPY green_trips TO PROGRAM 'true'",
    "COPY green_trips TO '/tmp/mine'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT rolpassword FROM pg_authid",
]
#: What a loader may and a reader may not.
CHANGES = [
    "INSERT INTO green_trips (unique_row_id, filename, pickup_datetime) "
    "VALUES (gen_random_uuid(), 'mine', now())",
    "UPDATE green_trips SET extra = 1",
    "DELETE FROM green_trips",
    "INSERT INTO table_updates VALUES ('mine')",
    "DELETE FROM table_updates",
    "UPDATE load_history SET etag = 'mine'",
    "DELETE FROM taxi_zones",
    "DELETE FROM months_seen",
    "CREATE TABLE loading.mine (a integer)",
]
READS = [
    "SELECT * FROM trips",
    "SELECT * FROM green_trips_named",
    "SELECT * FROM load_history, runs, load_attempts",
    "SELECT * FROM daily_trips, zone_pickups, load_status",
]


def test_each_role_may_what_it_needs_and_nothing_else(
    granted: Cast, settings: Set, tmp_path: Path
) -> None:
    settings("storage", "root", str(tmp_path / "data"))
    granted.become(granted.loader)
    Months(granted.database, tmp_path).load(trips(2))
    granted.database.query("CREATE TABLE private (a integer)")
    granted.run(granted.owner, "CREATE TABLE private_2 (a integer)", "CREATE SCHEMA elsewhere")
    others = ["SELECT * FROM private", "SELECT * FROM private_2", "CREATE TABLE elsewhere.a ()"]
    alter = [f'ALTER ROLE "{each}" CREATEROLE' for each in (granted.loader, granted.reader)]
    become = ['SET ROLE "{}"'.format(granted.owner.replace('"', '""')), "SET ROLE postgres"]
    for role in (granted.loader, granted.reader):
        allowed = [
            each for each in [*DEFINITIONS, *others, *alter, *become] if granted.may(role, each)
        ]
        assert allowed == [], role
        assert [each for each in READS if not granted.may(role, each)] == []
    assert [each for each in CHANGES if not granted.may(granted.loader, each)] == []
    assert [each for each in CHANGES if granted.may(granted.reader, each)] == []
    for role in (granted.loader, granted.reader):
        granted.run(role, "GRANT ALL ON green_trips TO PUBLIC")  # which is a warning only
    assert not granted.database.value(
        "SELECT has_table_privilege('public', 'green_trips', 'SELECT')"
    )
    assert not granted.may(granted.reader, f'SET ROLE "{granted.loader}"')
    assert not granted.may(
        granted.reader, "SELECT attach_trips_partition('green_trips', '2030-01-01', 'green_trips')"
    )
    assert not granted.may(granted.reader, "SELECT analyze_trips('green_trips', TRUE)")


ATTACH = "SELECT attach_trips_partition('{trips}', '{month}', '{staged}')"
LIKE = "CREATE TABLE loading.mine (LIKE green_trips INCLUDING ALL)"
EVIL = (
    "CREATE FUNCTION loading.evil() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN ALTER ROLE CURRENT_USER SUPERUSER; RETURN NEW; END'",
    "CREATE FUNCTION loading.evil(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
)


PLANTED = [
    (
        "CREATE TRIGGER a BEFORE INSERT ON loading.mine FOR EACH ROW "
        "EXECUTE FUNCTION loading.evil()",
        "a trigger",
    ),
    ("CREATE RULE a AS ON INSERT TO loading.mine DO ALSO DELETE FROM loading.mine", "a rule"),
    ("CREATE POLICY a ON loading.mine USING (loading.evil(1) = 1)", "a policy"),
    ("ALTER TABLE loading.mine ENABLE ROW LEVEL SECURITY", "row level security"),
    ("ALTER TABLE loading.mine ALTER trip_type SET DEFAULT loading.evil(1)", "an expression"),
    ("ALTER TABLE loading.mine ADD CHECK (loading.evil(trip_type) = 1)", "a constraint"),
    ("CREATE INDEX ON loading.mine (loading.evil(trip_type))", "an index"),
    (
        "CREATE STATISTICS loading.s ON (loading.evil(trip_type)) FROM loading.mine",
        "statistics",
    ),
    ("GRANT TRIGGER ON loading.mine TO PUBLIC", "grants"),
    ("GRANT UPDATE (extra) ON loading.mine TO PUBLIC", "grants"),
]


def test_nothing_of_a_loaders_comes_to_the_owner_with_a_partition(granted: Cast) -> None:
    attach = ATTACH.format(trips="green_trips", month="2030-01-01", staged="loading.mine")
    assert granted.may(granted.loader, LIKE, attach)
    for planted, found in PLANTED:
        with pytest.raises(psycopg2.errors.RaiseException, match=found):
            granted.run(granted.loader, *EVIL, LIKE, planted, attach)
    assert granted.may(granted.loader, *EVIL, LIKE, attach)


def test_a_loader_can_attach_only_a_table_of_its_own_to_a_trips_table(granted: Cast) -> None:
    granted.run(
        granted.owner, "CREATE TABLE others (LIKE green_trips) PARTITION BY RANGE (pickup_datetime)"
    )
    for trips_table, month, staged in (
        ("others", "2030-01-01", "loading.mine"),
        ("green_trips", "2030-01-02", "loading.mine"),
        ("green_trips", "2030-01-01", "taxi_zones"),
        ("green_trips", "2030-01-01", "green_trips_other"),
        ("green_trips", "2030-01-01", "pg_authid"),
    ):
        attach = ATTACH.format(trips=trips_table, month=month, staged=staged)
        assert not granted.may(granted.loader, LIKE, attach)
    assert not granted.may(granted.loader, "SELECT analyze_trips('others', FALSE)")
    assert granted.may(granted.loader, "SELECT analyze_trips('green_trips_other', FALSE)")
