"""The settings: one ``luigi.Config`` class for each section of ``luigi.cfg``.

The values in the ``luigi.cfg`` that the package carries are the defaults, Luigi's own sections
included; see there for what each key means. A value that isn't as it must be is refused by
``check``, which every task calls before anything runs.
"""

import configparser
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any

import luigi
from jinja2 import Environment, StrictUndefined, Template, TemplateError, meta
from luigi.configuration import get_config
from luigi.parameter import ParameterException

from luigi_tasks.catalog import ALWAYS_KEPT, TAXI_TYPES, TaxiType
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import check_url

_TEMPLATES = Environment(undefined=StrictUndefined, autoescape=False)
#: PostgreSQL cuts names at so many bytes; a partition's key adds this to its table's name.
_LONGEST_NAME = 63
_LONGEST_TABLE_NAME = _LONGEST_NAME - len("_2024_01_pkey")


class MonthParameter(luigi.MonthParameter):
    """A month such as ``2024-01``."""

    def parse(self, s: str) -> date:
        try:
            return date.fromisoformat(f"{s}-01")
        except ValueError:
            raise TaxiError(
                f"month {s!r}: must be a year and a month between 01 and 12, such as 2024-01"
            ) from None


class ParametersParameter(luigi.DictParameter):
    """The other parameters of a task, as JSON."""

    def parse(self, source: str) -> Any:
        try:
            parameters = super().parse(source)
        except ValueError as error:
            raise TaxiError(
                f'of-params {source!r}: must be JSON such as {{"taxi_type": "green"}}; {error}'
            ) from None
        if not isinstance(parameters, Mapping):
            raise TaxiError(f'of-params {source!r}: must be JSON such as {{"taxi_type": "green"}}')
        return parameters


class TaxiTypeParameter(luigi.ChoiceParameter[str]):
    """One of the catalog's taxi types."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=list(TAXI_TYPES), var_type=str, **kwargs)

    def normalize(self, x: str) -> str:
        if x not in TAXI_TYPES:
            raise TaxiError(f"taxi type {x!r}: must be one of {', '.join(TAXI_TYPES)}")
        return x


class _Templated:
    """A section whose values are templates."""

    def render(self, key: str, **names: Any) -> str:
        """Fill in a value.

        :param names: ``taxi_type`` and ``month``, as far as they're known; ``month`` is a date.
        :raises TaxiError: the template is broken, or uses a name that isn't known.
        """
        if "month" in names:
            names["month"] = _PrintedMonth(names["month"].year, names["month"].month, 1)
        return self._render(key, names, [])

    def _render(self, key: str, names: dict[str, Any], within: list[str]) -> str:
        section = type(self).__name__
        where = f"[{section}] {key}"
        if key in within:
            raise TaxiError(f"{where}: is made of itself, by {' -> '.join([*within, key])}")
        settings = {name for name, _ in type(self).get_params()}  # type: ignore[attr-defined]
        siblings = (settings | _keys(section)) - {key}
        values = dict(names)
        try:
            text = getattr(self, key) if key in settings else get_config().get(section, key)
            template, used = _compiled(str(text))
            for name in sorted(used - values.keys()):
                if name not in siblings:
                    known = ", ".join(sorted({*names, *siblings}))
                    raise TaxiError(f"{where}: {name!r} is not known here; known are {known}")
                values[name] = self._render(name, names, [*within, key])
            return template.render(values)
        except TemplateError as error:
            raise TaxiError(f"{where}: {error.message}") from None
        except (TypeError, ValueError, ArithmeticError) as error:  # of an expression in it
            raise TaxiError(f"{where}: {error}") from None
        except configparser.Error as error:  # such as a variable of the environment that isn't set
            raise TaxiError(f"{where}: {' '.join(str(error).split())}") from None


def _keys(section: str) -> set[str]:
    """What a section of ``luigi.cfg`` has."""
    settings = get_config()
    found = settings.options(section) if settings.has_section(section) else []
    return {key.replace("-", "_") for key in found} - set(settings.defaults())


@lru_cache
def _compiled(text: str) -> tuple[Template, frozenset[str]]:
    """A template, and the names that it uses."""
    names = meta.find_undeclared_variables(_TEMPLATES.parse(text))
    return _TEMPLATES.from_string(text), frozenset(names)


class _PrintedMonth(date):
    def __str__(self) -> str:
        return f"{self:%Y-%m}"


def _boolean(description: str) -> luigi.BoolParameter:
    """A parameter whose flag takes true or false."""
    return luigi.BoolParameter(
        parsing=luigi.BoolParameter.EXPLICIT_PARSING, description=description
    )


class _NamedSources:
    """The keys of ``[source]`` that name a source; Luigi would warn of them."""

    def __contains__(self, key: str) -> bool:
        return "://" in get_config().get("source", key, "", raw=True)


class source(_Templated, luigi.Config):
    ignore_unconsumed = _NamedSources()

    url = luigi.Parameter(
        description="where a month's file is published; http, https or file; several, a line each"
    )
    zones_url = luigi.Parameter(description="where the taxi zones' names are published")
    timeout = luigi.FloatParameter(
        description="seconds without a byte until a connection is broken"
    )
    retries = luigi.IntParameter(description="how often a passing failure is tried again")

    def urls(self, taxi_type: str, month: date) -> list[str]:
        """Where a month's file may be, the first choice first."""
        lines = self.render("url", taxi_type=taxi_type, month=month).splitlines()
        return [line.strip() for line in lines if line.strip()] or [""]


