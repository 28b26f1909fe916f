"""What the settings mean: a folder, a warehouse, the columns that are selected."""

import hashlib
import ipaddress
import json
import os
import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from luigi.configuration import get_config
from luigi.interface import core

from luigi_tasks.catalog import ALWAYS_SELECTED, TAXI_TYPES, TaxiType
from luigi_tasks.config.sections import (
    SECTIONS,
    lake,
    log,
    quality,
    report,
    runner,
    storage,
    transform,
    trips,
    warehouse,
)
from luigi_tasks.config.templates import VARIABLE, FromEnvironment, keys_of
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.tables import Table, Tables, TripsTable, Warehouse
from luigi_tasks.urls import Url

#: PostgreSQL cuts names at so many bytes; a partition's key adds this to its table's name.
_LONGEST_NAME = 63
_LONGEST_TABLE_NAME = _LONGEST_NAME - len("_2024_01_pkey")


def storage_root() -> Path:
    """The folder of ``[storage] root``; ``~`` and ``~user`` at its beginning are home folders."""
    return _path("[storage] root", storage().render("root"))


def log_file() -> Path | None:
    """The file of ``[log] file``, if one is set; ``~`` at its beginning is as for the folder."""
    configured = str(log().file)
    return _path("[log] file", configured).absolute() if configured else None


def report_file() -> Path:
    """The file of ``[report] file``; a relative one is under the folder of ``[storage] root``."""
    configured = str(report().file)
    if not configured:
        raise TaxiError("[report] file: must name a file, such as report.html")
    return (storage_root() / _path("[report] file", configured)).absolute()


def shared_luigid() -> str | None:
    """The host of the ``luigid`` that runs share with other hosts; None without one.

    One that listens on this machine's loopback address only isn't shared with others.
    """
    settings = core()
    if settings.local_scheduler:
        return None
    url = urlsplit(settings.scheduler_url or f"http://{settings.scheduler_host}")
    if url.scheme == "http+unix":
        return None
    host = url.hostname or "localhost"
    with suppress(ValueError):
        return None if ipaddress.ip_address(host).is_loopback else host
    return None if host == "localhost" else host


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address is one of this machine's."""
    import psutil

    if host in (socket.gethostname(), socket.getfqdn()):
        return True
    with suppress(OSError):
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
        own = {each.address for nets in psutil.net_if_addrs().values() for each in nets}
        return bool(found & own)
    return False


def lake_location() -> Path | Url | None:
    """The folder or the store of ``[lake] url``, if one is set; ``~`` begins a home folder."""
    configured = lake().render("url")
    if not configured:
        return None
    if "://" not in configured:
        return _path("[lake] url", configured).absolute()
    try:
        url = Url.parse(configured)
        return url.local_path if url.scheme == "file" else url
    except TaxiError as error:
        raise TaxiError(f"[lake] url: {error}") from None


def variables() -> set[str]:
    """The names of the environment's variables that the settings name."""
    settings = get_config()
    return {
        name
        for section in SECTIONS
        for key in keys_of(section.__name__)
        for name in VARIABLE.findall(str(settings.get(section.__name__, key, "", raw=True)))
    }


def _path(key: str, configured: str) -> Path:
    path = os.path.expanduser(configured)  # noqa: PTH111  (Path would take ./~ for it, too)
    if path.startswith("~"):
        raise TaxiError(
            f"{key}: {configured!r} begins with a user who isn't known here; ./~ begins a "
            "folder of such a name"
        )
    return Path(path)


def open_warehouse() -> Warehouse:
    """The warehouse that the settings describe. Each section is read, and each value rendered,
    once: a run asks for it some 30 times a month."""
    settings, named, columns = warehouse(), trips(), selected_columns()
    own = _schema(settings)
    tables = {}
    for taxi_type in TAXI_TYPES:
        rendered = named.render("table", taxi_type=taxi_type)
        name = _table_name("[trips] table", rendered, own)
        tables[taxi_type] = TripsTable(_with_columns(taxi_type, columns), name)
    return Warehouse(
        url=settings.render("url"),
        root=storage_root(),
        schema=own,
        lock_timeout=settings.lock_timeout,
        time_limit=settings.time_limit,
        retries=settings.retries,
        trips=tables,
    )


def month_tables(warehouse: Warehouse, month: Month) -> Tables:
    """The tables of a month that the settings name."""
    [tables] = tables_of_months(warehouse, [month])
    return tables


def tables_of_months(warehouse: Warehouse, months: Iterable[Month]) -> list[Tables]:
    """The tables of each month that the settings name."""
    settings, found = trips(), []
    for month in months:
        rendered = settings.render(
            "staging_table", taxi_type=month.taxi_type, month=month.first_day
        )
        staging = _table_name("[trips] staging_table", rendered, warehouse.schema)
        found.append(Tables(month, warehouse.trips[month.taxi_type], staging))
    return found


def schema() -> str:
    """The schema of what isn't of one taxi type, and of tables that are named without one."""
    return _schema(warehouse())


def _schema(settings: warehouse) -> str:
    name = settings.render("schema")
    if not name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise TaxiError(
            f"[warehouse] schema: {name!r} must be a name of at most {_LONGEST_NAME} bytes"
        )
    if is_postgresqls(name):
        raise TaxiError(f"[warehouse] schema: {name!r} is PostgreSQL's own")
    return name


def _table_name(key: str, rendered: str, own_schema: str) -> Table:
    """Split ``schema.name``, and put "_" for what doesn't belong in a name."""
    parts = [re.sub(r"\W", "_", part, flags=re.ASCII) for part in rendered.split(".")]
    if len(parts) == 1:
        parts.insert(0, own_schema)
    if len(parts) != 2 or not all(parts):
        raise TaxiError(f"{key}: {rendered!r} must be a table's name, or schema.name")
    if len(parts[1]) > _LONGEST_TABLE_NAME:
        name = rendered if isinstance(rendered, FromEnvironment) else parts[1]
        raise TaxiError(f"{key}: {name!r} is longer than {_LONGEST_TABLE_NAME} characters")
    if len(parts[0]) > _LONGEST_NAME or is_postgresqls(parts[0]):
        raise TaxiError(
            f"{key}: {rendered!r} needs a schema of yours, with a name of at most {_LONGEST_NAME} "
            "characters"
        )
    return parts[0], parts[1]


def is_postgresqls(schema: str) -> bool:
    return schema == "information_schema" or schema.startswith("pg_")


def selected(taxi_type: str) -> TaxiType:
    """A taxi type with its selected columns, which always include pickup time and locations."""
    return _with_columns(taxi_type, selected_columns())


def _with_columns(taxi_type: str, columns: Sequence[str]) -> TaxiType:
    kind = TAXI_TYPES[taxi_type]
    names = set(columns)
    if not names:
        return kind
    names |= ALWAYS_SELECTED
    return replace(kind, columns=tuple(c for c in kind.columns if c.name in names))


def digest(*further: str | None) -> str:
    """A digest of the settings that decide whether a file can be loaded, and of this version.

    Of a value with variables of the environment, it has the variables' names.
    """
    values = [
        repr(getattr(section(), key))
        for section in (transform, quality, runner, trips)
        for key, _ in section.get_params()
    ]
    known = json.dumps([version("luigi-tasks"), *values, *further])
    return hashlib.sha256(known.encode()).hexdigest()


def schema_contract() -> str:
    """What happens to unknown columns; where columns are selected, no others are added."""
    contract = str(transform().schema_contract)
    return "discard" if contract == "evolve" and selected_columns() else contract


def selected_columns() -> list[str]:
    return str(transform().columns).replace(",", " ").split()
