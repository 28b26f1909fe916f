"""The settings: one ``luigi.Config`` class for each section of ``luigi.cfg``.

The values in the ``luigi.cfg`` that the package carries are the defaults, Luigi's own sections
included; see there for what each key means. A value that isn't as it must be is refused by
``check``, which every task calls before anything runs.
"""

import configparser
import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import luigi
from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from luigi.configuration import get_config
from luigi.configuration.cfg_parser import EnvironmentInterpolation
from luigi.configuration.toml_parser import LuigiTomlParser
from luigi.execution_summary import execution_summary
from luigi.interface import core
from luigi.parameter import OptionalParameterMixin, ParameterException
from luigi.retcodes import retcode
from luigi.scheduler import scheduler
from luigi.worker import worker

from luigi_tasks.catalog import ALWAYS_KEPT, QUALITY_CHECKS, TAXI_TYPES, TaxiType
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import check_url, shown

_TEMPLATES = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
#: How a value of ``luigi.cfg`` names a variable of the environment.
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_LUIGIS = EnvironmentInterpolation()
#: What a template's expression may raise.
_TEMPLATE_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
)
#: PostgreSQL cuts names at so many bytes; a partition's key adds this to its table's name.
_LONGEST_NAME = 63
_LONGEST_TABLE_NAME = _LONGEST_NAME - len("_2024_01_pkey")


class MonthParameter(luigi.MonthParameter):
    """A month such as ``2024-01``."""

    def parse(self, s: str) -> date:
        try:
            return date.fromisoformat(f"{s}-01")
        except ValueError:
            raise self._refused(s) from None

    def normalize(self, x: Any) -> date:
        """Take whatever Python may have for a month: any day or moment of it, or its text."""
        if isinstance(x, str):
            x = self.parse(x)
        if not isinstance(x, (date, luigi.date_interval.Month)):
            raise self._refused(x)
        return super().normalize(x)  # type: ignore[no-any-return]

    @staticmethod
    def _refused(got: Any) -> TaxiError:
        return TaxiError(
            f"month {got!r}: must be a year and a month between 01 and 12, such as 2024-01"
        )


class OptionalMonthParameter(OptionalParameterMixin[date], MonthParameter):  # type: ignore[misc]
    """A month, or none."""

    expected_type = date


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
        if x not in list(TAXI_TYPES):
            raise TaxiError(f"taxi type {x!r}: must be one of {', '.join(TAXI_TYPES)}")
        return x


class FromEnvironment(str):
    """A text with values of the environment, such as a password, in it.

    Messages never show those: ``written``, which ``repr`` shows, has the variables' names instead.
    """

    written: str

    def __new__(cls, text: str, written: str = "") -> "FromEnvironment":
        filled = super().__new__(cls, text)
        filled.written = written
        return filled

    def __repr__(self) -> str:
        return repr(self.written)


class _Written(str):
    """A value of ``luigi.cfg`` as it is written there, with the names of variables in it."""


class _Interpolation(configparser.BasicInterpolation):
    """Luigi's, but for the variables in our sections.

    There a template is rendered, and JSON read, before a variable's value is put in. A value may
    have any characters, and must be neither run nor read as a part of either.
    """

    def before_get(self, parser: Any, section: str, option: str, value: str, defaults: Any) -> str:
        value = super().before_get(parser, section, option, value, defaults)
        if section not in {each.__name__ for each in _SECTIONS}:
            return str(_LUIGIS.before_get(parser, section, option, value, defaults))
        return _Written(value) if _VARIABLE.search(value) else value


def _variables(value: Any) -> dict[str, str]:
    """The variables of the environment that a value of ``luigi.cfg`` names, and their values.

    :raises TaxiError: one isn't set, or isn't text.
    """
    found = {}
    for name in _VARIABLE.findall(value) if isinstance(value, _Written) else []:
        if name not in os.environ:
            raise TaxiError(f"the environment has no variable {name}")
        found[name] = os.environ[name]
        try:
            found[name].encode()
        except UnicodeEncodeError:
            raise TaxiError(f"the environment's variable {name} isn't UTF-8") from None
    return found


