"""Facts about files, and the records beside them.

A record is JSON with a checksum of itself. It appears whole or not at all, and counts as missing
once anything in it has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Protocol

from luigi_tasks.catalog import FINGERPRINT_VERSION
from luigi_tasks.months import bounds

#: Bytes of a file that are hashed at a time.
PIECE = 1 << 20


@dataclass(frozen=True)
class Edition:
    """One publication of a file, as it was fetched."""

    url: str  # redacted
    etag: str | None  # as the server writes it, with its quotation marks
    last_modified: str | None  # ISO 8601 in UTC, such as 2023-03-20T20:46:51+00:00
    bytes: int
    sha256: str  # of the whole file, in hex
    seconds: float  # that fetching took


class KnownEdition(Protocol):
    """An edition that was fetched, as the ledger or a record beside a file has it."""

    @property
    def etag(self) -> str | None: ...
    @property
    def last_modified(self) -> str | datetime | None: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class RemoteMetadata:
    """What a source says about a file without sending it; None is what it doesn't say."""

    etag: str | None
    last_modified: str | None  # ISO 8601 in UTC
    bytes: int | None

    def lacks_all_of(self, known: KnownEdition) -> bool:
        """Whether nothing is said that an edition is known by: an answer that was cut off."""
        is_empty = (self.etag, self.last_modified, self.bytes) == (None, None, None)
        return is_empty and bool(known.etag or known.last_modified)

    def differs(self, known: KnownEdition) -> bool:
        """Whether this is another edition: by ETag, or else by size and modification time."""
        if known.etag and self.etag:
            return known.etag != self.etag
        if self.bytes not in (None, known.bytes):
            return True
        if known.last_modified and self.last_modified:
            return datetime.fromisoformat(str(known.last_modified)) != datetime.fromisoformat(
                self.last_modified
            )
        return False


def edition_path(path: Path) -> Path:
    """Name the record beside a fetched file that has its edition."""
    return path.with_name(path.name + ".edition.json")


def read_edition(path: Path) -> Edition | None:
    """Read which edition the file at ``path`` is.

    :returns: None if the file or its record is missing, if the record can't be read, or if it is
        about a file of another size
    """
    try:
        edition = Edition(**read(edition_path(path)))
        return edition if edition.bytes == path.stat().st_size else None
    except (OSError, ValueError, TypeError):
        return None


def is_whole(path: Path, edition: Edition) -> bool:
    """Read the file at ``path``, and return whether it has the bytes of its edition."""
    try:
        return digest(path) == edition.sha256
    except OSError:
        return False  # a disk that can't read it


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a record and flush it to disk."""
    temporary = _temporary(path)
    with create(temporary) as file:
        file.write(as_bytes(values))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def as_bytes(values: Mapping[str, Any]) -> bytes:
    """A record as it is written."""
    return json.dumps({**values, "checksum": _checksum(values)}, indent=2).encode()


def read(path: Path) -> dict[str, Any]:
    """Read the values of a record.

    :raises OSError: there is none
    :raises ValueError: it was changed since it was written
    """
    if not path.is_file():  # opening a named pipe would wait for a writer
        raise FileNotFoundError(path)
    values = json.loads(path.read_bytes())
    if not isinstance(values, dict) or values.pop("checksum", None) != _checksum(values):
        raise ValueError(f"{path} was changed since it was written")
    return values


def remove(path: Path) -> None:
    """Remove a record, and the temporary file of one whose writing was interrupted."""
    for each in (path, _temporary(path)):
        each.unlink(missing_ok=True)


def create(path: Path) -> IO[bytes]:
    """Open a new file for writing, in place of one of that name; a link isn't followed."""
    path.unlink(missing_ok=True)
    return path.open("x+b")


def flush(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk.

    A renamed file has its new name for sure only once its folder was flushed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path) -> str:
    """Compute the sha256 of a file, in hex."""
    hashed, piece = hashlib.sha256(), bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            hashed.update(memoryview(piece)[:size])
    return hashed.hexdigest()


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


# --- loads ------------------------------------------------------------------------------------


