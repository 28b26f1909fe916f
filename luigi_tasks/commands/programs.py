"""PostgreSQL's own programs, run on the warehouse."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress

import psycopg2.extensions

from luigi_tasks import warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse import embedded


def installed(name: str) -> list[str]:
    """The programs of that name: that on PATH, then the one that comes with the embedded server."""
    found = [path] if (path := shutil.which(name)) else []
    with suppress(TaxiError):
        found.append(str(embedded.binary(name)))
    if not found:
        raise TaxiError(f"{name} isn't installed: install PostgreSQL's client programs")
    return found


def version_of(program: str) -> int:
    """The major version of one of PostgreSQL's programs; 0 if it isn't known."""
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    numbers = re.findall(r"\d+", shown.stdout)
    return int(numbers[0]) if numbers else 0


def run(program: str, opened: Warehouse, arguments: Sequence[str]) -> int:
    """Run a program on the warehouse, and return its exit code."""
    environment = dict(os.environ)
    if opened.is_embedded:
        environment = embedded.without_libpq_variables(environment)
    facts = psycopg2.extensions.parse_dsn(warehouse.url(opened))
    # the password goes by the environment: any user of the machine may list arguments
    password = facts.pop("password", "")
    if password:
        environment["PGPASSWORD"] = password
    command = [program, psycopg2.extensions.make_dsn(**facts), *arguments]
    return subprocess.run(command, env=environment, check=False).returncode
