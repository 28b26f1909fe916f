"""What is staged: rows that come twice, columns that somebody else added, columns that are new."""

import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wired
from conftest import Database, Luigi
from months import FEBRUARY, JANUARY, Months, close_sessions, load_of, trip, trips

from luigi_tasks.catalog import GREEN
from luigi_tasks.catalog.quality import ExceededError
from luigi_tasks.errors import TaxiError
from luigi_tasks.transform import arrow_schema
from luigi_tasks.warehouse import encoding, merging, staging

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
STRAY = trip("2024-02-01 00:00:01")


def is_staged(month: date = JANUARY) -> bool:
    return wired.staged_target("green", month).exists()


def staging_tables(database: Database) -> list[str]:
    rows = database.query("SELECT relname FROM pg_class WHERE relname LIKE '%staging%\\_0_'")
    return [name for (name,) in rows]


# rows that come again


@on_one_server
@pytest.mark.parametrize(
    ("words", "in_memory"),
    [(1 << 23, 1 << 20), (1, 1)],
    ids=["most are told, in memory", "all look alike, on disk"],
)
def test_rows_that_come_again_are_counted_exactly(
    months: Months, monkeypatch: pytest.MonkeyPatch, words: int, in_memory: int
) -> None:
    """In one batch or in several, often or once."""
    monkeypatch.setattr(encoding, "BATCH_ROWS", 4)
    monkeypatch.setattr(encoding, "MOST_WORDS", words)
    monkeypatch.setattr(staging, "REPEATED_IN_MEMORY", in_memory)
    rows = [*trips(9), *trips(9), *trips(1) * 20, STRAY, STRAY, trip(number=50), trip(number=50)]
    for inserted in (11, 0):
        merged = months.load(rows)
        assert (merged.rows_staged, merged.rows_duplicate) == (42, 31)
        assert (merged.rows_inserted, merged.rows_stray) == (inserted, 1)
        assert months.count() == 11


@on_one_server
@pytest.mark.parametrize("words", [1 << 23, 1], ids=["most are told", "all look alike"])
def test_of_rows_that_are_alike_the_first_is_kept(
    months: Months, monkeypatch: pytest.MonkeyPatch, words: int
) -> None:
    """The fingerprint doesn't cover what is new."""
    monkeypatch.setattr(encoding, "BATCH_ROWS", 2)
    monkeypatch.setattr(encoding, "MOST_WORDS", words)
    rows = [trip(number=number, lane=str(lane)) for lane in range(3) for number in (1, 1, 2, 3)]
    months.load(rows, new_columns={"lane": "text"})
    assert months.database.query("SELECT lane FROM green_trips") == [("0",)] * 3


def test_what_is_remembered_of_rows_is_bounded() -> None:
    sizes = [encoding.Memory(rows)._words.nbytes for rows in (0, 1_000, 3_000_000, 10**9)]
    assert sizes == [8, 8 << 10, 32 << 20, 64 << 20]


def test_in_a_published_database_all_is_as_without(months: Months) -> None:
    """A table without a key can't have rows deleted or updated there."""
    months.load([])
    months.database.query("CREATE PUBLICATION all_of_it FOR ALL TABLES")
    facts = {"new_columns": {"lane": "text"}}
    rows = [*trips(5), *trips(3), STRAY, STRAY, trip("2008-12-31 23:00:00")]
    for sha256, inserted in (("1", 7), ("1", 0), ("2", 0)):
        merged = months.load(rows, **facts, sha256=sha256 * 64)
        assert (merged.rows_duplicate, merged.rows_inserted) == (4, inserted)
    assert months.load([STRAY, *trips(2, "2024-02-10 10:00:00")], FEBRUARY).rows_present == 1
    assert months.load(rows[:2], sha256="3" * 64).rows_removed == 5
    assert wired.reset("green", JANUARY) == 2
    assert months.load(rows, **facts).rows_inserted == 7


# columns that somebody else added

