"""Back the warehouse up by pg_dump, the embedded one too."""

import sys

import click

from luigi_tasks import config
from luigi_tasks.commands import programs
from luigi_tasks.commands.settings import open_warehouse, setting


@click.command(context_settings={"ignore_unknown_options": True})
@setting(config.storage, "root")
@setting(config.warehouse, "url")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PG_DUMP'S ARGUMENTS]...")
def pg_dump(arguments: tuple[str, ...]) -> None:
    """Back the warehouse up by pg_dump, the embedded one too.

    The other arguments are pg_dump's, such as --format custom --file taxis.dump. Runs may go on
    meanwhile.
    """
    opened = open_warehouse()
    newest = max(programs.installed("pg_dump"), key=programs.version_of)  # it refuses newer servers
    sys.exit(programs.run(newest, opened, arguments))
