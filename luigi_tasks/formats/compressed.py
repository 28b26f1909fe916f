"""CSV and JSON in gzip or zip, uncompressed on the way, with limits against endless files."""

import gzip
import io
import lzma
import zipfile
import zlib
from contextlib import ExitStack
from typing import IO, Any

from luigi_tasks.errors import TaxiError
from luigi_tasks.formats.rows import PIECE
from luigi_tasks.texts import shortened

#: Bytes that a file may have when it is uncompressed: ten times the largest month there is.
LARGEST_UNCOMPRESSED = 32 << 30
#: How many times its size a file may have when it is uncompressed, and the bytes from which on this
#: is checked. Months have 5 to 25 times.
MOST_TIMES, CHECKED_FROM = 100, 32 << 20


class Uncompressed(io.RawIOBase):
    """The bytes of a file, uncompressed if its ``format`` is gzip or zip."""

    def __init__(self, stack: ExitStack, raw: IO[bytes], format: str | None) -> None:
        self._bytes, self._format = 0, format
        self._raw, self._size = raw, raw.seek(0, io.SEEK_END)
        raw.seek(0)
        self._stream: IO[bytes] = raw
        try:
            if format == "gzip":
                opened: Any = gzip.GzipFile(fileobj=raw)
                self._stream = stack.enter_context(opened)
            elif format == "zip":
                archive = stack.enter_context(zipfile.ZipFile(raw))
                self._stream = stack.enter_context(archive.open(_only_member(archive)))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise TaxiError(f"it can't be unpacked: {error}") from None

    @property
    def share(self) -> float:
        """The part of the file that was read so far, from 0 to 1."""
        return self._raw.tell() / max(1, self._size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._stream.read(min(len(buffer), PIECE))
        except (
            EOFError,
            zlib.error,
            lzma.LZMAError,
            gzip.BadGzipFile,
            zipfile.BadZipFile,
        ) as error:
            reason = "it ends early" if isinstance(error, EOFError) else str(error)
            raise TaxiError(f"it can't be unpacked: {reason}") from None
        self._bytes += len(piece)
        if self._format and self._bytes > LARGEST_UNCOMPRESSED:
            raise TaxiError(
                f"it can't be unpacked: it has more than {LARGEST_UNCOMPRESSED:,} bytes"
            )
        if self._bytes > CHECKED_FROM + MOST_TIMES * self._raw.tell():
            raise TaxiError(
                f"it unpacks to more than {MOST_TIMES:,} times its size: it has no trips"
            )
        buffer[: len(piece)] = piece
        return len(piece)


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        names = ", ".join(shortened(member.filename) for member in members[:3]) or "none"
        raise TaxiError(f"it must have one file in it, and has {len(members)}: {names}")
    return members[0]