#: Columns, what they should hold in every row, if that is one value, and the server they come with.
FILLED = {
    "a_constant": ("text DEFAULT 'none'", "none", 0),
    "a_function": ("uuid DEFAULT gen_random_uuid()", None, 0),
    "the_time": ("timestamptz NOT NULL DEFAULT clock_timestamp()", None, 0),
    "a_sequence": ("bigint NOT NULL DEFAULT nextval('public.numbers')", None, 0),
    "stored": ("float8 GENERATED ALWAYS AS (fare_amount * 2) STORED", "27", 0),
    "of_text": ("text GENERATED ALWAYS AS (left(filename, 5) || 'x') STORED", "greenx", 0),
    "checked": ("integer DEFAULT 3 CHECK (checked > 2)", "3", 0),
    "of_its_own_order": ("text COLLATE \"C\" DEFAULT 'a'", "a", 0),
    "of_a_domain": ("public.shade", "green", 0),
    '"an ""odd"" name, 100 %"': ("text NOT NULL DEFAULT '%s'", "%s", 0),
    "place": ("numeric(6, 2)", "NULL", 0),  # our SQL has this name for something else
    "when_read": ("float8 GENERATED ALWAYS AS (fare_amount * 2) VIRTUAL", "27", 180000),
    "numbered": ("bigint GENERATED ALWAYS AS IDENTITY", None, 170000),
}


@pytest.mark.parametrize("has_identity", [False, True])
def test_columns_that_were_added_are_filled_whichever_way_a_trip_comes(
    months: Months, has_identity: bool
) -> None:
    """With the partition, by MERGE, as a stray, and as one that moves to its month."""
    database = months.database
    server = int(database.value("SHOW server_version_num"))
    database.query("CREATE SEQUENCE public.numbers")
    database.query("CREATE DOMAIN public.shade AS text DEFAULT 'green'")
    months.load([] if has_identity else trips(2))  # a table with rows gets no identity
    added = {
        name: (definition, expected)
        for name, (definition, expected, needed) in FILLED.items()
        if server >= needed and ("IDENTITY" in definition) == has_identity
    }
    for name, (definition, _) in added.items():
        database.query(f"ALTER TABLE green_trips ADD COLUMN {name} {definition}")
    for _ in range(2):
        months.load([*trips(3), STRAY])
        months.load([*trips(2, "2024-02-10 10:00:00"), trip("2024-03-02 10:00:00")], FEBRUARY)
        months.load(trips(1, "2024-03-01 10:00:00"), date(2024, 3, 1))
    assert months.count() == 8
    for name, (_, expected) in added.items():
        values = [value for (value,) in database.query(f"SELECT {name}::text FROM green_trips")]
        if expected is None:
            assert len(set(values)) >= 7, name  # those before it have one of the time
            assert None not in values
        else:
            assert set(values) == {None if expected == "NULL" else expected}, name
        database.query(f"ALTER TABLE green_trips DROP COLUMN {name} CASCADE")
    assert months.load(trips(4, "2024-04-01 10:00:00"), date(2024, 4, 1)).rows_inserted == 4


def test_a_partition_is_as_one_that_was_made_for_the_table(months: Months) -> None:
    """With what somebody added to it."""
    database = months.database
    months.load([])
    database.query(
        "CREATE TABLE zones (id integer PRIMARY KEY); INSERT INTO zones VALUES (75), (236);"
        "ALTER TABLE green_trips ADD COLUMN mine integer NOT NULL DEFAULT 7,"
        "ADD COLUMN twice float8 GENERATED ALWAYS AS (fare_amount * 2) STORED,"
        "ADD FOREIGN KEY (pickup_location_id) REFERENCES zones,"
        "ADD CONSTRAINT sane CHECK (trip_distance < 1000000),"
        "ADD UNIQUE (dropoff_datetime, pickup_datetime);"
        "CREATE INDEX fares ON green_trips (fare_amount) WHERE fare_amount > 0;"
        'CREATE INDEX "Odd ""one" ON green_trips USING hash (vendor_id);'
        "CREATE UNIQUE INDEX ON green_trips (pickup_datetime, lower(filename), unique_row_id)"
    )
    months.load(trips(5))
    database.query(
        "CREATE TABLE green_trips_made PARTITION OF green_trips "
        "FOR VALUES FROM ('2023-01-01') TO ('2023-02-01')"
    )
    columns = """SELECT attname, atttypid, attnotnull, atthasdef, attgenerated, attcollation
        FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"""
    constraints = """SELECT contype, convalidated, conislocal, coninhcount,
        replace(pg_get_constraintdef(oid), '2023', '2024')
        FROM pg_constraint WHERE conrelid = %s::regclass ORDER BY 1, 5"""
    indexes = """SELECT regexp_replace(pg_get_indexdef(indexrelid), ' INDEX .* USING', ''),
        (SELECT count(*) FROM pg_inherits WHERE inhrelid = indexrelid)
        FROM pg_index WHERE indrelid = %s::regclass ORDER BY 1"""
    for facts in (columns, constraints, indexes):
        loaded = database.query(facts, "green_trips_2024_01")
        assert loaded == database.query(facts, "green_trips_made")


