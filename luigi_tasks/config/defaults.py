"""The defaults: the ``luigi.cfg`` that the package carries, for Luigi's own sections, too."""

import configparser
from functools import lru_cache
from importlib.resources import files
from typing import Any

import luigi
from luigi.configuration import get_config
from luigi.configuration.cfg_parser import EnvironmentInterpolation
from luigi.configuration.toml_parser import LuigiTomlParser

from luigi_tasks.config.sections import LUIGIS_SECTIONS, SECTIONS
from luigi_tasks.config.templates import VARIABLE, Written, keys_of, one_line

_LUIGIS = EnvironmentInterpolation()
#: The messages about values that Luigi can't read.
unreadable: list[str] = []


class Interpolation(configparser.BasicInterpolation):
    """Luigi's, but for the variables in our sections.

    There a template is rendered, and JSON read, before a variable's value is put in. A value may
    have any characters, and must be neither run nor read as a part of either.
    """

    def before_get(self, parser: Any, section: str, option: str, value: str, defaults: Any) -> str:
        value = super().before_get(parser, section, option, value, defaults)
        if section not in {each.__name__ for each in SECTIONS}:
            return str(_LUIGIS.before_get(parser, section, option, value, defaults))
        return Written(value) if VARIABLE.search(value) else value


@lru_cache
def packaged() -> configparser.RawConfigParser:
    """The package's ``luigi.cfg``."""
    packaged = configparser.RawConfigParser()
    packaged.optionxform = str  # type: ignore[assignment, method-assign]
    packaged.read_string((files("luigi_tasks") / "luigi.cfg").read_text(encoding="utf-8"))
    return packaged


def use_packaged_defaults() -> None:
    """Fill in whatever the user's configuration leaves open from the package's ``luigi.cfg``."""
    defaults, settings = packaged(), get_config()
    for section in defaults.sections():
        for key, value in defaults.items(section):
            if not settings.has_option(section, key):
                is_toml = isinstance(settings, LuigiTomlParser)  # its numbers are no texts
                is_number = is_toml and value.isdecimal()
                settings.set(section, key, int(value) if is_number else value)


def leave_ours_as_written() -> None:
    """Leave variables in our sections to our own parsing."""
    settings: Any = get_config()
    settings._interpolation = Interpolation()


def set_unreadable_aside() -> None:
    """Replace what Luigi can't read in its own sections by the default.

    Luigi would end with a traceback before a task can refuse the value, as ``check`` does later.
    """
    settings = get_config()
    parsers: dict[str, Any] = {
        section.__name__: dict(section.get_params()) for section in LUIGIS_SECTIONS
    }
    # read by no class, or under an older name
    flags = ("autoload_range", "no_configure_logging", "rpc_log_retries")
    parsers["core"] |= dict.fromkeys(flags, luigi.BoolParameter())
    parsers["core"]["default_scheduler_port"] = luigi.IntParameter()
    parsers["resources"] = dict.fromkeys(keys_of("resources"), luigi.IntParameter())
    for section, key in ((s, k) for s in parsers for k in sorted(keys_of(s))):
        parser = parsers[section].get(key)
        if parser:
            try:
                parser.parse(settings.get(section, key))
            except (ValueError, configparser.Error) as error:
                unreadable.append(f"[{section}] {key}: {one_line(error)}")
                if default := packaged().get(section, key, fallback=None):
                    settings.set(section, key, default)
                else:
                    settings.remove_option(section, key)
