"""Bytes that come in chunks, for what reads files."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

#: Seconds after which one of two threads hands over; Python's own 5 ms are those in which a server
#: takes half a megabyte.
_SWITCH = 0.0005


class Chunks:
    """Chunks of bytes as a file to read; a read gives at most what is left of one.

    ``error`` is what broke off a read, for readers such as psycopg2 that raise one of their own.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        try:
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return b""
                self._rest = memoryview(chunk)
            taken, self._rest = self._rest[:size], self._rest[size:]
            return bytes(taken)
        except BaseException as error:
            self.error = error
            raise


@contextmanager
def ahead(chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Have the next chunk made, in a thread, while this one is sent.

    An error in the making comes up where the chunk would have.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH))
    try:
        with ThreadPoolExecutor(1) as thread:
            yield _each(chunks, thread)
    finally:
        sys.setswitchinterval(before)


def _each(chunks: Iterator[bytes], thread: ThreadPoolExecutor) -> Iterator[bytes]:
    made = thread.submit(next, chunks, None)
    while (chunk := made.result()) is not None:
        made = thread.submit(next, chunks, None)
        yield chunk
