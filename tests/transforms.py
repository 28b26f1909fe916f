"""Transforms in forks of one Python that has imported what they need: many bad files in no time.

Each has the limits of a transform that a run starts, and what it took is measured.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Bytes of writable memory, as ``[runner] memory`` has it by default, and seconds.
MEMORY, SECONDS = 2 << 30, 60


@dataclass
class Transformed:
    """How a transform ended: its exit code, or a signal's number, negative; what it printed; the
    most memory it had, in bytes; and the seconds it took."""

    code: int
    output: str
    errors: str
    memory: int
    seconds: float


class Transforms:
    """Runs the command of the transform, one after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "2"},
        )

    def run(self, folder: Path, *words: str) -> Transformed:
        """Run it in a folder, with these arguments."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps([str(folder), words]), file=self._process.stdin, flush=True)
        code, memory, seconds = json.loads(self._process.stdout.readline())
        output, errors = ((folder / name).read_text(errors="replace") for name in ("out", "err"))
        return Transformed(code, output, errors, memory, seconds)

    def end(self) -> None:
        self._process.communicate()


def _run(folder: str, words: Sequence[str]) -> int:
    """Run the transform in this process."""
    from luigi_tasks.transform.__main__ import main

    os.chdir(folder)
    for number, name in (1, "out"), (2, "err"):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SECONDS)
    try:
        code = main(list(words))
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - as Python itself would end
        sys.excepthook(*sys.exc_info())
        code = 120
    sys.stderr.flush()
    return code


def _serve() -> None:
    import time

    import pyarrow.csv  # noqa: F401

    import luigi_tasks.transform.__main__  # noqa: F401 - which does without numpy

    for line in sys.stdin:
        began = time.monotonic()
        number = os.fork()
        if number == 0:
            os._exit(_run(*json.loads(line)))
        _, status, used = os.wait4(number, 0)
        took = time.monotonic() - began
        print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_maxrss << 10, took]))
        sys.stdout.flush()


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))  # it has a module that is called as Python's own
    _serve()
