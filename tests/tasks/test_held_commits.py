"""A merge's COMMIT that is under way for a while and gets no answer, while the next run waits."""

import os
import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Database, Luigi, Published, Run, Server, lasting_database
from lossy import LossyServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]

#: How many COMMITs, for how many seconds at most each, and how many at once.
TRIES = int(os.environ.get("LUIGI_TASKS_HELD_COMMITS", "4"))
LONGEST = 30 if TRIES > 4 else 1
AT_ONCE = 8
#: What becomes of the COMMIT: ``LossyServer`` says what the words mean.
HOW = ("", "held", "unanswered", "dropped")
TASK = ("TaxiMerge", "--month=2024-01", "--taxi-type=green")
COMMITTED = "green 2024-01: the warehouse had committed it after all"
ROLLED_BACK = "green 2024-01: the warehouse had rolled it back; doing it again"
BY_ANOTHER = "green 2024-01: another run has done it meanwhile"


@pytest.fixture
def undisturbed_month(
    server: Server, prepared_template: str, three_months: Published, tmp_path: Path
) -> Iterator[Database]:
    with lasting_database(server, "one_month", prepared_template) as database:
        settings = {"--warehouse-url": database.url, "--source-url": three_months.url}
        run = Luigi(tmp_path, settings)(*TASK)
        assert run.code == 0, run.output
        yield database


def test_a_commit_in_flight_loses_and_doubles_nothing(
    server: Server,
    prepared_template: str,
    three_months: Published,
    undisturbed_month: Database,
    tmp_path: Path,
) -> None:
    wanted = undisturbed_month.contents()

    def lose(number: int) -> list[str]:
        """Lose a COMMIT; what is wrong afterwards."""
        how = HOW[number % len(HOW)]
        delay = random.Random(number).uniform(0, LONGEST)
        folder = tmp_path / str(number)
        folder.mkdir()
        with (
            lasting_database(server, f"held_{number}", prepared_template) as database,
            tempfile.TemporaryDirectory(prefix="pg-") as socket,
        ):
            runs = disturbed(database, Path(socket), folder, how, delay)
            faults = [
                *[f"exit code {run.code}" for run in runs if run.code],
                *["a traceback" for run in runs if "Traceback" in run.output],
                *["it isn't said what happened" for said in [told(how, *runs)] if not said],
                *[f"{part} differ" for part in differing(database, wanted)],
                *["a lock is held" for locks in [held_locks(database)] if locks],
                *[f"an attempt is {state}" for state in unfinished(database)],
            ]
        what = f"{number}: {how or 'cut'} for {delay:.1f} s"
        outputs = [f"{what}: {each.output}" for each in runs] if faults else []
        return [*(f"{what}: {fault}" for fault in faults), *outputs]

    def disturbed(
        database: Database, socket: Path, folder: Path, how: str, delay: float
    ) -> tuple[Run, Run]:
        """The run whose COMMIT is lost, and the next one, which begins while it is under way."""
        to_server = {"--source-url": three_months.url, "--warehouse-url": database.url}
        name = database.url.partition("?")[0]
        to_proxy = {**to_server, "--warehouse-url": f"{name}?host={socket}"}
        # of the COMMITs after the ledger has its row, the first
        losing = {
            "lose": 1,
            "delay": delay,
            "how": how,
            "after": b"RETURNING load_id",
        }
        with (
            LossyServer(socket, server.socket, **losing) as proxy,  # type: ignore[arg-type]
            ThreadPoolExecutor(2) as pool,
        ):
            first = pool.submit(Luigi(folder, to_proxy), *TASK)
            assert proxy.has_come.wait(120), "no COMMIT has come"
            following = pool.submit(Luigi(folder, to_server), *TASK)
            return first.result(), following.result()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        faults = [fault for each in pool.map(lose, range(TRIES)) for fault in each]
    assert not faults, "\n".join(faults)


def told(how: str, first: Run, following: Run) -> bool:
    """Whether the run whose COMMIT was lost says what became of it, and the next one nothing."""
    one_of = (ROLLED_BACK, BY_ANOTHER) if how == "dropped" else (COMMITTED,)
    messages = (COMMITTED, ROLLED_BACK, BY_ANOTHER)
    said = [message for message in messages if message in first.output]
    return (
        len(said) == 1
        and said[0] in one_of
        and "before it answered a COMMIT" in first.output
        and not any(message in following.output for message in messages)
    )


def differing(database: Database, wanted: dict[str, object]) -> list[str]:
    return [part for part, found in database.contents().items() if found != wanted[part]]


def held_locks(database: Database) -> int:
    held = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return int(database.value(held))


def unfinished(database: Database) -> list[str]:
    states = "SELECT state FROM load_attempts WHERE state NOT IN ('succeeded', 'cancelled')"
    return [state for (state,) in database.query(states)]
