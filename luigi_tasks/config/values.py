"""Types of settings that aren't templates; their values may have variables of the environment."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import luigi

from luigi_tasks.config.templates import FromEnvironment, fill_in, fill_in_texts, variables_of


class Setting(luigi.Parameter[Any]):
    """A setting that isn't a template. It is read with the values of variables in it."""

    def parse(self, x: Any) -> Any:
        variables, read = variables_of(x), super().parse
        if not variables:
            return read(x)
        with suppress(ValueError):  # its message has the value
            return self._read_filled(read, x, variables)
        read(x)
        raise ValueError(f"{x!r} can't be read with the variables' values")

    def _read_filled(self, read: Callable[[str], Any], x: str, variables: dict[str, str]) -> Any:
        return read(FromEnvironment(fill_in(x, variables), x))


class JsonSetting(Setting):
    """A setting in JSON. A variable's value stays within its string, whatever characters it has."""

    def _read_filled(self, read: Callable[[str], Any], x: str, variables: dict[str, str]) -> Any:
        try:
            return fill_in_texts(read(x), variables)
        except ValueError:  # a variable stands for something other than a text
            return super()._read_filled(read, x, variables)


class Text(Setting, luigi.Parameter[str]):
    """A text."""


class Int(Setting, luigi.IntParameter):
    """A whole number."""


class Float(Setting, luigi.FloatParameter):
    """A number."""


class Choice(Setting, luigi.ChoiceParameter[str]):
    """One of several words."""


class Bool(Setting, luigi.BoolParameter):
    """True or false, for the key and the flag."""

    def __init__(self, description: str) -> None:
        super().__init__(parsing=luigi.BoolParameter.EXPLICIT_PARSING, description=description)


class Dict(JsonSetting, luigi.DictParameter):
    """Names with values, as JSON."""


class List(JsonSetting, luigi.ListParameter):
    """A list, as JSON."""
