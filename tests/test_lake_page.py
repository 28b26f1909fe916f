"""What docs/lake.md shows is run: on a lake that its own command has written."""

import json
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sparks
from conftest import PYTHON, Luigi, Published, Server, lasting_database
from test_docs import Block, blocks_of, commands_of, read, run_documented

from luigi_tasks.storage.part import GROUP_ROWS

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("server", ["embedded"], indirect=True)]

MONTHS = ("2024-01", "2024-02", "2024-03")


def block(language: str, part: str) -> Block:
    [found] = [each for each in blocks_of("docs/lake.md", language) if part in each.text]
    return found


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with the lake of the page, and the settings of its warehouse."""
    folder = tmp_path_factory.mktemp("lake-page")
    published = Published(folder / "published")
    for month in MONTHS:
        published.write("green", month, rows=50, strays=3, seed=int(month[-1]))
    with lasting_database(server, "lake_page") as database:
        [command] = commands_of(["docs/lake.md"], ".venv/bin/luigi")
        luigi = Luigi(folder, {"--warehouse-url": database.url})
        run = run_documented(str(command.values[0]), luigi, published.folder)
        assert run.code == 0, run.output
        (folder / "luigi.cfg").write_text(f"[warehouse]\nurl = {database.url}\n")
        yield folder


def ask(folder: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What DuckDB answers to a statement of the page."""
    monkeypatch.chdir(folder)
    with duckdb.connect() as session:
        return list(session.sql(block("sql", part).text).fetchall())


def printed(folder: Path, part: str) -> str:
    words = [PYTHON, "-c", block("python", part).text]
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def records_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("lake/trips/*/*/_load-*.json"))
    return [json.loads(path.read_text()) for path in paths]


def test_duckdb_reads_the_trips(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ask(folder, "revenue", monkeypatch)
    assert [row[:3] for row in rows] == [("green", month, 50) for month in MONTHS]
    contents = ask(folder, "read_json", monkeypatch)
    assert [row[1:4] for row in contents] == [(m, n, 50) for n, m in enumerate(MONTHS, 1)]


def test_the_sums_of_the_page_are_those_of_the_records(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [("green", each["month"], 50, each["fingerprints"]) for each in records_of(folder)]
    assert ask(folder, "fingerprints", monkeypatch) == known
    assert printed(folder, "sum_fingerprints").split() == ["50", known[0][3]]


def test_pandas_reads_the_trips(folder: Path) -> None:
    output = printed(folder, "pandas")
    assert [month for month in MONTHS if month in output] == list(MONTHS[1:])


def test_spark_reads_the_trips(folder: Path) -> None:
    sparks.require()
    output = printed(folder, "pyspark")
    for month in MONTHS:
        assert (f"|    green|{month}|   50|" in output) == (month != MONTHS[0])


def test_what_the_page_says_of_a_lake_holds(folder: Path) -> None:
    tree = block("text", "part.parquet").text
    [record] = (folder / "lake/trips/taxi_type=green/month=2024-01").glob("_load-1-*.json")
    for name in ("trips/", "taxi_type=green/", "month=2024-01/", "part.parquet"):
        assert name in tree
    assert record.name.count(".") == "_load-17-0a1b2c3d.1234567.json".count(".")
    assert date.fromisoformat(records_of(folder)[0]["written_at"][:10]) > date(2024, 1, 1)
    assert f"row groups of {GROUP_ROWS:,} rows" in read("docs/lake.md")
