"""Records beside files: what is known of a file, and whether it is still that.

A record is JSON with a checksum of itself. It appears whole or not at all, and one in which
something has changed since counts as missing.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

#: Bytes of a file that are hashed at a time.
PIECE = 1 << 20


def write(path: Path, values: Mapping[str, Any]) -> None:
    """Write a record, for good."""
    temporary = _temporary(path)
    with create(temporary) as file:
        file.write(json.dumps({**values, "checksum": _checksum(values)}, indent=2).encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read(path: Path) -> dict[str, Any]:
    """The values of a record.

    :raises OSError: it isn't there.
    :raises ValueError: it isn't what was written.
    """
    if not path.is_file():  # whoever opens a named pipe waits for ever
        raise FileNotFoundError(path)
    values = json.loads(path.read_bytes())
    if not isinstance(values, dict) or values.pop("checksum", None) != _checksum(values):
        raise ValueError(f"{path} isn't as it was written")
    return values


def remove(path: Path) -> None:
    """Remove a record, and what is left of one that wasn't written to its end."""
    for each in (path, _temporary(path)):
        each.unlink(missing_ok=True)


def create(path: Path) -> IO[bytes]:
    """Open a new file. What has its name goes; a link isn't followed to what somebody else has."""
    path.unlink(missing_ok=True)
    return path.open("x+b")


def digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    hashed, piece = hashlib.sha256(), bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            hashed.update(memoryview(piece)[:size])
    return hashed.hexdigest()


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
