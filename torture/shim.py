"""The library that spoils calls to the file system: compiled, armed, and read."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from torture.points import Call

SOURCE = Path(__file__).with_name("shim.c")


class NoCompilerError(Exception):
    """There is no C compiler."""


def compiled(folder: Path) -> Path:
    """The library, compiled if it hasn't been.

    :raises NoCompilerError: there is no compiler.
    """
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    library = folder / f"shim-{digest}.so"
    if not library.exists():
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise NoCompilerError("there is no C compiler, which the files' shim needs (gcc)")
        folder.mkdir(parents=True, exist_ok=True)
        made = library.with_suffix(".new")
        words = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(made), str(SOURCE)]
        words += ["-ldl", "-lpthread"]
        subprocess.run(words, check=True)
        made.replace(library)
    return library


class Plan:
    """What the shim does in the next run, in a file that it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._calls, self._fired = (Path(f"{path}{end}") for end in (".calls", ".fired"))

    def do_nothing(self) -> None:
        self._write("")

    def record(self) -> None:
        self._write("record\n")

    def spoil(self, call: Call, how: str) -> None:
        """Have a call fail, once."""
        self._write(f"fault {call.operation} {call.number} {how} {call.role} {call.path}\n")

    def calls(self) -> list[Call]:
        """The calls that were recorded, each once."""
        found = []
        if self._calls.exists():
            for line in self._calls.read_text().splitlines():
                operation, number, role, path = line.split(" ", 3)
                found.append(Call(role, operation, path, int(number)))
        return list(dict.fromkeys(found))

    @property
    def has_fired(self) -> bool:
        return self._fired.exists()

    def _write(self, text: str) -> None:
        for path in (self._calls, self._fired):
            path.unlink(missing_ok=True)
        self.path.write_text(text)