@on_one_server
@pytest.mark.parametrize("kind", ["BEFORE INSERT", "AFTER INSERT"])
def test_a_trigger_sees_every_trip_that_is_inserted(months: Months, kind: str) -> None:
    database = months.database
    months.load([STRAY])
    database.query(
        "ALTER TABLE green_trips ADD COLUMN mine text; CREATE TABLE seen (id uuid);"
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO public.seen VALUES (new.unique_row_id); new.mine = 'seen'; RETURN new; END $$;"
        f"CREATE TRIGGER see {kind} ON green_trips FOR EACH ROW EXECUTE FUNCTION see()"
    )
    for _ in range(2):
        months.load([*trips(3), STRAY])
        months.load([STRAY, *trips(2, "2024-02-10 10:00:00")], FEBRUARY)
    assert months.count() == 6
    assert database.value("SELECT count(*) FROM seen") == 5
    partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'green_trips'::regclass"
    assert database.value(partitions) == 3
    assert database.value("SELECT count(*) FROM green_trips_other") == 0
    if kind == "BEFORE INSERT":
        assert database.value("SELECT count(*) FROM green_trips WHERE mine = 'seen'") == 5


@on_one_server
def test_a_column_that_no_file_can_fill_is_refused_before_any_row_is_sent(months: Months) -> None:
    months.load(trips(2))
    months.database.query("ALTER TABLE green_trips ADD COLUMN mine integer DEFAULT 1 NOT NULL")
    months.database.query("ALTER TABLE green_trips ALTER COLUMN mine DROP DEFAULT")
    for month, rows in ((FEBRUARY, trips(1, "2024-02-10 10:00:00")), (JANUARY, trips(3))):
        for _ in range(2):
            with pytest.raises(TaxiError) as refused:
                months.stage(rows, month)
            assert str(refused.value).startswith(
                "table public.green_trips: column mine is NOT NULL and has no default"
            )
            assert "\n" not in str(refused.value)
    assert staging_tables(months.database) == []
    months.database.query("ALTER TABLE green_trips DROP COLUMN mine")
    assert months.load(trips(1, "2024-02-10 10:00:00"), FEBRUARY).rows_inserted == 1
    assert months.load(trips(3)).rows_inserted == 1


@on_one_server
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "ALTER COLUMN fare_amount TYPE numeric(8, 2)",
            r"column fare_amount is numeric\(8,2\), and trips need double precision",
        ),
        (
            "DROP COLUMN tip_amount CASCADE, ADD COLUMN tip_amount float8 "
            "GENERATED ALWAYS AS (fare_amount) STORED",
            "column tip_amount is double precision GENERATED",
        ),
        ("ADD CHECK (fare_amount < 10)", "the warehouse refuses: .*is violated by some row"),
        (
            "ADD COLUMN mine float8 GENERATED ALWAYS AS (1 / (fare_amount - 13.5)) STORED",
            "the warehouse refuses: division by zero",
        ),
        ("ADD UNIQUE (pickup_datetime)", "the warehouse refuses: .*could not create unique index"),
    ],
)
def test_what_was_added_and_lets_no_trip_in_is_told_in_one_line(
    months: Months, change: str, told: str
) -> None:
    """Whether a month has a partition or not."""
    months.load([])
    months.database.query("DROP VIEW trips, green_trips_named")
    months.database.query(f"ALTER TABLE green_trips {change}")
    for like_that in (told, f"{told}|violates (check|unique) constraint"):
        with pytest.raises(TaxiError) as refused:
            months.load(trips(2))
        refused.match(like_that)
        assert "\n" not in str(refused.value)
        assert months.count() == 0
        months.database.query(
            "CREATE TABLE IF NOT EXISTS green_trips_2024_01 PARTITION OF green_trips "
            "FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')"
        )