class storage(_Templated, luigi.Config):
    root = luigi.Parameter(description="folder for files, rejects and the embedded warehouse")


class warehouse(_Templated, luigi.Config):
    url = luigi.Parameter(description="'embedded', or postgresql://user@host/database")
    schema = luigi.Parameter(description="schema of ledger, markers, names of codes, and views")


class trips(_Templated, luigi.Config):
    table = luigi.Parameter(description="table of a taxi type's trips")
    staging_table = luigi.Parameter(description="table that holds a month until it is merged")


class transform(luigi.Config):
    columns = luigi.Parameter(description="the columns to keep, separated by commas; empty: all")
    max_reject_ratio = luigi.FloatParameter(description="share of unreadable rows that may pass")
    schema_contract = luigi.ChoiceParameter(
        choices=["evolve", "discard", "freeze"],
        description="what is done with columns that the catalog doesn't know",
    )
    script = luigi.Parameter(description="a Python file or command that transforms a month's file")
    script_runs = luigi.ChoiceParameter(
        choices=["instead", "after"], description="of the built-in transform"
    )


class quality(luigi.Config):
    when_exceeded = luigi.ChoiceParameter(
        choices=["warn", "fail"], description="what a month beyond the limits means"
    )
    least_rows = luigi.FloatParameter(
        description="fewest rows, as a share of the month before; 0: no limit"
    )
    most = luigi.DictParameter(description="most rows of a kind, as shares of all, as JSON")


class runner(luigi.Config):
    kind = luigi.ChoiceParameter(
        choices=["process", "docker"], description="where the transform runs"
    )
    environment = luigi.DictParameter(description="more environment variables, as JSON")
    time_limit = luigi.FloatParameter(description="seconds until it is stopped; 0: no limit")
    stop_grace = luigi.FloatParameter(description="seconds between stopping and killing it")
    image = luigi.Parameter(description="image; empty: the transform's own")
    build = luigi.Parameter(description="Dockerfile of the image, to build it when it's missing")
    base_image = luigi.Parameter(description="what an image is built on")
    pull = luigi.ChoiceParameter(
        choices=["if_not_present", "always", "never"], description="when to pull or build it"
    )
    engine = luigi.Parameter(description="the engine's URL; empty: DOCKER_HOST, or this machine's")
    files = luigi.ChoiceParameter(
        choices=["mount", "copy"], description="how files get into a container and out of it"
    )
    memory = luigi.Parameter(description="limit, such as 512m or 2g; empty: none")
    cpus = luigi.FloatParameter(description="limit of processors; 0: none")
    pids = luigi.IntParameter(description="limit of processes and threads; 0: none")
    network = luigi.Parameter(description="network of a container")
    user = luigi.Parameter(description="user in a container; empty: yours, or nobody for root")
    read_only = _boolean("whether a container can write only in its working folder and /tmp")
    tmpfs = luigi.Parameter(description="size of a container's /tmp")
    cap_drop = luigi.ListParameter(description="capabilities to drop, as JSON")
    no_new_privileges = _boolean("whether setuid programs give no rights")
    volumes = luigi.ListParameter(description="more volumes, as JSON")
    keep_failed = _boolean("whether a container that failed stays")


