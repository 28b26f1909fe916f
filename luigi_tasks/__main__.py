"""The project's command line beside ``luigi``: ``luigi-tasks``, or ``python -m luigi_tasks``.

A command is a function of click in a module of ``luigi_tasks.commands``, both with the command's
name, and a word in ``COMMANDS``.
"""

import inspect
import sys
from configparser import Error as ConfigError
from importlib import import_module

import click

from luigi_tasks.errors import TaxiError

COMMANDS = (
    "run",
    "status",
    "report",
    "peek",
    "schedule",
    "luigid",
    "psql",
    "pg_dump",
    "sample",
    "serve",
    "roles",
)


class Commands(click.Group):
    """The commands, imported when one is asked for, and in the help the tasks as well."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"luigi_tasks.commands.{cmd_name}"), cmd_name
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        with formatter.section("Tasks, which luigi runs"):
            formatter.write_dl(_tasks())


def _tasks() -> list[tuple[str, str]]:
    """The tasks, in the order of the chain, each with the first line of its docstring."""
    from luigi_tasks import tasks

    classes = [getattr(tasks, name) for name in tasks.__all__]
    classes.sort(key=lambda task: (task.__module__, inspect.getsourcelines(task)[1]))
    return [(task.__name__, (inspect.getdoc(task) or "").split("\n")[0]) for task in classes]


@click.command(cls=Commands)
@click.version_option(package_name="luigi-tasks", message="%(package)s %(version)s")
def luigi_tasks() -> None:
    """Keep a PostgreSQL warehouse of New York taxi trips complete.

    This has the commands beside luigi, which runs the tasks:

    \b
      luigi --module luigi_tasks TaxiMerge --month 2024-01 --taxi-type green
      luigi --module luigi_tasks RangeMonthly --of TaxiMerge --start 2024-01
      luigi --module luigi_tasks TaxiMerge --help
    """


def main() -> None:
    """Run a command and exit: by 1 after a user error, which is one line, by 2 for wrong usage."""
    try:
        luigi_tasks()
    except (TaxiError, ConfigError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
