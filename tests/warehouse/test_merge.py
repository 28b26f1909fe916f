"""Staged rows in, each trip once: what a merge inserts, replaces, counts and writes down."""

import logging
import random
import threading
import time
from datetime import date, datetime
from typing import Any

import psycopg2
import pytest
import wired
from months import FEBRUARY, JANUARY, Months, Trip, trip, trips

from luigi_tasks import config
from luigi_tasks.catalog import GREEN, TAXI_TYPES
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import bounds
from luigi_tasks.records import Merged
from luigi_tasks.warehouse import merging
from luigi_tasks.warehouse.sql import render

MARCH = date(2024, 3, 1)


def partitions(months: Months, table: str = "green_trips") -> dict[str, int]:
    """The partitions of a table by what follows its name, and their rows."""
    names = months.database.query(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", table
    )
    return {name.removeprefix(f"{table}_"): months.count(name) for (name,) in names}


def fares(months: Months, where: str = "TRUE") -> list[float]:
    rows = months.database.query(f"SELECT fare_amount FROM trips WHERE {where} ORDER BY 1")
    return [fare for (fare,) in rows]


# each trip once


def test_a_second_merge_inserts_nothing(months: Months) -> None:
    rows = [*trips(50), trip("2024-02-01 00:00:01"), trip("2008-12-31 23:00:00")]
    first = months.load(rows)
    assert (first.rows_inserted, first.rows_present) == (52, 0)
    stored = months.database.trips()
    for _ in range(2):
        again = months.load(rows)
        assert (again.rows_inserted, again.rows_present, again.rows_removed) == (0, 52, 0)
        assert months.database.trips() == stored


def test_rows_alike_in_every_column_are_stored_once(months: Months) -> None:
    stray = trip("2024-02-01 00:00:01")
    rows = trips(3) + trips(2) + trips(1) + [stray, stray, stray]
    for present in (0, 4):
        merged = months.load(rows)
        assert merged.rows_duplicate == 5
        assert (merged.rows_present, merged.rows_inserted) == (present, 4 - present)
        assert merged.rows_stray == 1
        assert months.count() == 4


def test_rows_that_differ_in_one_column_are_all_stored(months: Months) -> None:
    rows = [trip(), trip(extra=1.0), trip(store_and_fwd_flag=""), trip(store_and_fwd_flag="N")]
    reversal = trip(fare_amount=-13.5, total_amount=-17.25)
    assert months.load([*rows, reversal]).rows_inserted == 5


def test_every_value_arrives(months: Months) -> None:
    row = {
        **{column.name: number for number, column in enumerate(GREEN.columns)},
        "pickup_datetime": datetime(2024, 1, 31, 23, 59, 59, 999_999),
        "dropoff_datetime": datetime(2024, 2, 1),
        "store_and_fwd_flag": "Ñ",
    }
    months.load([row, trip()])
    stored = months.database.query(
        f"SELECT {', '.join(row)}, filename FROM green_trips WHERE store_and_fwd_flag = 'Ñ'"
    )
    assert stored == [(*row.values(), "green_tripdata_2024-01.parquet")]
    nulls = months.database.value("SELECT count(*) FROM green_trips WHERE ehail_fee IS NULL")
    assert nulls == 1


def test_a_trip_in_two_files_is_stored_once(months: Months) -> None:
    shared = trip("2024-02-01 00:00:01")
    months.load([*trips(2), shared], JANUARY)
    for _ in range(2):
        merged = months.load([shared, *trips(3, "2024-02-10 10:00:00")], FEBRUARY)
        assert merged.rows_present + merged.rows_inserted == 4
        assert months.count() == 6
    assert partitions(months) == {"2024_01": 2, "2024_02": 4, "other": 0}


@pytest.mark.parametrize("taken_out_by", ["reset", "another edition"])
def test_a_trip_in_two_files_outlives_either(months: Months, taken_out_by: str) -> None:
    shared = trip("2024-02-01 00:10:00")
    months.load([*trips(2), shared], JANUARY)
    assert months.load([shared, *trips(2, "2024-02-15 10:00:00")], FEBRUARY).rows_present == 1

    if taken_out_by == "reset":
        wired.reset("green", JANUARY)
    else:
        assert months.load(trips(2), JANUARY).rows_removed == 1

    assert FEBRUARY not in wired.merged_months("green", [JANUARY, FEBRUARY])
    assert months.load([shared, *trips(2, "2024-02-15 10:00:00")], FEBRUARY).rows_inserted == 1


