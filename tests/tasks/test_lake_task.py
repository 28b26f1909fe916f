"""The lake: what the warehouse holds of each month as Parquet, whatever came in between."""

import json
import os
import signal
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sparks
import wired
from conftest import Database, Luigi, Published, Run, files_in_work, folder_url
from dateutil.relativedelta import relativedelta
from months import JANUARY, Months, trip, trips

from luigi_tasks import config, warehouse
from luigi_tasks.checksums import FingerprintSum
from luigi_tasks.months import Month
from luigi_tasks.operations import published
from luigi_tasks.storage import lake, objects, part
from luigi_tasks.tasks import TaxiLake, TaxiRefresh, TaxiReset, ranges
from luigi_tasks.warehouse import exporting

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("server", ["embedded"], indirect=True)]

Set = Callable[[str, str, str], None]
GREEN_JANUARY = Month("green", JANUARY)
FOLDER = "trips/taxi_type=green/month=2024-01"
#: How many of the real green months are written: 37 are all.
REAL_MONTHS = int(os.environ.get("LUIGI_TASKS_LAKE_MONTHS", "2"))
#: Rows and fingerprints of a lake, as docs/lake.md has it for DuckDB.
SUMMED = """
    SELECT
        month,
        count(*),
        (sum(('0x' || left(replace(unique_row_id, '-', ''), 16))::UBIGINT)
            % 18446744073709551616)::UBIGINT,
        (sum(('0x' || right(replace(unique_row_id, '-', ''), 16))::UBIGINT)
            % 18446744073709551616)::UBIGINT
    FROM read_parquet('{}/trips/*/*/*.parquet', hive_partitioning = true)
    GROUP BY month
    ORDER BY month
"""


def by_duckdb(url: str, files: Any = None) -> dict[str, FingerprintSum]:
    """What DuckDB reads of each month of a lake.

    :param files: the file system of fsspec by which a store is read.
    """
    with duckdb.connect() as session:
        if files:
            session.register_filesystem(files)
        return {
            month: FingerprintSum(*sums)
            for month, *sums in session.sql(SUMMED.format(url)).fetchall()
        }


def by_postgresql(database: Database) -> dict[str, FingerprintSum]:
    """The same of the trips table, by file."""
    rows = database.query("SELECT substr(filename, 16, 7), unique_row_id::text FROM green_trips")
    found: dict[str, FingerprintSum] = {}
    for month, row_id in rows:
        digits = row_id.replace("-", "")
        sums = FingerprintSum(1, int(digits[:16], 16), int(digits[16:], 16))
        found[month] = found.get(month, FingerprintSum()) + sums
    return dict(sorted(found.items()))


