"""A small HTTP server that publishes a folder as the TLC does, and misbehaves on request.

    with Mirror(folder, faults=[Cut(after=1000), Status(503)]) as mirror:
        fetch(mirror.url("green_tripdata_2020-04.parquet"), path)
    assert mirror.requests[1].headers["Range"] == "bytes=1000-"

Each fault spoils the next request of its method, in the order given. By hand, or where a test has
to kill what talks to it: `python tests/mirror.py FOLDER [--port P] [--cut-after N] [--delay S]`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Fault:
    method: str = field(default="GET", kw_only=True)


@dataclass
class Cut(Fault):
    """Stop after some bytes of the body: close the connection, or reset it."""

    after: int
    reset: bool = False


@dataclass
class Stall(Fault):
    """Stop after some bytes of the body and keep the connection until the mirror stops."""

    after: int


@dataclass
class Status(Fault):
    """Answer with a status and no file."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Header(Fault):
    """Send a header with this value, or without it if that is None, as in Content-Length."""

    name: str
    value: str | None


@dataclass
class Chunked(Fault):
    """Send the file without saying how long it is."""


@dataclass
class Page(Fault):
    """Answer 200 with a page instead of the file."""

    body: bytes = b"<!DOCTYPE html><title>Sorry</title>"
    content_type: str = "text/html"


@dataclass
class Replace(Fault):
    """Publish another edition under the same name, before the request is looked at."""

    content: bytes


@dataclass
class Hangup(Fault):
    """Close the connection, or reset it, in place of an answer, or after half of its head."""

    reset: bool = False
    half_a_head: bool = False


@dataclass
class Silence(Fault):
    """Keep the connection, and send nothing until the mirror stops."""


@dataclass
class Nonsense(Fault):
    """Answer with bytes that aren't HTTP."""

    content: bytes = bytes(range(256)) * 4


@dataclass
class Garbage(Fault):
    """Send as many bytes as the file has, and none of them its own."""


