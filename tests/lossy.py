"""A server that loses answers: a proxy for PostgreSQL's protocol on a Unix socket of its own.

    with LossyServer(folder, "/tmp/pg", lose=2) as proxy:
        ...  # connect to proxy.folder; the answer to the second COMMIT is lost

The connection breaks when the COMMIT is on its way. The server gets it after ``delay`` seconds.
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

    ``lose`` is the number of the COMMIT whose answer is lost, 0 for none.
    """

    def __init__(self, folder: Path, server: Path, *, lose: int = 0, delay: float = 0) -> None:
        self.folder, self.server = folder, server
        self.lose, self.delay = lose, delay
        self.commits = 0
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
            for act in (self._to_server, self._to_client):
                threading.Thread(target=act, args=(client, server), daemon=True).start()

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(1 << 16):
                client.sendall(piece)
        _close(client, server)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(1 << 16):
                if self._is_to_be_lost(piece):
                    _close(client)
                    time.sleep(self.delay)
                    server.sendall(piece)
                    server.shutdown(socket.SHUT_WR)
                    time.sleep(0.2)
                    break
                server.sendall(piece)
        _close(client, server)

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
