"""What changes on the disk between two steps, or failed, is made anew, and never loaded."""

import random
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import luigi
import pyarrow.parquet as pq
import pytest
import wired
from conftest import Published, files_in_work
from mirror import Mirror, Status
from months import JANUARY, Months

from luigi_tasks import formats, network, source, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.storage import MonthFiles
from luigi_tasks.tasks import (
    TaxiDownload,
    TaxiMerge,
    TaxiReset,
    TaxiStageLoad,
    TaxiTransform,
)
from luigi_tasks.tasks.transform_job import Transformed, TransformJob
from luigi_tasks.transform import transform

pytestmark = pytest.mark.slow

Set = Callable[[str, str, str], None]
CHAIN: list[type[luigi.Task]] = [TaxiDownload, TaxiTransform, TaxiStageLoad, TaxiMerge]
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def run(last: type[luigi.Task]) -> list[str]:
    """Run whatever isn't complete of green 2024-01, as Luigi does; the names of what ran."""
    task: Any = last(month=JANUARY, taxi_type="green")
    if task.complete():
        return []
    before = chain.from_iterable(map(run, CHAIN[: CHAIN.index(last)][-1:]))
    names = [*before, last.__name__]
    task.run()
    assert task.complete()
    return names


def flip(file: Path, random: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    file.write_bytes(content)


@pytest.fixture
def files(months: Months, published: Published, settings: Set) -> MonthFiles:
    """The files of a month that is published and not yet fetched."""
    published.write("green", "2024-01", rows=300)
    settings("source", "url", published.url)
    return wired.files("green", JANUARY)


@on_one_server
def test_a_flipped_bit_is_never_loaded(files: MonthFiles, months: Months) -> None:
    """Neither in the files nor in their records; each is made anew in the same run."""
    run(TaxiMerge)
    loaded = months.database.contents()
    [facts] = months.database.ledger("sha256, url, rows_read, rows_staged, rows_inserted")
    seeded = random.Random(11)
    for step, file in [
        (TaxiDownload, files.raw),
        (TaxiDownload, source.edition_path(files.raw)),
        (TaxiTransform, files.raw),
        (TaxiTransform, files.trips),
        (TaxiTransform, files.trips.with_name(files.trips.name + ".load.json")),
        (TaxiStageLoad, files.trips),
    ]:
        TaxiReset(month=JANUARY, taxi_type="green").run()
        files.remove()
        run(step)
        flip(file, seeded)
        run(TaxiMerge)
        assert months.database.contents()["trips"] == loaded["trips"]
        *_, last = months.database.ledger("sha256, url, rows_read, rows_staged, rows_inserted")
        assert last == facts


@on_one_server
def test_a_damaged_file_is_told_and_made_anew_at_once(
    files: MonthFiles, caplog: pytest.LogCaptureFixture
) -> None:
    seeded = random.Random(1)
    run(TaxiDownload)
    flip(files.raw, seeded)
    assert run(TaxiTransform) == ["TaxiTransform"]
    assert f"{files.raw} is damaged or gone; fetching it again" in caplog.text
    edition = source.read_edition(files.raw)
    assert edition is not None
    assert source.is_whole(files.raw, edition)
    flip(files.raw, seeded)
    flip(files.trips, seeded)
    caplog.clear()
    assert run(TaxiStageLoad) == ["TaxiStageLoad"]
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        f"green 2024-01: {files.trips} is damaged or gone; transforming it again",
        f"green 2024-01: {files.raw} is damaged or gone; fetching it again",
    ]


@on_one_server
def test_a_damaged_file_that_is_not_published_any_more_is_one_line(
    files: MonthFiles, published: Published
) -> None:
    run(TaxiDownload)
    flip(files.raw, random.Random(1))
    (published.folder / files.raw.name).rename(published.folder / "gone")
    for _ in range(2):
        with pytest.raises(TaxiError, match="not published there"):
            run(TaxiTransform)
    (published.folder / "gone").rename(published.folder / files.raw.name)
    assert run(TaxiMerge)[-1] == "TaxiMerge"


