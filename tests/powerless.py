"""A disk whose machine loses its power: what a folder holds then is what was synced.

    with Disk(root, at=3) as disk:
        ...  # raises PowerLossError at the third point
    disk.restore(random)  # the folder is as it may be when the power is back

A point is before and after each ``os.fsync`` of this process, and whatever else calls ``point``. A
name lasts once its folder was synced, and a content once its file was: POSIX promises no more. What
wasn't synced may be there or not, and a file may be empty, half, or zeros.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from types import TracebackType


class PowerLossError(BaseException):
    """Nothing more is done; no handler of errors is for it."""


class Disk:
    """Notes what is synced below a folder, and fails at a point; 0 for none."""

    def __init__(self, root: Path, at: int = 0) -> None:
        self.root, self.at, self.points = root, at, 0
        self._fsync = os.fsync
        #: By inode: the names in folders with their inodes, and the contents of files.
        self._names: dict[int, dict[str, int]] = {}
        self._contents: dict[int, bytes] = {}
        self._saved: dict[int, dict[str, int]] = {}
        self._found: dict[int, bytes] = {}

    def __enter__(self) -> Disk:
        os.fsync = self._synced
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> bool:
        os.fsync = self._fsync
        return kind is PowerLossError

    def point(self) -> None:
        """Lose the power here, if it is the chosen point."""
        self.points += 1
        if self.points == self.at:
            self._saved, self._found = self._as_it_is()
            raise PowerLossError

    def _synced(self, file: int) -> None:
        self.point()
        self._fsync(file)
        path = Path(os.readlink(f"/proc/self/fd/{file}"))  # noqa: PTH115 - Python 3.10
        if path.is_dir():
            self._names[path.stat().st_ino] = _names(path)
        else:
            self._contents[os.fstat(file).st_ino] = path.read_bytes()
        self.point()

    def _as_it_is(self) -> tuple[dict[int, dict[str, int]], dict[int, bytes]]:
        """What processes see: the names of each folder, and the content of each file."""
        names, contents = {}, {}
        for folder, _, files in os.walk(self.root):
            names[Path(folder).stat().st_ino] = _names(Path(folder))
            for file in files:
                path = Path(folder, file)
                contents[path.stat().st_ino] = path.read_bytes()
        return names, contents

    def restore(self, draw: random.Random | None) -> None:
        """Have the folder hold what was synced; and, if it is drawn, some of the rest."""
        root = self.root.stat().st_ino
        shutil.rmtree(self.root)
        self._restore(self.root, root, draw)

    def _restore(self, folder: Path, inode: int, draw: random.Random | None) -> None:
        folder.mkdir()
        synced, seen = self._names.get(inode, {}), self._saved.get(inode, {})
        for name in sorted(synced.keys() | seen.keys()):
            last, first = synced.get(name), seen.get(name)
            chosen = draw.choice([last, first]) if draw else last
            if chosen is None:
                continue
            if chosen in self._saved or chosen in self._names:
                self._restore(folder / name, chosen, draw)
            else:
                (folder / name).write_bytes(self._content(chosen, draw))

    def _content(self, inode: int, draw: random.Random | None) -> bytes:
        synced, seen = self._contents.get(inode, b""), self._found.get(inode, b"")
        if not draw or synced == seen:
            return synced
        return draw.choice([synced, seen, seen[: len(seen) // 2], bytes(len(seen))])


def _names(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_ino for path in folder.iterdir()}
