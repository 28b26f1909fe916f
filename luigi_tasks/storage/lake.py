"""The lake: each month's trips as Parquet, and a record that names the load they are of.

trips/taxi_type=green/month=2024-01/part.parquet
trips/taxi_type=green/month=2024-01/_load-17-0a1b2c3d.1234567.json

The record's name has the load and the size of the file, so that one listing tells which months are
complete. It is removed before the file is replaced, and written after it: it never names another
load than the file's. Engines leave out names that begin with ``_``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from luigi_tasks import records
from luigi_tasks.months import Month
from luigi_tasks.records import LedgerLoad
from luigi_tasks.storage.objects import objects_at
from luigi_tasks.urls import Url

if TYPE_CHECKING:
    from luigi_tasks.checksums import FingerprintSum
    from luigi_tasks.storage.part import PartWriter

PART = "part.parquet"
#: What is ours in the folder of a month, with the number of its month, and the name of a load and
#: the size of its file where it is a record.
_OURS = re.compile(
    r"trips/taxi_type=\w+/month=(?P<month>\d{4}-\d{2})/"
    r"(?:(?P<part>part\.parquet)|_load-(?P<load>\d+-[0-9a-f]{8})\.(?P<bytes>\d+)\.json"
    r"|\.(?:part\.parquet|_load-\S+\.json)\.[0-9a-f]{32}\.tmp)"
)


@dataclass
class _Held:
    """What the lake has of a month: the size of its file, sizes of files by the records' loads, and
    the names of records, unfinished files and the file, in the order in which they are removed."""

    bytes: int | None = None
    records: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def is_as_of(self, load: LedgerLoad) -> bool:
        """Whether it is whole, and of this load."""
        return self.bytes is not None and self.records == {load.name: self.bytes}


class Lake:
    """The lake in a folder or a store."""

    def __init__(self, location: Path | Url) -> None:
        self._objects = objects_at(location)

    def complete_months(self, taxi_type: str, loads: Mapping[date, LedgerLoad]) -> set[date]:
        """Which months the lake holds as of these loads, by one listing.

        :raises TaxiError: the store can't be reached, or refuses.
        """
        held = self._held_of(taxi_type, loads)
        return {month for month, found in held.items() if found.is_as_of(loads[month])}

    def stale_months(self, taxi_type: str, loads: Mapping[date, LedgerLoad]) -> set[date]:
        """Which months the lake holds, but not as of these loads, by one listing.

        :raises TaxiError: the store can't be reached, or refuses.
        """
        held = self._held_of(taxi_type, loads)
        return {month for month, found in held.items() if not found.is_as_of(loads[month])}

    def has(self, month: Month) -> bool:
        """Whether there is anything to withdraw."""
        return bool(self._held(_folder(month)))

    def publish(
        self,
        month: Month,
        part: PartWriter,
        *,
        load: LedgerLoad,
        fingerprints: FingerprintSum,
        check: Callable[[], None] = lambda: None,
    ) -> int:
        """Replace a month by what was written, whose file may be gone then; returns its bytes.

        :param check: is called before anything becomes visible, and raises if it mustn't.
        """
        size, folder = part.path.stat().st_size, _folder(month)
        record = {
            "taxi_type": month.taxi_type,
            "month": month.text,
            "filename": month.filename,
            **load.facts(),
            "rows": fingerprints.rows,
            "fingerprints": str(fingerprints),
            "bytes": size,
            "sha256": records.digest(part.path),
            "row_groups": part.row_groups,
            "columns": part.columns,
            "written_at": datetime.now(timezone.utc).isoformat(),
            "package_version": version("luigi-tasks"),
        }
        check()
        for held in self._held(folder).values():
            for name in held.names:
                if not name.endswith(f"/{PART}"):
                    self._objects.remove(name)
        self._objects.put(part.path, f"{folder}/{PART}")
        check()  # another run may have the month by now; then its record isn't of this file
        content = records.as_bytes(record)
        self._objects.write(content, f"{folder}/_load-{load.name}.{size}.json")
        return size

    def withdraw(self, month: Month) -> None:
        """Remove a month, if the lake holds it, and nothing that isn't ours; the record first."""
        for held in self._held(_folder(month)).values():
            for name in held.names:
                self._objects.remove(name)

    def _held_of(self, taxi_type: str, months: Collection[date]) -> dict[date, _Held]:
        """What is ours of these months, where there is anything."""
        if not months:
            return {}
        folder = f"trips/taxi_type={taxi_type}"
        if len(months) == 1:
            [month] = months
            folder = _folder(Month(taxi_type, month))
        held = self._held(folder)
        return {month: held[text] for month in months if (text := f"{month:%Y-%m}") in held}

    def _held(self, folder: str) -> dict[str, _Held]:
        """What is ours under a folder, by month."""
        found: dict[str, _Held] = {}
        for name, size in sorted(self._objects.sizes(folder).items()):
            if ours := _OURS.fullmatch(name):
                held = found.setdefault(ours["month"], _Held())
                if ours["part"]:
                    held.bytes = size
                elif ours["load"]:
                    held.records[ours["load"]] = int(ours["bytes"])
                held.names.append(name)
        for held in found.values():
            held.names.sort(key=lambda name: name.endswith(f"/{PART}"))
        return found


def _folder(month: Month) -> str:
    return f"trips/taxi_type={month.taxi_type}/month={month.text}"
