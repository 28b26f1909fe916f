"""Receivers of alarms and pings on 127.0.0.1 that keep what they get, and misbehave on request."""

from __future__ import annotations

import email
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiosmtpd.controller


@dataclass
class Web:
    """A server that keeps each POST: its path, its query and its body.

    ``mode`` is ``ok``, ``500``, ``404``, ``reset`` or ``hang``, which lasts until it ends.
    """

    port: int = 0
    mode: str = "ok"
    posts: list[tuple[str, dict[str, list[str]], str]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.posts]

    @property
    def titles(self) -> list[str]:
        """The titles of what Apprise's json:// sent."""
        return [json.loads(body)["title"] for _, _, body in self.posts]


@contextmanager
def web_server() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            if web.mode == "reset":
                self.connection.close()
                return
            if web.mode == "hang":
                web.is_over.wait(60)
                return
            parts = urlsplit(self.path)
            if web.mode == "ok":
                web.posts.append((parts.path, parse_qs(parts.query), body))
            self.send_response(200 if web.mode == "ok" else int(web.mode))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            pass  # a reset is meant

    server = Server(("127.0.0.1", 0), Handler)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class Mails:
    """A mail server that keeps each mail."""

    port: int = 0
    mails: list[Message] = field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(email.message_from_bytes(envelope.content))
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[Mails]:
    mails = Mails()
    with socket.create_server(("127.0.0.1", 0)) as free:
        mails.port = free.getsockname()[1]
    controller = aiosmtpd.controller.Controller(mails, hostname="127.0.0.1", port=mails.port)
    controller.start()
    try:
        yield mails
    finally:
        controller.stop()
