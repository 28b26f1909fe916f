"""A transform of the user's own: what it's given, what becomes of what it makes, how it fails."""

import hashlib
import json
import logging
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import luigi
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wired
from conftest import Database, Luigi, Run, files_in_work
from months import FEBRUARY, JANUARY, Months, close_sessions, trips

from luigi_tasks import TaxiDownload, TaxiMerge, TaxiStageLoad, TaxiTransform, source
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import published as publication
from luigi_tasks.runner import CommandError
from luigi_tasks.tasks import script as scripts
from luigi_tasks.tasks.transform_job import Transformed, TransformJob

Set = Callable[[str, str, str], None]
Row = dict[str, Any]

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)

MONTH = ("TaxiMerge", "--month=2024-01", "--taxi-type=green")
NAME = "green_tripdata_2024-01"
#: What stays of a month that failed: its file, and a note that it did.
FAILED_FILES = [f"raw/{NAME}.parquet{end}" for end in ("", ".edition.json", ".failed")]
FAILED, WRONG_VALUE = 30, 40

#: The columns without which a file isn't one of green trips, as published and as in the catalog.
PUBLISHED = {
    "VendorID": "vendor_id",
    "lpep_pickup_datetime": "pickup_datetime",
    "lpep_dropoff_datetime": "dropoff_datetime",
    "trip_distance": "trip_distance",
    "PULocationID": "pickup_location_id",
    "DOLocationID": "dropoff_location_id",
    "fare_amount": "fare_amount",
}

# What the scripts are made of.
IMPORTS = "import json, os, sys\nimport pyarrow as pa, pyarrow.parquet as pq\n"
READ_JSON = IMPORTS + 'rows = json.load(open(os.environ["TAXI_FILE"]))\n'
READ_PARQUET = IMPORTS + 'rows = pq.read_table(os.environ["TAXI_FILE"]).to_pylist()\n'
WRITE = 'pq.write_table(pa.Table.from_pylist(rows), "out.parquet")\n'
COPY = 'import os, shutil; shutil.copy(os.environ["TAXI_FILE"], "out.parquet")\n'


def rows_of(count: int, month: int = 1) -> list[Row]:
    """Rows of a published file, each another trip."""
    pickup = datetime(2024, month, 15, 10)
    return [
        {
            "VendorID": 2,
            "lpep_pickup_datetime": pickup + timedelta(minutes=number),
            "lpep_dropoff_datetime": pickup + timedelta(minutes=number + 12),
            "trip_distance": 2.5,
            "PULocationID": 75,
            "DOLocationID": 236,
            "fare_amount": 10.0 + number,
            "passenger_count": 1,
            "tip_amount": 2.0,
        }
        for number in range(count)
    ]


def write_json(file: Path, rows: list[Row]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(rows, default=str))


def write_parquet(file: Path, rows: list[Row]) -> None:
    file.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)


def url_of(folder: Path, form: str) -> str:
    return f"file://{folder}/{{{{ taxi_type }}}}_tripdata_{{{{ month }}}}.{form}"


def report(**parts: Any) -> str:
    """A line of code that prints a report."""
    return f"print('::' + json.dumps({parts!r}) + '::')\n"


