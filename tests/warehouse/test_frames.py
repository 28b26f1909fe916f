"""The rows of a query as a DataFrame: the types of its columns, and what it may do."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg2
import pytest
from months import Months, trip, trips

import luigi_tasks
from luigi_tasks.errors import TaxiError

#: A warning of Luigi's import, which Python doesn't show unless asked to.
LUIGIS_OWN = "ignore::DeprecationWarning:luigi"
SHOWN = """
SELECT
    1 AS whole, 2::bigint AS large, 1.5::real AS small, 2.25::numeric AS amount, TRUE AS flag,
    'a text' AS name, '2024-02-29'::date AS day, '2024-02-29 10:00:00.000001'::timestamp AS at,
    '2024-02-29 10:00:00+02'::timestamptz AS instant, interval '90 minutes' AS took
"""
TYPES = {
    "whole": "int64",
    "large": "int64",
    "small": "float64",
    "amount": "float64",
    "flag": "bool",
    "name": str(pd.Series(["a text"]).dtype),
    "day": "datetime64[s]",
    "at": "datetime64[us]",
    "instant": "datetime64[us, UTC]",
    "took": "timedelta64[us]",
}


def test_a_column_has_the_type_of_its_values(months: Months) -> None:
    frame = luigi_tasks.query(SHOWN)
    assert dict(frame.dtypes.map(str)) == TYPES
    assert frame.loc[0].to_list() == [
        1, 2, 1.5, 2.25, True, "a text", pd.Timestamp("2024-02-29"),
        pd.Timestamp("2024-02-29 10:00:00.000001"), pd.Timestamp("2024-02-29 08:00:00", tz="UTC"),
        pd.Timedelta(minutes=90),
    ]  # fmt: skip


def test_nulls_leave_a_column_its_type(months: Months) -> None:
    nulls = ", ".join(f"CASE WHEN FALSE THEN {name} END AS {name}" for name in TYPES)
    frame = luigi_tasks.query(
        f"SELECT * FROM ({SHOWN}) a UNION ALL SELECT {nulls} FROM ({SHOWN}) b"
    )
    types = TYPES | {"whole": "Int64", "large": "Int64", "flag": "boolean"}
    assert dict(frame.dtypes.map(str)) == types
    assert frame.loc[1].isna().all()
    empty = luigi_tasks.query(f"SELECT * FROM ({SHOWN}) a WHERE FALSE")
    assert empty.empty
    assert dict(empty.dtypes.map(str)) == TYPES | {"name": "object"}


def test_times_of_any_year(months: Months) -> None:
    frame = luigi_tasks.query("SELECT '0001-01-01'::date AS day, '9999-12-31'::timestamp AS at")
    assert (frame.day[0].year, frame["at"][0].year) == (1, 9999)


def test_names_may_come_twice(months: Months) -> None:
    frame = luigi_tasks.query("SELECT 1 AS one, 2 AS one")
    assert (list(frame.columns), frame.loc[0].to_list()) == (["one", "one"], [1, 2])


def test_values_are_quoted_and_a_percent_sign_needs_no_second_one(months: Months) -> None:
    months.load([trip(store_and_fwd_flag="it's"), trip()])
    flags = "SELECT count(*) AS trips FROM green_trips WHERE store_and_fwd_flag"
    assert luigi_tasks.query(f"{flags} LIKE 'it%'").trips[0] == 1
    assert luigi_tasks.query(f"{flags} = %s", ["it's"]).trips[0] == 1
    assert luigi_tasks.query(f"{flags} = %(flag)s", {"flag": "it's"}).trips[0] == 1


def test_only_who_asks_for_it_may_change_something(months: Months) -> None:
    months.load(trips(3))
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        luigi_tasks.query("DELETE FROM green_trips")
    assert months.count() == 3
    assert luigi_tasks.query("CREATE TABLE mine (one integer)", read_only=False).empty
    assert luigi_tasks.query("SELECT * FROM mine").empty


def test_the_schema_of_the_settings_is_looked_into(months: Months, settings: Any) -> None:
    settings("warehouse", "schema", 'Odd "n\'ame"')
    months.load(trips(3))
    assert luigi_tasks.query("SELECT trips FROM daily_trips").trips.to_list() == [3]
    assert luigi_tasks.query("SELECT count(*) AS n FROM trips").n[0] == 3


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_without_pandas_it_says_what_to_install(
    months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(TaxiError, match=r"needs pandas: pip install luigi-tasks\[notebook\]"):
        luigi_tasks.query("SELECT 1")


def test_the_embedded_warehouse_is_started_and_ends_with_python(embedded_root: Path) -> None:
    code = (
        "import luigi_tasks\n"
        "for _ in range(2): print(luigi_tasks.query('SELECT 1 AS one').one[0])\n"
    )
    (embedded_root / "luigi.cfg").write_text(f"[storage]\nroot = {embedded_root}/data\n")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-W", LUIGIS_OWN, "-c", code],
        cwd=embedded_root, capture_output=True, text=True,
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, "1\n1\n", "")
    assert not list((embedded_root / "data" / "warehouse").glob("postmaster.pid"))
