"""Run PostgreSQL's own programs on the warehouse, the embedded one too."""

import os
import re
import shutil
import signal
import subprocess
import sys

import click
import psycopg2.extensions

from luigi_tasks import config, warehouse
from luigi_tasks.commands.settings import open_warehouse, setting
from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse import embedded

_PASSED_ON = {"ignore_unknown_options": True}


@click.command(context_settings=_PASSED_ON)
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
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C cancels a query, and psql goes on
    _run("psql", opened, arguments)


@click.command(context_settings=_PASSED_ON)
@setting(config.storage, "root")
@setting(config.warehouse, "url")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PG_DUMP'S ARGUMENTS]...")
def pg_dump(arguments: tuple[str, ...]) -> None:
    """Back the warehouse up by pg_dump, the embedded one too.

    The other arguments are pg_dump's, such as --format custom --file taxis.dump. Runs may go on
    meanwhile.
    """
    _run("pg_dump", open_warehouse(), arguments)


def _run(name: str, opened: Warehouse, arguments: tuple[str, ...]) -> None:
    """Run a program of PostgreSQL's on the warehouse, and exit as it does."""
    environment = dict(os.environ)
    if opened.is_embedded:
        environment = embedded.without_libpq_variables(environment)
    facts = psycopg2.extensions.parse_dsn(warehouse.url(opened))
    # the password goes by the environment: any user of the machine may list arguments
    password = facts.pop("password", "")
    if password:
        environment["PGPASSWORD"] = password
    dsn = psycopg2.extensions.make_dsn(**facts)
    command = [_newest(name), dsn, *arguments]
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


def _newest(name: str) -> str:
    """The newest program of that name, since it has to know the server's version: that on PATH, or
    the package's own.

    :raises TaxiError: there is none.
    """
    found = shutil.which(name)
    try:
        own = str(embedded.binary(name))
    except TaxiError:
        if found is None:
            raise TaxiError(
                f"{name} isn't installed: install PostgreSQL's client programs"
            ) from None
        return found
    if name == "psql":  # an older one does as well, and may edit lines
        return found or own
    return max(filter(None, [found, own]), key=_version)


def _version(program: str) -> int:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    numbers = re.findall(r"\d+", shown.stdout)
    return int(numbers[0]) if numbers else 0
