"""What a runner is given."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luigi_tasks.errors import TaxiError
from luigi_tasks.texts import printable


@dataclass(frozen=True)
class Job:
    """A command with what it needs and what it makes.

    It runs in an empty folder. A first word ``python`` is the Python that is there. ``inputs``
    are files by the name that they have in the folder: a path is handed in to be read; a text or
    bytes, such as a script's, become a file. ``outputs`` are patterns of file names in the folder;
    each must be met, but not the ``optional`` ones. ``image`` overrides ``[runner] image`` in a
    container; empty, it's the transform's own. What a ``quiet`` one says, but for its reports, is
    logged at DEBUG.
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
    def paths(self) -> dict[str, Path]:
        """The inputs that are handed in as they are."""
        return {n: content for n, content in self.inputs.items() if isinstance(content, Path)}

    @property
    def contents(self) -> dict[str, bytes]:
        """The inputs that become files."""
        return {
            name: content.encode() if isinstance(content, str) else content
            for name, content in self.inputs.items()
            if not isinstance(content, Path)
        }

    def write_contents(self, folder: Path) -> None:
        """Write the inputs that become files, so that they can be run."""
        for name, content in self.contents.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o755)

    def makes(self, name: str) -> bool:
        """Whether a file of this name is an output."""
        patterns = (*self.outputs, *self.optional)
        return any(fnmatch.fnmatchcase(name, p) for p in patterns) and name not in self.inputs

    def not_a_file(self, name: str) -> TaxiError:
        """A link would lead whoever reads it to any file that the command likes."""
        return TaxiError(f"{self.command[0]} made {printable(name)}, which isn't a plain file")
