"""37 real months in one run, against what pandas reads from the same files.

Nothing here comes from the catalog: the names and kinds of the columns are written out again.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import Database, Luigi, Run, Server, files_in_work, folder_url, lasting_database

ROWS = 3_001_995

#: By the table's column, its name in the files in lower case.
PUBLISHED = {
    "vendor_id": "vendorid",
    "pickup_datetime": "lpep_pickup_datetime",
    "dropoff_datetime": "lpep_dropoff_datetime",
    "passenger_count": "passenger_count",
    "trip_distance": "trip_distance",
    "rate_code_id": "ratecodeid",
    "store_and_fwd_flag": "store_and_fwd_flag",
    "pickup_location_id": "pulocationid",
    "dropoff_location_id": "dolocationid",
    "payment_type": "payment_type",
    "fare_amount": "fare_amount",
    "extra": "extra",
    "mta_tax": "mta_tax",
    "tip_amount": "tip_amount",
    "tolls_amount": "tolls_amount",
    "ehail_fee": "ehail_fee",
    "improvement_surcharge": "improvement_surcharge",
    "total_amount": "total_amount",
    "trip_type": "trip_type",
    "congestion_surcharge": "congestion_surcharge",
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]
#: Which no month before 2025 has.
LATER = "cbd_congestion_fee"
TIMES = ("pickup_datetime", "dropoff_datetime")
TEXT = "store_and_fwd_flag"


@dataclass
class Loaded:
    """The real months, loaded once for each server."""

    command: Luigi
    database: Database
    run: Run
    at_first: dict[str, Any]

    def load(self) -> Run:
        return self.command.merge_range("green", "2020-03", "2023-04")

    def state(self) -> dict[str, Any]:
        """Every table with a hash over all its rows; as Database.contents, which takes longer."""
        return {
            "trips": self.database.query(
                "SELECT tableoid::regclass::text, count(*), sum(hash_record_extended(t, 0)) "
                "FROM green_trips t GROUP BY tableoid ORDER BY 1"
            ),
            "markers": self.database.query("SELECT * FROM table_updates ORDER BY update_id"),
            "ledger": self.database.ledger("load_id", "filename", "finished_at"),
        }


@pytest.fixture(scope="module")
def loaded(
    server: Server, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loaded]:
    with lasting_database(server, "real_months") as database:
        settings = {
            "--warehouse-url": database.url,
            "--source-url": folder_url((shared_data / "parquet").resolve()),
        }
        command = Luigi(tmp_path_factory.mktemp("real"), settings)
        loaded = Loaded(command, database, Run(0, ""), {})
        loaded.run = loaded.load()
        assert loaded.run.code == 0, loaded.run.output
        loaded.at_first = loaded.state()
        yield loaded


@pytest.fixture(scope="module")
def manifest(shared_data: Path) -> dict[str, int]:
    """How many rows each file has, by its name."""
    with (shared_data / "MANIFEST.tsv").open() as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    return {
        Path(line["file"]).name: int(line["rows"])
        for line in lines
        if line["file"].startswith("parquet/")
    }


@pytest.fixture(scope="module")
def published(shared_data: Path) -> pd.DataFrame:
    """All rows of all files, under the table's names."""
    months = []
    for file in sorted((shared_data / "parquet").glob("green_*.parquet")):
        month = pq.read_table(file).to_pandas()
        month.columns = month.columns.str.strip().str.lower()
        assert set(month.columns) == set(PUBLISHED.values())
        months.append(month[list(PUBLISHED.values())].astype({"ehail_fee": "float64"}))
    return pd.concat(months, ignore_index=True).set_axis(list(PUBLISHED), axis="columns")


def summarize(values: "pd.Series[Any]", column: str) -> list[Any]:
    """Minimum, maximum, sum and number of nulls of a column; of times and text, no sum."""
    nulls = int(values.isna().sum())
    if nulls == len(values):
        return [None, None, None, nulls]
    if column == TEXT:
        values = values.dropna().astype(str)
        return [values.min(), values.max(), None, nulls]
    if column in TIMES:
        return [values.min().to_pydatetime(), values.max().to_pydatetime(), None, nulls]
    return [float(values.min()), float(values.max()), float(math.fsum(values.dropna())), nulls]


