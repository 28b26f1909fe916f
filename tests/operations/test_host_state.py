"""The file of a host's state: it needs no space when the disk is full, and survives a crash."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import skip

from luigi_tasks.operations import alarms, delivery, host_state
from luigi_tasks.operations.delivery import Receiver
from luigi_tasks.operations.host_state import FILE, HALF, opened
from luigi_tasks.operations.outcome import Outcome


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    for number in range(5):
        with opened(tmp_path / "data", 1) as state:
            assert state.values == ({"number": number - 1} if number else {})
            state.values["number"] = number
            state.save()
    assert (tmp_path / "data" / FILE).stat().st_size == 2 * HALF


@pytest.mark.parametrize("cut", [0, 1, 100, 5000])
def test_a_crash_while_it_is_written_leaves_what_was_before(tmp_path: Path, cut: int) -> None:
    for value in ("before", "now"):
        with opened(tmp_path, 1) as state:
            state.values["value"] = value * 1000
            state.save()
    whole = (tmp_path / FILE).read_bytes()
    half = 0 if b"now" in whole[:HALF] else HALF
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(half + cut)
        file.write(b"#" * 50)
    with opened(tmp_path, 1) as state:
        assert state.values["value"] == "before" * 1000


def test_what_is_no_state_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"{}" * HALF)
    with opened(tmp_path, 1) as state:
        assert state.values == {}


def test_another_run_waits(tmp_path: Path) -> None:
    def add() -> None:
        for _ in range(20):
            with opened(tmp_path, 30) as state:
                state.values["sum"] = state.values.get("sum", 0) + 1
                state.save()

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened(tmp_path, 1) as state:
        assert state.values["sum"] == 40
        with pytest.raises(TimeoutError), opened(tmp_path, 0.2):
            pass


def test_more_than_half_the_file_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as state:
        state.values["value"] = "short"
        state.save()
        state.values["value"] = "x" * HALF
        with pytest.raises(ValueError, match="more than"):
            state.save()
    with opened(tmp_path, 1) as state:
        assert state.values["value"] == "short"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_can_be_written_to(small_disk: Path) -> None:
    host_state.prepare(small_disk)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "rest").write_bytes(b"x" * 2_000_000)
    with opened(small_disk, 1) as state:
        state.values["states"] = {"here": "failed"}
        state.save()
    with opened(small_disk, 1) as state:
        assert state.values == {"states": {"here": "failed"}}


def test_a_run_on_a_full_disk_is_heard_of_once_and_so_is_the_first_good_one(
    small_disk: Path,
    settings: Callable[[str, str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[str] = []
    receiver = Receiver("0" * 16, "one", lambda message: heard.append(message.title))
    monkeypatch.setattr(delivery, "receivers", lambda: [receiver])
    settings("storage", "root", str(small_disk))
    alarms.prepare()
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "rest").write_bytes(b"x" * 2_000_000)
    full = Outcome("TaxiDue", host="here", state="failed", error="No space left on device")
    for outcome in (full, full, full, Outcome("TaxiDue", host="here", state="succeeded")):
        alarms.report(None, outcome)
    assert heard == ["runs on here fail", "runs on here work again"]


def test_a_disk_that_was_full_before_is_an_error(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "rest").write_bytes(b"x" * 2_000_000)
    with pytest.raises(OSError, match=r"[Nn]o space"):
        host_state.prepare(small_disk)
