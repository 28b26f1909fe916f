"""Open psql on the warehouse, the embedded one too."""

import signal
import sys

import click

from luigi_tasks import config, warehouse
from luigi_tasks.commands import programs
from luigi_tasks.commands.settings import open_warehouse, setting
from luigi_tasks.warehouse import embedded


@click.command(context_settings={"ignore_unknown_options": True})
@setting(config.storage, "root")
@setting(config.warehouse, "url")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PSQL'S ARGUMENTS]...")
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the warehouse, the embedded one too.

    The other arguments are psql's, such as -c 'SELECT count(*) FROM trips'. The settings are those
    of luigi.cfg. An embedded server runs as long as psql does.
    """
    opened = open_warehouse()
    if opened.is_embedded and warehouse.is_empty(opened):
        click.echo(f"no month is loaded in {embedded.cluster_folder(opened.root)} yet", err=True)
    program, *_ = programs.installed("psql")  # one of the system may edit lines
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C cancels a query, and psql goes on
    sys.exit(programs.run(program, opened, arguments))
