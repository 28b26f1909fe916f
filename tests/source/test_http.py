"""What a server answers, over real sockets: trouble, nonsense, nothing; and its connections."""

from __future__ import annotations

import gc
import socket
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fetched import CONTENT, NAME, SIZE, refused, start
from mirror import Cut, Fault, Header, Mirror, Status

from luigi_tasks import network, source
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import edition_path, fetch, http, is_published, read_edition

pytestmark = pytest.mark.usefixtures("impatient")


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
    assert http.RETRY_AFTER_MAX == 600
    monkeypatch.setattr(http, "RETRY_AFTER_MAX", 1)
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
    announced = source.stat(at)
    for _ in range(2):
        edition = fetch(at, path)
        assert path.read_bytes() == CONTENT
        assert read_edition(path) == edition
    assert announced is not None
    plain = source.stat(at)
    assert plain is not None
    absent = {"ETag": "etag", "Last-Modified": "last_modified", "Content-Length": "bytes"}
    assert announced == source.RemoteMetadata(
        **{
            field: None if name == header else getattr(plain, field)
            for header, field in absent.items()
        }
    )
    assert mirror.faults == []


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
    "value", ["9" * 5000, "soon", "-5", "1e9", "\0", "", *TIMES[1:5], "Fri, 31 Dec 99999 0:0:0 GMT"]
)
def test_an_absurd_retry_after_is_as_none(
    value: str, mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "RETRY_AFTER_MAX", 0.1)
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
    fault: Fault, mirror: Mirror, month_file: Path, path: Path
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
    monkeypatch.setattr(network, "UNREACHABLE_FOR", 0)
    with pytest.raises(TaxiError, match="no answer in time"):
        is_published(url + "2024-03", timeout=0.1, retries=0)


# Connections


def in_a_thread(work: Callable[[], None]) -> None:
    """Work in a thread of its own, whose connections are closed when it has ended."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result()
    gc.collect()  # what a transfer that broke off left behind


def test_the_requests_of_a_thread_share_a_connection(mirror: Mirror, path: Path) -> None:
    mirror.keep_alive = True

    def work() -> None:
        for _ in range(10):
            assert is_published(mirror.url(NAME))
            assert not is_published(mirror.url("nothing"))
        fetch(mirror.url(NAME), path)
        assert is_published(mirror.url(NAME))

    in_a_thread(work)
    assert len(mirror.requests) == 22
    assert mirror.connections == 1
    in_a_thread(work)
    assert mirror.connections == 2


@pytest.mark.parametrize("why", ["idle for too long", "no retries", "broken off"])
def test_a_connection_that_may_be_closed_is_not_used_again(
    why: str, mirror: Mirror, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.keep_alive = True
    retries = 0 if why == "no retries" else 5
    if why == "idle for too long":
        monkeypatch.setattr(http, "IDLE_MAX", -1)

    def work() -> None:
        for _ in range(3):
            if why == "broken off":
                mirror.faults = [Cut(after=100_000)]
            fetch(mirror.url(NAME), path, retries=retries)
            assert path.read_bytes() == CONTENT

    in_a_thread(work)
    assert mirror.connections == (4 if why == "broken off" else 3)


def test_a_forked_process_has_connections_of_its_own(mirror: Mirror) -> None:
    mirror.keep_alive = True
    script = f"""
        import os
        from luigi_tasks.source import is_published

        assert is_published({mirror.url(NAME)!r})
        child = os.fork()
        assert is_published({mirror.url(NAME)!r})
        assert is_published({mirror.url(NAME)!r})
        if child:
            assert os.waitpid(child, 0)[1] == 0
            assert is_published({mirror.url(NAME)!r})
    """
    with start("-c", textwrap.dedent(script)) as forking:
        forking.communicate(timeout=60)
    assert forking.returncode == 0
    assert len(mirror.requests) == 6
    assert mirror.connections == 2


def test_a_request_has_nothing_of_the_one_before(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its password, nor its cookies, nor its proxy."""
    mirror.keep_alive = True

    def work() -> None:
        mirror.faults = [Header("Set-Cookie", "me=1", method="HEAD")]
        assert is_published(mirror.url(NAME, credentials="me:secret@"))
        assert is_published(mirror.url(NAME))
        monkeypatch.setenv("http_proxy", mirror.url())
        assert not is_published("http://nowhere.invalid/nothing", retries=0)
        monkeypatch.delenv("http_proxy")
        assert is_published(mirror.url(NAME))

    in_a_thread(work)
    first, *others = mirror.requests
    assert "Authorization" in first.headers
    assert not {"Authorization", "Cookie"} & {name for each in others for name in each.headers}
    through = "http://nowhere.invalid/nothing"
    assert [each.path for each in others] == [f"/{NAME}", through, f"/{NAME}"]
