"""Write the report, one file of HTML."""

import click

from luigi_tasks import config
from luigi_tasks.commands.settings import open_warehouse, setting


@click.command()
@setting(config.storage, "root")
@setting(config.warehouse, "url")
@setting(config.report, "file")
def report() -> None:
    """Write a page that shows what is loaded, and what isn't.

    It is one file of HTML that needs no server and no network, to be looked at, mailed and kept.
    The task TaxiReport writes the same.
    """
    from luigi_tasks.status.report import write_report
    from luigi_tasks.tasks.ranges import start_of_ranges

    click.echo(write_report(open_warehouse(), start_of_ranges()))
