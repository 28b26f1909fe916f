"""A server that loses answers: a proxy for PostgreSQL's protocol on a Unix socket of its own.

    with LossyServer(folder, "/tmp/pg", lose=2) as proxy:
        ...  # connect to proxy.folder; the answer to the second COMMIT is lost

The connection breaks when the COMMIT is on its way. The server gets it after ``delay`` seconds.

``how`` names other ways to lose it. The client hears of the break at the end of the delay:

- ``held``: the server gets the COMMIT at the end of the delay, and its answer is lost;
- ``dropped``: the server never gets it;
- ``unanswered``: the server gets it at once, and its answer is held, and lost.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

_NAME = ".s.PGSQL.5432"


class LossyServer:
    """Passes bytes on to the server of another socket, and counts the COMMITs.

    ``lose`` is the number of the COMMIT whose answer is lost, 0 for none. With ``after``, only
    those count before which their connection has sent these bytes.
    """

    def __init__(
        self,
        folder: Path,
        server: Path,
        *,
        lose: int = 0,
        delay: float = 0,
        how: str = "",
        after: bytes = b"",
    ) -> None:
        self.folder, self.server = folder, server
        self.lose, self.delay, self.how, self.after = lose, delay, how, after
        self.commits = 0
        #: Set when the COMMIT that is to be lost is on its way.
        self.has_come = threading.Event()
        self._counting = threading.Lock()
        self._listening = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> LossyServer:
        self._listening.bind(str(self.folder / _NAME))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        (self.folder / _NAME).unlink()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.server / _NAME))
            is_mute = threading.Event()
            for act in (self._to_server, self._to_client):
                threading.Thread(target=act, args=(client, server, is_mute), daemon=True).start()

    def _to_client(
        self, client: socket.socket, server: socket.socket, is_mute: threading.Event
    ) -> None:
        with suppress(OSError):
            while piece := server.recv(1 << 16):
                if not is_mute.is_set():
                    client.sendall(piece)
        _close(client, server)

    def _to_server(
        self, client: socket.socket, server: socket.socket, is_mute: threading.Event
    ) -> None:
        has_sent = not self.after
        with suppress(OSError):
            while piece := client.recv(1 << 16):
                has_sent |= self.after in piece
                if has_sent and self._is_to_be_lost(piece):
                    is_mute.set()
                    self._lose(piece, client, server)
                    break
                server.sendall(piece)
        _close(client, server)

    def _lose(self, commit: bytes, client: socket.socket, server: socket.socket) -> None:
        self.has_come.set()
        if not self.how:
            _close(client)
        if self.how == "unanswered":
            server.sendall(commit)
        time.sleep(self.delay)
        if self.how in ("", "held"):
            server.sendall(commit)
            server.shutdown(socket.SHUT_WR)
            time.sleep(0.2)

    def _is_to_be_lost(self, piece: bytes) -> bool:
        # psycopg2 sends a COMMIT as a query of its own, and waits for the answer
        if not (piece.startswith(b"Q") and piece[5:] == b"COMMIT\0"):
            return False
        with self._counting:
            self.commits += 1
            return self.commits == self.lose


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
