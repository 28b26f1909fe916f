"""The settings of a process, handed over to one elsewhere that does a part of its work.

They are handed over as they are written, and the variables of the environment apart from them: a
password is put into its place there, and never read as a part of a template.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import get_config
from luigi.configuration.toml_parser import LuigiTomlParser
from luigi.task_register import Register

from luigi_tasks.config import defaults
from luigi_tasks.config.resolved import storage_root, variables
from luigi_tasks.errors import SystemicError

#: How the variables begin that a month needs though no setting names them: those of libpq, of
#: stores, and of registries of images.
PREFIXES = ("PG", "AWS_", "FSSPEC_", "LUIGI_TASKS_REGISTRY_")
#: Luigi's own sections whose flags are about this process alone.
_OWN = ("core", "worker", "scheduler", "execution_summary")


@dataclass(frozen=True)
class Handover:
    """The settings as values of JSON; some may be secrets.

    ``files`` is what the files say, by section. ``flags`` are those of the command line.
    ``environment`` are the variables that the settings name, and those with one of ``PREFIXES``.
    ``folder`` is the working folder, from which relative paths start.
    """

    parser: str
    files: dict[str, dict[str, Any]]
    flags: dict[str, str]
    environment: dict[str, str]
    folder: str

    def __repr__(self) -> str:
        return "Handover(...)"  # it has secrets

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def hand_over() -> Handover:
    """The settings of this process."""
    settings: Any = get_config()
    is_toml = isinstance(settings, LuigiTomlParser)
    if is_toml:
        files = {name: dict(section) for name, section in settings.data.items()}
    else:
        files = {name: dict(settings.items(name, raw=True)) for name in settings.sections()}
    flags = _flags()
    named = variables()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in named or name.startswith(PREFIXES)
    }
    return Handover("toml" if is_toml else "cfg", files, flags, environment, os.getcwd())  # noqa: PTH109


def _flags() -> dict[str, str]:
    """The flags of sections, such as ``--warehouse-url``, that the command line has."""
    parser = CmdlineParser.get_instance()
    if parser is None:
        return {}
    found = {}
    for family, _, name, parameter in Register.get_all_params():
        if family in _OWN or not issubclass(Register.get_task_cls(family), luigi.Config):
            continue
        value = getattr(parser.known_args, f"{family}_{name}", None)
        if value is not None and str(value) != _implied(parameter):
            found[f"{family}_{name}"] = str(value)
    return found


def _implied(parameter: Any) -> str | None:
    """What a flag without a value stands for when it isn't given."""
    is_implicit = getattr(parameter, "parsing", None) == luigi.BoolParameter.IMPLICIT_PARSING
    return "False" if is_implicit else None


@contextmanager
def take_over(handed: Handover, task: str) -> Iterator[None]:
    """Have the settings of another process in place of this one's. It is not undone.

    :param task: the task that they are for.
    :raises SystemicError: the working folder can't be made here.
    """
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        del os.environ[name]
    os.environ.update(handed.environment)
    settings: Any = get_config(handed.parser)
    if handed.parser == "toml":
        settings.data = handed.files
    else:
        for section in settings.sections():
            settings.remove_section(section)
        settings.read_dict(handed.files)
    defaults.unreadable.clear()
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in handed.flags.items()]
    with CmdlineParser.global_instance([task, *flags]):
        _enter(Path(handed.folder))
        yield


def _enter(folder: Path) -> None:
    """Make a folder the working one, so that a relative path means the same as at home."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
    except OSError as error:
        if not storage_root().is_absolute():
            raise SystemicError(
                f"{folder}: {error.strerror} on {socket.gethostname()}; a relative [storage] root "
                "starts there, so name an absolute one that can be written to on each host"
            ) from None
