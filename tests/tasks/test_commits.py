"""COMMITs whose answer is lost: the next look at the warehouse says what happened."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, Luigi, Undisturbed
from lossy import LossyServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.empty_database,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]

#: How many are tried, over all COMMITs of three months in turn.
TRIES = int(os.environ.get("LUIGI_TASKS_LOST_COMMITS", "6"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """For a socket, whose path is short."""
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        yield Path(folder)


def contents(database: Database) -> dict[str, Any]:
    return {key: value for key, value in database.contents().items() if key != "relations"}


def merge(command: Luigi, proxy: LossyServer) -> str:
    database = command.settings["--warehouse-url"].partition("?")[0]
    lossy = Luigi(command.folder, command.settings | {})
    lossy.settings["--warehouse-url"] = f"{database}?host={proxy.folder}"
    run = lossy.merge_range("green", "2024-01", "2024-04")
    assert run.code == 0, run.output
    assert "Traceback" not in run.output, run.output
    return run.output


@pytest.mark.parametrize("number", range(TRIES))
def test_a_commit_whose_answer_is_lost_fails_no_run(
    command: Luigi, database: Database, undisturbed: Undisturbed, folder: Path, number: int
) -> None:
    # each of a run's COMMITs in turn; of some the server hears only after a while
    lose, delay = 1 + number * 3 % 16, 0.7 * (number % 3)
    server = Path(database.url.partition("host=")[2])
    with LossyServer(folder, server, lose=lose, delay=delay) as proxy:
        output = merge(command, proxy)
        assert proxy.commits >= lose
    assert lose <= 2 or "trying again in" in output
    assert contents(database) == contents(undisturbed.database)
    left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert database.value(left) == 0
