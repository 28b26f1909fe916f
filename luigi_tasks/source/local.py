"""Files of ``file://`` URLs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from luigi_tasks.errors import TaxiError
from luigi_tasks.records import RemoteMetadata
from luigi_tasks.source.scheme import (
    PIECE,
    DamagedError,
    PartialMetadata,
    Transfer,
    iso,
    not_published,
)
from luigi_tasks.urls import Url


def stat(url: Url) -> RemoteMetadata | None:
    """Return the size and modification time of a file; None if there is no file."""
    found = _stat(url.local_path)
    return found and RemoteMetadata(None, _iso(found.st_mtime), found.st_size)


@contextmanager
def open_at(url: Url, known: PartialMetadata | None, start: int) -> Iterator[Transfer]:
    """Read a file from its beginning; a copy isn't resumed."""
    file = url.local_path
    before = _stat(file)
    if before is None:
        raise not_published(url)
    metadata = PartialMetadata(url.redacted, None, _iso(before.st_mtime), before.st_size)
    yield Transfer(metadata, 0, _pieces(file))
    after = file.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DamagedError("it changed while it was copied")


def read_part(url: Url, known: RemoteMetadata, start: int, stop: int) -> bytes:
    """Read some bytes of a file."""
    file = url.local_path
    try:
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(stop - start)
    except OSError as error:
        raise TaxiError(f"cannot read {file}: {error.strerror or error}") from None


def _stat(file: Path) -> os.stat_result | None:
    try:
        return file.stat() if file.is_file() else None
    except OSError as error:
        raise TaxiError(f"cannot read {file}: {error.strerror or error}") from None


def _pieces(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            while piece := opened.read(PIECE):
                yield piece
    except OSError as error:
        raise TaxiError(f"cannot read {file}: {error.strerror or error}") from error


def _iso(seconds: float) -> str | None:
    try:
        return iso(datetime.fromtimestamp(seconds, timezone.utc))
    except (ValueError, OverflowError, OSError):
        return None  # some file systems have times that are in no calendar