def test_a_month_without_rows_is_merged(months: Months) -> None:
    for _ in range(2):
        assert months.load([]) == Merged()
        assert wired.merged_months("green", [JANUARY]) == {JANUARY}
    assert partitions(months) == {"other": 0}


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_add_up_for_any_file(months: Months, seed: int) -> None:
    source = random.Random(seed)
    days = [f"2024-0{m}-{d:02d} 10:00:00" for m in (1, 1, 1, 2, 3) for d in (1, 15, 28)]
    days += ["2008-12-31 23:59:59", "2041-08-17 00:00:00"]
    stored: dict[date, set[tuple[str, int]]] = {}
    for month in (JANUARY, FEBRUARY, JANUARY, JANUARY):
        keys = [(source.choice(days), source.randrange(9)) for _ in range(source.randrange(60))]
        merged = months.load([trip(*key) for key in keys], month)
        elsewhere = {key for other, theirs in stored.items() if other != month for key in theirs}
        before, distinct = stored.get(month, set()), set(keys)
        stored[month] = distinct - elsewhere
        assert merged.rows_staged == len(keys)
        assert merged.rows_duplicate == len(keys) - len(distinct)
        assert merged.rows_present == len(distinct & (before | elsewhere))
        assert merged.rows_inserted == len(distinct - before - elsewhere)
        assert merged.rows_removed == len(before - distinct)
        assert merged.rows_stray == sum(not key[0].startswith(f"{month:%Y-%m}") for key in distinct)
        assert months.count() == sum(map(len, stored.values()))


# partitions


def test_a_stray_is_stored_in_its_own_month(months: Months) -> None:
    months.load(trips(4, "2024-02-10 10:00:00"), FEBRUARY)
    strays = ["2023-12-31 23:59:59", "2024-02-01 00:00:00", "2024-02-29 10:00:00"]
    merged = months.load([*trips(5), *map(trip, strays)])
    assert merged.rows_stray == 3
    assert partitions(months) == {"2024_01": 5, "2024_02": 6, "other": 1}


def test_a_stray_waits_for_its_month(months: Months) -> None:
    strays = [trip("2024-02-01 00:00:00"), trip("2024-02-29 10:00:00")]
    months.load([*trips(5), *strays])
    assert partitions(months) == {"2024_01": 5, "other": 2}
    for _ in range(2):
        months.load([strays[1], *trips(3, "2024-02-10 10:00:00")], FEBRUARY)
        assert partitions(months) == {"2024_01": 5, "2024_02": 5, "other": 0}
        assert wired.merged_months("green", [JANUARY, FEBRUARY]) == {JANUARY, FEBRUARY}


@pytest.mark.parametrize(
    "pickup",
    ["2008-12-31 23:59:59", "2013-07-31 23:59:59", "2088-01-24 00:00:00", "9999-12-31 23:59:59",
     "0001-01-01 00:00:00"],
)  # fmt: skip
def test_a_pickup_outside_the_services_life_is_stored_apart(months: Months, pickup: str) -> None:
    far = {**trip(), "pickup_datetime": datetime.fromisoformat(pickup)}
    for _ in range(2):
        assert months.load([*trips(2), far]).rows_stray == 1
        assert partitions(months) == {"2024_01": 2, "other": 1}
        assert wired.merged_months("green", [JANUARY]) == {JANUARY}


def test_the_first_month_of_a_service_has_a_partition(months: Months) -> None:
    months.load([trip("2009-01-01 00:00:00")], date(2009, 1, 1), "yellow")
    months.load([trip("2013-08-01 00:00:00")], date(2013, 8, 1), "green")
    assert partitions(months, "yellow_trips") == {"2009_01": 1, "other": 0}
    assert partitions(months, "green_trips") == {"2013_08": 1, "other": 0}


def test_trips_that_were_in_the_future_move_when_their_month_comes(months: Months) -> None:
    early = trip("2023-05-10 10:00:00")
    months.load([*trips(2), early])
    assert partitions(months) == {"2024_01": 2, "other": 1}

    merged = months.load([early, *trips(3, "2023-05-11 10:00:00")], date(2023, 5, 1))
    assert (merged.rows_present, merged.rows_inserted) == (1, 3)
    assert partitions(months) == {"2024_01": 2, "2023_05": 4, "other": 0}
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}


