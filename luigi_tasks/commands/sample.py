"""Write months of random taxi trips, in the shape in which the TLC publishes them."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import click

from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month


def _month(text: str) -> date:
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", text):
        raise click.BadParameter(f"{text}: must be a month such as 2024-01")
    return date.fromisoformat(f"{text}-01")


def _number(text: str | int) -> int:
    if not re.fullmatch(r"[0-9][0-9_]*", str(text)):
        raise click.BadParameter(f"{text}: must be a whole number, 0 or more")
    return int(text)


MONTH: dict[str, Any] = {"type": _month, "metavar": "MONTH"}
NUMBER: dict[str, Any] = {"type": _number, "metavar": "N", "show_default": True}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--taxi-type", type=click.Choice([*TAXI_TYPES]), default="yellow", show_default=True)
@click.option("--month", **MONTH, required=True, help="First month, such as 2024-01.")
@click.option("--stop", **MONTH, help="The month after the last.  [default: a single month]")
@click.option("--rows", **NUMBER, default=10_000, help="Rows in a file.")
@click.option("--seed", **NUMBER, default=1, help="Same seed, same rows.")
@click.option("--duplicates", **NUMBER, default=0, help="Rows to write twice, beyond --rows.")
@click.option("--strays", **NUMBER, help="Pickups outside the month.  [default: 1 row in 7,000]")
@click.option(
    "--reversals", **NUMBER, help="Rows that reverse another.  [default: 1 row in 450; fhv: 0]"
)
@click.option(
    "--twins", **NUMBER, help="Rows that all but repeat another.  [default: 1 row in 4,000]"
)
def sample(folder: Path, taxi_type: str, month: date, stop: date | None, **counts: Any) -> None:
    """Write months of random trips, and the taxi zones.

    FOLDER is created if it doesn't exist. The months are FOLDER/TYPE_tripdata_MONTH.parquet, in the
    shape in which the TLC publishes them; the zones are FOLDER/taxi_zone_lookup.csv
    and FOLDER/taxi_zones.zip.
    """
    from luigi_tasks.sample import write_month, write_zone_shapes, write_zones
    from luigi_tasks.sample.draw import next_month

    stop = stop or next_month(month)
    if stop <= month:
        raise click.UsageError(f"--stop {stop:%Y-%m}: must be after --month {month:%Y-%m}")
    while month < stop:
        path = folder / Month(taxi_type, month).filename
        try:
            written = write_month(path, taxi_type, month, **counts)
        except TaxiError as error:
            raise click.UsageError(str(error)) from None
        click.echo(f"{path}: {written.rows:,} rows, {path.stat().st_size:,} bytes")
        month = next_month(month)
    path = folder / "taxi_zone_lookup.csv"
    click.echo(f"{path}: {write_zones(path):,} zones")
    path = folder / "taxi_zones.zip"
    write_zone_shapes(path)
    click.echo(f"{path}: their outlines")
