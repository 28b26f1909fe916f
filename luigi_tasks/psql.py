"""Open psql on the warehouse, the embedded one too.

    python -m luigi_tasks.psql [--storage-root DIR] [--warehouse-url URL] [psql's arguments]

The settings are those of ``luigi.cfg``. An embedded server runs as long as psql does.
"""

import argparse
import os
import shutil
import subprocess
import sys

import psycopg2.extensions
from luigi.configuration import get_config

from luigi_tasks import config, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.warehouse import embedded


def main(arguments: list[str] | None = None) -> int:
    """Run psql until it ends, and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m luigi_tasks.psql",
        description="Open psql on the warehouse; further arguments are psql's.",
        allow_abbrev=False,
    )
    parser.add_argument("--storage-root", help="folder of the embedded warehouse")
    parser.add_argument("--warehouse-url", help="'embedded', or postgresql://user@host/database")
    options, rest = parser.parse_known_args(arguments)
    set_value("storage", "root", options.storage_root)
    set_value("warehouse", "url", options.warehouse_url)
    environment = dict(os.environ)
    try:
        opened = config.open_warehouse()
        if opened.is_embedded:
            require_warehouse()
            if warehouse.is_empty(opened):
                folder = embedded.cluster_folder(config.storage_root())
                print(f"no month is loaded in {folder} yet", file=sys.stderr)
            environment = embedded.without_libpq_variables(environment)
        facts = psycopg2.extensions.parse_dsn(warehouse.url(opened))
    except TaxiError as error:
        print(error, file=sys.stderr)
        return 1
    # the password goes by the environment: any user of the machine may list arguments
    password = facts.pop("password", "")
    if password:
        environment["PGPASSWORD"] = password
    psql = shutil.which("psql") or embedded.binary("psql")
    command = [str(psql), psycopg2.extensions.make_dsn(**facts), *rest]
    return subprocess.run(command, env=environment, check=False).returncode


def set_value(section: str, key: str, value: str | None) -> None:
    """Set a value of the configuration to that of a flag, if it was given."""
    if value:
        get_config().set(section, key, value.replace("%", "%%"))


def require_warehouse() -> None:
    """Raise a TaxiError if there's no embedded warehouse."""
    root = config.storage_root()
    if not embedded.exists(root):
        raise TaxiError(
            f"no warehouse is in {root.resolve()} yet: load a month first, or name the folder of "
            "another by --storage-root, or in [storage] root of luigi.cfg"
        )


if __name__ == "__main__":
    sys.exit(main())