def _fill_in(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)


def _fill_in_texts(value: Any, variables: Mapping[str, str]) -> Any:
    """The same for whatever text JSON has."""
    if isinstance(value, Mapping):
        return {
            _fill_in_texts(name, variables): _fill_in_texts(each, variables)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_fill_in_texts(each, variables) for each in value]
    return FromEnvironment(_fill_in(value, variables), value) if isinstance(value, str) else value


class _Setting(luigi.Parameter[Any]):
    """A setting that isn't a template. It is read with the values of variables in it."""

    def parse(self, x: Any) -> Any:
        variables, read = _variables(x), super().parse
        if not variables:
            return read(x)
        with suppress(ValueError):  # its message has the value
            return self._read_filled(read, x, variables)
        read(x)
        raise ValueError(f"{x!r} can't be read with the variables' values")

    def _read_filled(self, read: Callable[[str], Any], x: str, variables: dict[str, str]) -> Any:
        return read(FromEnvironment(_fill_in(x, variables), x))


class _JsonSetting(_Setting):
    """One in JSON: a text goes on to its end, whatever a variable's value has in it."""

    def _read_filled(self, read: Callable[[str], Any], x: str, variables: dict[str, str]) -> Any:
        try:
            return _fill_in_texts(read(x), variables)
        except ValueError:  # a variable stands for something other than a text
            return super()._read_filled(read, x, variables)


class _Text(_Setting, luigi.Parameter[str]):
    """A text."""


class _Int(_Setting, luigi.IntParameter):
    """A whole number."""


class _Float(_Setting, luigi.FloatParameter):
    """A number."""


class _Choice(_Setting, luigi.ChoiceParameter[str]):
    """One of some words."""


class _Bool(_Setting, luigi.BoolParameter):
    """True or false, as the flag says too."""

    def __init__(self, description: str) -> None:
        super().__init__(parsing=luigi.BoolParameter.EXPLICIT_PARSING, description=description)


class _Dict(_JsonSetting, luigi.DictParameter):
    """Names with values, as JSON."""


class _List(_JsonSetting, luigi.ListParameter):
    """A list, as JSON."""