@on_one_server
@pytest.mark.parametrize("change", ["ALTER COLUMN ehail_fee SET DEFAULT 7", "ADD COLUMN mine text"])
def test_a_column_without_values_is_null_whatever_its_default(months: Months, change: str) -> None:
    months.load([])
    months.database.query(f"ALTER TABLE green_trips {change}")
    assert months.load(trips(3)).rows_inserted == 3
    found = months.database.query("SELECT ehail_fee, extra, fare_amount FROM green_trips")
    assert found == [(None, None, 13.5)] * 3


@on_one_server
@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        ("ADD COLUMN mine text", "DROP COLUMN mine", False),
        ("ADD COLUMN mine text", "ALTER COLUMN mine SET DEFAULT 'x'", False),
        ("ADD COLUMN mine text", "ALTER COLUMN mine TYPE varchar(3)", False),
        ("ADD COLUMN mine text DEFAULT 'x'", "ALTER COLUMN mine SET NOT NULL", False),
        ("ADD COLUMN other text", "ADD COLUMN mine text NOT NULL DEFAULT 'x'", True),
        ("ADD COLUMN other text", "ADD COLUMN mine float8 GENERATED ALWAYS AS (2) STORED", True),
        ("ADD COLUMN other text", "ADD CONSTRAINT sane CHECK (fare_amount < 1000)", True),
    ],
)
def test_a_staged_month_whose_table_changes_is_merged_or_staged_anew(
    months: Months, before: str, after: str, counts: bool
) -> None:
    months.load([])
    database = months.database
    database.query(f"ALTER TABLE green_trips {before}")
    months.stage(trips(3))
    assert is_staged()
    database.query("DROP VIEW trips, green_trips_named")
    database.query(f"ALTER TABLE green_trips {after}")
    assert is_staged() == counts
    if not counts:
        with pytest.raises(TaxiError, match="isn't staged any more; run again"):
            wired.merge("green", JANUARY)
        months.stage(trips(3))
    assert wired.merge("green", JANUARY).rows_inserted == 3
    assert staging_tables(database) == []


@on_one_server
@pytest.mark.parametrize(
    ("mine", "place"),
    [
        ("text DEFAULT 'x'", "lane"),
        ("bigint DEFAULT 7", "lane"),
        ("varchar(1) DEFAULT 'x'", "lane__bigint"),
        ("bigint GENERATED ALWAYS AS (7) STORED", "lane__bigint"),
        ("bigint GENERATED BY DEFAULT AS IDENTITY", "lane__bigint"),
        ("integer DEFAULT 7", "lane__bigint"),
    ],
)
def test_a_column_of_a_name_that_a_file_brings_later(months: Months, mine: str, place: str) -> None:
    """What it can hold goes into it; other values go beside it, and it stays as it is."""
    months.load([])
    months.database.query(f"ALTER TABLE green_trips ADD COLUMN lane {mine}")
    months.load([trip(number=1)])
    for number in (5, 6):
        facts = {"new_columns": {"lane": "bigint"}, "sha256": str(number) * 64}
        months.load([trip(number=1, lane=number), trip(number=2, lane=number)], **facts)
        query = f"SELECT {place}::text FROM green_trips"
        assert months.database.query(query) == [(str(number),)] * 2


@on_one_server
def test_another_edition_leaves_values_that_somebody_wrote(months: Months) -> None:
    months.load([*trips(2), STRAY])
    months.database.query("ALTER TABLE green_trips ADD COLUMN note text DEFAULT 'none'")
    months.database.query("UPDATE green_trips SET note = 'odd'")
    rows = [{**each, "lane": 1} for each in [*trips(3), STRAY]]
    months.load(rows, new_columns={"lane": "bigint"}, sha256="1" * 64)
    months.load([STRAY, *trips(1, "2024-02-02 10:00:00")], FEBRUARY)
    query = "SELECT note, lane, count(*) FROM green_trips GROUP BY 1, 2 ORDER BY 1, 2"
    assert months.database.query(query) == [("none", 1, 1), ("none", None, 1), ("odd", 1, 3)]


# columns that are new