@pytest.mark.parametrize("month", [JANUARY, FEBRUARY, MARCH])
def test_a_merge_reads_the_partition_of_its_month_alone(months: Months, month: date) -> None:
    for each in (JANUARY, FEBRUARY, MARCH):
        months.load(trips(20, f"{each:%Y-%m}-10 10:00:00"), each)
    months.stage(trips(20, f"{month:%Y-%m}-11 10:00:00"), month)
    with wired.transaction("test") as cursor:
        statement = render(
            cursor,
            "merge/merge.sql",
            source=wired.opened("green", month)[1].staging,
            are_new=False,
            trips=config.open_warehouse().trips["green"].name,
            names=[column.name for column in GREEN.columns],
            **bounds(month),
        )
        cursor.execute("EXPLAIN " + statement)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    others = [f"green_trips_{each:%Y_%m}" for each in (JANUARY, FEBRUARY, MARCH) if each != month]
    assert f"green_trips_{month:%Y_%m}" in plan
    assert not [name for name in (*others, "green_trips_other") if name in plan]


# readers


def test_a_reader_is_waited_for_and_no_other_behind_it(
    months: Months, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface.warehouse")
    months.load(trips(5))
    months.stage(trips(3, "2024-02-10 10:00:00"), FEBRUARY)
    slow = psycopg2.connect(months.database.url)
    merging = threading.Thread(target=wired.merge, args=("green", FEBRUARY))
    try:
        slow.cursor().execute("SELECT count(*) FROM green_trips")  # and its transaction goes on
        merging.start()
        until = time.monotonic() + 60
        while "waiting for sessions that use its table" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.01)
        for _ in range(20):  # others come and go, whatever moment it is
            assert months.count() == 5
            time.sleep(0.05)
        assert merging.is_alive()
    finally:
        slow.close()
        merging.join()
    assert months.count() == 8
    assert partitions(months) == {"2024_01": 5, "2024_02": 3, "other": 0}


def test_a_reader_that_waits_sees_what_was_there(months: Months) -> None:
    stray = trip("2024-02-01 00:00:00")
    months.load([*trips(5), stray])
    other = psycopg2.connect(months.database.url)
    seen: list[set[date]] = []
    asking = threading.Thread(target=lambda: seen.append(wired.merged_months("green", [JANUARY])))
    try:
        # as a merge of February does: the stray moves, while the default partition is locked
        with other, other.cursor() as cursor:
            cursor.execute("LOCK TABLE green_trips_other")
            asking.start()
            time.sleep(0.5)  # it's planned, and waits
            assert asking.is_alive()
            cursor.execute("CREATE TABLE february (LIKE green_trips)")
            cursor.execute("INSERT INTO february SELECT * FROM green_trips_other")
            cursor.execute("DELETE FROM green_trips_other")
            cursor.execute(
                "ALTER TABLE green_trips ATTACH PARTITION february "
                "FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')"
            )
    finally:
        other.close()
        asking.join()
    assert seen == [{JANUARY}]
    assert wired.merged_months("green", [JANUARY]) == {JANUARY}


def test_a_month_that_was_taken_out_comes_back(months: Months) -> None:
    rows = [*trips(50), trip("2024-02-01 00:00:01")]
    months.load(rows)
    stored = months.database.trips()
    for _ in range(2):
        wired.reset("green", JANUARY)
        assert months.load(rows).rows_inserted == 51
        assert months.database.trips() == stored


def test_a_partition_survives_a_crash_of_the_server(months: Months) -> None:
    months.load(trips(5))
    months.stage(trips(6))  # unlogged, since the month has a partition
    months.database.query("DROP TABLE green_trips_2024_01")
    assert wired.merge("green", JANUARY).rows_inserted == 6
    kept = "SELECT relpersistence FROM pg_class WHERE oid = 'green_trips_2024_01'::regclass"
    assert months.database.value(kept) == "p"


