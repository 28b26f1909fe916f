"""Files appear whole or not at all, and go when their month is merged."""

import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
import wired
from conftest import skip
from months import FEBRUARY, JANUARY, load_of

from luigi_tasks import config, storage
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.storage import MonthFiles
from luigi_tasks.warehouse import Load

Set = Callable[[str, str, str], None]


@pytest.fixture
def root(tmp_path: Path, settings: Set) -> Path:
    folder = tmp_path / "data"
    settings("storage", "root", str(folder))
    return folder


@pytest.fixture
def files(root: Path) -> MonthFiles:
    return wired.files("green", JANUARY)


def make(files: MonthFiles, load: Load, *, trips: str = "trips", rejects: str = "") -> None:
    """Keep what a transform makes."""
    with files.work_folder() as work:
        (work / files.trips.name).write_text(trips)
        if rejects:
            (work / files.rejects.name).write_text(rejects)
        files.keep(work / files.trips.name, work / files.rejects.name, load)


def all_files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


# what is kept


def test_a_kept_file_has_its_load(root: Path, files: MonthFiles) -> None:
    assert files.read_load() is None
    for rows in (3, 4):
        make(files, load_of(rows), trips="trips" * rows)
        assert wired.files("green", JANUARY).read_load() == load_of(rows)
        assert files.trips.read_text() == "trips" * rows
    assert files.trips == root.resolve() / "trips" / "green_tripdata_2024-01.parquet"
    assert wired.files("green", FEBRUARY).read_load() is None
    assert wired.files("yellow", JANUARY).read_load() is None


def test_a_file_without_its_record_is_not_read(root: Path, files: MonthFiles) -> None:
    make(files, load_of(3))
    [record] = [path for path in files.trips.parent.iterdir() if path != files.trips]
    record.unlink()
    assert files.read_load() is None


def test_a_record_without_its_file_is_not_read(files: MonthFiles) -> None:
    make(files, load_of(3))
    files.trips.unlink()
    assert files.read_load() is None


def test_a_file_of_another_size_than_its_record_says_is_not_read(files: MonthFiles) -> None:
    make(files, load_of(3))
    files.trips.write_text("trip")
    assert files.read_load() is None


def cut(text: str) -> str:
    return text[:-1]


def of_another_version(text: str) -> str:
    record = json.loads(text)
    return json.dumps({**record, "load": {**record["load"], "new_fact": 1}})


@pytest.mark.parametrize(
    "change",
    [cut, of_another_version, lambda _: "", lambda _: "[]", lambda _: "{}", lambda _: "\udcff"],
)
def test_a_record_that_cannot_be_read_is_as_none(
    files: MonthFiles, change: Callable[[str], str]
) -> None:
    make(files, load_of(3))
    [record] = files.trips.parent.glob("*.json")
    record.write_bytes(change(record.read_text()).encode(errors="surrogateescape"))
    for _ in range(2):
        assert files.read_load() is None


def test_a_file_that_could_not_be_kept_is_not_there(files: MonthFiles) -> None:
    files.trips.mkdir(parents=True)  # in its way
    for _ in range(2):
        with pytest.raises(TaxiError, match=r"^\[storage\] root: "):
            make(files, load_of(3))
        assert not files.trips.is_file()


def test_rejects_are_those_of_the_last_transform(files: MonthFiles) -> None:
    make(files, load_of(3), rejects="one\n")
    assert files.rejects.read_text() == "one\n"
    make(files, load_of(3), rejects="two\n")
    assert files.rejects.read_text() == "two\n"
    make(files, load_of(3))
    assert not files.rejects.exists()


@pytest.mark.parametrize("at", range(0, 900, 61))
def test_a_flip_in_a_record_is_found_or_changes_nothing(files: MonthFiles, at: int) -> None:
    make(files, load_of(3))
    [record] = files.trips.parent.glob("*.json")
    content = bytearray(record.read_bytes())
    content[at % len(content)] ^= 1 << at % 7
    record.write_bytes(content)
    assert files.read_load() in (None, load_of(3))


# links


@pytest.fixture
def other_disk() -> Iterator[Path]:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        skip("there is no other disk at /dev/shm")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", ["raw", "trips", "rejects", "work"])
def test_a_folder_may_be_a_link_to_another_disk(
    root: Path, files: MonthFiles, other_disk: Path, name: str
) -> None:
    root.mkdir()
    (root / name).symlink_to(other_disk)
    for rows in (3, 4):
        make(files, load_of(rows), trips="trips" * rows, rejects="one\n")
        assert files.read_load() == load_of(rows)
        assert files.trips.read_text() == "trips" * rows
        assert files.rejects.read_text() == "one\n"
        assert [each for each in all_files(root) if each.endswith(".tmp")] == []
    files.remove()
    assert (root / name).is_symlink()
    assert not files.trips.exists()


