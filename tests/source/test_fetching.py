"""Fetching a published file, against a server on this machine and over real sockets."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import textwrap
import tracemalloc
from pathlib import Path

import pytest
from fetched import CONTENT, MIRROR, NAME, SIZE, die_before_the_end, left_in, parquet, ranges, start
from mirror import Chunked, Cut, Header, Mirror, Page, Status

from luigi_tasks import source
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import Edition, edition_path, fetch, is_published, read_edition

pytestmark = pytest.mark.usefixtures("impatient")


def test_a_fetched_file_is_the_published_one_and_has_its_edition(
    mirror: Mirror, month_file: Path, path: Path
) -> None:
    os.utime(month_file, (1679345211, 1679345211))
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
    mirror: Mirror, month_file: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    month_file.write_bytes(gzip.compress(CONTENT))
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
    mirror: Mirror, month_file: Path, path: Path
) -> None:
    before = fetch(mirror.url(NAME), path)
    month_file.write_bytes(parquet(2))
    after = fetch(mirror.url(NAME), path)
    assert path.read_bytes() == parquet(2)
    assert before.sha256 != after.sha256
    assert read_edition(path) == after


def test_an_edition_never_stands_beside_the_file_of_another(
    mirror: Mirror, month_file: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(mirror.url(NAME), path)
    month_file.write_bytes(parquet(2))
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


def test_a_month_is_published_when_its_file_is_there(mirror: Mirror, month_file: Path) -> None:
    assert is_published(mirror.url(NAME)) is True
    assert is_published(mirror.url("green_tripdata_2099-01.parquet")) is False
    assert [request.method for request in mirror.requests] == ["HEAD", "HEAD"]
    assert is_published(f"file://{month_file}") is True
    assert is_published(f"file://{month_file}x") is False


def test_fetching_what_is_not_published_is_an_error(
    mirror: Mirror, month_file: Path, path: Path
) -> None:
    with pytest.raises(TaxiError, match="nothing: not published there, the server answered 403"):
        fetch(mirror.url("nothing"), path)
    with pytest.raises(TaxiError, match="nothing: not published there"):
        fetch(f"file://{month_file.parent}/nothing", path)
    assert left_in(path.parent) == []


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


def test_importing_it_loads_neither_requests_nor_pyarrow() -> None:
    # The rest of the package is stood in for: what it imports is its own affair.
    script = f"""
        import sys
        import types

        sys.modules["luigi_tasks"] = types.ModuleType("luigi_tasks")
        sys.modules["luigi_tasks"].__path__ = [{str(Path(source.__file__).parents[1])!r}]
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
    with start(MIRROR, tmp_path) as running:
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