def test_a_trip_that_moves_takes_its_values_by_name(months: Months) -> None:
    """Whatever order the columns of the default partition are in."""
    stray = trip("2024-02-10 10:00:00", fare_amount=1.0, total_amount=2.0)
    database = months.database
    months.load([])
    database.query("ALTER TABLE green_trips DETACH PARTITION green_trips_other")
    database.query("DROP TABLE green_trips_other")
    names = [
        (name, kind)
        for name, kind in database.query(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'green_trips'::regclass AND attnum > 0 ORDER BY attname DESC"
        )
    ]
    required = ("unique_row_id", "filename", "pickup_datetime")
    made = ", ".join(f"{n} {kind}{' NOT NULL' if n in required else ''}" for n, kind in names)
    database.query(f"CREATE TABLE green_trips_other ({made})")
    database.query("ALTER TABLE green_trips ATTACH PARTITION green_trips_other DEFAULT")
    months.load([*trips(3), stray])
    months.load(trips(2, "2024-02-11 10:00:00"), FEBRUARY)
    query = "SELECT fare_amount, total_amount FROM green_trips_2024_02 WHERE fare_amount = 1"
    assert database.query(query) == [(1.0, 2.0)]


def test_a_partition_is_as_any_other_of_its_table(months: Months) -> None:
    months.load(trips(5))
    months.database.query(
        "CREATE TABLE green_trips_made PARTITION OF green_trips "
        "FOR VALUES FROM ('2023-01-01') TO ('2023-02-01')"
    )
    columns = """SELECT attname, atttypid, attnotnull, atthasdef FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"""
    constraints = """SELECT replace(pg_get_constraintdef(oid), '2023', '2024'), contype
        FROM pg_constraint WHERE conrelid = %s::regclass ORDER BY 1"""
    for facts in (columns, constraints):
        assert months.database.query(facts, "green_trips_2024_01") == months.database.query(
            facts, "green_trips_made"
        )


# editions


def test_another_edition_replaces_the_rows_of_the_first(months: Months) -> None:
    months.load(trips(2, "2024-02-10 10:00:00"), FEBRUARY)
    gone = [trip("2024-02-01 00:00:01"), trip("2008-12-31 23:59:59"), trip(fare_amount=99.0)]
    months.load([*trips(5), *gone])
    come = [trip("2024-03-01 00:00:01"), trip(fare_amount=98.0)]
    merged = months.load([*trips(4), *come], etag='"2"')
    assert (merged.rows_removed, merged.rows_present, merged.rows_inserted) == (4, 4, 2)
    stored = months.database.trips()
    assert partitions(months) == {"2024_01": 5, "2024_02": 2, "other": 1}

    again = months.load([*trips(4), *come], etag='"2"')
    assert (again.rows_removed, again.rows_present, again.rows_inserted) == (0, 6, 0)
    assert months.database.trips() == stored


def test_another_edition_replaces_the_first_without_the_ledger(months: Months) -> None:
    months.load([*trips(5), trip("2024-02-01 00:00:01")])
    months.database.query("TRUNCATE load_history")
    months.load(trips(3), etag='"2"')
    assert partitions(months) == {"2024_01": 3, "other": 0}


def test_an_edition_without_rows_takes_them_all_out(months: Months) -> None:
    months.load([*trips(5), trip("2024-02-01 00:00:01")])
    assert months.load([], etag='"2"').rows_removed == 6
    assert months.count() == 0


def test_an_edition_leaves_other_files_alone(months: Months) -> None:
    months.load([*trips(2, "2024-02-10 10:00:00"), trip("2024-01-31 23:59:59")], FEBRUARY)
    months.load([*trips(5), trip("2024-02-01 00:00:01")], JANUARY)
    february = "filename = 'green_tripdata_2024-02.parquet'"
    before = fares(months, february)
    months.load(trips(1), JANUARY)
    assert fares(months, february) == before
    assert months.count() == 4


# the ledger


def test_the_ledger_tells_each_load(months: Months) -> None:
    rows = [*trips(3), *trips(1), trip("2024-02-01 00:00:01")]
    facts = {"rows_read": 7, "rows_rejected": 2, "unknown_columns": ["request_source"]}
    months.load(rows, **facts)
    months.load(rows[1:], etag=None, last_modified=None, sha256="1" * 64)
    columns = """taxi_type, month, trips_table, filename, etag, sha256, rows_read, rows_rejected,
        rows_staged, rows_duplicate, rows_present, rows_inserted, rows_removed, rows_stray,
        unknown_columns"""
    name = "green_tripdata_2024-01.parquet"
    same = ("green", JANUARY, "public.green_trips", name)
    assert months.database.ledger(columns) == [
        (*same, '"1"', "0" * 64, 7, 2, 5, 1, 0, 4, 0, 1, ["request_source"]),
        (*same, None, "1" * 64, 4, 0, 4, 0, 4, 0, 0, 1, []),
    ]
    [seconds] = months.database.ledger("stage_seconds > 0 AND merge_seconds > 0")[:1]
    assert seconds == (True,)