@pytest.mark.parametrize("is_linked", [False, True])
@pytest.mark.parametrize("ending", ["", ".tmp", ".load.json", ".load.json.tmp", ".jsonl"])
def test_nothing_is_written_through_a_link(
    root: Path, files: MonthFiles, other_disk: Path, ending: str, is_linked: bool
) -> None:
    theirs = root / "theirs"
    root.mkdir()
    theirs.write_text("theirs")
    if is_linked:
        (root / "trips").symlink_to(other_disk)
    link = files.trips.with_name(files.trips.name + ending)
    if ending == ".jsonl":
        link = files.rejects
    for _ in range(2):
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(theirs)
        make(files, load_of(3), rejects="one\n")
        assert theirs.read_text() == "theirs"
        assert files.read_load() == load_of(3)
        assert not files.trips.is_symlink()
    files.remove()
    assert theirs.read_text() == "theirs"


def test_links_among_the_folders_of_work_go_and_what_they_lead_to_stays(
    root: Path, files: MonthFiles
) -> None:
    theirs = root / "theirs"
    (theirs / "folder").mkdir(parents=True)
    (root / "work").mkdir()
    for target in (theirs, theirs / "nothing"):
        link = root / "work" / "green_tripdata_2024-01-link"
        link.symlink_to(target)
        files.remove()
        assert not link.is_symlink()
    assert (theirs / "folder").is_dir()


# folders of work


def test_a_work_folder_is_empty_and_ends_with_its_block(root: Path, files: MonthFiles) -> None:
    for _ in range(2):
        with files.work_folder() as work:
            assert list(work.iterdir()) == []
            (work / "half").write_text("")
        assert not work.exists()
    assert all_files(root) == []


def test_a_work_folder_ends_with_a_failure_too(files: MonthFiles) -> None:
    seen = []

    def fail() -> None:
        with files.work_folder() as work:
            seen.append(work)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not seen[0].exists()


def test_work_folders_of_killed_runs_go_and_those_of_other_months_stay(root: Path) -> None:
    left = root / "work" / "green_tripdata_2024-01-killed"
    others = [
        root / "work" / f"{name}-running"
        for name in ("green_tripdata_2024-02", "yellow_tripdata_2024-01")
    ]
    for folder in (left, *others):
        folder.mkdir(parents=True)
        (folder / "half").write_text("")
    with wired.files("green", JANUARY).work_folder() as work:
        assert list((root / "work").iterdir()).count(work) == 1
        assert not left.exists()
    assert all(folder.exists() for folder in others)


def test_a_root_that_cannot_be_written_is_one_line(tmp_path: Path, settings: Set) -> None:
    (tmp_path / "file").write_text("")
    settings("storage", "root", str(tmp_path / "file"))
    for _ in range(2):
        with (
            pytest.raises(TaxiError, match=r"^\[storage\] root: "),
            wired.files("green", JANUARY).work_folder(),
        ):
            pass


# what is removed


def test_what_a_month_needs_no_more_is_removed_and_its_rejects_stay(
    root: Path, files: MonthFiles
) -> None:
    other = wired.files("green", FEBRUARY)
    for each in (files, other):
        make(each, load_of(3), rejects="one\n")
        each.raw.parent.mkdir(exist_ok=True)
        for ending in ("", ".edition.json", ".part", ".part.json"):
            each.raw.with_name(each.raw.name + ending).write_text("")
    (root / "work" / "green_tripdata_2024-01-killed").mkdir()
    for _ in range(2):
        files.remove()
        left = all_files(root)
        assert [name for name in left if "2024-01" in name] == [
            "rejects/green_tripdata_2024-01.jsonl"
        ]
        assert len([name for name in left if "2024-02" in name]) == 7
        assert list((root / "work").iterdir()) == []


def test_a_month_without_files_is_removed_as_well(files: MonthFiles) -> None:
    files.remove()


def test_what_cannot_be_removed_is_told_and_harms_nothing(
    files: MonthFiles, caplog: pytest.LogCaptureFixture
) -> None:
    (files.raw / "in the way").mkdir(parents=True)
    with caplog.at_level(logging.WARNING, "luigi-interface.storage"):
        for _ in range(2):
            files.remove()
    assert len(caplog.records) == 2
    assert "still there" in caplog.text
    assert files.raw.name in caplog.text


# what is left over


def test_months_with_files_are_found(root: Path) -> None:
    assert storage.left_over(config.storage_root()) == set()
    make(wired.files("green", JANUARY), load_of(3))
    for name in (
        "raw/yellow_tripdata_2023-05.parquet.part",
        "work/green_tripdata_2022-12-killed/half",
        "rejects/green_tripdata_2021-01.jsonl",
        "raw/notes_tripdata.txt",
        "raw/blue_tripdata_2021-01.parquet",
        "trips/my_green_tripdata_2021-01.parquet",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    for _ in range(2):
        assert storage.left_over(config.storage_root()) == {
            Month("green", JANUARY),
            Month("yellow", date(2023, 5, 1)),
            Month("green", date(2022, 12, 1)),
        }
    for month in storage.left_over(config.storage_root()):
        MonthFiles(config.storage_root(), month).remove()
    assert storage.left_over(config.storage_root()) == set()


@pytest.mark.parametrize("month", ["2024-13", "2024-00", "0000-01", "20240-1"])
def test_a_file_of_no_month_is_left_alone(root: Path, month: str) -> None:
    (root / "raw").mkdir(parents=True)
    (root / "raw" / f"green_tripdata_{month}.parquet").write_text("")
    assert storage.left_over(config.storage_root()) == set()