class _Templated:
    """A section whose values are templates."""

    def render(self, key: str, **names: Any) -> str:
        """Fill in a value.

        :param names: ``taxi_type`` and ``month``, as far as they're known; ``month`` is a date.
        :returns: a :class:`FromEnvironment` if it has values of the environment in it.
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
        try:
            value = getattr(self, key) if key in settings else get_config().get(section, key)
            text, variables = str(value), _variables(value)
            used = _names_used(text)
        except (TaxiError, configparser.Error, *_TEMPLATE_ERRORS) as error:
            raise TaxiError(f"{where}: {_one_line(error)}") from None
        values = dict(names)
        for name in sorted(used - values.keys()):
            if name not in siblings:
                known = ", ".join(sorted({*names, *siblings}))
                raise TaxiError(f"{where}: {name!r} is not known here; known are {known}")
            values[name] = self._render(name, names, [*within, key])
        try:
            return _rendered(text, variables, values)
        except _TEMPLATE_ERRORS as error:
            raise TaxiError(f"{where}: {_one_line(error)}") from None


def _rendered(text: str, variables: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """Render a template, whose text and values may have something of the environment in them.

    An error shows the variables' names: it's that of the template rendered with these.
    """
    in_names = {name: getattr(value, "written", value) for name, value in values.items()}
    failed: Exception | None = None
    try:
        written = _compiled(text).render(in_names)
    except _TEMPLATE_ERRORS as error:
        written, failed = text, error
    if variables or any(isinstance(value, FromEnvironment) for value in values.values()):
        try:
            filled = _compiled(text, tuple(variables.items())).render(values)
            return FromEnvironment(filled, written)
        except _TEMPLATE_ERRORS:
            failed = failed or ValueError(f"{text!r} can't be rendered with the variables' values")
    if failed:
        raise failed
    return written


def _keys(section: str) -> set[str]:
    """What a section of ``luigi.cfg`` has."""
    settings = get_config()
    if isinstance(settings, LuigiTomlParser):
        return set(settings.data.get(section, ()))
    found = settings.options(section) if settings.has_section(section) else []
    return {key.replace("-", "_") for key in found} - set(settings.defaults())


@lru_cache
def _names_used(text: str) -> frozenset[str]:
    """The names that a template uses."""
    return frozenset(meta.find_undeclared_variables(_TEMPLATES.parse(text)))


@lru_cache
def _compiled(text: str, variables: tuple[tuple[str, str], ...] = ()) -> Template:
    """A template, the values of variables being put in when it is parsed: they are never run."""
    tree = _TEMPLATES.parse(text)
    for data in tree.find_all(nodes.TemplateData):
        data.data = _fill_in(data.data, dict(variables))
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str):
            constant.value = _fill_in(constant.value, dict(variables))
    code = _TEMPLATES.compile(tree)
    return Template.from_code(_TEMPLATES, code, _TEMPLATES.make_globals(None))


def _one_line(error: Exception) -> str:
    text = (error.message if isinstance(error, TemplateError) else None) or str(error)
    return " ".join(text.split()) or type(error).__name__


class _PrintedMonth(date):
    def __str__(self) -> str:
        return f"{self:%Y-%m}"


class _NamedSources:
    """The keys of ``[source]`` that name a source; Luigi would warn of them."""

    def __contains__(self, key: str) -> bool:
        value = get_config().get("source", key, "", raw=True)
        return "://" in _fill_in(str(value), os.environ)


class source(_Templated, luigi.Config):
    ignore_unconsumed = _NamedSources()

    url = luigi.Parameter(
        description="where a month's file is published; http, https or file; several, a line each"
    )
    zones_url = luigi.Parameter(description="where the taxi zones' names are published")
    timeout = _Float(description="seconds without a byte until a connection is broken")
    retries = _Int(description="how often a passing failure is tried again")

    def urls(self, taxi_type: str, month: date) -> list[str]:
        """Where a month's file may be, the first choice first."""
        rendered = self.render("url", taxi_type=taxi_type, month=month)
        urls = _lines(rendered)
        if not isinstance(rendered, FromEnvironment):
            return urls
        written = _lines(rendered.written)
        if len(written) != len(urls):  # a variable has several
            written = [rendered.written] * len(urls)
        return [FromEnvironment(*pair) for pair in zip(urls, written, strict=True)]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()] or [""]


class storage(_Templated, luigi.Config):
    root = luigi.Parameter(description="folder for files, rejects and the embedded warehouse")


class warehouse(_Templated, luigi.Config):
    url = luigi.Parameter(description="'embedded', or postgresql://user@host/database")
    schema = luigi.Parameter(description="schema of ledger, markers, names of codes, and views")
    lock_timeout = luigi.FloatParameter(
        description="minutes to wait for other runs and for readers of a table; 0: no limit"
    )
    retries = luigi.IntParameter(
        description="how often it is tried again when it can't be reached or breaks off"
    )


class trips(_Templated, luigi.Config):
    table = luigi.Parameter(description="table of a taxi type's trips")
    staging_table = luigi.Parameter(description="table that holds a month until it is merged")


class transform(luigi.Config):
    columns = _Text(description="the columns to keep, separated by commas; empty: all")
    max_reject_ratio = _Float(description="share of unreadable rows that may pass")
    schema_contract = _Choice(
        choices=["evolve", "discard", "freeze"],
        description="what is done with columns that the catalog doesn't know",
    )
    script = _Text(description="a Python file or command that transforms a month's file")
    script_runs = _Choice(choices=["instead", "after"], description="of the built-in transform")


class quality(luigi.Config):
    when_exceeded = _Choice(
        choices=["warn", "fail"], description="what a month beyond the limits means"
    )
    least_rows = _Float(description="fewest rows, as a share of the month before; 0: no limit")
    most = _Dict(description="most rows of a kind, as shares of all, as JSON")


