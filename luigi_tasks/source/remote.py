"""A published file of which only parts are read: its end, a page, its first bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from luigi_tasks.errors import TaxiError
from luigi_tasks.records import RemoteMetadata
from luigi_tasks.source.fetching import scheme_of
from luigi_tasks.source.scheme import Scheme
from luigi_tasks.urls import Url

#: Bytes that are asked for at least, from a multiple of them on.
BLOCK = 16 << 10


class TooMuchError(OSError):
    """More bytes were to be read than may be fetched."""


@dataclass
class RemoteFile:
    """A seekable file whose blocks are fetched when they are read, each once.

    ``most`` is the number of bytes that may be fetched, ``fetched`` that of those that were.
    """

    url: Url
    scheme: Scheme
    facts: RemoteMetadata
    size: int
    most: int
    fetched: int = 0
    closed: bool = False
    _position: int = 0
    _blocks: dict[int, bytes] = field(default_factory=dict)

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}
        self._position = starts[whence] + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Read at most so many bytes.

        :raises TooMuchError: that would be more than may be fetched.
        :raises TaxiError: they can't be fetched.
        """
        left = max(0, self.size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        if not size:
            return b""
        first, last = self._position // BLOCK, (self._position + size - 1) // BLOCK
        self._fetch([number for number in range(first, last + 1) if number not in self._blocks])
        found = b"".join(self._blocks[number] for number in range(first, last + 1))
        start = self._position - first * BLOCK
        self._position += size
        return found[start : start + size]

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing is written."""

    def _fetch(self, numbers: list[int]) -> None:
        """Fetch blocks, those that follow each other by one request."""
        runs: list[list[int]] = []
        for number in numbers:
            if runs and runs[-1][-1] == number - 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        for run in runs:
            start, stop = run[0] * BLOCK, min((run[-1] + 1) * BLOCK, self.size)
            if self.fetched + stop - start > self.most:
                raise TooMuchError(f"{self.url}: more than {self.most:,} bytes would be fetched")
            content = self.scheme.read_part(self.url, self.facts, start, stop)
            if len(content) != stop - start:
                raise TaxiError(
                    f"{self.url}: asked for {stop - start:,} bytes, got {len(content):,}; "
                    "try again later"
                )
            self.fetched += len(content)
            for number in run:
                at = number * BLOCK - start
                self._blocks[number] = content[at : at + BLOCK]


def open_remote(
    url: str | Url, *, most: int, timeout: float = 60, retries: int = 5
) -> RemoteFile | None:
    """Open the file at ``url``, to read parts of it; None if there is no file.

    :param most: bytes that may be fetched.
    :raises TaxiError: what ``stat`` raises, or the source doesn't say how large the file is.
    """
    url = Url.parse(url)
    scheme = scheme_of(url, timeout, retries)
    facts = scheme.stat(url)
    if facts is None:
        return None
    if facts.bytes is None:
        raise TaxiError(f"{url}: the source doesn't say how large the file is; load it to see it")
    return RemoteFile(url, scheme, facts, facts.bytes, most)
