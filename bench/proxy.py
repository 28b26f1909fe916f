"""A server far away: a proxy that keeps every byte for a while, and counts the queries.

python -m bench.proxy FOLDER HOST_OR_SOCKET PORT SECONDS

listens on FOLDER/.s.PGSQL.5432, prints "ready", and when its standard input ends, the number of
queries that went through. SECONDS is how long a byte is under way, there as back. A line "cut" on
its standard input breaks all connections; it prints "cut" and goes on.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg2.extensions

from bench.running import ROOT

#: The port in the name of the socket, which is all that it is for.
PORT = 5432
#: What a client asks before its first message: TLS, GSS encryption. Both have this length.
_ENCRYPTION_REQUESTS = (80877103, 80877104)
#: Messages that make the server do something: a simple query, and the execution of a prepared one.
_QUERIES = b"QE"


@dataclass
class Queries:
    """Counts the queries in what one client sends: PostgreSQL's protocol, version 3."""

    count: int = 0
    _rest: bytearray = field(default_factory=bytearray)
    _has_started: bool = False

    def feed(self, piece: bytes) -> None:
        self._rest += piece
        while True:
            kind = 1 if self._has_started else 0  # a message's first byte; the first has none
            if len(self._rest) < kind + 4:
                return
            length = kind + int.from_bytes(self._rest[kind : kind + 4], "big")
            if len(self._rest) < max(length, kind + 4):
                return
            if self._has_started:
                self.count += self._rest[0] in _QUERIES
            else:
                code = int.from_bytes(self._rest[4:8], "big")
                self._has_started = code not in _ENCRYPTION_REQUESTS
            del self._rest[:length]


class Proxy:
    """Passes bytes on, each as late as the one before it."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        self.host, self.port, self.delay = host, port, delay
        self.clients: list[Queries] = []
        self._connected: set[asyncio.StreamWriter] = set()

    async def serve(self, folder: Path) -> None:
        """Serve until the standard input ends."""
        server = await asyncio.start_unix_server(self._connect, folder / f".s.PGSQL.{PORT}")
        print("ready", flush=True)
        loop = asyncio.get_running_loop()
        async with server:
            while await loop.run_in_executor(None, sys.stdin.readline):
                for writer in self._connected:
                    writer.transport.abort()
                print("cut", flush=True)
        print(json.dumps(sum(client.count for client in self.clients)), flush=True)

    async def _connect(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        if self.host.startswith("/"):
            opened = asyncio.open_unix_connection(f"{self.host}/.s.PGSQL.{self.port}")
        else:
            opened = asyncio.open_connection(self.host, self.port)
        try:
            from_server, to_server = await opened
        except OSError:  # it is being restarted
            to_client.close()
            return
        queries = Queries()
        self.clients.append(queries)
        self._connected |= {to_client, to_server}
        await asyncio.gather(
            self._pass(from_client, to_server, queries), self._pass(from_server, to_client, None)
        )
        self._connected -= {to_client, to_server}

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, queries: Queries | None
    ) -> None:
        clock = asyncio.get_running_loop().time
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1_000)

        async def send() -> None:
            while True:
                due, piece = await under_way.get()
                await asyncio.sleep(max(0, due - clock()))
                if not piece:
                    target.close()
                    return
                target.write(piece)
                await target.drain()

        sending = asyncio.create_task(send())
        with suppress(ConnectionError):
            while piece := await source.read(1 << 16):
                if queries:
                    queries.feed(piece)
                await under_way.put((clock() + self.delay, piece))
        await under_way.put((clock() + self.delay, b""))
        with suppress(ConnectionError):
            await sending


class Far:
    """A server as it is seen through the proxy."""

    def __init__(self, url: str, proxy: "subprocess.Popen[str]") -> None:
        self.url = url
        #: How many queries were sent, known when the proxy has ended.
        self.queries = 0
        self._proxy = proxy

    def cut(self) -> None:
        """Break all connections, on both sides; new ones are accepted."""
        if not self._proxy.stdin or not self._proxy.stdout:
            raise RuntimeError("the proxy has no pipes")
        self._proxy.stdin.write("cut\n")
        self._proxy.stdin.flush()
        if self._proxy.stdout.readline() != "cut\n":
            raise RuntimeError("the proxy has ended; the reason is above")


@contextmanager
def far_away(url: str, delay: float) -> Iterator[Far]:
    """Run a proxy before the server of a URL."""
    facts: dict[str, Any] = psycopg2.extensions.parse_dsn(url)
    with tempfile.TemporaryDirectory(prefix="bench-proxy-") as folder:
        target = (facts.get("host", "localhost"), str(facts.get("port", 5432)))
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "bench.proxy", folder, *target, str(delay)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        )
        with process:
            if not process.stdout or process.stdout.readline() != "ready\n":
                raise RuntimeError("the proxy doesn't start; the reason is above")
            user = urlsplit(url).username or facts.get("user", "postgres")
            # a socket of this machine, where nobody asks for encryption
            far = Far(
                f"postgresql://{user}@/{facts['dbname']}?host={quote(folder)}&port={PORT}", process
            )
            yield far
            counted, _ = process.communicate(timeout=60)
            far.queries = int(counted)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.proxy", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("host", help="of the server, or the folder of its socket")
    parser.add_argument("port", type=int)
    parser.add_argument("delay", type=float, help="seconds each way")
    options = parser.parse_args()
    asyncio.run(Proxy(options.host, options.port, options.delay).serve(options.folder))


if __name__ == "__main__":
    main()
