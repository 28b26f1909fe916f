"""A backup of a warehouse, and what is restored from it."""

import subprocess
from pathlib import Path

import pytest
from conftest import PYTHON, Database, Luigi, Published

from luigi_tasks.warehouse import embedded

pytestmark = [
    pytest.mark.empty_database,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]


def test_a_warehouse_that_was_restored_is_complete(
    merged: Database, database: Database, three_months: Published, tmp_path: Path
) -> None:
    dump = tmp_path / "taxis.dump"
    words = ["pg_dump", "--warehouse-url", merged.url, "--format", "custom", "--file", str(dump)]
    command = [PYTHON, "-m", "luigi_tasks", *words]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    restore = [embedded.binary("pg_restore"), "--dbname", database.url, "--no-owner", dump]
    subprocess.run(restore, check=True)
    assert database.contents() == merged.contents()

    luigi = Luigi(tmp_path, {"--warehouse-url": database.url, "--source-url": three_months.url})
    again = luigi.merge_range("green", "2024-01", "2024-04")
    assert again.code == 0, again.output
    assert database.contents() == merged.contents()