def files_of(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def of_range(command: Luigi, of: str, *flags: str, stop: str = "2024-04") -> Run:
    words = command.range_flags("green", "2024-01", stop)
    run = command("RangeMonthly", *words[1:], f"--of={of}", *flags)
    assert "Traceback" not in run.output, run.output
    return run


def records_of(root: Path) -> dict[str, Any]:
    found = [json.loads(each.read_text()) for each in sorted(root.glob("trips/*/*/_load-*.json"))]
    return {each["month"]: each for each in found}


# --- by the command -------------------------------------------------------------------------------


def test_a_range_is_written_healed_refreshed_and_reset(
    luigi_command: Luigi, database: Database, published: Published, tmp_path: Path
) -> None:
    """In a folder that holds somebody else's files as well."""
    root = tmp_path / "lake"
    others = [root / FOLDER / "notes.txt", root / "trips/taxi_type=green/other.parquet"]
    for other in others:
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text("mine")
    luigi_command.settings |= {"--source-url": published.url, "--lake-url": str(root)}
    for month in ("2024-01", "2024-02", "2024-03"):
        published.write("green", month, rows=300, strays=9, duplicates=5)
    for times in range(2):
        run = of_range(luigi_command, "TaxiLake")
        assert (run.code, run.output.count("in the lake: ")) == (0, 3 if times == 0 else 0)
    assert files_in_work(luigi_command.folder / "data") == []
    others[1].unlink()
    loaded = by_postgresql(database)
    assert by_duckdb(str(root)) == loaded
    assert {m: (r["rows"], r["fingerprints"]) for m, r in records_of(root).items()} == {
        m: (sums.rows, str(sums)) for m, sums in loaded.items()
    }
    # healed: no file, no record, half a file
    [record] = root.glob("trips/*/month=2024-02/_load-*")
    record.unlink()
    (root / FOLDER / "part.parquet").unlink()
    half = root / FOLDER.replace("01", "03") / "part.parquet"
    half.write_bytes(half.read_bytes()[:-100])
    run = of_range(luigi_command, "TaxiLake")
    assert (run.code, run.output.count("in the lake: ")) == (0, 3)
    assert by_duckdb(str(root)) == loaded
    # refreshed
    published.write("green", "2024-02", rows=310, seed=5)
    run = of_range(luigi_command, "TaxiRefresh")
    assert (run.code, run.output.count("in the lake: ")) == (0, 1)
    assert by_duckdb(str(root)) == by_postgresql(database) != loaded
    assert records_of(root)["2024-02"]["load_id"] == 4
    # reset, twice
    for _ in range(2):
        run = luigi_command("TaxiReset", "--month=2024-01", "--taxi-type=green")
        assert run.code == 0, run.output
        assert list(by_duckdb(str(root))) == list(by_postgresql(database)) == ["2024-02", "2024-03"]
    assert others[0].read_text() == "mine"
    assert [path.name for path in (root / FOLDER).iterdir()] == ["notes.txt"]


def test_what_is_due_is_written_and_what_the_lake_lacks(
    luigi_command: Luigi, database: Database, published: Published, tmp_path: Path
) -> None:
    luigi_command.settings |= {
        "--source-url": published.url,
        "--schedule-taxi-types": "green",
        "--schedule-first-month": "2024-01",
    }
    for month in ("2024-01", "2024-02"):
        published.write("green", month, rows=50)
    luigi_command("TaxiMerge", "--month=2024-01", "--taxi-type=green")
    luigi_command.settings["--lake-url"] = (tmp_path / "lake").as_uri()
    run = luigi_command("TaxiDue", "--dry-run")
    assert "green: to be written to the lake: 2024-01\n" in run.output
    for written in (2, 0):
        run = luigi_command("TaxiDue")
        assert run.output.count("in the lake: 50 rows") == written, run.output
        assert by_duckdb(str(tmp_path / "lake")) == by_postgresql(database)
    published.write("green", "2024-01", rows=60, seed=3)
    database.query("UPDATE runs SET corrections_checked = DEFAULT")
    run = luigi_command("TaxiDue")
    assert run.output.count("in the lake: 60 rows") == 1, run.output
    assert by_duckdb(str(tmp_path / "lake")) == by_postgresql(database)


def test_months_are_written_to_a_bucket(
    s3: Any, luigi_command: Luigi, database: Database, published: Published
) -> None:
    url = "s3://trip-data/some/lake"
    luigi_command.settings |= {
        "--source-url": published.url,
        "--lake-url": "s3://nowhere/lake",
    }
    for month, rows in (("2024-01", 50), ("2024-02", 60)):
        published.write("green", month, rows=rows)
    s3.pipe(f"trip-data/some/lake/{FOLDER}/notes.txt", b"mine")
    run = of_range(luigi_command, "TaxiLake", stop="2024-02")
    assert run.code == 30
    assert "s3://nowhere/lake: " in run.output
    assert "The specified bucket does not exist" in run.output
    luigi_command.settings["--lake-url"] = url + "/"
    for written in (2, 0):
        run = of_range(luigi_command, "TaxiLake", "--workers=2", stop="2024-03")
        assert (run.code, run.output.count("in the lake: ")) == (0, written), run.output
        assert by_duckdb(url, s3) == by_postgresql(database)
    published.write("green", "2024-01", rows=70, seed=5)
    assert of_range(luigi_command, "TaxiRefresh", stop="2024-03").code == 0
    assert by_duckdb(url, s3) == by_postgresql(database)
    run = luigi_command("TaxiReset", "--month=2024-01", "--taxi-type=green")
    assert run.code == 0, run.output
    left = [path.rpartition("/")[2] for path in s3.find("trip-data")]
    assert sorted(each.partition("-")[0] for each in left) == ["_load", "notes.txt", "part.parquet"]


def test_a_lake_that_cannot_be_reached_fails_in_one_line(
    s3: Any, luigi_command: Luigi, database: Database, published: Published
) -> None:
    """Due months are loaded nevertheless, and no secret is shown."""
    published.write("green", "2024-01", rows=50)
    published.write("green", "2024-02", rows=50)
    luigi_command.settings |= {"--source-url": published.url, "--lake-url": "s3://trip-data/lake"}
    luigi_command.environment |= {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_SECRET_ACCESS_KEY": "sesame-secret",
    }
    outputs = []
    for task, code in (("TaxiMerge", 0), ("TaxiLake", 35)):
        run = luigi_command(task, "--month=2024-01", "--taxi-type=green")
        assert run.code == code, run.output
        outputs.append(run.output)
    flags = ["--schedule-taxi-types=green", "--schedule-first-month=2024-01"]
    run = luigi_command("TaxiDue", *flags)
    assert run.code == 30, run.output
    assert run.output.count("ERROR") == 1
    assert database.value("SELECT count(*) FROM green_trips") == 100
    for output in (outputs[1], run.output):
        assert "cannot reach s3://trip-data: " in output
        assert "sesame" not in output
        assert "Traceback" not in output


@pytest.mark.parametrize("is_bucket", [False, True])
def test_real_months_are_in_the_lake(
    *,
    is_bucket: bool,
    s3: Any,
    luigi_command: Luigi,
    database: Database,
    shared_data: Path,
    tmp_path: Path,
) -> None:
    url = "s3://trip-data/lake" if is_bucket else str(tmp_path / "lake")
    luigi_command.settings |= {
        "--source-url": folder_url(shared_data / "parquet"),
        "--lake-url": url,
    }
    found = [path.stem[-7:] for path in (shared_data / "parquet").glob("green_tripdata_*")]
    months = sorted(found)[-REAL_MONTHS:]
    stop = f"{date.fromisoformat(months[-1] + '-01') + relativedelta(months=1):%Y-%m}"
    words = luigi_command.range_flags("green", months[0], stop)
    run = luigi_command("RangeMonthly", *words[1:], "--of=TaxiLake", timeout=900)
    assert run.code in (0, 20), run.output  # between them are months that nobody has
    read = by_duckdb(url, s3 if is_bucket else None)
    assert list(read) == months
    assert read == by_postgresql(database)


# --- killed ---------------------------------------------------------------------------------------


def die_before(owner: Any, name: str, calls: int = 1) -> Callable[[], None]:
    """Has the process killed before a call of a function."""

    def prepare() -> None:
        original, count = getattr(owner, name), 0

        def patched(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(owner, name, patched)

    return prepare


def die_after(owner: Any, name: str) -> Callable[[], None]:
    """Has the process killed after a call of a function."""

    def prepare() -> None:
        original = getattr(owner, name)

        def patched(*args: Any, **kwargs: Any) -> Any:
            original(*args, **kwargs)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, patched)

    return prepare


POINTS = {
    "before the snapshot": die_before(warehouse, "export_trips"),
    "in the middle of COPY": die_before(exporting._Received, "_hand_over", calls=3),
    "in the middle of the file": die_after(part.PartWriter, "_write_group"),
    "with a whole file that isn't in the lake": die_before(lake.Lake, "publish"),
    "before the old record is removed": die_before(objects.Folder, "remove"),
    "without a record": die_after(objects.Folder, "remove"),
    "before the file has its name": die_before(objects.records, "flush"),
    "between the file and its record": die_after(objects.Folder, "put"),
    "before the record has its name": die_before(objects.records, "flush", calls=3),
    "with the record": die_after(objects.Folder, "write"),
}


def killed(work: Callable[[], Any], prepare: Callable[[], None]) -> None:
    """Do some work in a process that is killed meanwhile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks of processes with threads
        child = os.fork()
    if child == 0:
        try:
            prepare()
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


@pytest.fixture
def task(months: Months, settings: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A month in the lake, of which another edition was loaded since."""
    monkeypatch.setattr(exporting, "BATCH_ROWS", 50)
    monkeypatch.setattr(part, "GROUP_ROWS", 70)
    settings("lake", "url", str(tmp_path / "lake"))
    task = TaxiLake(month=JANUARY, taxi_type="green")
    strays = [trip("2024-02-07 00:00:00"), trip("2008-12-31 00:00:00")]
    months.load([*trips(200), *strays])
    task.run()
    months.load([*trips(240), *strays], sha256="1" * 64)
    assert not task.complete()
    return task


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_was_killed_is_made_up_for(
    point: str, task: Any, months: Months, tmp_path: Path
) -> None:
    """Readers see the whole old file or the whole new one at any time."""
    root = tmp_path / "lake"
    before, after = by_duckdb(str(root)), by_postgresql(months.database)
    killed(task.run, POINTS[point])
    assert by_duckdb(str(root)) in (before, after)
    assert task.complete() == (point == "with the record")
    if not task.complete():
        task.run()
    assert task.complete()
    assert by_duckdb(str(root)) == after
    assert [name.partition("-")[0] for name in files_of(root / FOLDER)] == ["_load", "part.parquet"]
    ranges.remove_left_over()
    assert files_in_work(tmp_path / "data") == []


@pytest.mark.parametrize("point", ["between the file and its record", "before the snapshot"])
def test_a_refresh_that_was_killed_in_the_lake_is_made_up_for_by_the_next(
    point: str, task: Any, months: Months, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new edition is merged by then, so nothing at the source differs from it."""
    monkeypatch.setattr(published, "changed", lambda taxi_type, months: {})
    refresh: Any = TaxiRefresh(month=JANUARY, taxi_type="green")
    killed(task.run, POINTS[point])
    assert not refresh.complete()
    bulk = TaxiRefresh.bulk_complete.__func__  # type: ignore[attr-defined]
    assert bulk(lambda month: refresh, [JANUARY]) == []
    refresh.run()
    assert refresh.complete()
    assert bulk(lambda month: refresh, [JANUARY]) == [JANUARY]
    assert by_duckdb(str(tmp_path / "lake")) == by_postgresql(months.database)


@pytest.mark.parametrize(
    "prepare",
    [die_before(objects.Folder, "remove"), die_after(objects.Folder, "remove"),
     die_after(lake.Lake, "withdraw")],
)  # fmt: skip
def test_a_reset_that_was_killed_is_made_up_for(
    prepare: Callable[[], None], task: Any, months: Months, tmp_path: Path
) -> None:
    reset: Any = TaxiReset(month=JANUARY, taxi_type="green")
    killed(reset.run, prepare)
    assert not task.complete()
    assert not reset.complete()
    reset.run()
    assert reset.complete()
    assert files_of(tmp_path / "lake") == []
    assert months.count() == 0


def test_another_warehouse_does_not_take_the_months_for_its_own(
    task: Any, months: Months, settings: Set, new_database: Callable[[], str]
) -> None:
    """Its ledger counts from 1 as well."""
    task.run()
    other = new_database()
    settings("warehouse", "url", other)
    for sha256 in ("0", "1"):
        months.load(trips(200), sha256=sha256 * 64)
    assert Database(other).ledger("load_id") == [(1,), (2,)]
    assert not task.complete()


def test_one_query_and_one_listing_tell_what_is_complete(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.run()
    asked = []
    sizes = objects.Folder.sizes
    monkeypatch.setattr(
        objects.Folder, "sizes", lambda self, folder: asked.append(folder) or sizes(self, folder)
    )
    months = [date(year, month, 1) for year in range(2014, 2026) for month in range(1, 13)]
    complete = TaxiLake.bulk_complete.__func__(  # type: ignore[attr-defined]
        lambda month: TaxiLake(month=month, taxi_type="green"), months
    )
    assert complete == [JANUARY]
    assert len(asked) == 1


def test_the_sum_of_the_server_is_that_of_the_record(task: Any, tmp_path: Path) -> None:
    task.run()
    by_server = warehouse.sum_fingerprints(config.open_warehouse(), GREEN_JANUARY)
    record = records_of(tmp_path / "lake")["2024-01"]
    assert (record["rows"], record["fingerprints"]) == (by_server.rows, str(by_server))
    assert wired.opened("green", JANUARY)[1].month == GREEN_JANUARY


def test_spark_reads_the_same(task: Any, months: Months, tmp_path: Path) -> None:
    sparks.require()
    from pyspark.sql import SparkSession

    task.run()
    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    try:
        trips = session.read.parquet(str(tmp_path / "lake" / "trips"))
        rows = trips.select("unique_row_id", "month", "taxi_type").collect()
    finally:
        session.stop()
    assert {(str(row.month)[:7], row.taxi_type) for row in rows} == {("2024-01", "green")}
    read = FingerprintSum()
    for row in rows:
        digits = row.unique_row_id.replace("-", "")
        read += FingerprintSum(1, int(digits[:16], 16), int(digits[16:], 16))
    assert read == by_postgresql(months.database)["2024-01"]
