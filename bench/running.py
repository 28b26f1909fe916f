"""Run a command, or a function in a fork, to its end, and tell what it took."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bench.server import Cpu, Server

#: The top of the checkout, where Python finds this package.
ROOT = Path(__file__).resolve().parent.parent
#: Seconds after which a command is killed.
TIME_LIMIT = 7_200
#: Seconds for backends to end, and be counted, after their client.
_LAST_BACKEND = 0.3

Watch = Callable[[int], AbstractContextManager[object]]


def unwatched(number: int) -> AbstractContextManager[object]:
    """Let a command run."""
    return nullcontext()


class CommandError(Exception):
    """A command failed; the message has the end of what it printed, or what it didn't do."""


@dataclass(frozen=True)
class Took:
    """What a command took: seconds by the clock, and of processors."""

    seconds: float
    client: Cpu
    server: Cpu | None
    output: str


def run(
    command: Sequence[str | Path],
    server: Server | None = None,
    *,
    folder: Path,
    text: str = "",
    environment: Mapping[str, str] | None = None,
    watch: Watch = unwatched,
) -> Took:
    """Run a command in a folder until it ends.

    :param server: whose processor time is told, too.
    :param text: what the command reads from its standard input.
    :param watch: makes the context in which the command runs, from its process number.
    :raises CommandError: it failed, or was killed after TIME_LIMIT.
    """
    # a setting of whoever runs this would change what is measured
    inherited = {k: v for k, v in os.environ.items() if k not in ("LUIGI_CONFIG_PATH", "PGOPTIONS")}
    before = server.cpu() if server else None
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
        given.write(text.encode())
        given.seek(0)
        began = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=given,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        timer = threading.Timer(TIME_LIMIT, _kill, [process.pid])
        timer.start()
        try:
            with watch(process.pid):
                _, status, usage = os.wait4(process.pid, 0)
                seconds = time.monotonic() - began
                process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            timer.cancel()
            if process.returncode is None:
                _end(process)
        printed.seek(0)
        output = printed.read().decode(errors="replace")
    if process.returncode:
        end = "\n".join(output.splitlines()[-20:])
        raise CommandError(f"{Path(command[0]).name} exited with {process.returncode}:\n{end}")
    after = None
    if server and before:
        time.sleep(_LAST_BACKEND)
        after = server.cpu()
    return Took(
        seconds,
        Cpu(usage.ru_utime, usage.ru_stime),
        after - before if after and before else None,
        output,
    )


def run_forked(
    work: Callable[[], object],
    *,
    folder: Path,
    environment: Mapping[str, str],
    watch: Watch = unwatched,
) -> Took:
    """Run a function in a fork of this process, which has imported what it needs, until it ends.

    :raises CommandError: it failed, or was killed.
    """
    began = time.monotonic()
    number = os.fork()
    if not number:
        _work(work, folder, environment)
    try:
        with watch(number):
            _, status, usage = os.wait4(number, 0)
            seconds, number = time.monotonic() - began, 0
    finally:
        if number:
            _kill(number)
            os.waitpid(number, 0)
    output = (folder / "output").read_text(errors="replace")
    if code := os.waitstatus_to_exitcode(status):
        end = "\n".join(output.splitlines()[-20:])
        raise CommandError(f"it exited with {code}:\n{end}")
    return Took(seconds, Cpu(usage.ru_utime, usage.ru_stime), None, output)


def _work(work: Callable[[], object], folder: Path, environment: Mapping[str, str]) -> NoReturn:
    """What the fork does, as a command of its own would."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ.update(environment)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        warnings.simplefilter("ignore")
        output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        work()
        code = 0
    except SystemExit as error:
        print(error, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - the fork ends here, whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _kill(number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command that this process no longer waits for, and all of its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        _kill(process.pid)
        process.wait()