class cleanup(luigi.Config):
    enabled = _boolean("whether a month's files are removed once it is merged")


def schema() -> str:
    """The schema of what isn't of one taxi type, and of tables that are named without one."""
    name = warehouse().render("schema")
    if not name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise TaxiError(
            f"[warehouse] schema: {name!r} must be a name of at most {_LONGEST_NAME} bytes"
        )
    if name == "information_schema" or name.startswith("pg_"):
        raise TaxiError(f"[warehouse] schema: {name!r} is PostgreSQL's own")
    return name


def trips_table(taxi_type: str) -> tuple[str, str]:
    """The schema and name of a taxi type's table."""
    return _table_name("[trips] table", trips().render("table", taxi_type=taxi_type))


def kept(taxi_type: str) -> TaxiType:
    """A taxi type with the columns that are kept of it: pickup and places always are."""
    kind = TAXI_TYPES[taxi_type]
    names = set(_named_columns())
    if not names:
        return kind
    names |= ALWAYS_KEPT
    return replace(kind, columns=tuple(c for c in kind.columns if c.name in names))


def schema_contract() -> str:
    """What is done with columns that the catalog doesn't know: none is added to those named."""
    contract = str(transform().schema_contract)
    return "discard" if contract == "evolve" and _named_columns() else contract


def _named_columns() -> list[str]:
    return transform().columns.replace(",", " ").split()


def staging_table(taxi_type: str, month: date) -> tuple[str, str]:
    """The schema and name of a month's staging table."""
    rendered = trips().render("staging_table", taxi_type=taxi_type, month=month)
    return _table_name("[trips] staging_table", rendered)


def _table_name(key: str, rendered: str) -> tuple[str, str]:
    """Split ``schema.name``, and put "_" for what doesn't belong in a name."""
    parts = [re.sub(r"\W", "_", part, flags=re.ASCII) for part in rendered.split(".")]
    if len(parts) == 1:
        parts.insert(0, schema())
    if len(parts) != 2 or not all(parts):
        raise TaxiError(f"{key}: {rendered!r} must be a table's name, or schema.name")
    if len(parts[1]) > _LONGEST_TABLE_NAME:
        raise TaxiError(f"{key}: {parts[1]!r} is longer than {_LONGEST_TABLE_NAME} characters")
    return parts[0], parts[1]


def check(taxi_type: str = "yellow", month: date = date(2024, 1, 1)) -> None:
    """Refuse settings that can't work, before anything runs; by default, those of any month.

    :raises TaxiError: names the section, the key, what it got and what is allowed.
    """
    sections = (source, storage, warehouse, trips, transform, quality, runner, cleanup)
    _check_sections([section.__name__ for section in sections])
    for section in sections:
        try:
            _check_keys(section)
            section()
        except (ValueError, ParameterException, configparser.Error) as error:
            key = re.search(r"value of '(\w+)'", str(error))
            where = f"[{section.__name__}] {key[1]}:" if key else f"[{section.__name__}]"
            raise TaxiError(f"{where} {error.__cause__ or error}") from None
    urls = [("url", url) for url in source().urls(taxi_type, month)]
    for name, url in [*urls, ("zones_url", source().render("zones_url"))]:
        try:
            check_url(url)
        except TaxiError as error:
            raise TaxiError(f"[source] {name}: {error}") from None
    if not source().timeout > 0 or source().retries < 0:
        raise TaxiError("[source] timeout must be above 0, and retries 0 or more")
    storage().render("root")
    url = warehouse().render("url")
    if url != "embedded" and not url.startswith(("postgresql://", "postgres://")):
        raise TaxiError("[warehouse] url: must be 'embedded' or begin with postgresql://")
    known = dict.fromkeys(c.name for kind in TAXI_TYPES.values() for c in kind.columns)
    for name in _named_columns():
        if name not in known:
            raise TaxiError(f"[transform] columns: {name!r} must be one of {', '.join(known)}")
    if not 0 <= transform().max_reject_ratio <= 1:
        raise TaxiError(
            f"[transform] max_reject_ratio: {transform().max_reject_ratio} must be from 0 to 1"
        )
    _check_quality(quality())
    _check_runner(runner())
    _check_tables(taxi_type, month)


