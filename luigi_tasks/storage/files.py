"""Where a month's files are, under ``[storage] root``.

raw/       the published file, and the record of its edition
trips/     the canonical file, and the record of what is known of its load
rejects/   rows that couldn't be read; these stay
work/      folders of transforms that are running
"""

import errno
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path

from luigi_tasks import records
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import SystemicError
from luigi_tasks.months import Month
from luigi_tasks.records import Load

logger = logging.getLogger("luigi-interface.storage")


class MonthFiles:
    """The files of one month, under the folder ``root``."""

    def __init__(self, root: Path, month: Month) -> None:
        self.month, root = month, root.resolve()
        name = Path(month.filename)
        self.raw = root / "raw" / name
        self.trips = root / "trips" / name
        self.rejects = root / "rejects" / name.with_suffix(".jsonl")
        self._work = root / "work"
        self._failed = self.raw.with_name(f"{name}.failed")

    def read_load(self) -> Load | None:
        """The record of the canonical file; None unless both exist and agree."""
        try:
            record = records.read(self._record)
            load = Load(**record["load"])
            return load if record["bytes"] == self.trips.stat().st_size else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def trips_are_whole(self) -> bool:
        """Whether the canonical file still has the bytes that were written, by reading it."""
        try:
            return bool(records.digest(self.trips) == records.read(self._record)["sha256"])
        except (OSError, ValueError, KeyError):
            return False

    def keep(self, made: Path, rejects: Path, load: Load) -> None:
        """Move the output of a transform to its folders; the canonical file appears last.

        :param rejects: a file that exists only if rows were rejected.
        """
        try:
            facts = {"bytes": made.stat().st_size, "sha256": records.digest(made)}
            self.keep_rejects(rejects)
            self.trips.parent.mkdir(parents=True, exist_ok=True)
            self.trips.unlink(missing_ok=True)  # or it would be beside another's record
            records.write(self._record, {**facts, "load": asdict(load)})
            self._replace(made, self.trips)
        except OSError as error:
            raise SystemicError(f"[storage] root: {error}") from None

    def keep_rejects(self, rejects: Path) -> None:
        """Move rejects to their folder. No other run makes them again once the month is merged, so
        their name must outlast a loss of power as well.

        :param rejects: a file that exists only if rows were rejected.
        """
        try:
            if rejects.exists() or self.rejects.exists():
                self._replace(rejects, self.rejects)
                records.flush(self.rejects.parent)
                records.flush(self.rejects.parent.parent)
        except OSError as error:
            raise SystemicError(f"[storage] root: {error}") from None

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        """An empty folder, deleted at the end; those of killed runs are deleted first."""
        self._remove_work()
        try:
            self._work.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=self._work_prefix, dir=self._work))
        except OSError as error:
            raise SystemicError(f"[storage] root: {error}") from None
        try:
            yield folder
        except OSError as error:
            if error.filename is None:  # it isn't about a file of ours
                raise
            raise SystemicError(f"[storage] root: {error}") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def have_failed(self) -> bool:
        """Whether the last step that used them failed."""
        return self._failed.exists()

    def note_failure(self) -> None:
        """Record that a step failed, if the month has files that may be the cause."""
        if self.raw.exists() or self.trips.exists():
            with suppress(OSError):
                self.raw.parent.mkdir(parents=True, exist_ok=True)
                records.create(self._failed).close()

    def note_success(self) -> None:
        """Delete the record of a failure."""
        with suppress(OSError):
            self._failed.unlink(missing_ok=True)

    def exist(self) -> bool:
        """Whether ``remove`` would remove anything."""
        return any(
            any(path.parent.glob(f"{path.name}*"))
            for path in (self.raw, self.trips, self._work / self._work_prefix)
        )

    def remove(self) -> None:
        """Delete what only the load needs."""
        remove(self.raw, self.trips)
        self._remove_work()

    def remove_raw(self) -> None:
        """Delete the published file, which the canonical one replaces."""
        remove(self.raw)

    @property
    def _record(self) -> Path:
        return self.trips.with_name(self.trips.name + ".load.json")

    @property
    def _work_prefix(self) -> str:
        return f"{self.raw.stem}-"

    def _remove_work(self) -> None:
        for folder in self._work.glob(f"{self._work_prefix}*"):
            if folder.is_symlink():
                remove(folder)
            else:
                shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _replace(made: Path, target: Path) -> None:
        """Move a file to its target, durably; without the file, the target is deleted."""
        if not made.exists():
            target.unlink(missing_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        records.flush(made)
        try:
            made.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_to(made, target)  # their folders are on two disks


def _copy_to(made: Path, target: Path) -> None:
    """Copy a file to its target, where it appears whole."""
    temporary = target.with_name(target.name + ".tmp")
    with made.open("rb") as file, records.create(temporary) as copy:
        shutil.copyfileobj(file, copy, records.PIECE)
        copy.flush()
        os.fsync(copy.fileno())
    temporary.replace(target)


def zones_file(root: Path) -> Path:
    """Where the names of the taxi zones are, until they are loaded."""
    return root.resolve() / "raw" / "taxi_zone_lookup.csv"


def zone_shapes_file(root: Path) -> Path:
    """Where the outlines of the taxi zones are, until they are loaded."""
    return root.resolve() / "raw" / "taxi_zones.zip"


def remove(*files: Path) -> None:
    """Remove files and what is beside them; a failure is logged, for it harms nothing but space."""
    try:
        for file in files:
            for left in file.parent.glob(f"{file.name}*"):
                left.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("files that aren't needed are still there: %s", error)


def left_over(root: Path) -> set[Month]:
    """The months that have files in work."""
    pattern = re.compile(rf"({'|'.join(TAXI_TYPES)})_tripdata_([12]\d{{3}}-(?:0[1-9]|1[0-2]))\b")
    found = [
        pattern.match(path.name)
        for folder in ("raw", "trips", "work")
        for path in (root / folder).glob("*_tripdata_*")
    ]
    return {Month(match[1], date.fromisoformat(f"{match[2]}-01")) for match in found if match}