def summarize_table(database: Database) -> dict[str, list[Any]]:
    columns = []
    for column in [*PUBLISHED, LATER]:
        total = f"sum({column})::float8"
        if column in TIMES or column == TEXT:
            total = "NULL"
        kind = "text" if column == TEXT else "timestamp" if column in TIMES else "float8"
        columns.append(
            f"min({column})::{kind}, max({column})::{kind}, {total}, "
            f"count(*) FILTER (WHERE {column} IS NULL)"
        )
    [row] = database.query(f"SELECT {', '.join(columns)} FROM green_trips")
    names = [*PUBLISHED, LATER]
    return {name: list(row[4 * at : 4 * at + 4]) for at, name in enumerate(names)}


def is_same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(found, expected, rel_tol=1e-9)
    return bool(found == expected)


def test_every_real_row_is_in_the_table_once(loaded: Loaded, manifest: dict[str, int]) -> None:
    assert len(manifest) == 37
    assert sum(manifest.values()) == ROWS
    by_file = "SELECT filename, count(*) FROM green_trips GROUP BY filename"
    assert dict(loaded.database.query(by_file)) == manifest


def test_the_ledger_adds_up_to_the_files(loaded: Loaded, manifest: dict[str, int]) -> None:
    ledger = loaded.database.ledger("filename", "rows_read")
    assert dict(ledger) == manifest
    assert [name for name, _ in ledger] == sorted(manifest)
    sums = ("rows_read", "rows_staged", "rows_inserted", "rows_rejected", "rows_duplicate")
    sums += ("rows_present", "rows_removed")
    totals = ", ".join(f"sum({column})::bigint" for column in sums)
    expected = (ROWS, ROWS, ROWS, 0, 0, 0, 0)
    assert loaded.database.query(f"SELECT {totals} FROM load_history") == [expected]
    unequal = (
        "rows_read <> rows_rejected + rows_staged "
        "OR rows_staged <> rows_duplicate + rows_present + rows_inserted "
        "OR rows_staged <> (SELECT sum((value ->> 'rows')::bigint) FROM jsonb_each(pickup_months))"
    )
    assert loaded.database.ledger(f"NOT ({unequal})") == [(True,)] * 37


def test_every_column_holds_what_was_published(loaded: Loaded, published: pd.DataFrame) -> None:
    assert len(published) == ROWS
    found = summarize_table(loaded.database)
    assert found.pop(LATER) == [None, None, None, ROWS]
    expected = {column: summarize(published[column], column) for column in PUBLISHED}
    assert isinstance(expected["pickup_datetime"][0], datetime)
    different = {
        column: (found[column], expected[column])
        for column in PUBLISHED
        if not all(map(is_same, found[column], expected[column]))
    }
    assert different == {}


def test_strays_are_kept_and_counted(loaded: Loaded, published: pd.DataFrame) -> None:
    outside = (
        "date_trunc('month', pickup_datetime) "
        "<> to_date(substr(filename, 16, 7), 'YYYY-MM')::timestamp"
    )
    strays = loaded.database.value(f"SELECT count(*) FROM green_trips WHERE {outside}")
    assert strays > 0
    assert loaded.database.ledger("sum(rows_stray) OVER ()")[0] == (strays,)
    in_table = loaded.database.query(
        "SELECT to_char(pickup_datetime, 'YYYY-MM'), count(*) FROM green_trips GROUP BY 1"
    )
    by_month = published["pickup_datetime"].dt.strftime("%Y-%m").value_counts()
    assert dict(in_table) == {str(month): int(rows) for month, rows in by_month.items()}


def test_no_file_is_left(loaded: Loaded) -> None:
    assert files_in_work(loaded.command.folder / "data") == []
    assert not list((loaded.command.folder / "data" / "rejects").glob("*"))


def test_the_same_command_again_does_nothing(loaded: Loaded) -> None:
    files = sorted((loaded.command.folder / "data").rglob("*"))
    again = loaded.load()
    assert again.code == 0, again.output
    assert "fetched" not in again.output
    assert "inserted" not in again.output
    assert loaded.state() == loaded.at_first
    assert sorted((loaded.command.folder / "data").rglob("*")) == files


def test_a_partition_that_was_emptied_comes_back(loaded: Loaded) -> None:
    loaded.database.query("TRUNCATE green_trips_2020_05")
    again = loaded.load()
    assert again.code == 0, again.output
    healed = loaded.state()
    assert healed["trips"] == loaded.at_first["trips"]
    assert len(healed["markers"]) == 37
    assert len(healed["ledger"]) > 37
