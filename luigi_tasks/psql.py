"""Open psql on the warehouse, the embedded one too.

    python -m luigi_tasks.psql [--storage-root DIR] [--warehouse-url URL] [psql's arguments]

The settings are those of ``luigi.cfg``. An embedded server runs as long as psql does.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg2.extensions
from luigi.configuration import get_config

from luigi_tasks import config, embedded, warehouse
from luigi_tasks.errors import TaxiError


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
    for section, key in (("storage", "root"), ("warehouse", "url")):
        value = getattr(options, f"{section}_{key}")
        if value:
            get_config().set(section, key, value.replace("%", "%%"))
    root = Path(config.storage().render("root"))
    if config.warehouse().render("url") == "embedded" and not (root / "warehouse").is_dir():
        print(f"no warehouse is in {root} yet: load a month first", file=sys.stderr)
        return 1
    try:
        facts = psycopg2.extensions.parse_dsn(warehouse.url())
    except TaxiError as error:
        print(error, file=sys.stderr)
        return 1
    # the password goes by the environment: any user of the machine may list arguments
    environment = dict(os.environ)
    password = facts.pop("password", "")
    if password:
        environment["PGPASSWORD"] = password
    psql = shutil.which("psql") or embedded.binary("psql")
    command = [str(psql), psycopg2.extensions.make_dsn(**facts), *rest]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