def read_rejects(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def until(holds: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.05)
    return found


# --- in this process ----------------------------------------------------------------------------


class Mine:
    """A published green 2024-01 and a script for it; the steps run without a warehouse."""

    def __init__(self, folder: Path, set_value: Set) -> None:
        self.folder, self.set = folder, set_value
        self.set("storage", "root", str(folder / "data"))
        self.files = wired.files("green", JANUARY)
        self.publish(rows_of(3))

    def publish(self, rows: list[Row], form: str = "parquet") -> Path:
        file = self.folder / "published" / f"{NAME}.{form}"
        {"json": write_json, "parquet": write_parquet}[form](file, rows)
        self.set("source", "url", url_of(file.parent, form))
        return file

    def script(self, code: str, *, name: str = "mine.py", runs: str = "instead") -> Path:
        """Write a script and set it."""
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(code)
        file.chmod(0o755)
        self.set("transform", "script", str(file))
        self.set("transform", "script_runs", runs)
        return file

    def run(self) -> Transformed:
        """Fetch the file anew, and run the steps."""
        edition = source.fetch(
            publication.urls(Month("green", JANUARY))[0],
            self.files.raw,
            must_be_read=not scripts.reads_published(),
        )
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return TransformJob(Month("green", JANUARY), self.files, folder).run(edition)

    def made(self) -> list[Row]:
        """Run the steps; the rows of the canonical file."""
        return list(pq.read_table(self.run().trips).to_pylist())

    def failure(self) -> str:
        """Run the steps, which fail in one line; the raw file stays."""
        with pytest.raises(TaxiError) as failed:
            self.run()
        assert not isinstance(failed.value, CommandError)
        assert "\n" not in str(failed.value)
        assert source.read_edition(self.files.raw)
        return str(failed.value)


@pytest.fixture
def mine(tmp_path: Path, settings: Set) -> Mine:
    return Mine(tmp_path, settings)


class Chain:
    """The tasks of green 2024-01 with a script, against an empty database."""

    def __init__(self, mine: Mine, database: Database) -> None:
        self.mine, self.database = mine, database

    def task(self, kind: type[luigi.Task]) -> Any:
        return kind(month=JANUARY, taxi_type="green")

    def run(self, last: type[luigi.Task] = TaxiMerge) -> list[str]:
        """Run whatever isn't complete, as Luigi does; the names of what ran."""
        if self.task(last).complete():
            return []
        before = list(chain.from_iterable(map(self.run, _required(last))))
        self.task(last).run()
        assert self.task(last).complete()
        return [*before, last.__name__]

    def ledger(self, column: str) -> Any:
        return self.database.ledger(column)[-1][0]


def _required(kind: type[luigi.Task]) -> list[type[luigi.Task]]:
    tasks: list[type[luigi.Task]] = [TaxiDownload, TaxiTransform, TaxiStageLoad, TaxiMerge]
    return tasks[: tasks.index(kind)][-1:]


@pytest.fixture
def in_process(mine: Mine, database: Database, settings: Set) -> Iterator[Chain]:
    settings("warehouse", "url", database.url)
    yield Chain(mine, database)
    close_sessions()


# --- by the command line ------------------------------------------------------------------------


@pytest.fixture
def mine_command(luigi_command: Luigi, tmp_path: Path) -> Luigi:
    """The command with an empty database and green 2024-01 of ten trips, as parquet."""
    write_parquet(tmp_path / "published" / f"{NAME}.parquet", rows_of(10))
    luigi_command.settings["--source-url"] = url_of(tmp_path / "published", "parquet")
    return luigi_command


def set_script(command: Luigi, code: str, runs: str = "instead") -> Path:
    """Write ``mine.py`` into the folder of the command, and set it as a user would."""
    file = command.folder / "mine.py"
    file.write_text(code)
    (command.folder / "luigi.cfg").write_text(
        f"[transform]\nscript = mine.py\nscript_runs = {runs}\n"
    )
    return file


def succeeded(run: Run) -> Run:
    assert run.code == 0, run.output
    assert "Traceback" not in run.output, run.output
    return run


def failed(run: Run, *words: str, code: int = FAILED) -> str:
    """The one line that tells why a run failed; a traceback may only be a script's own output."""
    assert run.code == code, run.output
    assert "\nTraceback" not in run.output, run.output
    [told] = [line for line in run.output.splitlines() if all(word in line for word in words)]
    return told


# --- instead of the built-in transform ----------------------------------------------------------


@on_one_server
def test_json_months_are_loaded_by_a_script(
    luigi_command: Luigi, database: Database, tmp_path: Path
) -> None:
    for number in (1, 2):
        write_json(tmp_path / "json" / f"green_tripdata_2024-0{number}.json", rows_of(4, number))
    luigi_command.settings["--source-url"] = url_of(tmp_path / "json", "json")
    luigi_command.settings["--transform-schema-contract"] = "discard"
    environment = '{name: os.environ[f"TAXI_{name}"] for name in ("FILE", "TYPE", "MONTH")}'
    file = set_script(
        luigi_command,
        f"{READ_JSON}for row in rows:\n    del row['tip_amount']\n    row['colour'] = 'green'\n"
        f"{WRITE}print('a plain line')\n"
        + report(logs=[{"level": "WARN", "message": "careful"}])
        + report(metrics=[{"name": "seen", "type": "counter", "value": 4, "tags": {"of": "x"}}])
        + f"print('::' + json.dumps({{'outputs': {environment}}}) + '::')\n",
    )

    run = succeeded(luigi_command.merge_range("green", "2024-01", "2024-03"))

    select = "SELECT filename, count(*), count(fare_amount), count(tip_amount), sum(fare_amount)"
    assert database.query(f"{select} FROM green_trips GROUP BY 1 ORDER BY 1") == [
        ("green_tripdata_2024-01.parquet", 4, 4, 0, 46.0),
        ("green_tripdata_2024-02.parquet", 4, 4, 0, 46.0),
    ]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert database.ledger("script", "outputs", "metrics", "rows_read", "rows_inserted") == [
        (
            f"mine.py instead, sha256 {digest}",
            {"FILE": f"green_tripdata_{month}.json", "TYPE": "green", "MONTH": month},
            [{"name": "seen", "type": "counter", "value": 4, "tags": {"of": "x"}}],
            4,
            4,
        )
        for month in ("2024-01", "2024-02")
    ]
    lines = run.output.splitlines()
    assert "INFO: green 2024-01: a plain line" in lines
    assert "WARNING: green 2024-01: careful" in lines
    assert (
        "INFO: green 2024-01: read 4 rows, rejected 0; FILE: green_tripdata_2024-01.json; "
        "TYPE: green; MONTH: 2024-01; seen: 4"
    ) in lines
    assert "WARNING: green 2024-01: columns that aren't loaded: colour (1)" in lines
    assert database.ledger("unknown_columns") == [(["colour"],)] * 2
    assert files_in_work(luigi_command.folder / "data") == []

    before = database.contents()
    again = succeeded(luigi_command.merge_range("green", "2024-01", "2024-03"))
    assert "a plain line" not in again.output
    assert database.contents() == before


@pytest.mark.parametrize(("form", "names"), [("json", "published"), ("parquet", "catalog")])
def test_published_and_catalog_names_make_the_same_trips(mine: Mine, form: str, names: str) -> None:
    mine.publish(rows_of(3), form)
    columns = {name: name if names == "published" else PUBLISHED[name] for name in PUBLISHED}
    chosen = (
        f"columns = {columns!r}\nrows = [{{columns[n]: r[n] for n in columns}} for r in rows]\n"
    )
    mine.script({"json": READ_JSON, "parquet": READ_PARQUET}[form] + chosen + WRITE)
    expected = [{PUBLISHED[name]: row[name] for name in PUBLISHED} for row in rows_of(3)]
    made = mine.made()
    kept = PUBLISHED.values()
    assert [{name: row[name] for name in kept} for row in made] == expected
    assert all(value is None for row in made for n, value in row.items() if n not in kept)


def test_several_outputs_are_read_in_the_order_of_their_names(mine: Mine) -> None:
    code = READ_PARQUET + (
        "def write(name, *rows): pq.write_table(pa.Table.from_pylist(list(rows)), name)\n"
        "write('b.parquet', {**rows[1], 'fare_amount': '11'}, {**rows[2], 'fare_amount': 'x'})\n"
        "write('a.parquet', rows[0])\n"
        "write('c.parquet', {**rows[2], 'extra': 1, 'colour': 'green'})\n"
    )
    mine.script(code)
    mine.set("transform", "max_reject_ratio", "0.5")
    mine.set("transform", "schema_contract", "discard")
    made = mine.run()
    assert [row["fare_amount"] for row in pq.read_table(made.trips).to_pylist()] == [10, 11, 12]
    assert (made.rows_read, made.rows_rejected, made.rows_written) == (4, 1, 3)
    assert made.unknown_columns == ["colour"]
    [reject] = read_rejects(made.rejects)
    named = {key: reject[key] for key in ("file", "row", "column", "value")}
    assert named == {"file": "b.parquet", "row": 2, "column": "fare_amount", "value": "x"}


@pytest.mark.parametrize("name", ["trips.parquet", "an é.parquet", "-1.parquet"])
def test_an_output_may_have_any_name(mine: Mine, name: str) -> None:
    mine.script(COPY.replace("out.parquet", name))
    assert len(mine.made()) == 3


def test_a_script_may_leave_other_files(mine: Mine) -> None:
    mine.script(COPY + "open('notes.txt', 'w').write('x'); os.mkdir('parquet')\n")
    assert len(mine.made()) == 3


@pytest.mark.parametrize("runs", ["built-in", "after"])
def test_a_file_of_no_known_form_is_refused_unless_a_script_reads_it(mine: Mine, runs: str) -> None:
    file = mine.publish(rows_of(3), "json")
    if runs == "after":
        mine.script(COPY, runs="after")
    for content in ("\x00\x01", "<!DOCTYPE html><title>Sorry</title>"):
        file.write_text(content)
        with pytest.raises(TaxiError, match="wanted parquet, CSV or JSON"):
            mine.run()
        assert not mine.files.raw.exists()


@on_one_server
def test_a_json_month_is_loaded_without_a_script(
    luigi_command: Luigi, database: Database, tmp_path: Path
) -> None:
    write_json(tmp_path / "json" / f"{NAME}.json", rows_of(4))
    luigi_command.settings["--source-url"] = url_of(tmp_path / "json", "json")
    for _ in range(2):
        assert luigi_command(*MONTH).code == 0
        assert database.ledger("rows_inserted", "script") == [(4, None)]
    assert files_in_work(luigi_command.folder / "data") == []


# --- after the built-in transform ---------------------------------------------------------------


@on_one_server
def test_a_script_corrects_and_filters_what_the_built_in_transform_made(
    luigi_command: Luigi, database: Database, tmp_path: Path
) -> None:
    rows: list[Row] = [{**row, "fare_amount": str(row["fare_amount"])} for row in rows_of(10)]
    rows[3]["fare_amount"] = "free"
    write_parquet(tmp_path / "published" / f"{NAME}.parquet", rows)
    luigi_command.settings["--source-url"] = url_of(tmp_path / "published", "parquet")
    luigi_command.settings["--transform-max-reject-ratio"] = "0.2"
    code = (
        f"{READ_PARQUET}rows = [row for row in rows if row['fare_amount'] < 18]\n"
        "for row in rows: row.update(tip_amount=row['tip_amount'] + 1, extra='0')\n"
        f"rows[5]['extra'] = 'much'\n{WRITE}"
        "print('::' + json.dumps({'outputs': {'columns': list(rows[0])}}) + '::')\n"
    )
    file = set_script(luigi_command, code, runs="after")

    run = succeeded(luigi_command(*MONTH))

    # nine readable rows, of them seven with a fare under 18, of them one with a wrong extra
    assert database.query("SELECT fare_amount, tip_amount FROM green_trips ORDER BY 1") == [
        (fare, 3.0) for fare in (10, 11, 12, 14, 15, 17)
    ]
    columns = ("rows_read", "rows_rejected", "rows_staged", "rows_inserted")
    assert database.ledger(*columns) == [(8, 2, 6, 6)]
    rejects = read_rejects(luigi_command.folder / "data" / "rejects" / f"{NAME}.jsonl")
    assert [(r["file"], r["row"], r["column"], r["value"]) for r in rejects] == [
        (f"{NAME}.parquet", 4, "fare_amount", "free"),
        ("out.parquet", 6, "extra", "much"),
    ]
    assert "read 8 rows, rejected 2; columns: [" in run.output
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    [(told, outputs)] = database.ledger("script", "outputs")
    assert told == f"mine.py after, sha256 {digest}"
    assert "vendor_id" in outputs["columns"]
    assert "VendorID" not in outputs["columns"]


@pytest.mark.parametrize(("raw", "made"), [(0, 0), (1, 0), (0, 1)])
def test_the_rejects_of_both_steps_add_up(mine: Mine, raw: int, made: int) -> None:
    rows: list[Row] = [{**row, "fare_amount": str(row["fare_amount"])} for row in rows_of(4)]
    if raw:
        rows[0]["fare_amount"] = "free"
    mine.publish(rows)
    wrong = "for row in rows: row['extra'] = '0'\nrows[-1]['extra'] = 'much'\n" if made else ""
    mine.script(f"{READ_PARQUET}{wrong}{WRITE}", runs="after")
    mine.set("transform", "max_reject_ratio", "0.5")
    transformed = mine.run()
    assert transformed.rows_rejected == raw + made
    assert (
        transformed.rows_written == pq.read_metadata(transformed.trips).num_rows == 4 - raw - made
    )
    assert transformed.rows_read == transformed.rows_rejected + transformed.rows_written
    told = read_rejects(transformed.rejects) if raw + made else []
    assert [reject["value"] for reject in told] == ["free"] * raw + ["much"] * made
    assert transformed.rejects.exists() == bool(raw + made)


def test_the_columns_that_neither_step_loads_are_told(mine: Mine) -> None:
    mine.publish([{**row, "colour": "green"} for row in rows_of(2)])
    mine.script(f"{READ_PARQUET}for row in rows: row['speed'] = 12\n{WRITE}", runs="after")
    assert mine.run().new_columns == {"colour": "text", "speed": "bigint"}
    mine.set("transform", "schema_contract", "discard")
    assert mine.run().unknown_columns == ["colour", "speed"]


def test_a_failure_of_the_built_in_step_removes_the_raw_file(mine: Mine) -> None:
    mine.publish([{"number": 1}])
    mine.script(COPY, runs="after")
    with pytest.raises(TaxiError, match="not a file of green trips"):
        mine.run()
    assert not mine.files.raw.exists()


# --- what it made is checked --------------------------------------------------------------------

#: What a script does, and what is told of it.
OUTPUTS: dict[str, tuple[str, list[str]]] = {
    "nothing": ("pass", ["made no *.parquet", "has no files"]),
    "another form": ("open('out.csv', 'w').write('a,b')", ["made no *.parquet", "out.csv"]),
    "no parquet": ("open('out.parquet', 'w').write('a,b')", ["out.parquet", "parquet"]),
    "empty": ("open('out.parquet', 'w')", ["out.parquet", "parquet"]),
    "a folder": ("import os; os.mkdir('out.parquet')", ["out.parquet", "isn't a plain file"]),
    "a link": (
        "import os; os.symlink(os.environ['TAXI_FILE'], 'out.parquet')",
        ["out.parquet", "isn't a plain file"],
    ),
    "a column too few": (
        f"{READ_PARQUET}for row in rows: del row['fare_amount']\n{WRITE}",
        ["out.parquet", "no column fare_amount"],
    ),
    "two columns for one": (
        f"{READ_PARQUET}for row in rows: row['vendor_id'] = 1\n{WRITE}",
        ["out.parquet", "'VendorID' and 'vendor_id' both"],
    ),
    "wrong values": (
        f"{READ_PARQUET}for row in rows: row['fare_amount'] = 'free'\n{WRITE}",
        ["out.parquet", "3 of the first 3 rows", "max_reject_ratio", "'free'"],
    ),
    "no pickup": (
        f"{READ_PARQUET}for row in rows: row['lpep_pickup_datetime'] = None\n{WRITE}",
        ["out.parquet", "max_reject_ratio", "has no value"],
    ),
}


@pytest.mark.parametrize("made", OUTPUTS)
def test_what_cannot_be_loaded_is_refused_by_the_name_of_the_script(mine: Mine, made: str) -> None:
    code, words = OUTPUTS[made]
    file = mine.script(code)
    told = mine.failure()
    assert [word for word in (str(file), *words) if word not in told] == []


@on_one_server
@pytest.mark.parametrize("made", ["nothing", "wrong values"])
def test_what_cannot_be_loaded_is_not_staged(
    mine_command: Luigi, database: Database, made: str
) -> None:
    code, words = OUTPUTS[made]
    words = [word.replace(" 3", " 10").replace("3 of", "10 of") for word in words]
    set_script(mine_command, code)
    failed(mine_command(*MONTH), "failed", "TaxiTransform", "mine.py", *words)
    assert database.holds_nothing()
    assert files_in_work(mine_command.folder / "data") == FAILED_FILES


def test_as_many_rejects_pass_as_the_setting_lets(mine: Mine) -> None:
    mine.publish(rows_of(10))
    wrong = "for row in rows: row['extra'] = '0'\nrows[7]['extra'] = 'much'\n"
    file = mine.script(f"{READ_PARQUET}{wrong}{WRITE}")
    mine.set("transform", "max_reject_ratio", "0.1")
    made = mine.run()
    assert (made.rows_read, made.rows_rejected, made.rows_written) == (10, 1, 9)
    mine.set("transform", "max_reject_ratio", "0.09")
    told = mine.failure()
    assert f"the output of {file} can't be loaded" in told
    assert "row 8, extra 'much'" in told


@on_one_server
def test_a_script_may_let_no_row_pass(in_process: Chain) -> None:
    code = "table = pq.read_table(os.environ['TAXI_FILE'])\n"
    in_process.mine.script(f"{IMPORTS}{code}pq.write_table(table.slice(0, 0), 'out.parquet')")
    assert in_process.run()[-1] == "TaxiMerge"
    assert in_process.database.ledger("rows_read", "rows_inserted") == [(0, 0)]
    assert in_process.run() == []


# --- failures -----------------------------------------------------------------------------------


@on_one_server
def test_a_script_that_fails_is_told_in_one_line(mine_command: Luigi, database: Database) -> None:
    set_script(mine_command, "def half(x):\n    return x / 0\n\nhalf(1)\n")
    told = failed(mine_command(*MONTH), "failed", "TaxiTransform")
    assert "mine.py: " in told
    assert "return x / 0" in told
    assert told.endswith("ZeroDivisionError: division by zero")
    assert database.holds_nothing()
    assert files_in_work(mine_command.folder / "data") == FAILED_FILES


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit(7)", ["exit code 7"]),
        ("print('last words'); raise SystemExit(7)", ["exit code 7", "last words"]),
        ("import os; os.kill(os.getpid(), 9)", ["SIGKILL"]),
        ("this isn't Python", ["SyntaxError"]),
    ],
)
def test_a_failure_says_how_it_ended(mine: Mine, code: str, words: list[str]) -> None:
    file = mine.script(code)
    told = mine.failure()
    assert told.startswith(f"{file}: ")
    assert [word for word in words if word not in told] == []


