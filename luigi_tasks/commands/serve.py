"""Serve the embedded warehouse on a TCP port of this machine.

It listens on 127.0.0.1 only and admits one role, which may read everything and change nothing, by a
password that is in a file.
"""

import os
import secrets
import signal
import sys
import time
from pathlib import Path

import click

from luigi_tasks import config, warehouse
from luigi_tasks.commands.settings import open_warehouse, setting
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse import embedded

#: Seconds between two attempts to use the server alone, and between two looks whether it runs.
INTERVAL = 1.0


@click.command()
@setting(config.storage, "root")
@click.option("--port", type=int, default=5433, show_default=True, help="Port on 127.0.0.1.")
def serve(port: int) -> None:
    """Serve the embedded warehouse on a TCP port of this machine.

    Until Ctrl-C, other tools may read everything there and change nothing. Runs may go on
    meanwhile; they use the same server.
    """
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        _serve(port)
    except KeyboardInterrupt:
        sys.exit(0)


def _serve(port: int) -> None:
    """Serve until there's an exception."""
    opened = open_warehouse()
    if not opened.is_embedded:
        raise TaxiError(
            "[warehouse] url: names a server, which tools reach without this; only the embedded "
            "warehouse has to be served"
        )
    root = opened.root
    if not embedded.serve(root, port):
        click.echo("a run uses the warehouse; it is served when that has ended")
        while not embedded.serve(root, port):
            time.sleep(INTERVAL)
    file = root.resolve() / "warehouse.password"
    warehouse.set_reader(opened, embedded.SERVED_ROLE, _password(file))
    click.echo(
        f"""host      127.0.0.1
port      {port}
database  postgres
user      {embedded.SERVED_ROLE}, who may read everything and change nothing
password  in {file}
It is the warehouse in {embedded.cluster_folder(root)}, until Ctrl-C."""
    )
    while embedded.is_served(root, port):
        time.sleep(INTERVAL)
    raise TaxiError(f"the server of {embedded.cluster_folder(root)} has ended")


def _password(file: Path) -> str:
    """Return the password in a file; if there is none, write a new one."""
    new = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        if not file.exists() or not file.read_text().strip():
            new.touch(mode=0o600, exist_ok=False)
            new.write_text(secrets.token_urlsafe() + "\n")
            new.replace(file)
        file.chmod(0o600)
        return file.read_text().strip()
    except OSError as error:
        raise TaxiError(f"[storage] root: {error}") from None
