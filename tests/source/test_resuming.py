"""Transfers that break off, and unfinished files that are resumed."""

from __future__ import annotations

import hashlib
import json
import signal
import textwrap
from pathlib import Path

import pytest
from fetched import (
    CONTENT,
    MIRROR,
    NAME,
    SIZE,
    die_before_the_end,
    half_fetched,
    left_in,
    parquet,
    ranges,
    start,
)
from mirror import Cut, Header, Mirror, Replace, Stall, Status

from luigi_tasks.errors import TaxiError
from luigi_tasks.source import edition_path, fetch

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_transfer_resumes_where_it_stopped(
    reset: bool, mirror: Mirror, path: Path
) -> None:
    mirror.faults = [Cut(after=100_000, reset=reset), Cut(after=50_000, reset=reset)]
    edition = fetch(mirror.url(NAME), path)

    assert path.read_bytes() == CONTENT
    assert edition.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert ranges(mirror) == [None, "bytes=100000-", "bytes=150000-"]
    assert mirror.requests[1].headers["If-Range"] == edition.etag
    assert [request.status for request in mirror.requests] == [200, 206, 206]
    assert sum(request.sent for request in mirror.requests) == SIZE


def test_without_an_etag_the_modification_time_guards_the_resume(
    mirror: Mirror, path: Path
) -> None:
    mirror.etags = False
    mirror.faults = [Cut(after=100_000)]
    edition = fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert edition.etag is None
    assert mirror.requests[1].headers["If-Range"].endswith(" GMT")
    assert mirror.requests[1].status == 206


def test_a_weak_etag_does_not_guard_a_resume(
    mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.faults = [Header("ETag", 'W/"1"'), Header("ETag", 'W/"1"')]
    die_before_the_end(mirror.url(NAME), path, monkeypatch)
    assert fetch(mirror.url(NAME), path).etag == 'W/"1"'
    assert mirror.requests[1].headers["If-Range"].endswith(" GMT")
    assert [request.status for request in mirror.requests] == [200, 206]


def test_a_stalled_transfer_resumes(mirror: Mirror, path: Path) -> None:
    mirror.faults = [Stall(after=100_000)]
    fetch(mirror.url(NAME), path, timeout=0.3)
    assert path.read_bytes() == CONTENT
    assert ranges(mirror) == [None, "bytes=100000-"]


def test_an_answer_shorter_than_asked_for_is_continued(mirror: Mirror, path: Path) -> None:
    mirror.faults = [Cut(after=100_000), Header("Content-Length", "1000")]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert ranges(mirror) == [None, "bytes=100000-", "bytes=101000-"]


def test_a_server_without_ranges_is_asked_from_the_beginning(mirror: Mirror, path: Path) -> None:
    mirror.ranges = False
    mirror.faults = [Cut(after=100_000)]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert [request.status for request in mirror.requests] == [200, 200]


@pytest.mark.parametrize("can_resume", [True, False])
def test_a_transfer_that_brings_nothing_new_is_given_up(
    can_resume: bool, mirror: Mirror, path: Path
) -> None:
    mirror.ranges = can_resume
    stops_at = 100_000
    mirror.faults = [Cut(after=stops_at), *(Cut(after=0 if can_resume else stops_at),) * 9]
    with pytest.raises(TaxiError, match=r"broke off 3 times in a row after 100,000 bytes"):
        fetch(mirror.url(NAME), path, retries=3)
    assert len(mirror.requests) == 4
    assert not path.exists()

    mirror.faults = []
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT


def test_progress_earns_further_tries(mirror: Mirror, path: Path) -> None:
    mirror.faults = [Cut(after=20_000), Cut(after=0)] * 6
    fetch(mirror.url(NAME), path, retries=2)
    assert path.read_bytes() == CONTENT
    assert len(mirror.requests) == 13


def test_a_killed_fetch_is_resumed_by_the_next_process(month_file: Path, path: Path) -> None:
    part = path.with_name(NAME + ".part")
    with Mirror(month_file.parent, delay=0.2) as mirror:
        mirror.piece = 30_000
        script = f"""
            from pathlib import Path
            from luigi_tasks.source import fetch
            fetch({mirror.url(NAME)!r}, Path({str(path)!r}),
                  report=lambda received, total: print(received, flush=True))
        """
        fetching = start("-c", textwrap.dedent(script))
        with fetching:
            assert fetching.stdout is not None
            while int(fetching.stdout.readline()) < 60_000:
                pass
            fetching.send_signal(signal.SIGKILL)
        assert fetching.returncode == -signal.SIGKILL
        assert not path.exists()
        came = part.stat().st_size
        assert 0 < came < SIZE

        mirror.delay = 0
        fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert ranges(mirror) == [None, f"bytes={came}-"]
    assert mirror.requests[1].status == 206
    assert left_in(path.parent) == [NAME, edition_path(path).name]


def test_the_mirror_of_the_command_line_cuts_every_transfer(month_file: Path, path: Path) -> None:
    running = start(MIRROR, month_file.parent, "--cut-after", "99000")
    with running:
        try:
            assert running.stdout is not None
            base = running.stdout.readline().strip()
            fetch(base + NAME, path)
        finally:
            running.terminate()
    assert path.read_bytes() == CONTENT


def test_a_part_that_lacks_nothing_is_not_fetched_again(
    mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_before_the_end(mirror.url(NAME), path, monkeypatch)
    assert path.with_name(NAME + ".part").stat().st_size == SIZE
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert [request.sent for request in mirror.requests] == [SIZE, 1]


def test_another_edition_in_the_middle_starts_over(
    mirror: Mirror, month_file: Path, path: Path
) -> None:
    other = parquet(2)
    mirror.faults = [Cut(after=100_000), Replace(other)]
    edition = fetch(mirror.url(NAME), path)
    assert path.read_bytes() == other
    assert edition.sha256 == hashlib.sha256(other).hexdigest()
    assert edition.etag == f'"{hashlib.md5(other).hexdigest()}"'
    assert [request.status for request in mirror.requests] == [200, 200]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ETag", '"another"'),
        ("Last-Modified", "Mon, 20 Mar 2023 20:46:51 GMT"),
        ("Content-Range", f"bytes 100000-{SIZE - 1}/{SIZE + 1}"),
        ("Content-Range", f"bytes 0-{SIZE - 1}/{SIZE}"),
        ("Content-Range", None),
    ],
)
def test_a_part_is_never_continued_with_what_does_not_fit(
    name: str, value: str | None, mirror: Mirror, path: Path
) -> None:
    mirror.faults = [Cut(after=100_000), Header(name, value)]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert ranges(mirror) == [None, "bytes=100000-", None]


