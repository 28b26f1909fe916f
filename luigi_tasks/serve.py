"""Serve the embedded warehouse on a TCP port of this machine, for tools that know nothing of it.

    python -m luigi_tasks.serve [--storage-root DIR] [--port PORT]

Runs may go on meanwhile; they use the same server. It listens on 127.0.0.1 only, and lets in one
role, which may read everything and change nothing, by a password that is kept in a file.
"""

import argparse
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from luigi_tasks import config, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.psql import require_warehouse, set_value
from luigi_tasks.warehouse import embedded

#: Seconds between two tries to have the server alone, or looks whether it is still there.
INTERVAL = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C or TERM, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m luigi_tasks.serve",
        description="Serve the embedded warehouse on a TCP port of this machine.",
        allow_abbrev=False,
    )
    parser.add_argument("--storage-root", help="folder of the embedded warehouse")
    parser.add_argument("--port", type=int, default=5433, help="default: %(default)s")
    options = parser.parse_args(arguments)
    set_value("storage", "root", options.storage_root)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        _serve(options.port)
    except KeyboardInterrupt:
        return 0
    except TaxiError as error:
        print(error, file=sys.stderr)
    return 1


def _serve(port: int) -> None:
    """Serve until there's an exception."""
    opened = config.open_warehouse()
    if not opened.is_embedded:
        raise TaxiError("[warehouse] url: names a server, which serves itself; see there")
    require_warehouse()
    root = opened.root
    if not embedded.serve(root, port):
        print("a run uses the warehouse; it is served when that has ended", flush=True)
        while not embedded.serve(root, port):
            time.sleep(INTERVAL)
    file = root.resolve() / "warehouse.password"
    warehouse.set_reader(opened, embedded.SERVED_ROLE, _password(file))
    print(
        f"""host      127.0.0.1
port      {port}
database  postgres
user      {embedded.SERVED_ROLE}, who may read everything and change nothing
password  in {file}
It is the warehouse in {embedded.cluster_folder(root)}, until Ctrl-C.""",
        flush=True,
    )
    while embedded.is_served(root, port):
        time.sleep(INTERVAL)
    raise TaxiError(f"the server of {embedded.cluster_folder(root)} has ended")


def _password(file: Path) -> str:
    """The password that is kept in a file, made if it isn't there."""
    made = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        if not file.exists() or not file.read_text().strip():
            made.touch(mode=0o600, exist_ok=False)
            made.write_text(secrets.token_urlsafe() + "\n")
            made.replace(file)
        file.chmod(0o600)
        return file.read_text().strip()
    except OSError as error:
        raise TaxiError(f"[storage] root: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