def test_a_script_that_runs_too_long_is_stopped(mine: Mine) -> None:
    file = mine.script("import time; time.sleep(600)")
    mine.set("runner", "time_limit", "0.5")
    told = mine.failure()
    assert told.startswith(f"{file}: ")
    assert "[runner] time_limit" in told


@on_one_server
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("gone.py", ["there is no file gone.py"]),
        ("gone.py --fast", ["there is no file gone.py"]),
        ("sh 'mine.sh", ["sh 'mine.sh", "quot"]),
        ("cat one/a.txt two/a.txt", ["names two files a.txt"]),
    ],
)
def test_a_script_that_is_not_there_is_refused_before_anything_runs(
    mine_command: Luigi, database: Database, setting: str, words: list[str]
) -> None:
    for folder in ("one", "two"):
        (mine_command.folder / folder).mkdir()
        (mine_command.folder / folder / "a.txt").touch()
    run = mine_command(*MONTH, f"--transform-script={setting}")
    failed(run, "[transform] script", *words, code=WRONG_VALUE)
    assert database.holds_nothing()
    assert not (mine_command.folder / "data").exists()


def test_a_python_file_in_another_encoding_is_told_in_one_line(mine: Mine) -> None:
    file = mine.script("")
    file.write_bytes("# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1") + COPY.encode())
    try:
        scripts.configured()
    except TaxiError as error:
        assert str(file) in str(error)  # noqa: PT017  (it may be read as well)
    else:
        assert len(mine.made()) == 3


