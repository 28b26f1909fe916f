"""Open psql on the warehouse, the embedded one too."""

import os
import shutil
import signal
import subprocess
import sys

import click
import psycopg2.extensions

from luigi_tasks import config, warehouse
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
    environment = dict(os.environ)
    if opened.is_embedded:
        if warehouse.is_empty(opened):
            click.echo(
                f"no month is loaded in {embedded.cluster_folder(opened.root)} yet", err=True
            )
        environment = embedded.without_libpq_variables(environment)
    facts = psycopg2.extensions.parse_dsn(warehouse.url(opened))
    # the password goes by the environment: any user of the machine may list arguments
    password = facts.pop("password", "")
    if password:
        environment["PGPASSWORD"] = password
    program = shutil.which("psql") or embedded.binary("psql")
    command = [str(program), psycopg2.extensions.make_dsn(**facts), *arguments]
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C cancels a query, and psql goes on
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)
