"""Refuse settings that can't work, before anything runs."""

import configparser
import copy
import difflib
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import get_config
from luigi.configuration.toml_parser import LuigiTomlParser
from luigi.parameter import ParameterException

from luigi_tasks.catalog import QUALITY_CHECKS, TAXI_TYPES
from luigi_tasks.config import defaults
from luigi_tasks.config.defaults import packaged
from luigi_tasks.config.resolved import (
    is_this_machine,
    lake_location,
    log_file,
    open_warehouse,
    selected_columns,
    shared_luigid,
    storage_root,
    tables_of_months,
)
from luigi_tasks.config.sections import (
    LUIGIS_SECTIONS,
    SECTIONS,
    alarms,
    concurrency,
    lake,
    log,
    metrics,
    quality,
    runner,
    source,
    spark,
    transform,
    warehouse,
)
from luigi_tasks.config.templates import FromEnvironment, Written, keys_of, lines_of
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.urls import Url, redacted

#: The settings that were found to be good. A range has five tasks a month, and each asks.
_good: tuple[Any, ...] | None = None


def check(taxi_type: str = "yellow", month: date = date(2024, 1, 1)) -> None:
    """Refuse settings that can't work, before anything runs; by default, those of any month.

    :raises TaxiError: names the section, the key, what it got and what is allowed.
    """
    global _good  # noqa: PLW0603
    _check_files()
    for message in defaults.unreadable:
        raise TaxiError(message)
    if (settings := _settings()) != _good:
        _check_settings()
        _good = settings
    _check_log_file()
    for url in source().urls(taxi_type, month):
        with _naming("[source] url"):
            _check_url(url)
    _check_tables(taxi_type, month)


def _settings() -> tuple[Any, ...]:
    """Whatever the settings are read from: the files, the flags and the environment."""
    files: Any = get_config()
    if isinstance(files, LuigiTomlParser):
        written: Any = copy.deepcopy(files.data)
    else:
        written = {name: dict(files.items(name, raw=True)) for name in files.sections()}
    flags = CmdlineParser.get_instance()
    return written, flags and dict(vars(flags.known_args)), dict(os.environ)


def _check_settings() -> None:
    """Refuse settings that work for no month."""
    _check_sections([section.__name__ for section in SECTIONS])
    for section in (*LUIGIS_SECTIONS, *SECTIONS):
        try:
            if section in SECTIONS:
                _check_keys(section)
            section()
        except (ValueError, ParameterException, configparser.Error) as error:
            key = re.search(r"value of '(\w+)'", str(error))
            where = f"[{section.__name__}] {key[1]}:" if key else f"[{section.__name__}]"
            raise TaxiError(f"{where} {error.__cause__ or error}") from None
    with _naming("[source] zones_url"):
        _check_url(source().render("zones_url"))
    if shapes_url := source().render("zone_shapes_url"):
        with _naming("[source] zone_shapes_url"):
            _check_url(shapes_url)
    if not source().timeout > 0 or source().retries < 0 or not source().time_limit >= 0:
        raise TaxiError("[source] timeout must be above 0, retries and time_limit 0 or more")
    storage_root()
    url = warehouse().render("url")
    if url != "embedded" and not url.startswith(("postgresql://", "postgres://")):
        raise TaxiError("[warehouse] url: must be 'embedded' or begin with postgresql://")
    luigid = shared_luigid() if url == "embedded" else None
    if luigid and not is_this_machine(luigid):
        raise TaxiError(
            f"[warehouse] url: 'embedded' is this machine's own, and luigid on {luigid} shares "
            "months among hosts, which need one PostgreSQL; name it, as "
            "postgresql://user@host/database, or set [core] local_scheduler = true"
        )
    limits = (warehouse().lock_timeout, warehouse().time_limit, concurrency().queue_timeout)
    if not all(limit >= 0 for limit in limits) or warehouse().retries < 0:
        raise TaxiError(
            "[warehouse] lock_timeout, time_limit and retries, and [concurrency] queue_timeout, "
            "must be 0 or more"
        )
    known = dict.fromkeys(c.name for kind in TAXI_TYPES.values() for c in kind.columns)
    if unknown := [name for name in selected_columns() if name not in known]:
        columns = transform().columns
        got = columns if isinstance(columns, FromEnvironment) else unknown[0]
        raise TaxiError(f"[transform] columns: {got!r} must be one of {', '.join(known)}")
    if not 0 <= transform().max_reject_ratio <= 1:
        raise TaxiError(
            f"[transform] max_reject_ratio: {_got(transform(), 'max_reject_ratio')} must be from "
            "0 to 1"
        )
    _check_quality(quality())
    _check_runner(runner())
    _check_alarms(alarms(), metrics())
    _check_spark(spark())
    _check_lake(lake().render("url"))


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Name the setting that a mistake is in."""
    try:
        yield
    except TaxiError as error:
        raise TaxiError(f"{key}: {error}") from None


def _check_url(url: str) -> None:
    """Refuse a URL as ``Url.parse`` does, and one that a variable's value takes apart."""
    if not isinstance(url, FromEnvironment):
        Url.parse(url)
        return
    with suppress(TaxiError, ValueError):  # its message has a part of the value, perhaps
        Url.parse(url)
        if "@" in urlsplit(url).netloc or "@" not in urlsplit(url.written).netloc:
            return
    raise TaxiError(
        f"{redacted(url)}: with the variables' values it isn't a URL of http, https, file or a "
        "store; write special characters in them as %XX"
    )