class runner(luigi.Config):
    kind = _Choice(choices=["process", "docker"], description="where the transform runs")
    environment = _Dict(description="more environment variables, as JSON")
    time_limit = _Float(description="seconds until it is stopped; 0: no limit")
    stop_grace = _Float(description="seconds between stopping and killing it")
    image = _Text(description="image; empty: the transform's own")
    build = _Text(description="Dockerfile of the image, to build it when it's missing")
    base_image = _Text(description="what an image is built on")
    pull = _Choice(
        choices=["if_not_present", "always", "never"], description="when to pull or build it"
    )
    engine = _Text(description="the engine's URL; empty: DOCKER_HOST, or this machine's")
    files = _Choice(
        choices=["mount", "copy"], description="how files get into a container and out of it"
    )
    memory = _Text(description="limit, such as 512m or 2g; empty: none")
    cpus = _Float(description="limit of processors; 0: none")
    pids = _Int(description="limit of processes and threads; 0: none")
    network = _Text(description="network of a container")
    user = _Text(description="user in a container; empty: yours, or nobody for root")
    read_only = _Bool("whether a container can write only in its working folder and /tmp")
    tmpfs = _Text(description="size of a container's /tmp")
    cap_drop = _List(description="capabilities to drop, as JSON")
    no_new_privileges = _Bool("whether setuid programs give no rights")
    volumes = _List(description="more volumes, as JSON")
    keep_failed = _Bool("whether a container that failed stays")


class cleanup(luigi.Config):
    enabled = _Bool("whether a month's files are removed once it is merged")


_SECTIONS = (source, storage, warehouse, trips, transform, quality, runner, cleanup)
_LUIGIS_SECTIONS = (core, retcode, execution_summary, scheduler, worker)


def schema() -> str:
    """The schema of what isn't of one taxi type, and of tables that are named without one."""
    name = warehouse().render("schema")
    if not name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise TaxiError(
            f"[warehouse] schema: {name!r} must be a name of at most {_LONGEST_NAME} bytes"
        )
    if _is_postgresqls(name):
        raise TaxiError(f"[warehouse] schema: {name!r} is PostgreSQL's own")
    return name


def storage_root() -> Path:
    """The folder of ``[storage] root``; ``~`` and ``~user`` at its beginning are home folders."""
    configured = storage().render("root")
    folder = os.path.expanduser(configured)  # noqa: PTH111  (Path would take ./~ for it, too)
    if folder.startswith("~"):
        raise TaxiError(
            f"[storage] root: {configured!r} begins with a user who isn't known here; ./~ begins a "
            "folder of such a name"
        )
    return Path(folder)


def _is_postgresqls(schema: str) -> bool:
    return schema == "information_schema" or schema.startswith("pg_")


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
    return str(transform().columns).replace(",", " ").split()


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
        name = rendered if isinstance(rendered, FromEnvironment) else parts[1]
        raise TaxiError(f"{key}: {name!r} is longer than {_LONGEST_TABLE_NAME} characters")
    if len(parts[0]) > _LONGEST_NAME or _is_postgresqls(parts[0]):
        raise TaxiError(
            f"{key}: {rendered!r} needs a schema of yours, with a name of at most {_LONGEST_NAME} "
            "characters"
        )
    return parts[0], parts[1]


