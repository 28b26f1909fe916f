"""Settings that a run was given by flags, for the lines that are shown to be run."""

from collections.abc import Iterator
from typing import Any

from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import get_config
from luigi.configuration.toml_parser import LuigiTomlParser

from luigi_tasks.config.sections import (
    cleanup,
    concurrency,
    lake,
    quality,
    runner,
    schedule,
    source,
    spark,
    storage,
    transform,
    trips,
    warehouse,
)
from luigi_tasks.urls import redacted, without_password

#: The sections that decide what is loaded, and where to; in the order of a line.
_SECTIONS: Any = (
    storage,
    warehouse,
    trips,
    source,
    transform,
    quality,
    runner,
    cleanup,
    schedule,
    concurrency,
    lake,
    spark,
)
#: What is meant for secrets, and is never shown.
_HIDDEN = {("runner", "environment"), ("spark", "conf")}
#: The settings that a command of ours has overridden, with their values.
_overridden: dict[tuple[str, str], str] = {}


def override(section: str, key: str, value: str) -> None:
    """Change a setting in Luigi's configuration, as a flag of a command says."""
    settings = get_config()
    is_toml = isinstance(settings, LuigiTomlParser)  # which has no % to double
    settings.set(section, key, value if is_toml else value.replace("%", "%%"))
    _overridden[section, key] = value


def given_flags() -> list[str]:
    """The flags by which this run was given other settings than ``luigi.cfg`` has, as words.

    No secret is among them: a URL is without its password, and a signature in it is dots.
    """
    words = []
    for section, key, value in _values():
        is_warehouse = (section, key) == ("warehouse", "url")
        shown = without_password(value) if is_warehouse else redacted(value)
        words += [f"--{section}-{key}".replace("_", "-"), shown]
    return words


def hides_password() -> bool:
    """Whether a flag gave the warehouse's URL with a password, which isn't shown."""
    urls = [value for *name, value in _values() if name == ["warehouse", "url"]]
    return any(without_password(url) != url for url in urls)


def _values() -> Iterator[tuple[str, str, str]]:
    parser: Any = CmdlineParser.get_instance()
    for section in _SECTIONS:
        name = section.__name__
        for key, _ in section.get_params():
            value = getattr(parser and parser.known_args, f"{name}_{key}", None)
            if value is None:
                value = _overridden.get((name, key))
            if value is not None and (name, key) not in _HIDDEN:
                yield name, key, str(value)
