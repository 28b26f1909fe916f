"""What a merge asserts in its own transaction: no row is lost, added or changed on its way."""

import random
import uuid

import numpy as np
import pyarrow as pa
import pytest
import wired
from months import FEBRUARY, JANUARY, Months, trip, trips

from luigi_tasks import checksums
from luigi_tasks.checksums import FingerprintSum
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse import LostRowsError, balancing, staging

STAGING = "green_trips_staging_2024_01"


def test_the_client_hashes_as_the_server_does(months: Months) -> None:
    source = random.Random(20240101)
    drawn = [source.randbytes(16) for _ in range(500)] + [bytes(16), b"\xff" * 16]
    ids = [str(uuid.UUID(bytes=each)) for each in [*drawn, uuid.UUID(balancing.PROBE).bytes]]
    upper, lower = months.database.query(
        "SELECT array_agg(uuid_hash_extended(id, 0) ORDER BY n),"
        " array_agg(uuid_hash_extended(id, 1) ORDER BY n)"
        " FROM unnest(%s::uuid[]) WITH ORDINALITY AS ids (id, n)",
        ids,
    )[0]
    assert upper[-1] == balancing.PROBE_HASH
    computed = checksums.hashes(np.frombuffer(b"".join(drawn), np.uint8).reshape(-1, 16))
    assert [each.astype(np.int64).tolist() for each in computed] == [upper[:-1], lower[:-1]]
    total = FingerprintSum.of_hashes(pa.array(drawn, pa.binary()).slice(1))
    assert total == FingerprintSum.of_halves(len(drawn) - 1, sum(upper[1:-1]), sum(lower[1:-1]))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (f"DELETE FROM {STAGING} WHERE dropoff_datetime > '2024-01-15 10:12:08'", "has lost rows"),
        (
            f"UPDATE {STAGING} SET unique_row_id = gen_random_uuid()"
            " WHERE dropoff_datetime > '2024-01-15 10:12:08'",
            "holds other rows than were sent, by the sum of their fingerprints",
        ),
    ],
)
def test_what_was_not_sent_is_not_merged(months: Months, fault: str, message: str) -> None:
    months.load(trips(3), JANUARY, "yellow")
    before = months.database.contents()
    for _ in range(2):
        months.stage(trips(10))
        months.database.query(fault)
        with pytest.raises(LostRowsError, match=f"public.{STAGING} {message}.*; run again"):
            wired.merge("green", JANUARY)
        wired.unstage("green", JANUARY)
        assert months.database.contents() == before
    assert months.load(trips(10)).rows_inserted == 10


def test_a_row_that_is_lost_on_the_way_is_noticed(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sends 10 rows, of which one takes the place of another."""
    encode = staging.partial

    def lossy(function, **given):  # type: ignore[no-untyped-def]
        def count(rows: pa.RecordBatch, counted=given["count"]) -> None:  # type: ignore[no-untyped-def]
            counted(pa.concat_batches([rows.slice(1), rows.slice(1, 1)]))

        return encode(function, **{**given, "count": count})

    monkeypatch.setattr(staging, "partial", lossy)
    months.stage(trips(10))
    with pytest.raises(LostRowsError, match="holds other rows than were sent"):
        wired.merge("green", JANUARY)
    assert months.count() == 0


@pytest.mark.parametrize("taken", ["NULL", "NEW"])
def test_a_trigger_that_drops_or_changes_rows_fails_the_merge(months: Months, taken: str) -> None:
    months.database.query(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.dropoff_datetime > '2024-01-15 10:12:08' THEN"
        " NEW.unique_row_id := gen_random_uuid();"
        f" RETURN {taken}; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER meddle BEFORE INSERT ON green_trips FOR EACH ROW"
        " EXECUTE FUNCTION meddle()"
    )
    months.stage(trips(10))
    held = 9 if taken == "NULL" else "10, and not the same ones"
    for _ in range(2):
        with pytest.raises(TaxiError, match=f"of 10 it would hold {held}; nothing is changed"):
            wired.merge("green", JANUARY)
        assert (months.count(), months.database.ledger("month")) == (0, [])


def test_what_the_ledger_notes_is_what_the_table_holds(months: Months) -> None:
    shared = trip("2024-02-01 00:10:00")
    strays = [trip("2024-02-01 00:00:01"), trip("2008-12-31 23:00:00")]
    files = {JANUARY: [*trips(5), *strays, shared], FEBRUARY: [*trips(4, "2024-02-09 10:00:00")]}
    files[FEBRUARY] += [shared, trip("2024-01-31 23:59:59")]
    for month in (JANUARY, FEBRUARY, JANUARY, FEBRUARY):
        months.load(files[month], month)
    for filename, sums, stray_ids in months.database.query(
        "SELECT DISTINCT ON (month) filename, sums, stray_ids::text[] FROM load_history"
        " ORDER BY month, load_id DESC"
    ):
        held = months.database.query(
            "SELECT to_char(pickup_datetime, 'YYYY-MM'), count(*),"
            " sum(uuid_hash_extended(unique_row_id, 0)), sum(uuid_hash_extended(unique_row_id, 1))"
            " FROM green_trips WHERE filename = %s GROUP BY 1",
            filename,
        )
        noted = {m: (each["rows"], each["sum"]) for m, each in sums["months"].items()}
        assert {m: facts for m, facts in noted.items() if facts[0]} == {
            month: (counted[0], str(FingerprintSum.of_halves(*counted))) for month, *counted in held
        }
        own = filename[-15:-8]
        assert sorted(stray_ids) == [
            row[0]
            for row in months.database.query(
                "SELECT unique_row_id::text FROM green_trips WHERE filename = %s"
                " AND to_char(pickup_datetime, 'YYYY-MM') <> %s ORDER BY 1",
                filename,
                own,
            )
        ]


def test_a_script_that_reports_other_rows_each_time_leaves_those_of_the_last(
    months: Months,
) -> None:
    """By what is known of the file it is the same load, so nothing was looked for to remove."""
    months.load(trips(5))
    others = [*trips(3), *trips(2, "2024-01-20 10:00:00")]
    merged = months.load(others)
    assert (merged.rows_inserted, merged.rows_removed) == (2, 2)
    assert months.count() == 5
