"""What a URL's scheme provides: functions ``stat``, ``open_at`` and ``read_part``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

from luigi_tasks.errors import TaxiError
from luigi_tasks.records import RemoteMetadata
from luigi_tasks.urls import Url

PIECE = 1024 * 1024
"""Bytes that are read and written at a time."""

LONGEST_ETAG = 1000
"""Characters; a server wouldn't accept a longer one in a request."""


@dataclass(frozen=True)
class PartialMetadata:
    """What the source says about the file that it is sending.

    It is recorded beside an unfinished file that can be resumed.
    """

    url: str  # redacted
    etag: str | None
    last_modified: str | None  # ISO 8601 in UTC
    bytes: int | None  # of the whole file
    content_type: str = ""
    validator: str | None = None  # the value for If-Range; None if the file can't be resumed

    @property
    def remote(self) -> RemoteMetadata:
        return RemoteMetadata(self.etag, self.last_modified, self.bytes)


@dataclass(frozen=True)
class Transfer:
    """A file on its way, from byte ``start`` on."""

    metadata: PartialMetadata
    start: int
    pieces: Iterator[bytes]


class Scheme(Protocol):
    """The functions of a scheme."""

    def stat(self, url: Url) -> RemoteMetadata | None:
        """Ask for a file's metadata, without fetching it; None if there is no file.

        :raises TaxiError: the source can't be reached, or gives neither of these answers
        """

    def open_at(
        self, url: Url, known: PartialMetadata | None, start: int
    ) -> AbstractContextManager[Transfer]:
        """Begin to send a file.

        :param known: the metadata of an unfinished file that has ``start`` bytes, to be resumed if
            that is still the same edition; None to begin at the first byte
        :raises TaxiError: there is no file, or it can't be read
        :raises BrokenError: the transfer ended early; ``pieces`` raises it, too
        :raises DamagedError: what was sent doesn't belong together; leaving the context raises it,
            too
        """

    def read_part(self, url: Url, known: RemoteMetadata, start: int, stop: int) -> bytes:
        """Read the bytes of a file from ``start`` to before ``stop``.

        :param known: what ``stat`` returned.
        :raises TaxiError: there is no such part, or it can't be read
        """


class BrokenError(Exception):
    """The transfer ended before the file did; the bytes that came are good."""


class DamagedError(Exception):
    """The bytes that came aren't those of the file; it has to be fetched from the beginning."""


class UnreadableError(DamagedError):
    """All bytes came that were announced, and they can't be read."""


def not_published(url: Url, answer: str = "") -> TaxiError:
    """Make the error for a file that doesn't exist."""
    return TaxiError(f"{url}: not published there{answer}; check the URL, or wait until it is")


def valid_etag(text: Any) -> str | None:
    """Return an ETag if it can be sent back and stored, or else None."""
    is_valid = isinstance(text, str) and re.fullmatch(rf"[ -~]{{1,{LONGEST_ETAG}}}", text)
    return text if is_valid else None


def iso(moment: datetime) -> str | None:
    """Write a moment as ISO 8601 in UTC; None if it isn't in the calendar of every time zone."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    try:
        moment = moment.astimezone(timezone.utc)
    except OverflowError:
        return None
    return moment.isoformat(timespec="seconds") if 1 < moment.year < 9999 else None
