"""Fetching a published file, against a server on this machine and over real sockets."""

from __future__ import annotations

import base64
import gc
import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mirror import (
    Chunked,
    Cut,
    Fault,
    Header,
    Mirror,
    Page,
    Replace,
    Stall,
    Status,
    content_md5,
)

from luigi_tasks import source
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import Edition, edition_path, fetch, is_published, read_edition

NAME = "green_tripdata_2024-01.parquet"


def parquet(seed: int, rows: int = 30_000) -> bytes:
    """Make a parquet file of some 8 bytes a row; another seed, another file."""
    values = np.random.default_rng(seed).random(rows)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"fare_amount": values}), sink, use_dictionary=False)
    return sink.getvalue().to_pybytes()


CONTENT = parquet(1)
SIZE = len(CONTENT)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BACKOFF", 0.01)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # most of the time of a small file
    monkeypatch.setattr(source, "_unreachable", {})
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The published file; what its folder holds is what the mirror serves."""
    file = tmp_path / "published" / NAME
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    return file


@pytest.fixture
def mirror(published: Path) -> Iterator[Mirror]:
    with Mirror(published.parent) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is fetched to."""
    return tmp_path / "raw" / NAME


def left_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def ranges(mirror: Mirror) -> list[str | None]:
    return [request.headers.get("Range") for request in mirror.asked("GET")]