def test_the_ledger_has_a_witness_for_each_month_of_pickup(months: Months) -> None:
    months.load([*trips(3), *trips(2, "2024-02-01 00:00:01")])
    [(found,)] = months.database.ledger("pickup_months")
    assert {month: facts["rows"] for month, facts in found.items()} == {"2024-01": 3, "2024-02": 2}
    for facts in found.values():
        assert months.database.value(
            "SELECT count(*) FROM green_trips WHERE unique_row_id = %s AND pickup_datetime = %s",
            facts["unique_row_id"],
            facts["pickup_datetime"],
        )


@pytest.mark.parametrize("count", ["rows_read", "rows_rejected", "rows_duplicate", "rows_present"])
def test_the_ledger_refuses_counts_that_do_not_add_up(months: Months, count: str) -> None:
    months.load(trips(3))
    with pytest.raises(psycopg2.errors.CheckViolation):
        months.database.query(f"UPDATE load_history SET {count} = {count} + 1")


# what stays together


def test_the_marker_of_staging_ends_with_the_staging_table(months: Months) -> None:
    months.stage(trips(3))
    assert wired.staged_target("green", JANUARY).exists()
    wired.merge("green", JANUARY)
    assert not wired.staged_target("green", JANUARY).exists()
    assert months.database.query("SELECT update_id, target_table FROM table_updates") == [
        ("TaxiMerge green 2024-01", "public.green_trips")
    ]
    relations = dict(months.database.contents()["relations"])
    assert not [name for name in relations if "staging" in name]


@pytest.mark.parametrize("late", ["delete_markers", "set_marker", "has_few_rows"])
def test_a_merge_that_fails_changes_nothing(
    months: Months, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    months.load([*trips(3), trip("2024-02-01 00:00:01")])
    months.stage([*trips(2), trip("2024-03-01 00:00:01")])
    before = months.database.contents()

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(merging, late, fail)
            with pytest.raises(KeyboardInterrupt):
                wired.merge("green", JANUARY)
        assert months.database.contents() == before

    assert wired.merge("green", JANUARY).rows_removed == 2
    assert partitions(months) == {"2024_01": 2, "other": 1}


def test_a_month_that_is_not_staged_is_not_merged(months: Months) -> None:
    for _ in range(2):
        with pytest.raises(TaxiError, match="green 2024-01 isn't staged any more; run again"):
            wired.merge("green", JANUARY)
    months.load(trips(3))
    with pytest.raises(TaxiError, match="isn't staged any more"):
        wired.merge("green", JANUARY)
    assert months.count() == 3


def test_a_staging_table_that_lost_rows_is_not_merged(months: Months) -> None:
    months.stage(trips(3))
    months.database.query(
        "DELETE FROM green_trips_staging_2024_01 WHERE dropoff_datetime > '2024-01-15 10:12:01'"
    )
    with pytest.raises(TaxiError, match=r"public\.green_trips_staging_2024_01 has lost rows"):
        wired.merge("green", JANUARY)
    assert months.count() == 0


# types side by side


def test_the_view_has_the_trips_of_all_types(months: Months) -> None:
    months.load([trip(fare_amount=1.0), trip(fare_amount=2.0)], JANUARY, "green")
    months.load([trip(fare_amount=1.0)], JANUARY, "yellow")
    assert months.database.query("SELECT taxi_type, fare_amount FROM trips ORDER BY 1, 2") == [
        ("green", 1.0),
        ("green", 2.0),
        ("yellow", 1.0),
    ]


def test_types_do_not_touch_each_other(months: Months) -> None:
    rows: list[Trip] = [*trips(3), trip("2024-02-01 00:00:01")]
    for taxi_type in TAXI_TYPES:
        assert months.load(rows, JANUARY, taxi_type).rows_inserted == 4
    wired.reset("green", JANUARY)
    assert wired.merged_months("yellow", [JANUARY]) == {JANUARY}
    assert months.count("yellow_trips") == 4
