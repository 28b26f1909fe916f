"""The state of the runs on a host, in a file: what may be down is the warehouse, or the disk full.

``alarms.json`` has its full size from the beginning, and is overwritten in place, so that it needs
no space when there is none. Its two halves are written in turns: a crash while one is written
leaves the other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILE = "alarms.json"
#: Bytes of each half.
HALF = 32_768
#: Seconds between two attempts to lock the file.
INTERVAL = 0.1
_DIGEST = 64


class HostState:
    """The file below a storage folder, locked against other runs, by :func:`opened`.

    ``values`` is what JSON can hold, empty at first. Another run's changes aren't overwritten,
    since it is read after it is locked.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        found = [read for half in (0, 1) if (read := self._read(half))]
        self._number, self.values = max(found, key=lambda each: each[0]) if found else (0, {})

    def save(self) -> None:
        """Write the values and flush them to disk.

        :raises OSError: the disk can't be written.
        :raises ValueError: they are longer than half the file.
        """
        text = json.dumps({"number": self._number + 1, "values": self.values}).encode()
        data = hashlib.sha256(text).hexdigest().encode() + text
        if len(data) > HALF:
            raise ValueError(f"{FILE}: {len(data)} bytes are more than {HALF}")
        os.pwrite(self._descriptor, data.ljust(HALF), (self._number + 1) % 2 * HALF)
        os.fsync(self._descriptor)
        self._number += 1

    def _read(self, half: int) -> tuple[int, dict[str, Any]] | None:
        data = os.pread(self._descriptor, HALF, half * HALF)
        digest, text = data[:_DIGEST], data[_DIGEST:].rstrip()
        if hashlib.sha256(text).hexdigest().encode() != digest:
            return None
        read = json.loads(text)
        return read["number"], read["values"]


def prepare(root: Path) -> None:
    """Create the file at its full size, unless it exists.

    :raises OSError: the disk is full, or can't be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / FILE
    if path.is_file() and path.stat().st_size >= 2 * HALF:
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        missing = 2 * HALF - os.fstat(descriptor).st_size
        if missing > 0:
            written = os.pwrite(descriptor, b" " * missing, 2 * HALF - missing)
            os.fsync(descriptor)
            if written < missing:
                raise OSError(f"{path}: no space for {2 * HALF} bytes")
    finally:
        os.close(descriptor)


@contextmanager
def opened(root: Path, patience: float) -> Iterator[HostState]:
    """Lock the file and read it.

    :param patience: seconds to wait for another run that has locked it.
    :raises OSError: the disk can't be written.
    :raises TimeoutError: another run has it for longer.
    """
    prepare(root)
    descriptor = os.open(root / FILE, os.O_RDWR)
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"another run has locked {root / FILE}") from None
                time.sleep(INTERVAL)
        yield HostState(descriptor)
    finally:
        os.close(descriptor)
