"""What every part has at hand: the server, the sizes, a folder, and the book of measurements."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.inputs import Month
from bench.report import Measurement
from bench.server import Server


@dataclass
class Sizes:
    """How much is measured; ``--quick`` takes less."""

    rows: int = 3_000_000
    many_rows: int = 15_000_000
    fhvhv_rows: int = 20_000_000
    repeat: int = 3
    repeat_slow: int = 1
    growth_months: int = 48
    growth_rows: int = 300_000
    nothing_months: int = 200
    real_months: int | None = None
    tiny_months: int = 20
    fault_rows: int = 5_000
    moments: int = 100
    seed: int = 1


QUICK = Sizes(
    rows=60_000,
    many_rows=200_000,
    fhvhv_rows=200_000,
    repeat=1,
    growth_months=8,
    growth_rows=5_000,
    nothing_months=12,
    real_months=2,
    tiny_months=3,
    fault_rows=2_000,
    moments=3,
)


@dataclass
class Bench:
    server: Server
    is_embedded: bool
    sizes: Sizes
    alternatives: set[str]
    data: Path
    real: Path
    measurements: list[Measurement] = field(default_factory=list)
    inputs: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def measurement(self, part: str, what: str, repeat: int) -> Iterator[Measurement]:
        """A measurement to be filled in, from a server at rest; it's noted if all goes well."""
        self.server.settle()
        print(f"{part}: {what}, {repeat + 1}", file=sys.stderr, flush=True)
        measurement = Measurement(part, what, repeat, 0, os.getloadavg()[0])
        yield measurement
        self.measurements.append(measurement)

    def of(self, part: str) -> list[Measurement]:
        return [each for each in self.measurements if each.part == part]

    def note(self, month: Month, months: int = 1) -> None:
        """Note what is loaded, for the record; ``months`` of about this size."""
        self.inputs.append(
            {
                "file": month.parquet.name,
                "months": months,
                "rows": month.rows,
                "bytes": month.parquet.stat().st_size,
                "forms": {
                    path.name.removeprefix(f"{month.parquet.stem}."): path.stat().st_size
                    for path in sorted(month.forms.glob(f"{month.parquet.stem}.*"))
                    if path != month.parquet
                },
            }
        )


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder for one run."""
    with tempfile.TemporaryDirectory(prefix="bench-run-") as folder:
        yield Path(folder)


def in_turns(names: Sequence[str], repeat: int) -> list[str]:
    """The order in one repeat: each time another one is first."""
    first = repeat % len(names)
    return [*names[first:], *names[:first]]