@on_one_server
@pytest.mark.parametrize("first", ["bigint", "text"])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "loaded"])
def test_two_months_at_once_may_bring_a_column_with_two_types(
    months: Months, first: str, is_there: bool
) -> None:
    """Each is staged before the other one is merged."""
    if is_there:
        months.load(trips(1))
        months.load(trips(1, "2024-02-10 10:00:00"), FEBRUARY)
    numbers = [trip(number=1, lane=1, lane__text=None), trip(number=2, lane=2, lane__text="y")]
    facts = {"new_columns": {"lane": "bigint", "lane__text": "text"}, "sha256": "1" * 64}
    months.stage(numbers, JANUARY, **facts)
    words = [trip("2024-02-10 10:00:00", lane="x", lane__text="z")]
    facts["new_columns"] = {"lane": "text", "lane__text": "text"}
    months.stage(words, FEBRUARY, **facts)
    assert "lane" not in dict(columns(months.database))
    for month in (JANUARY, FEBRUARY) if first == "bigint" else (FEBRUARY, JANUARY):
        wired.merge("green", month)
    by_type = {"lane": first, "lane__text": "text"}
    query = "SELECT lane::text, lane__text, {} FROM green_trips WHERE num_nonnulls(lane, {}) > 0"
    if first == "bigint":
        by_type["lane__text__text"] = "text"
        expected = [("1", None, None), ("2", "y", None), (None, "x", "z")]
        found = months.database.query(query.format(*["lane__text__text"] * 2))
    else:
        expected = [("1", None, None), ("2", "y", None), ("x", "z", None)]
        found = months.database.query(query.format("NULL", "lane"))
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert by_type.items() <= dict(columns(months.database)).items()


@on_one_server
def test_a_month_that_fails_leaves_the_table_as_it_was(
    months: Months, settings: Callable[[str, str, str], None]
) -> None:
    months.load(trips(100))
    before = columns(months.database)
    settings("quality", "when_exceeded", "fail")
    facts = {"new_columns": {"lane": "bigint"}}
    for _ in range(2):
        with pytest.raises(ExceededError):
            months.load([trip("2024-02-10 10:00:00", lane=1)], FEBRUARY, **facts)
        assert columns(months.database) == before
    settings("quality", "when_exceeded", "warn")
    assert months.load([trip("2024-02-10 10:00:00", lane=1)], FEBRUARY, **facts).rows_inserted == 1


@on_one_server
@pytest.mark.parametrize(
    ("count", "told"),
    [(1_500, "row is too big"), (1_570, "more than PostgreSQL's 1,600")],
)
def test_more_columns_than_a_table_can_have_leave_it_as_it_was(
    months: Months, count: int, told: str
) -> None:
    months.load(trips(1))
    before = columns(months.database)
    names = [f"c{number}" for number in range(count)]
    row = trip("2024-02-10 10:00:00", **dict.fromkeys(names, 1))
    for _ in range(2):
        with pytest.raises(TaxiError) as refused:
            months.load([row], FEBRUARY, new_columns=dict.fromkeys(names, "bigint"))
        assert told in str(refused.value)
        assert "schema_contract = discard" in str(refused.value)
        assert columns(months.database) == before
    assert months.load(trips(2, "2024-02-10 10:00:00"), FEBRUARY).rows_inserted == 2


def columns(database: Database) -> list[tuple[Any, ...]]:
    return database.query(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'green_trips'::regclass AND attnum > 0"
    )


# others


