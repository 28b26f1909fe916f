"""A command to run, with its inputs and outputs, and what comes of it."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.texts import printable


@dataclass(frozen=True)
class Job:
    """A command with its inputs and outputs.

    It runs in an empty folder. A first word ``python`` stands for the Python of the process or the
    image. ``inputs`` are files by their names in the folder: a path is handed in to be read; a text
    or bytes, such as a script's, are written to an executable file. ``outputs`` are patterns of
    file names in the folder; each must match a file, but those of ``optional`` need not. ``image``
    overrides ``[runner] image`` in a container; empty, it is the transform's own image. The output
    of a ``quiet`` job is logged at DEBUG, except for its reports. ``task`` and ``month``, such as
    "green 2024-01", are labels for the log and for containers.
    """

    task: str
    month: str
    command: Sequence[str]
    inputs: Mapping[str, Path | str | bytes] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    optional: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    quiet: bool = False

    @property
    def program(self) -> str:
        """The command's first word."""
        return self.command[0]

    @property
    def paths(self) -> dict[str, Path]:
        """The inputs that are files already."""
        return {n: content for n, content in self.inputs.items() if isinstance(content, Path)}

    @property
    def contents(self) -> dict[str, bytes]:
        """The inputs that have to be written to a file."""
        return {
            name: content.encode() if isinstance(content, str) else content
            for name, content in self.inputs.items()
            if not isinstance(content, Path)
        }

    def write_contents(self, folder: Path) -> None:
        """Write the inputs that are given as text or bytes to executable files."""
        for name, content in self.contents.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o755)

    def is_output(self, name: str) -> bool:
        """Return whether a file of this name is an output."""
        patterns = (*self.outputs, *self.optional)
        return any(fnmatch.fnmatchcase(name, p) for p in patterns) and name not in self.inputs

    def not_a_file(self, name: str) -> TaxiError:
        """The error for an output that is a link, a folder or a pipe.

        A link would lead its reader to any file that the command chose.
        """
        return TaxiError(f"{self.program} made {printable(name)}, which isn't a plain file")


@dataclass(frozen=True)
class JobResult:
    """The output files of a job, in the order of their names, and what it reported.

    ``outputs`` has reported values by name, ``metrics`` an entry with ``name``, ``type``, ``value``
    and ``tags`` for each reported metric.
    """

    files: list[Path]
    outputs: dict[str, Any]
    metrics: list[dict[str, Any]]


class CommandError(TaxiError):
    """The command ran, and its exit code wasn't 0."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NoRoomError(CommandError, SystemicError):
    """The command ran and failed, since the disk takes no more data."""