def die_before_the_end(url: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch all bytes and stop before they are looked at."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(source, "_verify", die)
        with pytest.raises(KeyboardInterrupt):
            fetch(url, path)


def start(*command: str | Path) -> subprocess.Popen[str]:
    project = str(Path(source.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": project},
    )


# What is fetched


def test_a_fetched_file_is_the_published_one_and_has_its_edition(
    mirror: Mirror, published: Path, path: Path
) -> None:
    os.utime(published, (1679345211, 1679345211))
    edition = fetch(mirror.url(NAME), path)

    assert path.read_bytes() == CONTENT
    assert edition == Edition(
        url=mirror.url(NAME),
        etag=f'"{hashlib.md5(CONTENT).hexdigest()}"',
        last_modified="2023-03-20T20:46:51+00:00",
        bytes=SIZE,
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        seconds=edition.seconds,
    )
    assert edition.seconds >= 0
    assert read_edition(path) == edition
    assert left_in(path.parent) == [NAME, edition_path(path).name]
    assert mirror.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_month_of_the_tlc_comes_byte_for_byte(shared_data: Path, path: Path) -> None:
    name = "green_tripdata_2020-04.parquet"
    with Mirror(shared_data / "parquet", faults=[Cut(after=500_000)]) as mirror:
        edition = fetch(mirror.url(name), path)
    assert path.read_bytes() == (shared_data / "parquet" / name).read_bytes()
    assert edition.bytes == 713573
    assert ranges(mirror) == [None, "bytes=500000-"]


def test_a_file_url_is_copied_like_a_download(published: Path, path: Path) -> None:
    odd = published.with_name("a month.parquet")
    published.rename(odd)
    os.utime(odd, (1679345211.75, 1679345211.75))
    edition = fetch(f"file://{published.parent}/a%20month.parquet", path)

    assert path.read_bytes() == CONTENT
    assert edition.etag is None
    assert edition.last_modified == "2023-03-20T20:46:51+00:00"
    assert edition.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert read_edition(path) == edition
    assert left_in(path.parent) == [NAME, edition_path(path).name]
    assert fetch(f"file://localhost{published.parent}/a%20month.parquet", path).bytes == SIZE


def test_a_file_that_changes_while_it_is_copied_is_copied_again(
    published: Path, path: Path
) -> None:
    other = parquet(2)
    calls = []

    def change(received: int, total: int | None) -> None:
        calls.append((received, total))
        if len(calls) == 2:  # its only piece has come
            published.write_bytes(other)
            os.utime(published, (1, 1))

    edition = fetch(f"file://{published}", path, report=change)
    assert path.read_bytes() == other
    assert edition.last_modified == "1970-01-01T00:00:01+00:00"
    assert calls == [(0, SIZE), (SIZE, SIZE), (0, len(other)), (len(other), len(other))]


def test_progress_is_reported_up_to_the_total(mirror: Mirror, path: Path) -> None:
    mirror.faults = [Cut(after=100_000)]
    calls: list[tuple[int, int | None]] = []
    fetch(mirror.url(NAME), path, report=lambda *now: calls.append(now))

    assert calls[0] == (0, SIZE)
    assert (100_000, SIZE) in calls
    assert calls[-1] == (SIZE, SIZE)
    assert calls == sorted(calls)


def test_a_file_of_unknown_length_is_fetched(mirror: Mirror, path: Path) -> None:
    mirror.faults = [Chunked()]
    calls: list[tuple[int, int | None]] = []
    assert fetch(mirror.url(NAME), path, report=lambda *now: calls.append(now)).bytes == SIZE
    assert path.read_bytes() == CONTENT
    assert {total for _, total in calls} == {None}


def test_a_file_compressed_on_the_way_is_unpacked_and_never_resumed(
    mirror: Mirror, published: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.write_bytes(gzip.compress(CONTENT))
    mirror.faults = [Header("Content-Encoding", "gzip"), Header("Content-Encoding", "gzip")]
    die_before_the_end(mirror.url(NAME), path, monkeypatch)
    assert fetch(mirror.url(NAME), path).bytes == SIZE
    assert path.read_bytes() == CONTENT
    assert ranges(mirror) == [None, None]


def test_nothing_appears_under_the_name_while_it_is_fetched(mirror: Mirror, path: Path) -> None:
    mirror.piece = 10_000
    mirror.delay = 0.01
    seen = []

    def look(received: int, total: int | None) -> None:
        seen.append((path.exists(), edition_path(path).exists()))

    fetch(mirror.url(NAME), path, report=look)
    assert len(seen) > 5
    assert set(seen) == {(False, False)}
    assert path.exists()


def test_the_record_is_there_before_the_file(
    mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_there = []
    replace = Path.replace

    def look(self: Path, target: Path) -> Path:
        if target == path:
            was_there.append((edition_path(path).exists(), path.exists()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    fetch(mirror.url(NAME), path)
    assert was_there == [(True, False)]


def test_another_edition_takes_the_place_of_the_one_before(
    mirror: Mirror, published: Path, path: Path
) -> None:
    before = fetch(mirror.url(NAME), path)
    published.write_bytes(parquet(2))
    after = fetch(mirror.url(NAME), path)
    assert path.read_bytes() == parquet(2)
    assert before.sha256 != after.sha256
    assert read_edition(path) == after


def test_an_edition_never_stands_beside_the_file_of_another(
    mirror: Mirror, published: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(mirror.url(NAME), path)
    published.write_bytes(parquet(2))
    assert len(parquet(2)) == SIZE
    replace = Path.replace

    def die(self: Path, target: Path) -> Path:
        if target == path:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            fetch(mirror.url(NAME), path)
    assert read_edition(path) is None

    edition = fetch(mirror.url(NAME), path)
    assert read_edition(path) == edition
    assert path.read_bytes() == parquet(2)


@pytest.mark.parametrize(
    "record", [None, "", "{", "[]", "{}", '{"bytes": 1}', "\udcff", "of another size"]
)
def test_an_edition_is_only_read_from_a_record_that_fits(
    record: str | None, mirror: Mirror, path: Path
) -> None:
    assert read_edition(path) is None
    edition = fetch(mirror.url(NAME), path)
    assert read_edition(path) == edition
    if record is None:
        edition_path(path).unlink()
    elif record == "of another size":
        with path.open("ab") as file:
            file.write(b"PAR1")
    else:
        edition_path(path).write_bytes(record.encode(errors="surrogateescape"))
    assert read_edition(path) is None


# What breaks on the way


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
    with pytest.raises(TaxiError, match=r"broke off 3 times in a row after 100000 bytes"):
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


def test_a_killed_fetch_is_resumed_by_the_next_process(published: Path, path: Path) -> None:
    part = path.with_name(NAME + ".part")
    with Mirror(published.parent, delay=0.2) as mirror:
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


def test_the_mirror_of_the_command_line_cuts_every_transfer(published: Path, path: Path) -> None:
    running = start(Path(__file__).with_name("mirror.py"), published.parent, "--cut-after", "99000")
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
    mirror: Mirror, published: Path, path: Path
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


def half_fetched(mirror: Mirror, path: Path) -> Path:
    """A part of several pieces, and then a killed process."""
    mirror.piece = 20_000
    mirror.delay = 0.02

    def die(received: int, total: int | None) -> None:
        if received > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(mirror.url(NAME), path, report=die)
    mirror.delay = 0
    mirror.requests.clear()
    return path.with_name(NAME + ".part")


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


LINKED = [".part", ".part.json", ".part.json.tmp", ".part.log", "", ".edition.json"]
LINKED += [".edition.json.tmp"]


@pytest.mark.parametrize("kind", ["symlink", "hard link"])
@pytest.mark.parametrize("ending", LINKED)
@pytest.mark.parametrize("is_begun", [False, True])
def test_nothing_is_written_through_a_link(
    ending: str, kind: str, is_begun: bool, mirror: Mirror, path: Path
) -> None:
    """A link to somebody's file, left where one of ours is expected."""
    theirs = path.parent.with_name("theirs")
    link = path.with_name(NAME + ending)
    for _ in range(2):
        path.parent.mkdir(exist_ok=True)
        if is_begun:
            half_fetched(mirror, path)
        content = link.read_bytes() if link.exists() else b"theirs"
        theirs.unlink(missing_ok=True)
        theirs.write_bytes(content)
        link.unlink(missing_ok=True)
        if kind == "symlink":
            link.symlink_to(theirs)
        else:
            link.hardlink_to(theirs)
        fetch(mirror.url(NAME), path)
        assert theirs.read_bytes() == content
        assert path.read_bytes() == CONTENT
        assert read_edition(path) is not None
        assert not path.is_symlink()
        assert left_in(path.parent) == [NAME, edition_path(path).name]


@pytest.mark.parametrize("ending", LINKED)
def test_a_pipe_in_the_way_keeps_nobody_waiting(ending: str, mirror: Mirror, path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path.with_name(NAME + ending))
    assert read_edition(path) is None
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT


def test_a_folder_that_is_a_link_is_followed(mirror: Mirror, path: Path) -> None:
    elsewhere = path.parent.with_name("elsewhere")
    elsewhere.mkdir()
    path.parent.symlink_to(elsewhere)
    for _ in range(2):
        half_fetched(mirror, path)
        edition = fetch(mirror.url(NAME), path)
        assert ranges(mirror) != [None]
        assert read_edition(elsewhere / NAME) == edition
    assert path.parent.is_symlink()


@pytest.mark.parametrize("code", [500, 502, 503, 504, 429])
def test_a_server_in_trouble_is_asked_again(code: int, mirror: Mirror, path: Path) -> None:
    mirror.faults = [Status(code), Status(code), Status(code, method="HEAD")]
    assert is_published(mirror.url(NAME))
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert [request.status for request in mirror.requests] == [code, 200, code, code, 200]


def test_retry_after_is_waited_for(mirror: Mirror, path: Path) -> None:
    mirror.faults = [Status(429, {"Retry-After": "1"})]
    started = time.monotonic()
    fetch(mirror.url(NAME), path)
    assert time.monotonic() - started >= 1
    assert [request.status for request in mirror.requests] == [429, 200]


def test_retry_after_is_waited_for_no_longer_than_the_cap(
    mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source.RETRY_AFTER_MAX == 600
    monkeypatch.setattr(source, "RETRY_AFTER_MAX", 1)
    mirror.faults = [Status(503, {"Retry-After": "3600"})]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT


def test_a_server_that_stays_in_trouble_is_an_error_with_its_answer(
    mirror: Mirror, path: Path
) -> None:
    mirror.faults = [*[Status(503)] * 3, *[Status(503, method="HEAD")] * 3]
    with pytest.raises(TaxiError, match="the server answered 503 Service Unavailable"):
        fetch(mirror.url(NAME), path, retries=2)
    with pytest.raises(TaxiError, match="the server answered 503"):
        is_published(mirror.url(NAME), retries=2)
    assert len(mirror.requests) == 6


# What comes and isn't right


def refused(mirror: Mirror, path: Path, because: str) -> None:
    with pytest.raises(TaxiError, match=because) as caught:
        fetch(mirror.url(NAME), path)
    assert "\n" not in str(caught.value)
    assert mirror.url(NAME) in str(caught.value)
    assert left_in(path.parent) == []


@pytest.mark.parametrize(
    ("announced", "because"),
    [(SIZE + 1000, "where more was announced"), (SIZE - 1000, "truncated: 239.* bytes")],
)
def test_a_wrong_length_is_fetched_again_and_then_refused(
    announced: int, because: str, mirror: Mirror, path: Path
) -> None:
    wrong = Header("Content-Length", str(announced))
    mirror.faults = [wrong]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT

    path.unlink()
    edition_path(path).unlink()
    mirror.ranges = True
    if announced < SIZE:
        mirror.faults = [wrong] * 3
    else:
        mirror.faults = [wrong, Status(416)] * 3
    refused(mirror, path, because)
    assert mirror.faults == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<!DOCTYPE html>", "binary/octet-stream"),
        (b"\xef\xbb\xbf\r\n <html>", "binary/octet-stream"),
        (b"Sorry", "text/html; charset=utf-8"),
    ],
)
def test_an_html_page_is_called_one(
    body: bytes, content_type: str, mirror: Mirror, path: Path
) -> None:
    mirror.faults = [Page(body, content_type)]
    refused(mirror, path, "got an HTML page, wanted parquet, CSV or JSON")
    assert len(mirror.requests) == 1


def test_what_is_no_months_file_is_named_by_its_first_bytes(
    mirror: Mirror, published: Path, path: Path
) -> None:
    published.write_bytes(b"\x00ELF and so on")
    refused(mirror, path, r"got 14 bytes that begin with b'\\x00ELF and so on', wanted parquet, C")
    published.write_bytes(b"")
    refused(mirror, path, "got an empty file, wanted parquet, CSV or JSON")


@pytest.mark.parametrize("size", [4, 8, 100_000, SIZE - 1])
def test_a_truncated_file_is_called_truncated(
    size: int, mirror: Mirror, published: Path, path: Path
) -> None:
    published.write_bytes(CONTENT[:size])
    refused(mirror, path, f"truncated: {size} bytes without the footer")
    with pytest.raises(TaxiError, match="truncated"):
        fetch(f"file://{published}", path)
    assert left_in(path.parent) == []


def test_a_footer_that_cannot_be_read_is_refused(
    mirror: Mirror, published: Path, path: Path
) -> None:
    published.write_bytes(CONTENT[:-200] + bytes(190) + CONTENT[-10:])
    refused(mirror, path, "parquet footer can't be read")


def sha256_header(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


CHECKSUMS = {
    "Content-MD5": "{md5}",
    "Digest": "unixsum=1,SHA-256={sha256}",
    "Repr-Digest": "sha-256=:{sha256}:, sha-512=:AAAA:",
    "x-amz-checksum-sha256": "{sha256}",
    "x-goog-hash": "crc32c=AAAAAA==, md5={md5}",
}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_checksum_that_differs_is_fetched_again_and_then_refused(
    name: str, mirror: Mirror, path: Path
) -> None:
    def header(content: bytes) -> Header:
        values = {"md5": content_md5(content), "sha256": sha256_header(content)}
        return Header(name, CHECKSUMS[name].format(**values))

    mirror.faults = [header(b"other"), header(CONTENT)]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert len(mirror.requests) == 2

    path.unlink()
    edition_path(path).unlink()
    mirror.faults = [header(b"other")] * 3
    refused(mirror, path, "its (md5|sha256) is .*, not .* as announced")


def test_a_checksum_also_covers_a_resumed_file(mirror: Mirror, path: Path) -> None:
    part = path.with_name(NAME + ".part")
    mirror.faults = [Header("Content-MD5", content_md5(CONTENT))]

    def die(received: int, total: int | None) -> None:
        if received:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(mirror.url(NAME), path, report=die)
    spoilt = bytearray(part.read_bytes())
    spoilt[5000] ^= 1
    part.write_bytes(spoilt)
    log = f"{len(spoilt)} {hashlib.sha256(spoilt).hexdigest()}\n"
    part.with_name(part.name + ".log").write_text(log)  # it would have found that
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert [request.headers.get("Range") is None for request in mirror.requests] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ETag", '"d41d8cd98f00b204e9800998ecf8427e"'),
        ("x-amz-checksum-sha256", sha256_header(b"other") + "-3"),
        ("Content-MD5", "nonsense"),
        ("Digest", "sha-256"),
    ],
)
def test_what_is_no_checksum_of_the_file_is_not_taken_for_one(
    name: str, value: str, mirror: Mirror, path: Path
) -> None:
    mirror.faults = [Header(name, value)]
    fetch(mirror.url(NAME), path)
    assert len(mirror.requests) == 1


# What a server says that can't be true


# urllib3 forgets the connection of an answer that it can't read.
leaves_a_socket = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

LENGTHS = ["9" * 5000, "9" * 4000, "9" * 30, "-1", "-99999", "", "many", "1e3", "0x10", "1, 2, x"]
TIMES = [
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Dec 9999 23:59:59 -1200",
    "Mon, 20 Mar 2023 20:46:51 +2400",
    f"Mon, 20 Mar 2023 20:46:51 +{'9' * 30}",
    f"Mon, 20 Mar {'9' * 5000} 20:46:51 GMT",
    f"{'9' * 5000}",
    "Mon, 99 Mar 2023 20:46:51 GMT",
    "yesterday",
    "(",
    "\0",
    "Mon, 20 Mar 2023\r\n 20:46:51\0GMT",
]
ETAGS = ['"a\0b"', f'"{"a" * 60_000}"', '"\x1b[31m"', '"\xe9"', ""]
DIGESTS = [
    "\xe9",
    "=",
    "==:",
    ":" * 5000,
    "A" * 60_000,
    "md5=\xff, sha-256=\0",
    "sha-256=:%%%:",
    ",",
]
ABSURD = [
    *(("Content-Length", value) for value in LENGTHS),
    *(("Last-Modified", value) for value in TIMES),
    *(("ETag", value) for value in ETAGS),
    ("Content-Type", "\0" * 5000),
    ("Accept-Ranges", "\xff" * 5000),
    ("Set-Cookie", "\0=\xff; Expires=yesterday; Max-Age=" + "9" * 5000),
]


@pytest.mark.parametrize(
    ("name", "value"), ABSURD, ids=lambda each: ascii(each[:30]).strip("'") or "none"
)
def test_a_header_that_cannot_be_true_is_as_none(
    name: str, value: str, mirror: Mirror, path: Path
) -> None:
    at = mirror.url(NAME)
    mirror.faults = [
        Header(name, value, method="HEAD"),
        Header(name, value),
        # and of the rest of a file
        Cut(after=100_000),
        Header(name, value),
    ]
    announced = source.look(at)
    for _ in range(2):
        edition = fetch(at, path)
        assert path.read_bytes() == CONTENT
        assert read_edition(path) == edition
    assert announced is not None
    plain = source.look(at)
    assert plain is not None
    absent = {"ETag": "etag", "Last-Modified": "last_modified", "Content-Length": "bytes"}
    assert announced == source.Announced(
        **{
            field: None if name == header else getattr(plain, field)
            for header, field in absent.items()
        }
    )
    assert mirror.faults == []


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_checksum_that_cannot_be_one_is_as_none(name: str, mirror: Mirror, path: Path) -> None:
    for value in DIGESTS:
        mirror.faults = [Header(name, value, method="HEAD"), Header(name, value)]
        assert source.look(mirror.url(NAME)) is not None
        fetch(mirror.url(NAME), path)
        assert path.read_bytes() == CONTENT
    assert len(mirror.asked("GET")) == len(DIGESTS)


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_a_part_is_resumed_by_what_else_tells_its_edition(
    name: str, mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"ETag": ETAGS[0], "Last-Modified": TIMES[1]}[name]
    mirror.faults = [Header(name, value)]
    die_before_the_end(mirror.url(NAME), path, monkeypatch)
    fetch(mirror.url(NAME), path)
    assert [request.status for request in mirror.requests] == [200, 206]
    assert (mirror.requests[1].headers["If-Range"][-3:] == "GMT") == (name == "ETag")


@leaves_a_socket
def test_two_lengths_that_differ_are_an_error_and_twice_the_same_is_none(
    mirror: Mirror, path: Path
) -> None:
    mirror.faults = [Header("Content-Length", f"{SIZE}\r\nContent-Length: {SIZE}")]
    calls: list[tuple[int, int | None]] = []
    fetch(mirror.url(NAME), path, report=lambda *now: calls.append(now))
    assert calls[-1] == (SIZE, SIZE)
    path.unlink()
    edition_path(path).unlink()
    mirror.faults = [Header("Content-Length", f"{SIZE}\r\nContent-Length: 7")]
    refused(mirror, path, "Content-Length contained multiple unmatching values")
    gc.collect()


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


@pytest.mark.parametrize(
    "value", ["9" * 5000, "soon", "-5", "1e9", "\0", "", *TIMES[1:5], "Fri, 31 Dec 99999 0:0:0 GMT"]
)
def test_an_absurd_retry_after_is_as_none(
    value: str, mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "RETRY_AFTER_MAX", 0.1)
    headers = {"Retry-After": value}
    mirror.faults = [
        Status(503, headers),
        Status(429, headers),
        Status(503, headers, method="HEAD"),
    ]
    assert is_published(mirror.url(NAME))
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "fault",
    [
        Status(302, {"Location": "\xff\xfe"}),
        Status(302, {"Location": "http://["}),
        Status(302, {"Location": "http://\0/"}),
        Status(302, {"Location": "http://127.0.0.1:99999999/"}),
        Status(302, {"Location": "file:///etc/passwd"}),
        Status(302, {"Location": f"/{NAME}?" + "a" * 70_000}),
        Status(999),
        Status(206),
        Header("ETag", "a" * 70_000),
        Header("ETag", '"1"' + "\r\nX-More: 1" * 200),
    ],
    ids=lambda fault: ascii(fault)[:60],
)
@leaves_a_socket
def test_an_answer_that_cannot_be_read_is_one_line(
    fault: Fault, mirror: Mirror, published: Path, path: Path
) -> None:
    mirror.faults = [fault]
    with pytest.raises(TaxiError) as caught:
        fetch(mirror.url(NAME), path, retries=0)
    assert not set(str(caught.value)) & {*map(chr, range(32))}
    assert len(str(caught.value)) < 500
    fetch(mirror.url(NAME), path)  # the host isn't taken for one that can't be reached
    assert path.read_bytes() == CONTENT
    gc.collect()


def test_control_characters_of_a_server_never_reach_the_terminal(nobody: socket.socket) -> None:
    nobody.listen()

    def answer() -> None:
        connection, _ = nobody.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 418 \x1b[2J\rall is well\r\nContent-Length: 0\r\n\r\n")

    answering = threading.Thread(target=answer)
    answering.start()
    with pytest.raises(TaxiError, match=r"the server answered 418") as caught:
        is_published(f"http://127.0.0.1:{nobody.getsockname()[1]}/", retries=0)
    answering.join()
    assert not set(str(caught.value)) & {*map(chr, range(32))}


@pytest.mark.parametrize("seconds", [-(10**11), 10**12, 2**62])
def test_a_file_of_an_absurd_time_is_fetched_without_it(
    seconds: int, published: Path, path: Path
) -> None:
    try:
        os.utime(published, (seconds, seconds))
    except OverflowError:
        pytest.skip("this file system has no such times")
    announced = source.look(f"file://{published}")
    edition = fetch(f"file://{published}", path)
    assert announced is not None
    assert announced.last_modified == edition.last_modified
    assert path.read_bytes() == CONTENT


# What isn't there


def test_a_month_is_published_when_its_file_is_there(mirror: Mirror, published: Path) -> None:
    assert is_published(mirror.url(NAME)) is True
    assert is_published(mirror.url("green_tripdata_2099-01.parquet")) is False
    assert [request.method for request in mirror.requests] == ["HEAD", "HEAD"]
    assert is_published(f"file://{published}") is True
    assert is_published(f"file://{published}x") is False


@pytest.mark.parametrize("code", [403, 404, 410])
def test_an_answer_that_means_not_published_is_a_no(code: int, mirror: Mirror) -> None:
    mirror.faults = [Status(code, method="HEAD")]
    assert is_published(mirror.url(NAME)) is False
    assert len(mirror.requests) == 1


@pytest.mark.parametrize("code", [405, 501])
def test_a_server_that_knows_no_head_is_asked_with_get(code: int, mirror: Mirror) -> None:
    mirror.faults = [Status(code, method="HEAD"), Status(code, method="HEAD")]
    assert is_published(mirror.url(NAME)) is True
    assert is_published(mirror.url("nothing")) is False
    assert [request.method for request in mirror.requests] == ["HEAD", "GET"] * 2


def test_fetching_what_is_not_published_is_an_error(
    mirror: Mirror, published: Path, path: Path
) -> None:
    with pytest.raises(TaxiError, match="nothing: not published there, the server answered 403"):
        fetch(mirror.url("nothing"), path)
    with pytest.raises(TaxiError, match="nothing: not published there"):
        fetch(f"file://{published.parent}/nothing", path)
    assert left_in(path.parent) == []


def test_a_name_with_a_number_sign_is_found_as_the_message_says(
    published: Path, path: Path
) -> None:
    odd = published.parent / "my #1?"
    odd.mkdir()
    published.rename(odd / NAME)
    assert is_published(f"file://{odd.parent}/my%20%231%3F/{NAME}")
    assert fetch(f"file://{odd.parent}/my%20%231%3F/{NAME}", path).bytes == SIZE


def test_a_local_path_that_cannot_be_is_one_line(path: Path) -> None:
    for attempt in (is_published, lambda url: fetch(url, path)):
        with pytest.raises(TaxiError, match=r"cannot read .*: File name too long"):
            attempt(f"file:///{'x' * 300}/{NAME}")


def test_a_folder_that_is_not_there_has_no_file(published: Path, path: Path) -> None:
    url = f"file://{published.parent}/wrong/{NAME}"
    assert not is_published(url)
    with pytest.raises(TaxiError, match="not published there; check the URL"):
        fetch(url, path)


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("nope://me:secret@host/file", "scheme is nope; write an http://, https:// or file:// URL"),
        ("data/file.parquet", "scheme is missing"),
        ("http:///file", "the host is missing"),
        ("file://data/file", "not a path on this machine"),
        ("file:///data/%00", "not a path on this machine"),
        ("file:///my#folder/file", "write %23 for a # in a name.*%%23 and %%3F in luigi.cfg"),
        ("file:///folder/file#1.parquet", "write %23 for a # in a name"),
        ("file:///folder/file#", "write %23 for a # in a name"),
        ("file:///what?/file", "%3F for a [?] in it"),
        ("https://host/my#folder/file", "write %23 for a # in a name"),
        ("http://me:1#sec@host/file", "host or port of the source URL can't be read"),
        ("http://me:1#sec/sec@host/file?x#y", "host or port of the source URL can't be read"),
        ("http://me:sec/ret@host/file", "host or port of the source URL can't be read"),
        ("http://[me:secret@host/file", "host or port of the source URL can't be read"),
    ],
)
def test_a_url_that_cannot_be_used_is_an_error_that_says_why(
    url: str, because: str, path: Path
) -> None:
    for attempt in (is_published, lambda url: fetch(url, path)):
        with pytest.raises(TaxiError, match=because) as caught:
            attempt(url)
        assert "sec" not in str(caught.value)


@pytest.fixture
def nobody() -> Iterator[socket.socket]:
    """A port of this machine at which nobody listens, held so that nobody will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held


def test_a_host_that_cannot_be_reached_is_one_clear_line(nobody: socket.socket, path: Path) -> None:
    port = nobody.getsockname()[1]
    url = f"http://me:secret@127.0.0.1:{port}/file?token=1"
    for attempt in (is_published, lambda url, **kw: fetch(url, path, **kw)):
        with pytest.raises(TaxiError) as caught:
            attempt(url, retries=1)
        assert str(caught.value) == (
            f"cannot reach http://127.0.0.1:{port}: Connection refused;"
            " check the URL and the network"
        )
        assert caught.value.__suppress_context__


def test_a_redirect_to_a_host_that_cannot_be_reached_names_that_host(
    mirror: Mirror, nobody: socket.socket
) -> None:
    elsewhere = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    mirror.faults = [Status(302, {"Location": f"{elsewhere}/file"}, method="HEAD")]
    with pytest.raises(TaxiError, match=f"^cannot reach {elsewhere}: Connection refused"):
        is_published(mirror.url(NAME), retries=0)
    assert is_published(mirror.url(NAME)) is True


def test_a_name_that_is_not_known_is_one_clear_line() -> None:
    with pytest.raises(TaxiError, match=r"^cannot reach http://nowhere.invalid: [\w -]+; check"):
        is_published("http://nowhere.invalid/file", retries=0)


def test_a_server_that_never_answers_is_one_clear_line(nobody: socket.socket) -> None:
    nobody.listen()
    with pytest.raises(TaxiError, match=r"cannot reach .*: no answer in time; check"):
        is_published(f"http://127.0.0.1:{nobody.getsockname()[1]}/", timeout=0.1, retries=1)


@pytest.mark.parametrize("proxy", ["http://me:secret@127.0.0.1:{port}", "http://me:secret@[x"])
def test_the_url_of_a_proxy_is_shown_without_its_password(
    proxy: str, nobody: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.replace("{port}", str(nobody.getsockname()[1])))
    with pytest.raises(TaxiError) as caught:
        is_published("http://nowhere.invalid/file", retries=0)
    assert "secret" not in str(caught.value)


def test_an_unreachable_host_is_not_tried_again_for_a_while(
    nobody: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
    with pytest.raises(TaxiError, match="cannot reach"):
        is_published(url + "2024-01", retries=0)
    nobody.listen()  # someone is there now, and would keep us waiting
    with pytest.raises(TaxiError, match="Connection refused"):
        is_published(url + "2024-02", retries=0)
    monkeypatch.setattr(source, "UNREACHABLE_FOR", 0)
    with pytest.raises(TaxiError, match="no answer in time"):
        is_published(url + "2024-03", timeout=0.1, retries=0)


# What is never shown


def test_credentials_are_sent_and_never_shown(
    mirror: Mirror, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = mirror.url(NAME + "?version=1&x", credentials="me:s%3Acret@")
    assert is_published(url)
    mirror.faults = [Cut(after=100_000), Status(500), Page(), Status(401)]
    part = path.with_name(NAME + ".part.json")
    shown = []

    def look(received: int, total: int | None) -> None:
        shown.append(part.read_text())

    for _ in range(2):
        with pytest.raises(TaxiError) as caught:
            fetch(url, path, report=look)
        shown.append(str(caught.value))
    assert "401" in shown[-1]
    edition = fetch(url, path, report=look)
    shown += [*edition_path(path).read_text().splitlines(), caplog.text]

    assert edition.url == mirror.url(NAME + "?version=...&x")
    assert {request.path for request in mirror.requests} == {f"/{NAME}?version=1&x"}
    sent = "Basic " + base64.b64encode(b"me:s:cret").decode()
    assert {request.headers["Authorization"] for request in mirror.requests} == {sent}
    assert not [text for text in shown if "cret" in text or sent in text]


# What the disk refuses


def test_a_folder_that_cannot_be_made_is_an_error_with_its_path(
    mirror: Mirror, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / NAME
    with pytest.raises(TaxiError, match=f"cannot write {path}: .*{tmp_path / 'file'}"):
        fetch(mirror.url(NAME), path)
    assert mirror.requests == []


def test_a_full_disk_is_an_error_with_its_path(mirror: Mirror, path: Path) -> None:
    script = f"""
        import resource
        import sys
        from pathlib import Path
        from luigi_tasks.errors import TaxiError
        from luigi_tasks.source import fetch

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            fetch({mirror.url(NAME)!r}, Path({str(path)!r}))
        except TaxiError as error:
            print(error)
    """
    with start("-c", textwrap.dedent(script)) as full:
        out, _ = full.communicate(timeout=60)
    assert out.strip() == f"cannot write {path}: File too large"
    assert not path.exists()
    assert not edition_path(path).exists()

    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert mirror.requests[1].headers["Range"] == "bytes=100000-"


# What it costs to have nothing to do


def test_importing_it_loads_neither_requests_nor_pyarrow() -> None:
    # The rest of the package is stood in for: what it imports is its own affair.
    script = f"""
        import sys
        import types

        sys.modules["luigi_tasks"] = types.ModuleType("luigi_tasks")
        sys.modules["luigi_tasks"].__path__ = [{str(Path(source.__file__).parent)!r}]
        import luigi_tasks.source
        print(*sys.modules)
    """
    with start("-c", textwrap.dedent(script)) as fresh:
        out, _ = fresh.communicate(timeout=60)
    assert "luigi_tasks.source" in out.split()
    assert not {"requests", "urllib3", "pyarrow"} & {*out.split()}


def test_memory_holds_a_piece_and_not_the_file(tmp_path: Path, path: Path) -> None:
    big = tmp_path / "big.parquet"
    big.write_bytes(parquet(3, rows=4_000_000))
    assert big.stat().st_size > 30_000_000
    with start(Path(__file__).with_name("mirror.py"), tmp_path) as running:
        try:
            assert running.stdout is not None
            base = running.stdout.readline().strip()
            for url in (f"file://{big}", f"{base}{big.name}"):
                tracemalloc.start()
                fetch(url, path)
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                assert peak < 15_000_000
        finally:
            running.terminate()