def test_nothing_of_the_trips_table_is_locked_while_rows_are_copied(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    months.load(trips(1))
    locks: list[list[tuple[Any, ...]]] = []
    file = months.folder / "trips.parquet"

    def look(done: int, total: int) -> None:
        locks.append(
            months.database.query(
                "SELECT relation::regclass::text, mode FROM pg_locks WHERE locktype = 'relation' "
                "AND granted AND pid <> pg_backend_pid() AND relation::regclass::text "
                "LIKE 'green_trips%' AND relation::regclass::text NOT LIKE '%staging%'"
            )
        )

    for month in (JANUARY, FEBRUARY):
        months.stage([trip(f"{month:%Y-%m}-10 10:00:00", lane=1)], month)
        load = load_of(1)
        wired.stage("green", month, file, load, look)
    assert locks == [[], []]


@on_one_server
def test_a_clock_that_is_behind_puts_no_month_elsewhere(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published isn't in the future, whatever a clock says."""

    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Behind":
            return cls(2010, 1, 1, tzinfo=tz)

    monkeypatch.setattr(merging, "datetime", Behind)
    for _ in range(2):
        months.load(trips(3))
        assert months.count("green_trips_2024_01") == 3
        assert months.count("green_trips_other") == 0


def test_the_planner_knows_what_was_loaded(months: Months) -> None:
    """All months when asked, if they have a tenth more rows; else each month as it is merged."""
    for month in (JANUARY, FEBRUARY, date(2024, 3, 1)):
        months.load(trips(100, f"{month:%Y-%m}-10 10:00:00"), month)
    rows = "SELECT reltuples FROM pg_class WHERE oid = %s::regclass"
    assert months.database.value(rows, "green_trips_2024_03") == 100
    columns = "SELECT count(*) FROM pg_stats WHERE tablename = %s AND inherited = %s"
    assert months.database.value(columns, "green_trips", True) == 0
    wired.analyze_trips("test", "green")
    assert months.database.value(rows, "green_trips") == 300
    assert months.database.value(columns, "green_trips", True) > 10
    assert months.database.value(columns, "green_trips_2024_02", False) > 10
    months.load(trips(20, "2024-04-10 10:00:00"), date(2024, 4, 1))
    assert months.database.value(columns, "green_trips_2024_04", False) > 10
    wired.analyze_trips("test", "green")
    assert months.database.value(rows, "green_trips") == 300


@on_one_server
def test_statistics_have_the_size_that_the_database_has_set(months: Months) -> None:
    buckets = (
        "SELECT cardinality(histogram_bounds::text::text[]) - 1 FROM pg_stats "
        "WHERE tablename = %s AND attname = 'dropoff_datetime'"
    )
    months.load(trips(1000))
    assert months.database.value(buckets, "green_trips_2024_01") == 25
    set_to_50 = "ALTER DATABASE %I SET default_statistics_target = 50"
    months.database.query(f"DO $$ BEGIN EXECUTE format('{set_to_50}', current_database()); END $$")
    close_sessions()
    months.load(trips(1000, "2024-02-10 10:00:00"), FEBRUARY)
    assert months.database.value(buckets, "green_trips_2024_02") == 50


@on_one_server
def test_statistics_that_fail_fail_no_load(
    months: Months, caplog: pytest.LogCaptureFixture
) -> None:
    months.load([])
    months.database.query(
        "CREATE FUNCTION odd(x double precision) RETURNS boolean IMMUTABLE LANGUAGE plpgsql "
        "AS $$ BEGIN RETURN x > 0; END $$; CREATE INDEX ON green_trips (odd(fare_amount));"
        "CREATE OR REPLACE FUNCTION odd(x double precision) RETURNS boolean IMMUTABLE "
        "LANGUAGE plpgsql AS $$ BEGIN IF current_query() ~ 'ANALYZE' THEN "
        "RAISE 'not now'; END IF; RETURN x > 0; END $$"
    )
    assert months.load(trips(3)).rows_inserted == 3
    assert "public.green_trips_2024_01: not analysed" in caplog.text
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}


@on_one_server
def test_a_range_ends_with_statistics_of_the_whole_table(
    command: Luigi, database: Database
) -> None:
    for stop in ("2024-03", "2024-04"):
        assert command.merge_range("green", "2024-01", stop).code == 0
        query = """SELECT parent.reltuples, (SELECT count(*) FROM green_trips)
            FROM pg_class AS parent WHERE oid = 'green_trips'::regclass"""
        [(known, rows)] = database.query(query)
        assert known == rows


#: Encodes a file, whose rows come twice and have NULLs; tells which of the heavy packages it took.
ENCODE = """
import io, sys
from luigi_tasks.catalog import GREEN
from pathlib import Path
from luigi_tasks.formats import open_trips
from luigi_tasks.warehouse.encoding import encoded
names = [column.name for column in GREEN.columns]
with open_trips(Path(sys.argv[1]), {}) as trips:
    repeated = io.BytesIO()
    for _ in encoded(trips, GREEN.columns, names, {}, report=print, repeated=repeated):
        pass
print(repeated.tell() > 100, *{"numpy", "pandas"} & sys.modules.keys())
"""


def test_staging_imports_no_pandas(tmp_path: Path) -> None:
    """Which Arrow does for some of what it turns into numpy's; that takes longer than a month."""
    file = tmp_path / "trips.parquet"
    pq.write_table(pa.Table.from_pylist(trips(5) + trips(3), arrow_schema(GREEN)), file)
    command = [sys.executable, "-c", ENCODE, file]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "True numpy"