def _check_log_file() -> None:
    """Refuse a log file that can't be one. What can't be written today may be tomorrow."""
    file = log_file()
    if file and (file.is_dir() or str(log().file).endswith("/")):
        raise TaxiError(f"[log] file: {_got(log(), 'file')} is a folder; name a file in it")


def _check_files() -> None:
    """Refuse a file of settings that can't be read: Luigi would go on without it."""
    named = os.environ.get("LUIGI_CONFIG_PATH")
    for path in ([named] if named else []) + [
        each for each in ("luigi.cfg",) if Path(each).exists()
    ]:
        try:
            Path(path).open("rb").close()
        except OSError as error:
            what = f"LUIGI_CONFIG_PATH: {path}" if path == named else path
            raise TaxiError(f"{what} can't be read: {error.strerror}") from None


def _check_sections(ours: list[str]) -> None:
    """Refuse a section that has nearly the name of one of ours."""
    settings = get_config()
    sections = settings.data if isinstance(settings, LuigiTomlParser) else settings.sections()
    for name in set(sections) - set(packaged().sections()):
        if close := difflib.get_close_matches(name, ours, 1, cutoff=0.8):
            raise TaxiError(f"[{name}]: is no section; did you mean [{close[0]}]?")


def _check_keys(section: type[luigi.Config]) -> None:
    """Refuse a key that is no setting, but for the name of a source."""
    settings = [key for key, _ in section.get_params()]
    ignored = getattr(section, "ignore_unconsumed", ())
    for key in sorted(keys_of(section.__name__)):
        if key not in settings and key not in ignored:
            if str(get_config().get(section.__name__, key, "", raw=True)).startswith("//"):
                raise TaxiError(
                    f"[{section.__name__}]: the line {key}://... must be indented, as the further "
                    "ones of a value are"
                )
            close = difflib.get_close_matches(key, settings, 1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(settings)}"
            raise TaxiError(f"[{section.__name__}] {key}: is no setting; {meant}")


def _got(settings: luigi.Config, key: str) -> str:
    """A value for a message: as it's written in ``luigi.cfg``, if that names a variable."""
    value, section = getattr(settings, key), type(settings)
    written = get_config().get(section.__name__, key, "")
    parameter = dict(section.get_params())[key]
    is_written = isinstance(written, Written) and (
        parameter.normalize(parameter.parse(written)) == value  # or a flag says something else
    )
    return str(written) if is_written else repr(value)


def _check_quality(settings: quality) -> None:
    if not settings.least_rows >= 0:
        raise TaxiError(f"[quality] least_rows: {_got(settings, 'least_rows')} must be 0 or more")
    most = settings.most
    shares = most.values() if isinstance(most, Mapping) else [None]
    if not all(isinstance(share, (int, float)) and 0 <= share <= 1 for share in shares):
        raise TaxiError(
            f"[quality] most: {_got(settings, 'most')} must be like "
            '{"negative_total": 0.05}, with shares from 0 to 1'
        )
    for name in most.keys() - QUALITY_CHECKS.keys():
        raise TaxiError(f"[quality] most: {name!r} must be one of {', '.join(QUALITY_CHECKS)}")


