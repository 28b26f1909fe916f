"""Show what is loaded, what isn't, and what mends it."""

import sys

import click

from luigi_tasks import config
from luigi_tasks.catalog import TAXI_TYPES
from luigi_tasks.commands.settings import open_warehouse, setting


@click.command()
@setting(config.storage, "root")
@setting(config.warehouse, "url")
@click.option("--taxi-types", metavar="TYPES", help="Services to show, such as green,yellow.")
@click.option("--json", "as_document", is_flag=True, help="Print JSON.")
def status(taxi_types: str | None, as_document: bool) -> None:
    """Show what is loaded, what isn't, and the lines to run.

    The source isn't asked: what it said is what the last run of TaxiDue or TaxiRefresh heard. The
    exit code is 30 if a month has failed, 20 if one is to be loaded or is late, and else 0.
    """
    from luigi_tasks.status import exit_code, read_overview
    from luigi_tasks.tasks.ranges import start_of_ranges

    named = (taxi_types or "").replace(",", " ").split()
    for name in named:
        if name not in TAXI_TYPES:
            raise click.BadParameter(f"{name}: must be one of {', '.join(TAXI_TYPES)}")
    opened = open_warehouse()
    overview = read_overview(opened, start_of_ranges(), named)
    if as_document:
        from luigi_tasks.status.document import as_json

        click.echo(as_json(overview))
    else:
        from rich.console import Console

        from luigi_tasks.status.grid import draw

        draw(overview, Console(highlight=False, markup=False))
    sys.exit(exit_code(overview.months))
