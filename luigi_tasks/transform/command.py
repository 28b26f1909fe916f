"""The command line of the transform.

    python -m luigi_tasks.transform RAW --taxi-type green --trips TRIPS --rejects REJECTS

It reports what it did on standard output as ``::{"outputs": {...}}::``. With ``--trips -`` the
trips go there, as a stream in Arrow's IPC format, and everything else goes to standard error.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.texts import printable
from luigi_tasks.transform.files import transform


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 1 with one line on standard error. After an
    error of the system, which says nothing of the file, it is that of sysexits.h."""
    options = _parser().parse_args(arguments)
    try:
        with _opened(options.trips) as trips:
            report = transform(
                options.raw,
                trips,
                options.rejects,
                TAXI_TYPES[options.taxi_type],
                options.max_reject_ratio,
                schema_contract=options.schema_contract,
            )
    except TaxiError as error:
        print(printable(error), file=sys.stderr)
        return os.EX_IOERR if isinstance(error, SystemicError) else 1
    except OSError as error:
        print(printable(f"the transform failed: {error}"), file=sys.stderr)
        return os.EX_IOERR
    print("::" + json.dumps({"outputs": asdict(report)}) + "::")
    return 0


@contextmanager
def _opened(trips: Path) -> Iterator[Path | IO[bytes]]:
    """A file to be written, or standard output, where nothing else is printed from then on."""
    if str(trips) != "-":
        yield trips
        return
    with os.fdopen(os.dup(1), "wb") as stream:
        os.dup2(2, 1)
        yield stream


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m luigi_tasks.transform",
        description="Write a published file with the catalog's columns and types.",
    )
    parser.add_argument(
        "raw", type=Path, nargs="+", help="the published file, or several that make it up"
    )
    parser.add_argument("--taxi-type", required=True, choices=list(TAXI_TYPES))
    parser.add_argument("--trips", type=Path, required=True, help="parquet file to write, or -")
    parser.add_argument("--rejects", type=Path, required=True, help="JSON lines, if there are any")
    parser.add_argument(
        "--max-reject-ratio",
        type=float,
        default=0.01,
        help="share of rows, 0 to 1, that may be unreadable (default: 0.01)",
    )
    parser.add_argument(
        "--schema-contract",
        choices=["evolve", "discard", "freeze"],
        default="evolve",
        help="whether unknown columns are written, left out or refused (default: evolve)",
    )
    return parser