def _check_runner(settings: runner) -> None:
    def require(holds: Any, key: str, wanted: str) -> None:
        if not holds:
            raise TaxiError(f"[runner] {key}: {_got(settings, key)} must be {wanted}")

    for key in ("time_limit", "stop_grace", "cpus", "pids"):
        require(getattr(settings, key) >= 0, key, "0 or more")
    for key in ("memory", "tmpfs"):
        size = getattr(settings, key)
        require(not size or re.fullmatch(r"[1-9]\d*[bkmgBKMG]?", size), key, "a size such as 512m")
    environment = settings.environment
    require(
        isinstance(environment, Mapping)
        and _are_texts(environment.values())
        and all(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) for name in environment),
        "environment",
        'like {"NAME": "value"}',
    )
    for key, example in (("cap_drop", '["ALL"]'), ("volumes", '["/here:/there:ro"]')):
        words = getattr(settings, key)
        require(isinstance(words, tuple) and _are_texts(words), key, f"like {example}")
    for volume in settings.volumes:
        require(re.fullmatch(r"[^:]+:/[^:]*(:r[ow])?", volume), "volumes", "source:/target[:ro]")
    if settings.build and not settings.image:
        raise TaxiError("[runner] build: needs image, the name of what is built")


def _check_alarms(settings: alarms, figures: metrics) -> None:
    """Refuse receivers that can't be; no value is shown, for it may be a secret as a whole."""
    for number, url in enumerate(filter(None, lines_of(settings.urls)), 1):
        if not re.match(r"[a-zA-Z][\w+.-]*://\S", url):
            raise TaxiError(
                f"[alarms] urls: number {number} must be a URL as Apprise writes them, such as "
                "mailto://..., each on a line of its own"
            )
    try:
        words = shlex.split(settings.command)
    except ValueError as error:
        raise TaxiError(f"[alarms] command: can't be read as words: {error}") from None
    if settings.command and not (words and words[0]):
        raise TaxiError("[alarms] command: has no words; leave it empty for no command")
    url = settings.ping_url
    if url and not _is_of_http(url):
        raise TaxiError(
            "[alarms] ping_url: must be a URL of http or https, such as https://hc-ping.com/<uuid>"
        )
    if settings.overdue_days < 0:
        raise TaxiError(
            f"[alarms] overdue_days: {_got(settings, 'overdue_days')} must be 0 or more"
        )
    if figures.textfile and not figures.textfile.endswith(".prom"):
        raise TaxiError(
            f"[metrics] textfile: {_got(figures, 'textfile')} must end with .prom, or Prometheus's "
            "node exporter doesn't read it"
        )


def _check_spark(settings: spark) -> None:
    if not re.match(r"(local(\[|$|-cluster\[)|[a-z0-9]+://\S|yarn$)", settings.master):
        raise TaxiError(
            f"[spark] master: {_got(settings, 'master')} must be like local[*] or spark://host:7077"
        )
    options = settings.conf
    is_read = isinstance(options, Mapping) and _are_texts(options.values())
    if not is_read or not all(name.startswith("spark.") for name in options):
        raise TaxiError(
            f"[spark] conf: {_got(settings, 'conf')} must be like "
            '{"spark.executor.memory": "2g"}, with texts as values'
        )


def _check_lake(configured: str) -> None:
    """Refuse a lake that can't be. What can't be reached today may be tomorrow."""
    if "://" in configured:
        with _naming("[lake] url"):
            _check_url(configured)
    location = lake_location()
    if isinstance(location, Path):
        if location.exists() and not location.is_dir():
            raise TaxiError(f"[lake] url: {configured!r} is a file; name a folder")
        if location.resolve() == storage_root().resolve():
            raise TaxiError(
                f"[lake] url: {configured!r} is the folder of [storage] root, whose files are "
                "removed; name another, such as one in it"
            )
    elif location is not None:
        if location.is_http or "?" in location.address or "#" in location.address:
            raise TaxiError(
                f"[lake] url: {location}: months can't be written to such a URL; name a folder, "
                "or a store such as s3://bucket/prefix"
            )
        import fsspec

        try:
            fsspec.get_filesystem_class(location.scheme)
        except ImportError as error:
            raise TaxiError(f"[lake] url: {location}: its package is missing: {error}") from None


def _is_of_http(url: str) -> bool:
    """Whether a URL can be asked: it has a scheme of http, a host, a port that is a number."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", url)


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _check_tables(taxi_type: str, month: date) -> None:
    opened = open_warehouse()
    tables = [trips.name for trips in opened.trips.values()]
    if len(set(tables)) < len(tables):
        raise TaxiError("[trips] table: must differ by taxi type; use {{ taxi_type }} in it")
    checked = Month(taxi_type, month)
    others = [Month(name, day) for name in TAXI_TYPES for day in (month, date(1999, 1, 1))]
    others = [other for other in others if other != checked]
    own, *taken = (each.staging for each in tables_of_months(opened, [checked, *others]))
    if own in {*taken, *tables}:
        raise TaxiError(
            "[trips] staging_table: must differ by taxi type and month; "
            "use {{ taxi_type }} and {{ month }} in it"
        )