def test_a_long_command_is_a_command(mine: Mine) -> None:
    comment = "# " + "x" * 300
    mine.set("transform", "script", f'sh -c "cp $TAXI_FILE out.parquet {comment}"')
    assert len(mine.made()) == 3


@pytest.mark.parametrize(
    ("runs", "code"),
    [
        ("instead", "open(os.environ['TAXI_FILE'], 'ab').write(b'x')"),
        ("instead", "open(os.environ['TAXI_FILE'], 'r+b').write(b'x')"),
        ("instead", "open(os.environ['TAXI_FILE'], 'w'); raise SystemExit(3)"),
        ("instead", "os.remove(os.path.realpath(os.environ['TAXI_FILE']))"),
        ("after", "open(os.environ['TAXI_FILE'], 'r+b').write(b'x')"),
        ("after", "os.remove(os.path.realpath(os.environ['TAXI_FILE']))"),
    ],
)
def test_a_script_that_writes_to_its_input_is_refused(mine: Mine, runs: str, code: str) -> None:
    file = mine.script(COPY + code, runs=runs)
    with pytest.raises(TaxiError) as refused:
        mine.run()
    told = str(refused.value)
    name = f"{NAME}.parquet" if runs == "instead" else "trips.parquet"
    assert told.startswith(f"{file} wrote to {name}")
    assert (source.read_edition(mine.files.raw) is None) == (runs == "instead")
    mine.script(COPY, runs=runs)
    assert len(mine.made()) == 3


