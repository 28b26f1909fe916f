"""Values of ``luigi.cfg`` as Jinja2 templates, and variables of the environment in them.

A variable's value is put in after the template is parsed: it may have any characters, and is never
run as a part of the template.
"""

import configparser
import os
import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from luigi.configuration import get_config
from luigi.configuration.toml_parser import LuigiTomlParser

from luigi_tasks.errors import TaxiError

_TEMPLATES = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
#: How a value of ``luigi.cfg`` names a variable of the environment.
VARIABLE = re.compile(r"\$\{([^}]+)\}")
#: What a template's expression may raise.
TEMPLATE_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
)


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


class Written(str):
    """A value of ``luigi.cfg`` before variables are replaced by their values."""


def variables_of(value: Any) -> dict[str, str]:
    """The variables of the environment that a value of ``luigi.cfg`` names, and their values.

    :raises TaxiError: one isn't set, or isn't text.
    """
    found = {}
    for name in VARIABLE.findall(value) if isinstance(value, Written) else []:
        if name not in os.environ:
            raise TaxiError(f"the environment has no variable {name}")
        found[name] = os.environ[name]
        try:
            found[name].encode()
        except UnicodeEncodeError:
            raise TaxiError(f"the environment's variable {name} isn't UTF-8") from None
    return found


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)


def fill_in_texts(value: Any, variables: Mapping[str, str]) -> Any:
    """The same for whatever text JSON has."""
    if isinstance(value, Mapping):
        return {
            fill_in_texts(name, variables): fill_in_texts(each, variables)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [fill_in_texts(each, variables) for each in value]
    return FromEnvironment(fill_in(value, variables), value) if isinstance(value, str) else value


class Templated:
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
        siblings = (settings | keys_of(section)) - {key}
        try:
            value = getattr(self, key) if key in settings else get_config().get(section, key)
            text, variables = str(value), variables_of(value)
            used = _names_used(text)
        except (TaxiError, configparser.Error, *TEMPLATE_ERRORS) as error:
            raise TaxiError(f"{where}: {one_line(error)}") from None
        values = dict(names)
        for name in sorted(used - values.keys()):
            if name not in siblings:
                known = ", ".join(sorted({*names, *siblings}))
                raise TaxiError(f"{where}: {name!r} is not known here; known are {known}")
            values[name] = self._render(name, names, [*within, key])
        try:
            return _rendered(text, variables, values)
        except TEMPLATE_ERRORS as error:
            raise TaxiError(f"{where}: {one_line(error)}") from None


def _rendered(text: str, variables: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """Render a template, whose text and values may have something of the environment in them.

    An error shows the variables' names: it's that of the template rendered with these.
    """
    in_names = {name: getattr(value, "written", value) for name, value in values.items()}
    failed: Exception | None = None
    try:
        written = _compiled(text).render(in_names)
    except TEMPLATE_ERRORS as error:
        written, failed = text, error
    if variables or any(isinstance(value, FromEnvironment) for value in values.values()):
        try:
            filled = _compiled(text, tuple(variables.items())).render(values)
            return FromEnvironment(filled, written)
        except TEMPLATE_ERRORS:
            failed = failed or ValueError(f"{text!r} can't be rendered with the variables' values")
    if failed:
        raise failed
    return written


def keys_of(section: str) -> set[str]:
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
        data.data = fill_in(data.data, dict(variables))
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str):
            constant.value = fill_in(constant.value, dict(variables))
    code = _TEMPLATES.compile(tree)
    return Template.from_code(_TEMPLATES, code, _TEMPLATES.make_globals(None))


def one_line(error: Exception) -> str:
    text = (error.message if isinstance(error, TemplateError) else None) or str(error)
    return " ".join(text.split()) or type(error).__name__


class _PrintedMonth(date):
    def __str__(self) -> str:
        return f"{self:%Y-%m}"


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()] or [""]