@dataclass
class Request:
    """What was asked and how it was answered."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0  # bytes of the body


class Mirror:
    """A context manager: the server runs inside it, at a free port of 127.0.0.1."""

    def __init__(
        self, folder: Path, faults: Iterable[Fault] = (), *, port: int = 0, delay: float = 0
    ) -> None:
        self.folder = folder.resolve()
        self.faults = list(faults)
        self.at = 0  # the number of the only request that is spoiled; 0 for the next of its method
        self.delay = delay  # seconds before each piece of a body
        self.piece = 64 * 1024
        self.requests: list[Request] = []
        self.ranges = True  # whether parts of a file can be had
        self.etags = True
        self.keep_alive = False  # whether a connection is for more than one request
        self.connections = 0
        self.pause = 0.0  # seconds before an answer
        self.at_once = self.most_at_once = 0
        self.counting = threading.Lock()
        self.stopping = threading.Event()
        self.released = threading.Event()  # while it isn't set, bodies are held back
        self.released.set()
        handler = type("Handler", (_Handler,), {"mirror": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = False  # so that closing waits for every answer to end
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def url(self, name: str = "", credentials: str = "") -> str:
        return f"http://{credentials}127.0.0.1:{self._server.server_port}/{name}"

    def asked(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mirror: Mirror
    timeout = 10

    def setup(self) -> None:
        super().setup()
        with self.mirror.counting:
            self.mirror.connections += 1

    def do_HEAD(self) -> None:
        self._answer_and_count()

    def do_GET(self) -> None:
        self._answer_and_count()

    def _answer_and_count(self) -> None:
        mirror = self.mirror
        with mirror.counting:
            mirror.at_once += 1
            mirror.most_at_once = max(mirror.most_at_once, mirror.at_once)
        mirror.stopping.wait(mirror.pause)
        self._answer()
        with mirror.counting:
            mirror.at_once -= 1

    def _answer(self) -> None:
        mirror = self.mirror
        self.request_seen = Request(self.command, self.path, dict(self.headers))
        mirror.requests.append(self.request_seen)
        fault = next((each for each in mirror.faults if each.method == self.command), None)
        if mirror.at and mirror.at != len(mirror.requests):
            fault = None
        if fault:
            mirror.faults.remove(fault)
        # After a fault, too, it closes: what that leaves behind can't spoil the next answer.
        self.close_connection = bool(fault) or not mirror.keep_alive

        file = mirror.folder / unquote(urlsplit(self.path).path).lstrip("/")
        if isinstance(fault, Replace):
            file.write_bytes(fault.content)
        if fault and self._is_answered_by(fault):
            return
        if not file.is_file() or not file.resolve().is_relative_to(mirror.folder):
            return self._send(403, {"Content-Type": "application/xml"}, b"<Error/>")

        content = file.read_bytes()
        headers = {
            "Content-Type": "binary/octet-stream",
            "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True),
        }
        if mirror.etags:
            headers["ETag"] = f'"{hashlib.md5(content).hexdigest()}"'
        status, body = 200, content
        if mirror.ranges:
            headers["Accept-Ranges"] = "bytes"
            status, body = self._part(content, headers)
        headers["Content-Length"] = str(len(body))
        if isinstance(fault, Header):
            headers[fault.name] = fault.value or ""
            if fault.value is None:
                del headers[fault.name]
        if isinstance(fault, Chunked):
            del headers["Content-Length"]
            headers["Transfer-Encoding"] = "chunked"
            pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in [*pieces, b""])
        if isinstance(fault, Garbage):
            body = bytes(byte ^ 0x5A for byte in body)
        stop = fault if isinstance(fault, (Cut, Stall, Hangup)) else None
        self._send(status, headers, body, stop)

    def _is_answered_by(self, fault: Fault) -> bool:
        """Answer with what a fault sends in place of the file, if it does."""
        if isinstance(fault, Silence):
            self.mirror.stopping.wait()
        elif isinstance(fault, Nonsense):
            self.wfile.write(fault.content)
        elif isinstance(fault, Hangup) and not fault.half_a_head:
            if fault.reset:
                self._reset()
        elif isinstance(fault, Status):
            self._send(fault.code, {"Content-Length": "0"} | fault.headers, b"")
        elif isinstance(fault, Page):
            length = str(len(fault.body))
            headers = {"Content-Type": fault.content_type, "Content-Length": length}
            self._send(200, headers, fault.body)
        else:
            return False
        return True

    def _part(self, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Honour Range and If-Range; add what they answer to `headers`."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not asked or condition not in (None, headers.get("ETag"), headers["Last-Modified"]):
            return 200, content
        start, end = int(asked[1]), int(asked[2] or len(content) - 1)
        if start >= len(content):
            headers["Content-Range"] = f"bytes */{len(content)}"
            return 416, b""
        end = min(end, len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        return 206, content[start : end + 1]

    def _send(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        stop: Cut | Stall | Hangup | None = None,
    ) -> None:
        self.request_seen.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close" if self.close_connection else "keep-alive")
        if isinstance(stop, Hangup):
            head = b"".join(self._headers_buffer)  # type: ignore[attr-defined]
            self.wfile.write(head[: len(head) // 2])
            return
        self.end_headers()
        if self.command == "HEAD":
            return
        end = min(stop.after, len(body)) if stop else len(body)
        self.mirror.released.wait()
        try:
            for at in range(0, end, self.mirror.piece):
                if self.mirror.delay and self.mirror.stopping.wait(self.mirror.delay):
                    return
                piece = body[at : min(at + self.mirror.piece, end)]
                self.request_seen.sent += len(piece)  # before the other side has it, and may look
                self.wfile.write(piece)
        except OSError:
            return  # the other side has gone, which is its right
        if isinstance(stop, Stall):
            self.mirror.stopping.wait()
        elif isinstance(stop, Cut) and stop.reset:
            self._reset()

    def _reset(self) -> None:
        time.sleep(0.1)  # a reset throws away what the other side hasn't read yet
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description="Publish a folder as the TLC does.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cut-after", type=int, metavar="N", help="cut a thousand bodies")
    parser.add_argument("--delay", type=float, default=0, help="seconds before each 64 KiB")
    options = parser.parse_args()
    faults = [] if options.cut_after is None else [Cut(options.cut_after)] * 1000
    with Mirror(options.folder, faults, port=options.port, delay=options.delay) as mirror:
        print(mirror.url(), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            mirror.stopping.wait()


if __name__ == "__main__":
    main()
