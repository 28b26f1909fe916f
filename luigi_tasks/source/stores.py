"""Files in stores such as S3, by fsspec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from luigi_tasks.errors import TaxiError
from luigi_tasks.records import RemoteMetadata
from luigi_tasks.source.scheme import (
    PIECE,
    DamagedError,
    PartialMetadata,
    Transfer,
    iso,
    not_published,
    valid_etag,
)
from luigi_tasks.stores import errors_on_one_line, file_system
from luigi_tasks.urls import Url

BLOCK = 16 * PIECE
"""Bytes that a store is asked for at a time; its package holds a few of such blocks."""

#: What s3fs, adlfs, gcsfs and fsspec's own file systems call the time of a file's last change.
_MODIFIED = ("LastModified", "last_modified", "mtime", "created")


def stat(url: Url) -> RemoteMetadata | None:
    """Ask a store for a file's metadata; None if there is no file."""
    with errors_on_one_line(url):
        files, path = file_system(url)
        try:
            found = files.info(path)
        except FileNotFoundError:
            return None
    if found["type"] != "file":
        return None
    moments = [found.get(key) for key in _MODIFIED]
    moment = next((each for each in moments if isinstance(each, datetime)), None)
    return RemoteMetadata(
        etag=valid_etag(found.get("ETag") or found.get("etag")),
        last_modified=iso(moment) if moment else None,
        bytes=found.get("size"),
    )


@contextmanager
def open_at(url: Url, known: PartialMetadata | None, start: int) -> Iterator[Transfer]:
    """Read a file from its beginning; reading isn't resumed."""
    before = stat(url)
    if before is None:
        raise not_published(url)
    metadata = PartialMetadata(url.redacted, before.etag, before.last_modified, before.bytes)
    try:
        yield Transfer(metadata, 0, _pieces(url))
    except TaxiError:
        if stat(url) == before:
            raise
        # s3fs refuses to go on reading when the edition has changed
        raise DamagedError("it changed while it was copied") from None
    if stat(url) != before:
        raise DamagedError("it changed while it was copied")


def read_part(url: Url, known: RemoteMetadata, start: int, stop: int) -> bytes:
    """Read some bytes of a file."""
    with errors_on_one_line(url):
        files, path = file_system(url)
        return bytes(files.cat_file(path, start=start, end=stop))


def _pieces(url: Url) -> Iterator[bytes]:
    with errors_on_one_line(url):
        files, path = file_system(url)
        with files.open(path, "rb", block_size=BLOCK) as opened:
            while piece := opened.read(PIECE):
                yield piece