@on_one_server
def test_what_a_script_wrote_to_is_fetched_anew(mine_command: Luigi, database: Database) -> None:
    set_script(
        mine_command, READ_PARQUET + WRITE.replace('"out.parquet"', "os.environ['TAXI_FILE']")
    )
    failed(mine_command(*MONTH), "failed", "mine.py wrote to", f"{NAME}.parquet")
    assert database.holds_nothing()
    assert files_in_work(mine_command.folder / "data") == []
    set_script(mine_command, READ_PARQUET + WRITE)
    run = succeeded(mine_command(*MONTH))
    assert "fetched" in run.output
    assert database.value("SELECT count(*) FROM green_trips") == 10
    assert files_in_work(mine_command.folder / "data") == []


def test_a_script_that_puts_another_file_in_place_of_its_input_harms_nothing(mine: Mine) -> None:
    before = mine.publish(rows_of(3)).read_bytes()
    mine.script(COPY + "os.replace('out.parquet', os.environ['TAXI_FILE'])")
    assert "made no *.parquet" in mine.failure()
    assert mine.files.raw.read_bytes() == before


# --- commands -----------------------------------------------------------------------------------

SHELL = (
    '#!/bin/sh\ncp "$TAXI_FILE" out.parquet\necho "::{\\"outputs\\": {\\"got\\": \\"$*\\"}}::"\n'
)
PYTHON = "import json, sys\n" + COPY + "print('::' + json.dumps({'outputs': {'got': "
PYTHON += "' '.join(sys.argv[1:])}}) + '::')\n"


@pytest.mark.parametrize(
    ("setting", "got"),
    [
        ("sh my.sh x", "x"),
        ("./my.sh", ""),
        ("./my.sh x", "x"),
        ("{folder}/my.sh x", "x"),
        ("{folder}/a folder/my.sh", ""),
        ("'a folder/my.sh' x", "x"),
        ("mine.py --fast 'x y'", "--fast x y"),
        ("{folder}/mine.py 1", "1"),
        ("'a folder/mine.py' 1", "1"),
        ("python mine.py 1", "1"),
        ("mine.py a\\ folder/more.txt", "more.txt"),
    ],
)
def test_a_script_may_be_any_command(
    mine: Mine, monkeypatch: pytest.MonkeyPatch, setting: str, got: str
) -> None:
    monkeypatch.chdir(mine.folder)
    for folder in ("", "a folder/"):
        mine.script(SHELL, name=f"{folder}my.sh")
        mine.script(PYTHON, name=f"{folder}mine.py")
    (mine.folder / "a folder" / "more.txt").touch()
    mine.set("transform", "script", setting.format(folder=mine.folder))
    made = mine.run()
    assert made.outputs == {"got": got}
    assert made.rows_written == 3


