"""Power that is lost at any moment of a month: what was synced is enough for the next run."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import luigi
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wired
from conftest import Published, files_in_work
from months import JANUARY, Months, close_sessions
from powerless import Disk

from luigi_tasks.tasks import (
    TaxiDownload,
    TaxiMerge,
    TaxiMonth,
    TaxiReset,
    TaxiStageLoad,
    TaxiTransform,
)
from luigi_tasks.warehouse import session
from luigi_tasks.warehouse.embedded import cluster

pytestmark = pytest.mark.slow

#: At how many moments of each way to load it.
TRIES = int(os.environ.get("LUIGI_TASKS_POWER_LOSSES", "4"))
CHAINS: dict[type[luigi.Task], list[type[luigi.Task]]] = {
    TaxiMerge: [TaxiDownload, TaxiTransform, TaxiStageLoad, TaxiMerge],
    TaxiMonth: [TaxiMonth],
}
Set = Callable[[str, str, str], None]


@pytest.fixture
def with_rejects(published: Published, settings: Set) -> Published:
    """A month three of whose rows can't be read."""
    file = published.write("green", "2024-01", rows=400)
    table = pq.read_table(file)
    amounts = ["a lot"] * 3 + [str(each) for each in table["fare_amount"][3:].to_pylist()]
    place = table.column_names.index("fare_amount")
    pq.write_table(table.set_column(place, "fare_amount", pa.array(amounts)), file)
    settings("source", "url", published.url)
    return published


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
@pytest.mark.parametrize("last", [TaxiMerge, TaxiMonth])
def test_what_is_lost_with_the_power_is_made_up_for(
    with_rejects: Published,
    months: Months,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    last: type[luigi.Task],
) -> None:
    root = tmp_path / "data"
    files = wired.files("green", JANUARY)

    def load(at: int = 0) -> Disk:
        root.mkdir(exist_ok=True)
        with Disk(root, at) as disk:
            commit = session._commit

            def committing(cursor: session.Cursor) -> None:
                disk.point()
                commit(cursor)
                disk.point()

            with monkeypatch.context() as patch:
                patch.setattr(session, "_commit", committing)
                for step in CHAINS[last]:
                    task = step(month=JANUARY, taxi_type="green")
                    if not (task.complete() or last(month=JANUARY, taxi_type="green").complete()):
                        task.run()
        close_sessions()
        return disk

    def reset() -> None:
        TaxiReset(month=JANUARY, taxi_type="green").run()
        files.rejects.unlink(missing_ok=True)

    points = load().points
    wanted, rejects = months.database.contents()["trips"], files.rejects.read_bytes()
    for number in range(TRIES):
        reset()
        # the last moment first: what is to outlast it is all there
        at = random.Random(number).randint(1, points) if number else points
        disk = load(at)
        disk.restore(random.Random(number) if number % 2 else None)
        is_merged = last(month=JANUARY, taxi_type="green").complete()
        load()
        what = f"try {number}, at point {at} of {points}"
        assert months.database.contents()["trips"] == wanted, what
        assert files.rejects.read_bytes() == rejects, what
        # of a month that is merged, files whose removal wasn't synced may be there again
        assert is_merged or files_in_work(root) == [], what


def test_a_new_cluster_has_its_name_after_a_loss_of_power(embedded_root: Path) -> None:
    folder = cluster.cluster_folder(embedded_root)
    with Disk(embedded_root) as disk:
        cluster.make(folder)
        disk.at = disk.points + 1
        disk.point()
    assert folder.name in disk._names[embedded_root.stat().st_ino]