def test_a_range_that_is_refused_starts_over(mirror: Mirror, path: Path) -> None:
    mirror.faults = [Cut(after=100_000), Status(416)]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert ranges(mirror) == [None, "bytes=100000-", None]


def test_a_part_of_another_url_or_without_its_record_is_not_resumed(
    mirror: Mirror, path: Path
) -> None:
    part = path.with_name(NAME + ".part")
    for record in (None, {"url": mirror.url("another"), "etag": '"1"'}, "spoilt"):
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"PAR1 of something else")
        if record is not None:
            part.with_name(part.name + ".json").write_text(json.dumps(record))
        mirror.requests.clear()
        fetch(mirror.url(NAME), path)
        assert ranges(mirror) == [None]
        assert path.read_bytes() == CONTENT


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("at", [0, 70_000, -1])
def test_a_part_is_resumed_as_far_as_it_is_what_came(at: int, mirror: Mirror, path: Path) -> None:
    part = half_fetched(mirror, path)
    came = part.stat().st_size
    flip(part, at)
    edition = fetch(mirror.url(NAME), path)
    assert edition.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert path.read_bytes() == CONTENT
    [asked] = ranges(mirror)
    sound = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    assert sound <= at % came
    assert sound > 0 or at == 0


@pytest.mark.parametrize(
    "change", ["shorter", "zeros", "longer", "no log", "log cut", "log spoilt"]
)
def test_what_a_part_lost_or_gained_is_fetched(change: str, mirror: Mirror, path: Path) -> None:
    part = half_fetched(mirror, path)
    log = part.with_name(part.name + ".log")
    content, lines = part.read_bytes(), log.read_bytes()
    if change == "shorter":
        part.write_bytes(content[:-1])
    elif change == "zeros":  # as after a loss of power
        part.write_bytes(content[:50_000] + bytes(len(content) - 50_000))
    elif change == "longer":
        part.write_bytes(content + b"more")
    elif change == "no log":
        log.unlink()
    else:
        log.write_bytes(lines[:-30] + (b"" if change == "log cut" else b"\xff\0" + lines[-28:]))
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert left_in(path.parent) == [NAME, edition_path(path).name]
    assert (ranges(mirror) == [None]) == (change == "no log")


def test_a_flip_in_a_record_of_a_part_is_found(mirror: Mirror, path: Path) -> None:
    record = half_fetched(mirror, path).with_name(NAME + ".part.json")
    content = record.read_bytes()
    for at in range(0, len(content), 41):
        half_fetched(mirror, path)
        flip(record, at)
        fetch(mirror.url(NAME), path)
        assert path.read_bytes() == CONTENT
    assert len(content) > 200


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_a_part_is_resumed_by_what_else_tells_its_edition(
    name: str, mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"ETag": '"a\0b"', "Last-Modified": "Fri, 31 Dec 9999 23:59:59 -1200"}[name]
    mirror.faults = [Header(name, value)]
    die_before_the_end(mirror.url(NAME), path, monkeypatch)
    fetch(mirror.url(NAME), path)
    assert [request.status for request in mirror.requests] == [200, 206]
    assert (mirror.requests[1].headers["If-Range"][-3:] == "GMT") == (name == "ETag")


@pytest.mark.parametrize(
    "value",
    [
        f"bytes {'9' * 5000}-5/{SIZE}",
        f"bytes 100000-{SIZE - 1}/{'9' * 5000}",
        f"bytes 100000-{SIZE - 1}/*",
        f"bytes -100000-{SIZE}/{SIZE}",
        "bytes */*",
        "\0",
    ],
)
def test_a_range_that_cannot_be_true_costs_no_more_than_a_fetch(
    value: str, mirror: Mirror, path: Path
) -> None:
    mirror.faults = [Cut(after=100_000), Header("Content-Range", value)]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert len(mirror.requests) <= 3