def test_the_files_that_a_command_names_are_beside_it(
    mine: Mine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.folder)
    mine.script("fee = 2\n", name="part.py")
    mine.script("3", name="sub/extra.txt")
    code = f"{READ_PARQUET}import part\nextra = float(open(sys.argv[2]).read())\n"
    mine.script(f"{code}for row in rows: row.update(extra=extra, mta_tax=part.fee)\n{WRITE}")
    mine.set("transform", "script", "mine.py part.py sub/extra.txt")
    assert {(row["extra"], row["mta_tax"]) for row in mine.made()} == {(3.0, 2.0)}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("no-such-command x", "can't be started"),
        ("/no/such/command", "can't be started"),
        ("''", "can't be started"),
    ],
)
def test_a_command_that_is_not_there_is_named(mine: Mine, setting: str, words: str) -> None:
    mine.set("transform", "script", setting)
    told = mine.failure()
    assert told.startswith(f"{shlex.split(setting)[0]}: ")
    assert words in told


def test_the_published_file_may_not_be_called_as_the_script(mine: Mine) -> None:
    file = mine.publish(rows_of(1), "json")
    mine.script(COPY)
    mine.set("source", "url", f"file://{file.rename(file.with_name('mine.py'))}")
    assert "the month's file is called mine.py, too" in mine.failure()


def test_an_unnamed_url_has_a_file_all_the_same(mine: Mine) -> None:
    file = mine.publish(rows_of(1))
    mine.set("source", "url", f"file://{file.rename(file.with_name('.trips'))}")
    mine.script(
        "import json\n" + COPY + "print('::' + json.dumps({'outputs': dict(os.environ)}) + '::')"
    )
    assert mine.run().outputs["TAXI_FILE"] == "published"


def test_a_script_sees_no_secret(mine: Mine, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "LUIGI_TASKS_REGISTRY_PASSWORD")
    for name in secrets:
        monkeypatch.setenv(name, "hush")
    mine.set("runner", "environment", '{"OPEN": "sesame"}')
    mine.script(
        "import json\n" + COPY + "print('::' + json.dumps({'outputs': dict(os.environ)}) + '::')"
    )
    seen = mine.run().outputs
    assert "hush" not in seen.values()
    assert seen["OPEN"] == "sesame"
    assert seen["PATH"] == os.environ["PATH"]


# --- values -------------------------------------------------------------------------------------