def check(taxi_type: str = "yellow", month: date = date(2024, 1, 1)) -> None:
    """Refuse settings that can't work, before anything runs; by default, those of any month.

    :raises TaxiError: names the section, the key, what it got and what is allowed.
    """
    _check_files()
    for told in _unreadable:
        raise TaxiError(told)
    _check_sections([section.__name__ for section in _SECTIONS])
    for section in (*_LUIGIS_SECTIONS, *_SECTIONS):
        try:
            if section in _SECTIONS:
                _check_keys(section)
            section()
        except (ValueError, ParameterException, configparser.Error) as error:
            key = re.search(r"value of '(\w+)'", str(error))
            where = f"[{section.__name__}] {key[1]}:" if key else f"[{section.__name__}]"
            raise TaxiError(f"{where} {error.__cause__ or error}") from None
    urls = [("url", url) for url in source().urls(taxi_type, month)]
    for name, url in [*urls, ("zones_url", source().render("zones_url"))]:
        try:
            _check_url(url)
        except TaxiError as error:
            raise TaxiError(f"[source] {name}: {error}") from None
    if not source().timeout > 0 or source().retries < 0:
        raise TaxiError("[source] timeout must be above 0, and retries 0 or more")
    storage_root()
    url = warehouse().render("url")
    if url != "embedded" and not url.startswith(("postgresql://", "postgres://")):
        raise TaxiError("[warehouse] url: must be 'embedded' or begin with postgresql://")
    if not warehouse().lock_timeout >= 0 or warehouse().retries < 0:
        raise TaxiError("[warehouse] lock_timeout and retries must be 0 or more")
    known = dict.fromkeys(c.name for kind in TAXI_TYPES.values() for c in kind.columns)
    if unknown := [name for name in _named_columns() if name not in known]:
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
    _check_tables(taxi_type, month)


def _check_url(url: str) -> None:
    """Refuse a URL as ``check_url`` does, and one that a variable's value takes apart."""
    if not isinstance(url, FromEnvironment):
        check_url(url)
        return
    with suppress(TaxiError, ValueError):  # its message has a part of the value, perhaps
        check_url(url)
        if "@" in urlsplit(url).netloc or "@" not in urlsplit(url.written).netloc:
            return
    raise TaxiError(
        f"{shown(url)}: with the variables' values it isn't a URL of http, https, file or a store; "
        "write special characters in them as %XX"
    )


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
    for name in set(sections) - set(_packaged().sections()):
        if close := difflib.get_close_matches(name, ours, 1, cutoff=0.8):
            raise TaxiError(f"[{name}]: is no section; did you mean [{close[0]}]?")


def _check_keys(section: type[luigi.Config]) -> None:
    """Refuse a key that is no setting, but for the name of a source."""
    settings = [key for key, _ in section.get_params()]
    ignored = getattr(section, "ignore_unconsumed", ())
    for key in sorted(_keys(section.__name__)):
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
    is_written = isinstance(written, _Written) and (
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
                is_toml = isinstance(settings, LuigiTomlParser)  # its numbers are no texts
                is_number = is_toml and value.isdecimal()
                settings.set(section, key, int(value) if is_number else value)


def _leave_ours_as_written() -> None:
    """Have the variables in our sections left to the classes above."""
    settings: Any = get_config()
    settings._interpolation = _Interpolation()


#: What is told of values that Luigi can't read.
_unreadable: list[str] = []


def _set_unreadable_aside() -> None:
    """Put the default for what Luigi can't read in its own sections.

    It would end with a traceback before a task can refuse it. ``check`` does so then.
    """
    settings = get_config()
    parsers: dict[str, Any] = {
        section.__name__: dict(section.get_params()) for section in _LUIGIS_SECTIONS
    }
    # read by no class, or under an older name
    flags = ("autoload_range", "no_configure_logging", "rpc_log_retries")
    parsers["core"] |= dict.fromkeys(flags, luigi.BoolParameter())
    parsers["core"]["default_scheduler_port"] = luigi.IntParameter()
    parsers["resources"] = dict.fromkeys(_keys("resources"), luigi.IntParameter())
    for section, key in ((s, k) for s in parsers for k in sorted(_keys(s))):
        parser = parsers[section].get(key)
        if parser:
            try:
                parser.parse(settings.get(section, key))
            except (ValueError, configparser.Error) as error:
                _unreadable.append(f"[{section}] {key}: {_one_line(error)}")
                if default := _packaged().get(section, key, fallback=None):
                    settings.set(section, key, default)
                else:
                    settings.remove_option(section, key)


_use_packaged_defaults()
_leave_ours_as_written()
_set_unreadable_aside()