@on_one_server
def test_a_file_that_changes_while_it_is_transformed_fails(
    files: MonthFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TransformJob._run

    def changing(self: TransformJob, edition: source.Edition) -> Transformed:
        made = original(self, edition)
        flip(files.raw, random.Random(1))
        return made

    with monkeypatch.context() as patched:
        patched.setattr(TransformJob, "_run", changing)
        with pytest.raises(TaxiError, match=r"changed while it was transformed; run again"):
            run(TaxiTransform)
    assert files.read_load() is None
    assert run(TaxiMerge)[-1] == "TaxiMerge"


@on_one_server
def test_a_page_that_changes_while_it_is_copied_is_one_line(
    files: MonthFiles, months: Months, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(TaxiTransform)
    offset = pq.read_metadata(files.trips).row_group(0).column(8).data_page_offset

    def spoil(self: MonthFiles) -> bool:
        content = bytearray(files.trips.read_bytes())
        content[offset + 60] ^= 1
        files.trips.write_bytes(content)
        return True

    with monkeypatch.context() as patched:
        patched.setattr(MonthFiles, "trips_are_whole", spoil)
        with pytest.raises(TaxiError, match=r"can't be read: .*CRC.*; run again") as failed:
            run(TaxiStageLoad)
    assert "\n" not in str(failed.value)
    assert months.database.query("SELECT to_regclass('green_trips_staging_2024_01')") == [(None,)]
    assert run(TaxiMerge)[-1] == "TaxiMerge"


def test_pages_that_are_written_have_checksums_and_those_that_are_read_are_verified(
    published: Published, tmp_path: Path
) -> None:
    """Whoever damages a page, the TLC too, is found where the page has a checksum."""
    from luigi_tasks.catalog import TAXI_TYPES

    raw, trips = published.write("green", "2024-01", rows=3000), tmp_path / "trips.parquet"
    rejects = tmp_path / "rejects"
    transform([raw], trips, rejects, TAXI_TYPES["green"])
    good = trips.read_bytes()
    chunks = pq.read_metadata(trips).row_group(0)
    seeded = random.Random(5)
    for number in range(chunks.num_columns):
        start = chunks.column(number).data_page_offset
        length = chunks.column(number).total_compressed_size
        if length < 200:
            continue  # hardly more than its header, which has no checksum
        content = bytearray(good)
        content[start + seeded.randrange(100, length // 2)] ^= 1
        trips.write_bytes(content)
        with formats.open_parquet(trips) as file, pytest.raises(OSError, match="page integrity"):
            list(formats.read_batches(file, 1000))
        with pytest.raises(TaxiError, match=r"trips.parquet can't be read: .*page integrity"):
            transform([trips], tmp_path / "again", rejects, TAXI_TYPES["green"])


# what failed


@pytest.fixture
def mirror(files: MonthFiles, published: Published, settings: Set) -> Iterator[Mirror]:
    with Mirror(published.folder) as running:
        settings("source", "url", running.url("{{ taxi_type }}_tripdata_{{ month }}.parquet"))
        settings("source", "retries", "0")
        yield running


FAILED = [(TaxiTransform, "false"), (TaxiStageLoad, "true"), (TaxiMerge, "false")]


def fail_to(step: type[luigi.Task], monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Run the chain to a step whose work can't be done."""
    owner, name = {
        TaxiTransform: (MonthFiles, "keep"),
        TaxiStageLoad: (warehouse, "stage"),
        TaxiMerge: (warehouse, "merge"),
    }[step]

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        with pytest.raises(type(error)):
            run(TaxiMerge)


@on_one_server
@pytest.mark.parametrize(("step", "cleanup"), FAILED)
def test_what_failed_is_fetched_anew_if_the_source_has_another_edition(
    *,
    step: type[luigi.Task],
    cleanup: str,
    files: MonthFiles,
    mirror: Mirror,
    months: Months,
    published: Published,
    settings: Set,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same edition is taken up where it failed, for it may have been the warehouse's fault."""
    settings("cleanup", "enabled", cleanup)
    for error in (TaxiError("no"), RuntimeError("a bug")):
        fail_to(step, monkeypatch, error)
        assert len(mirror.asked("GET")) == 1
        assert files.have_failed
    published.write("green", "2024-01", rows=200, seed=2)
    for _ in range(2):
        fail_to(step, monkeypatch, TaxiError("no"))
        assert len(mirror.asked("GET")) == 2
    run(TaxiMerge)
    run(TaxiMerge)
    assert len(mirror.asked("GET")) == 2
    assert months.database.ledger("rows_read, rows_inserted + rows_present") == [(200, 200)]
    assert months.count() == 200
    assert not files.have_failed
    left = files_in_work(files.raw.parents[1])
    assert (left == []) == (cleanup == "true")


@on_one_server
@pytest.mark.parametrize("gone", ["host", "file", "answer"])
def test_what_failed_is_used_if_the_source_cannot_be_asked(
    *,
    gone: str,
    files: MonthFiles,
    mirror: Mirror,
    months: Months,
    published: Published,
    settings: Set,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network, "_unreachable", {})
    fail_to(TaxiStageLoad, monkeypatch, TaxiError("no"))
    published.write("green", "2024-01", rows=200, seed=2)
    if gone == "file":
        (published.folder / files.raw.name).unlink()
    elif gone == "answer":
        mirror.faults = [Status(500, method="HEAD")] * 20
    else:
        mirror.__exit__()
    try:
        run(TaxiMerge)
    finally:
        if gone == "host":
            monkeypatch.setattr(Mirror, "__exit__", lambda *_: None)
    assert months.count() == 300


@on_one_server
def test_a_month_that_never_failed_asks_for_no_edition(
    files: MonthFiles, mirror: Mirror, months: Months
) -> None:
    for step in CHAIN:
        run(step)
    assert len(mirror.requests) == 2
    assert months.count() == 300


@on_one_server
@pytest.mark.parametrize(("step", "cleanup"), FAILED)
def test_a_reset_removes_what_a_failed_month_left(
    *,
    step: type[luigi.Task],
    cleanup: str,
    files: MonthFiles,
    months: Months,
    settings: Set,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings("cleanup", "enabled", cleanup)
    reset = TaxiReset(month=JANUARY, taxi_type="green")
    fail_to(step, monkeypatch, TaxiError("no"))
    assert not reset.complete()
    for _ in range(2):
        reset.run()
        assert reset.complete()
        assert files_in_work(files.raw.parents[1]) == []
    assert run(TaxiMerge) == [each.__name__ for each in CHAIN]
    assert months.count() == 300


@on_one_server
def test_a_reset_removes_half_a_download_and_keeps_what_is_to_be_kept(
    files: MonthFiles, months: Months, settings: Set
) -> None:
    reset = TaxiReset(month=JANUARY, taxi_type="green")
    files.raw.parent.mkdir(parents=True)
    part = files.raw.with_name(f"{files.raw.name}.part")
    part.touch()
    assert not reset.complete()
    reset.run()
    assert reset.complete()
    assert not part.exists()
    settings("cleanup", "enabled", "false")
    run(TaxiMerge)
    reset.run()
    assert reset.complete()
    assert files.raw.exists()
    assert files.trips.exists()