@on_one_server
def test_what_a_script_reports_reaches_ledger_log_and_status(
    in_process: Chain, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface")
    counter = {"name": "seen", "type": "counter", "value": 2}
    in_process.mine.script(
        "import json\n"
        + COPY
        + report(outputs={"a": 1, "b": "x"}, metrics=[counter])
        + report(outputs={"b": ["y"]}, metrics=[counter])
    )
    messages: list[str] = []
    task = in_process.task(TaxiTransform)
    monkeypatch.setattr(task, "set_status_message", messages.append)  # as a worker does
    in_process.run()
    told = "read 3 rows, rejected 0; a: 1; b: ['y']; seen: 4"
    assert messages == [told]
    assert f"green 2024-01: {told}" in caplog.messages
    assert in_process.ledger("outputs") == {"a": 1, "b": ["y"]}
    assert in_process.ledger("metrics") == [{**counter, "value": 4, "tags": {}}]
    types = "SELECT jsonb_typeof(outputs), jsonb_typeof(metrics) FROM load_history"
    assert in_process.database.query(types) == [("object", "array")]


@on_one_server
def test_odd_values_cannot_break_a_load(in_process: Chain) -> None:
    odd = [
        r'{"outputs": {"nan": NaN, "inf": [-Infinity, 1e400], "nul\u0000": "a\u0000b"}}',
        r'{"outputs": {"half": "\ud800x", "\udc00": 1, "quote": "\"\\ ; % %s {{ x }} \u007f"}}',
        r'{"outputs": {"deep": [{"a": [{"b": [null, true]}]}], "": "", "big": 123456789e300}}',
        r'{"outputs": {"long": "%s"}}' % ("é" * 20_000),
        r'{"outputs": {"number": %s}}' % ("9" * 3_000),
        r'{"metrics": [{"name": "\u0000\ud800", "type": "gauge", "value": 1, "tags": {"x": NaN}}]}',
        r'{"metrics": [{"name": "n", "type": "counter", "value": 1e400}]}',
        r'{"metrics": [{"name": "n", "type": "counter", "value": %s}]}' % ("9" * 400),
        r'{"metrics": [{"name": 1}, 7, null], "outputs": [1], "logs": {"a": 1}, "more": 1}',
        r'{"outputs": {"cut": ',
        '{"outputs": ' + '{"a":' * 100_000 + "}" * 100_000,
    ]
    print_all = f"for text in {odd!r}: print('::' + text + '::')\n"
    in_process.mine.script(COPY + print_all)
    assert in_process.run()[-1] == "TaxiMerge"
    outputs = in_process.ledger("outputs")
    assert float(outputs.pop("big")) == 123456789e300  # jsonb writes all of its digits
    assert outputs.pop("long") == "é" * 20_000
    assert outputs.pop("number") == int("9" * 3_000)
    assert outputs == {
        "nan": "nan",
        "inf": ["-inf", "inf"],
        "nul\ufffd": "a\ufffdb",
        "half": "?x",
        "?": 1,
        "quote": '"\\ ; % %s {{ x }} \x7f',
        "deep": [{"a": [{"b": [None, True]}]}],
        "": "",
    }
    assert in_process.ledger("metrics") == [
        {"name": "\ufffd?", "type": "gauge", "value": 1, "tags": {"x": "nan"}}
    ]
    assert in_process.run() == []


@on_one_server
@pytest.mark.parametrize("depth", [50, 450, 800])
def test_deep_values_cannot_break_a_load(in_process: Chain, depth: int) -> None:
    deep = f"'::{{\"outputs\": {{\"deep\": ' + '[' * {depth} + ']' * {depth} + '}}}}::'"
    in_process.mine.script(f"{COPY}print({deep})")
    assert in_process.run()[-1] == "TaxiMerge"
    assert in_process.run() == []


@on_one_server
def test_a_value_of_several_lines_is_one_line_of_the_log(
    in_process: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface")
    value = {"a": "x\nERROR: all is lost\x1b[2J", "b\nINFO: c": 1}
    in_process.mine.script("import json\n" + COPY + report(outputs=value))
    in_process.run(TaxiTransform)
    [told] = [message for message in caplog.messages if "read 3 rows" in message]
    assert "all is lost" in told
    assert [character for character in told if not character.isprintable()] == []
    load = in_process.mine.files.read_load()
    assert load
    assert load.outputs == value


def test_what_a_script_says_is_logged_at_its_level(
    mine: Mine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "luigi-interface.runner")
    levels = ["TRACE", "DEBUG", "INFO", "WARN", "warning", "ERROR", "CRITICAL"]
    said = [{"level": level, "message": f"{level} one"} for level in levels]
    more = "print('plain'); print('to stderr', file=sys.stderr)\n"
    mine.script(f"import json, sys\n{COPY}{report(logs=said)}{more}")
    mine.run()
    logged = {r.getMessage(): r.levelname for r in caplog.records if r.name.endswith("runner")}
    assert logged == {
        "green 2024-01: TRACE one": "DEBUG",
        "green 2024-01: DEBUG one": "DEBUG",
        "green 2024-01: INFO one": "INFO",
        "green 2024-01: WARN one": "WARNING",
        "green 2024-01: warning one": "WARNING",
        "green 2024-01: ERROR one": "ERROR",
        "green 2024-01: CRITICAL one": "CRITICAL",
        "green 2024-01: plain": "INFO",
        "green 2024-01: to stderr": "INFO",
    }


def test_a_script_made_with_the_kestra_package_runs_unchanged(mine: Mine) -> None:
    kestra = (
        "from kestra import Kestra\nKestra.outputs({'a': 1})\nKestra.counter('n', 2, {'x': 'y'})\n"
    )
    mine.script(kestra + COPY)
    made = mine.run()
    assert made.outputs == {"a": 1}
    assert made.metrics == [{"name": "n", "type": "counter", "value": 2, "tags": {"x": "y"}}]


LATER = """
import json
import luigi
from luigi.util import requires
from luigi_tasks import TaxiMerge, TaxiStageLoad, TaxiTransform


class Later(luigi.Task):
    to = luigi.Parameter()

    def output(self):
        return luigi.LocalTarget(self.to)

    def run(self):
        with self.output().open("w") as file:
            json.dump(self.input().outputs(), file)


@requires(TaxiTransform)
class AfterTransform(Later):
    pass


@requires(TaxiStageLoad)
class AfterStageLoad(Later):
    pass


@requires(TaxiMerge)
class AfterMerge(Later):
    pass
"""


@on_one_server
def test_later_tasks_read_what_the_script_reported(mine_command: Luigi) -> None:
    (mine_command.folder / "later.py").write_text(LATER)
    paths = [str(mine_command.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    mine_command.environment["PYTHONPATH"] = os.pathsep.join(paths)
    set_script(mine_command, "import json\n" + COPY + report(outputs={"a": [1, "é"]}))
    for name in ("AfterTransform", "AfterStageLoad", "AfterMerge"):
        arguments = mine_command.command(name, "--to", f"{name}.json", *MONTH[1:])
        arguments[arguments.index("luigi_tasks")] = "later"
        done = subprocess.run(
            arguments,
            cwd=mine_command.folder,
            env={**os.environ, **mine_command.environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        succeeded(Run(done.returncode, done.stdout + done.stderr))
        told = json.loads((mine_command.folder / f"{name}.json").read_text())
        assert told == {"a": [1, "é"]}


@on_one_server
def test_every_target_has_the_outputs_of_a_merged_month(in_process: Chain) -> None:
    targets = [in_process.task(kind).output() for kind in (TaxiTransform, TaxiStageLoad, TaxiMerge)]
    assert [target.outputs() for target in targets] == [{}, {}, {}]
    in_process.mine.script("import json\n" + COPY + report(outputs={"a": 1}))
    in_process.run(TaxiStageLoad)
    assert [target.outputs() for target in targets] == [{"a": 1}, {"a": 1}, {}]
    in_process.run()
    assert targets[-1].outputs() == {"a": 1}
    # the merge stands for what it cleaned up
    assert [target.outputs() for target in targets] == [{"a": 1}] * 3


# --- another script -----------------------------------------------------------------------------


def corrected(fare: int) -> str:
    """A script that knows the published names, and the catalog's."""
    return f"{READ_PARQUET}for row in rows: row['fare_amount'] = {fare}\n{WRITE}"


@on_one_server
def test_another_script_transforms_an_unmerged_month_again(in_process: Chain) -> None:
    mine, again = in_process.mine, ["TaxiTransform", "TaxiStageLoad"]
    fares = "SELECT DISTINCT fare_amount FROM green_trips_staging_2024_01"

    mine.script(corrected(1))
    assert in_process.run(TaxiStageLoad) == ["TaxiDownload", *again]
    assert in_process.run(TaxiStageLoad) == []
    assert in_process.database.query(fares) == [(1,)]

    mine.script(corrected(2))
    assert not in_process.task(TaxiTransform).complete()
    assert not in_process.task(TaxiStageLoad).complete()
    again = ["TaxiDownload", *again]  # its published file has gone
    assert in_process.run(TaxiStageLoad) == again
    assert in_process.run(TaxiStageLoad) == []
    assert in_process.database.query(fares) == [(2,)]

    mine.set("cleanup", "enabled", "false")
    mine.set("transform", "script_runs", "after")
    assert in_process.run(TaxiStageLoad) == again
    assert in_process.run(TaxiStageLoad) == []

    mine.set("transform", "script", "")
    again = ["TaxiTransform", "TaxiStageLoad"]
    assert in_process.run(TaxiStageLoad) == again
    assert in_process.run(TaxiStageLoad) == []
    assert len(in_process.database.query(fares)) == 3

    assert in_process.run() == ["TaxiMerge"]
    assert in_process.database.ledger("script", "outputs", "metrics") == [(None, {}, [])]


@on_one_server
def test_a_merged_month_stays_as_it_is_whatever_script_is_set(in_process: Chain) -> None:
    mine = in_process.mine
    mine.script(corrected(1))
    in_process.run()
    before = in_process.database.contents()
    for code, runs in ((corrected(2), "instead"), (corrected(2), "after"), ("", "instead")):
        mine.script(code, runs=runs)
        if not code:
            mine.set("transform", "script", "")
        for kind in (TaxiDownload, TaxiTransform, TaxiStageLoad, TaxiMerge):
            assert in_process.task(kind).complete()
    assert in_process.database.contents() == before
    assert files_in_work(mine.folder / "data") == []


@pytest.mark.parametrize(
    "setting",
    ["mine.py", "{folder}/mine.py", "./my.sh", "sh my.sh", "{folder}/my.sh", "mine.py more.txt"],
)
def test_a_script_is_another_one_with_each_change_of_its_files(
    mine: Mine, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.chdir(mine.folder)
    contents = {"mine.py": COPY, "my.sh": SHELL, "more.txt": "more"}
    identities = []
    for name in (None, *contents):
        for each, content in contents.items():
            mine.script(content + "\n# another\n" * (each == name), name=each)
        mine.set("transform", "script", setting.format(folder=mine.folder))
        assert scripts.identity() == scripts.identity()
        identities.append(scripts.identity())
    assert len(set(identities)) == 1 + sum(name in setting for name in contents)


@on_one_server
def test_a_script_that_changes_while_it_runs_is_run_again(in_process: Chain) -> None:
    """What is kept was made by the script as it was, so it isn't the present one's work."""
    mine = in_process.mine
    file = mine.script(corrected(1))
    mine.set("runner", "environment", json.dumps({"ORIGINAL": str(file)}))
    file.write_text(corrected(1) + f"open(os.environ['ORIGINAL'], 'w').write({corrected(2)!r})\n")
    in_process.task(TaxiDownload).run()
    in_process.task(TaxiTransform).run()
    assert not in_process.task(TaxiTransform).complete()
    in_process.run(TaxiStageLoad)
    fares = "SELECT DISTINCT fare_amount FROM green_trips_staging_2024_01"
    assert in_process.database.query(fares) == [(2,)]


# --- an older ledger ----------------------------------------------------------------------------

NEW_COLUMNS = ("script", "outputs", "metrics")


@pytest.fixture
def older(months: Months) -> Months:
    """A warehouse of an earlier version, with January in it."""
    months.load(trips(3))
    drop = ", ".join(f"DROP COLUMN {name}" for name in NEW_COLUMNS)
    months.database.query(f"ALTER TABLE load_history {drop}")
    months.database.query("DROP TABLE warehouse_version")
    return months


def test_an_older_ledger_gets_the_new_columns_and_keeps_its_rows(older: Months) -> None:
    before = older.database.query("SELECT * FROM load_history")
    reported = {"script": "mine.py instead", "outputs": {"a": 1}, "metrics": [{"name": "n"}]}
    older.load(trips(2, "2024-02-10 10:00:00"), FEBRUARY, **reported)
    for _ in range(2):
        assert older.database.ledger(*NEW_COLUMNS) == [
            (None, {}, []),
            ("mine.py instead", {"a": 1}, [{"name": "n"}]),
        ]
        old = older.database.query("SELECT * FROM load_history ORDER BY load_id LIMIT 1")
        assert [row[: len(before[0])] for row in old] == before
        assert older.count() == 5
        comments = (
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'load_history'::regclass "
            "AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL"
        )
        assert older.database.value(comments) == 0
        older.stage(trips(1), FEBRUARY)  # finds nothing to upgrade


def test_the_months_of_an_older_ledger_stay_merged(older: Months) -> None:
    target = wired.merged_target("green", JANUARY)
    assert target.exists()
    assert target.outputs() == {}


def test_a_month_of_an_older_ledger_can_be_reset(older: Months) -> None:
    assert wired.reset("green", JANUARY) == 3
    assert older.count() == 0


# --- kills --------------------------------------------------------------------------------------

WAITS_ONCE = (
    "import subprocess, time\n"
    "if not os.path.exists(os.environ['PIDS']):\n"
    "    child = subprocess.Popen(['sleep', '60'])\n"
    "    open(os.environ['PIDS'] + '.new', 'w').write(f'{os.getpid()} {child.pid}')\n"
    "    os.rename(os.environ['PIDS'] + '.new', os.environ['PIDS'])\n"
    "    time.sleep(60)\n"
)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@on_one_server
def test_a_script_does_not_outlive_its_run(
    mine_command: Luigi, database: Database, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    mine_command.settings["--runner-environment"] = json.dumps({"PIDS": str(pids)})
    set_script(mine_command, COPY + WAITS_ONCE)
    process = mine_command.start(*MONTH)
    try:
        until(pids.exists)
        process.kill()
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    for pid in map(int, pids.read_text().split()):
        until(lambda pid=pid: is_gone(pid))
    assert database.holds_nothing()

    succeeded(mine_command(*MONTH))
    assert database.ledger("rows_read", "rows_inserted") == [(10, 10)]
    assert files_in_work(mine_command.folder / "data") == []