def _check_sections(ours: list[str]) -> None:
    """Refuse a section that has nearly the name of one of ours."""
    for name in set(get_config().sections()) - set(_packaged().sections()):
        if close := difflib.get_close_matches(name, ours, 1, cutoff=0.8):
            raise TaxiError(f"[{name}]: is no section; did you mean [{close[0]}]?")


def _check_keys(section: type[luigi.Config]) -> None:
    """Refuse a key that is no setting, but for the name of a source."""
    settings = [key for key, _ in section.get_params()]
    ignored = getattr(section, "ignore_unconsumed", ())
    for key in sorted(_keys(section.__name__)):
        if key not in settings and key not in ignored:
            close = difflib.get_close_matches(key, settings, 1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(settings)}"
            raise TaxiError(f"[{section.__name__}] {key}: is no setting; {meant}")


def _check_quality(settings: quality) -> None:
    from luigi_tasks.quality import KINDS

    if not settings.least_rows >= 0:
        raise TaxiError(f"[quality] least_rows: {settings.least_rows} must be 0 or more")
    most = settings.most
    shares = most.values() if isinstance(most, Mapping) else [None]
    if not all(isinstance(share, (int, float)) and 0 <= share <= 1 for share in shares):
        raise TaxiError(
            f'[quality] most: {most!r} must be like {{"negative_total": 0.05}}, with shares from '
            "0 to 1"
        )
    for kind in most.keys() - KINDS.keys():
        raise TaxiError(f"[quality] most: {kind!r} must be one of {', '.join(KINDS)}")


def _check_runner(settings: runner) -> None:
    def require(holds: Any, key: str, wanted: str) -> None:
        if not holds:
            raise TaxiError(f"[runner] {key}: {getattr(settings, key)!r} must be {wanted}")

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


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _check_tables(taxi_type: str, month: date) -> None:
    tables = [trips_table(name) for name in TAXI_TYPES]
    if len(set(tables)) < len(tables):
        raise TaxiError("[trips] table: must differ by taxi type; use {{ taxi_type }} in it")
    staging = staging_table(taxi_type, month)
    others = {staging_table(name, date(1999, 1, 1)) for name in TAXI_TYPES}
    others |= {staging_table(name, month) for name in TAXI_TYPES if name != taxi_type}
    if staging in others or staging in tables:
        raise TaxiError(
            "[trips] staging_table: must differ by taxi type and month; "
            "use {{ taxi_type }} and {{ month }} in it"
        )


@lru_cache
def _packaged() -> configparser.RawConfigParser:
    """The package's ``luigi.cfg``."""
    packaged = configparser.RawConfigParser()
    packaged.optionxform = str  # type: ignore[assignment, method-assign]
    packaged.read_string((files("luigi_tasks") / "luigi.cfg").read_text(encoding="utf-8"))
    return packaged


def _use_packaged_defaults() -> None:
    """Fill in whatever the user's configuration leaves open from the package's ``luigi.cfg``."""
    packaged, settings = _packaged(), get_config()
    for section in packaged.sections():
        for key, value in packaged.items(section):
            if not settings.has_option(section, key):
                settings.set(section, key, value)


_use_packaged_defaults()
