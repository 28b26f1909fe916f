"""A loopback proxy for PostgreSQL that numbers the messages and spoils one of them.

A message is named ``c2>17``, the 17th that the client of the second connection sends, or ``c2<17``,
the 17th that the server sends it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from torture.messages import Borders, Talk, described

#: Seconds for which the server's answer to a client that is gone is waited for.
LAST_ANSWER = 0.3
#: Seconds by which a message is late: more than the limit of a statement, and than that of
#: connecting (``torture/worker.py`` and ``torture/harness.py`` set both).
LATE, LATE_AT_START = 1.5, 2.4


@dataclass
class Spoiled:
    """Which message is spoiled, and how, which is one of ``points.OF_MESSAGES``."""

    name: str
    how: str
    has_come: bool = False
    is_over: threading.Event = field(default_factory=threading.Event)


@dataclass
class Seen:
    """A message that passed."""

    name: str
    what: str


class Proxy:
    """Listens on a port of 127.0.0.1, and passes on to the server's."""

    def __init__(self, server_port: int, restart: Callable[[], None]) -> None:
        self.server_port, self.restart = server_port, restart
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        self._lock = threading.Lock()
        self.begin(None)
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self, spoiled: Spoiled | None) -> None:
        """Number the connections anew, for another run."""
        with self._lock:
            self.spoiled, self.seen, self._connections = spoiled, list[Seen](), 0

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections += 1
                connection = _Connection(self, client, self._connections)
            threading.Thread(target=connection.serve, daemon=True).start()


class _Connection:
    def __init__(self, proxy: Proxy, client: socket.socket, number: int) -> None:
        self.proxy, self.client, self.number = proxy, client, number
        self.spoiled, self.seen = proxy.spoiled, proxy.seen
        self.talk = Talk()
        self.is_idle = threading.Event()  # the server has answered whatever it was asked
        self.is_connected = False
        self.is_dropped = False  # the client hears nothing more

    def serve(self) -> None:
        try:
            self.server = socket.create_connection(("127.0.0.1", self.proxy.server_port), 10)
        except OSError:
            _close(self.client)
            return
        self.server.settimeout(None)
        self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = threading.Thread(target=self._pass, args=(False,), daemon=True)
        answers.start()
        self._pass(True)
        answers.join()
        _close(self.client, self.server)

    def _pass(self, is_client: bool) -> None:
        source, target = (self.client, self.server) if is_client else (self.server, self.client)
        borders, mark, count = Borders(self.talk, is_client), ">" if is_client else "<", 0
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                ready = bytearray()
                for message in borders.feed(piece):
                    count += 1
                    name = f"c{self.number}{mark}{count}"
                    is_start = is_client and message[0] == 0
                    what = described(message, is_client=is_client, is_start=is_start)
                    self.seen.append(Seen(name, what))
                    spoiled = self.spoiled
                    if spoiled and spoiled.name == name and not spoiled.has_come:
                        target.sendall(ready)
                        ready.clear()
                        spoiled.has_come = True
                        try:
                            if not self._spoil(spoiled.how, message, target, is_client=is_client):
                                return
                        finally:
                            spoiled.is_over.set()
                    ready += message
                    if not is_client and message[:1] == b"Z":
                        self.is_connected = True
                        self.is_idle.set()
                    elif is_client:
                        self.is_idle.clear()
                if not self.is_dropped or is_client:
                    target.sendall(ready)
        if not (is_client and self.is_dropped):
            with suppress(OSError):  # the other direction may still have something to say
                target.shutdown(socket.SHUT_WR)

    def _spoil(self, how: str, message: bytes, target: socket.socket, *, is_client: bool) -> bool:
        """Spoil a message; returns whether it is to be passed on."""
        if how == "late":
            time.sleep(LATE if self.is_connected else LATE_AT_START)
            return True
        if how == "restart":
            self.proxy.restart()
        elif how == "within":
            target.sendall(message[: max(1, len(message) // 2)])
        elif how == "after":
            target.sendall(message)
            if is_client:
                self.is_dropped = True
                self.is_idle.clear()
                _close(self.client)
                self.is_idle.wait(LAST_ANSWER)
        _close(self.client, self.server)
        return False


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
