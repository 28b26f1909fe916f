"""What the commands have in common: flags for settings, and the warehouse that these describe."""

from collections.abc import Callable
from typing import Any

import click
import luigi

from luigi_tasks import config
from luigi_tasks.errors import TaxiError
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse import embedded


def setting(section: type[luigi.Config], key: str) -> Callable[[Any], Any]:
    """A flag of a command that overrides a setting, named as ``luigi`` names it.

    The setting is changed in Luigi's configuration; the command's function doesn't get the value.
    """
    name = section.__name__
    description = dict(section.get_params())[key].description

    def override(_context: click.Context, _option: click.Parameter, value: str | None) -> None:
        if value:
            config.override(name, key, value)

    return click.option(
        f"--{name}-{key}".replace("_", "-"),
        callback=override,
        expose_value=False,
        help=f"{description[0].upper()}{description[1:]}.",
    )


def open_warehouse() -> Warehouse:
    """Check the settings, and return the warehouse that they describe.

    :raises TaxiError: a setting can't work, or the embedded warehouse doesn't exist yet.
    """
    config.check()
    opened = config.open_warehouse()
    if opened.is_embedded and not embedded.exists(opened.root):
        raise TaxiError(
            f"no warehouse is in {opened.root.resolve()} yet: load a month first, or name the "
            "folder of another by --storage-root, or in [storage] root of luigi.cfg"
        )
    return opened
