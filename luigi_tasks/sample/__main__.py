"""Write months of random taxi trips, in the shape in which the TLC publishes them.

python -m luigi_tasks.sample FOLDER --taxi-type yellow --month 2024-01 --rows 3000000
"""

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.sample.draw import next_month
from luigi_tasks.sample.services import TAXI_TYPES
from luigi_tasks.sample.write import write_month


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 2 with one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m luigi_tasks.sample",
        description="Write months of random taxi trips as FOLDER/TYPE_tripdata_MONTH.parquet, "
        "in the shape in which the TLC publishes them.",
    )
    number: dict[str, Any] = {"metavar": "N", "type": _number}
    add = parser.add_argument
    add("folder", metavar="FOLDER", type=Path, help="created if it doesn't exist")
    add("--taxi-type", choices=TAXI_TYPES, default="yellow", help="default: %(default)s")
    add("--month", type=_month, required=True, help="the first month, such as 2024-01")
    add("--stop", type=_month, help="the month after the last; default: a single month")
    add("--rows", **number, default=10_000, help="rows in a file; default: %(default)s")
    add("--seed", **number, default=1, help="same seed, same rows; default: %(default)s")
    add("--duplicates", **number, default=0, help="rows to write twice, beyond --rows; default: 0")
    add("--strays", **number, help="pickups outside the month; default: 1 row in 7,000")
    add("--reversals", **number, help="rows that reverse another; default: 1 row in 450 (fhv: 0)")
    add("--twins", **number, help="rows that all but repeat another; default: 1 row in 4,000")
    given = vars(parser.parse_args(arguments))
    folder, taxi_type = given.pop("folder"), given.pop("taxi_type")
    month, stop = given.pop("month"), given.pop("stop")
    stop = stop or next_month(month)
    if stop <= month:
        parser.error(f"--stop {stop:%Y-%m}: must be after --month {month:%Y-%m}")
    while month < stop:
        path = folder / Month(taxi_type, month).filename
        try:
            counts = write_month(path, taxi_type, month, **given)
        except (TaxiError, OSError) as error:
            parser.error(str(error))
        print(f"{path}: {counts.rows:,} rows, {path.stat().st_size:,} bytes", flush=True)
        month = next_month(month)
    return 0


def _month(text: str) -> date:
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a month such as 2024-01")
    return date.fromisoformat(f"{text}-01")


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9][0-9_]*", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, 0 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
