"""The unfinished file: written piece by piece, resumed as far as it is sound, verified, published.

It is called ``<name>.part``. ``<name>.part.json`` records which edition it is of, and
``<name>.part.log`` has checksums of the bytes that came, so that the next fetch, in this process or
in another one, can go on where the last one stopped.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from luigi_tasks import records
from luigi_tasks.errors import ContentError
from luigi_tasks.records import Edition
from luigi_tasks.source.scheme import (
    PIECE,
    DamagedError,
    PartialMetadata,
    Transfer,
    UnreadableError,
)
from luigi_tasks.urls import Url


@dataclass(frozen=True)
class Part:
    """An unfinished file, its record and its log."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    @property
    def _record(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def _log(self) -> Path:
        return self.path.with_name(self.path.name + ".log")

    def begin(self, metadata: PartialMetadata) -> None:
        """Begin with an empty file, and record its metadata if it can be resumed by them."""
        self.discard()
        for path in (self.path, self._log):
            records.create(path).close()
        if metadata.validator:
            records.write(self._record, asdict(metadata))

    def resumable(self, url: Url) -> tuple[PartialMetadata | None, int]:
        """Return the recorded metadata and how many bytes are sound; None and 0 if there is
        nothing that could be resumed from ``url``.
        """
        try:
            metadata = PartialMetadata(**records.read(self._record))
            is_regular = all(map(_is_regular, (self.path, self._log)))
        except (OSError, ValueError, TypeError):
            return None, 0
        if not metadata.validator or metadata.url != url.redacted or not is_regular:
            return None, 0
        start = self._sound_bytes()
        return (metadata, start) if start else (None, 0)

    def _sound_bytes(self) -> int:
        """Count the bytes at the beginning that are still those that came, by the log."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return 0
        split = (line.partition(" ") for line in lines)
        digests = {int(size): sha256 for size, _, sha256 in split if _is_size(size)}
        sound = 0
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            for size in sorted(filter(None, digests)):
                while piece := file.read(min(PIECE, size - file.tell())):
                    digest.update(piece)
                if file.tell() < size or digest.hexdigest() != digests[size]:
                    break
                sound = size
        return sound

    def write(
        self,
        transfer: Transfer,
        report: Callable[[int, int | None], None],
        check: Callable[[], None],
    ) -> str:
        """Write what comes, and return the sha256 of the whole file, in hex.

        The log gets a line for each piece, with the size and the sha256 up to its end.

        :param check: is called before each piece is written, and may raise an error
        :raises DamagedError: the bytes before the transfer's start are gone
        """
        start, total = transfer.start, transfer.metadata.bytes
        digest = hashlib.sha256()
        # Without a buffer it is known how much of a piece reached a disk that is full.
        with (
            self.path.open("r+b", buffering=0) as file,
            self._log.open("ab", buffering=0) as log,
        ):
            while file.tell() < start:
                piece = file.read(min(PIECE, start - file.tell()))
                if not piece:
                    raise DamagedError("what had come of it is gone")
                digest.update(piece)
            check()
            file.truncate()
            report(start, total)
            size = start
            for piece in transfer.pieces:
                check()
                rest = memoryview(piece)
                while rest:
                    written, rest = rest[: (taken := file.write(rest))], rest[taken:]
                    digest.update(written)
                    size += taken
                    log.write(f"{size} {digest.hexdigest()}\n".encode())
                report(size, total)
            os.fsync(file.fileno())
        return digest.hexdigest()

    def verify(self, metadata: PartialMetadata, *, must_be_read: bool) -> None:
        """Make sure that it isn't an error page and, if it must be read, that it can be.

        :raises ContentError: it isn't such a file
        :raises DamagedError: it is one, but not whole
        """
        from luigi_tasks import formats

        size, wanted = self.size, "parquet, CSV or JSON" if must_be_read else "a data file"
        with self.path.open("rb") as file:
            head = file.read(formats.HEAD)
        file_format = formats.detect_format(head)
        is_page = re.match(rb"[\xef\xbb\xbf\s]*<(!doctype )?html", head, re.IGNORECASE)
        if not size:
            got = "an empty file"
        elif is_page or "html" in metadata.content_type:
            got = "an HTML page"
        elif must_be_read and file_format is None:
            # a proxy's or a disk's fault, perhaps, under the ETag of the right file
            raise UnreadableError(
                f"got {size:,} bytes that begin with {head[:16]!r}, wanted {wanted}; check the URL"
            )
        else:
            got = ""
        if got:
            self.discard()
            raise ContentError(f"{metadata.url}: got {got}, wanted {wanted}; check the URL")
        if must_be_read and file_format == "parquet":
            self._verify_footer(size)

    def _verify_footer(self, size: int) -> None:
        with self.path.open("rb") as file:
            file.seek(max(0, size - 4))
            tail = file.read(4)
        if size < 12 or tail != b"PAR1":
            raise UnreadableError(
                f"the file is truncated: {size:,} bytes without the footer of a parquet file"
            )

        import pyarrow.parquet

        try:
            with self.path.open("rb") as file:
                pyarrow.parquet.read_metadata(file)
        except (pyarrow.ArrowException, OSError) as error:
            why = str(error).partition("\n")[0]
            raise UnreadableError(f"its parquet footer can't be read ({why})") from None

    def publish(self, path: Path, edition: Edition) -> None:
        """Rename a verified file to ``path``, after writing the record of its edition."""
        # The file of an older edition is removed before the new record is written: no file is ever
        # beside the record of another one, wherever this stops.
        path.unlink(missing_ok=True)
        records.write(records.edition_path(path), asdict(edition))
        self.path.replace(path)
        records.flush(path.parent)
        self.discard()

    def discard(self) -> None:
        """Remove it, with its record and log."""
        # The record comes first: an unfinished file without one is never resumed.
        records.remove(self._record)
        for path in (self.path, self._log):
            path.unlink(missing_ok=True)


def _is_regular(path: Path) -> bool:
    """Whether a file is no link, through which somebody else's file would be written to."""
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _is_size(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,18}", text))