@dataclass
class Load:
    """What is known of a load before the merge: the edition, row counts, durations in seconds.

    ``quality`` counts the rows that each data quality check found, ``new_columns`` has the types of
    columns that the catalog doesn't know, ``script`` identifies the user's transform, if there was
    one, and ``outputs`` and ``metrics`` are what it reported. The canonical file's record holds all
    this, and then the comment of the staging table.
    """

    url: str
    etag: str | None
    last_modified: str | None
    bytes: int
    sha256: str
    rows_read: int
    rows_rejected: int
    rows_staged: int
    unknown_columns: list[str]
    quality: dict[str, int]
    new_columns: dict[str, str]
    download_seconds: float
    transform_seconds: float
    started_at: str
    script: str | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    rows_duplicate: int = 0
    stage_seconds: float = 0.0
    fingerprint_version: int = FINGERPRINT_VERSION

    def reported(self) -> list[tuple[str, Any]]:
        """What a script reported, by name: outputs, then metrics."""
        return [*self.outputs.items(), *((each["name"], each["value"]) for each in self.metrics)]


@dataclass(frozen=True)
class MergedEdition:
    """The edition that a month was last loaded from, by row ``load_id`` of the ledger."""

    load_id: int
    etag: str | None
    last_modified: datetime | None
    bytes: int
    sha256: str


@dataclass(frozen=True)
class LastLoad:
    """A month's last load, from the ledger: where its trips are, and what they were made of."""

    pickup_months: dict[str, Any]
    outputs: dict[str, Any]
    sha256: str
    script: str | None
    new_columns: dict[str, str]
    package_version: str
    rows_staged: int
    rows_duplicate: int
    load_id: int

    @property
    def rows_distinct(self) -> int:
        """How many trips were staged."""
        return self.rows_staged - self.rows_duplicate

    @property
    def pickup_bounds(self) -> list[dict[str, Any]]:
        """The bounds of each month of pickup that it was merged into."""
        return [bounds(date.fromisoformat(f"{each}-01")) for each in self.pickup_months]

    def has_same_rows(self, load: Load) -> bool:
        """Whether it was made of the same file by the same transform."""
        return (self.sha256, self.script, self.new_columns, self.rows_staged) == (
            load.sha256,
            load.script,
            load.new_columns,
            load.rows_staged,
        ) and self.package_version == version("luigi-tasks")


@dataclass(frozen=True)
class LedgerLoad:
    """A load as the ledger has it: which one it is, of which edition, and where its trips are."""

    load_id: int
    finished_at: datetime
    url: str
    etag: str | None
    last_modified: datetime | None
    bytes: int
    sha256: str
    pickup_months: dict[str, Any]

    @property
    def name(self) -> str:
        """The load's number and, since every warehouse counts from 1, a digest of when it ended."""
        ended = self.finished_at.astimezone(timezone.utc).isoformat()
        return f"{self.load_id}-{hashlib.sha256(ended.encode()).hexdigest()[:8]}"

    @property
    def pickup_bounds(self) -> list[dict[str, Any]]:
        """The bounds of each month of pickup that it was merged into."""
        return [bounds(date.fromisoformat(f"{each}-01")) for each in self.pickup_months]

    def facts(self) -> dict[str, Any]:
        """What a record says of it, as JSON has it."""
        modified = self.last_modified and self.last_modified.astimezone(timezone.utc).isoformat()
        return {
            "load_id": self.load_id,
            "loaded_at": self.finished_at.astimezone(timezone.utc).isoformat(),
            "edition": {
                "url": self.url,
                "etag": self.etag,
                "last_modified": modified,
                "bytes": self.bytes,
                "sha256": self.sha256,
            },
        }


@dataclass
class Merged:
    """What a merge did; ``rows_staged`` is the sum of duplicate, present and inserted.

    ``rows_shared`` are those present that another month's file brought.
    """

    rows_staged: int = 0
    rows_duplicate: int = 0
    rows_present: int = 0
    rows_inserted: int = 0
    rows_shared: int = 0
    rows_removed: int = 0
    rows_stray: int = 0
    pickup_months: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def rows_distinct(self) -> int:
        """How many trips were staged."""
        return self.rows_staged - self.rows_duplicate

    def note_held(self, rows: int) -> None:
        """Take how many trips are in the table under the file's name: the others are of others."""
        self.rows_present = self.rows_distinct - self.rows_inserted
        self.rows_shared = self.rows_distinct - rows
