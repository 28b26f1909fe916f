"""When ``luigi-tasks run`` is called: the line of a crontab, and times as cron writes them.

A crontab may have a line for each working folder and file of settings. A line is recognised by the
comment that it ends with, which names these, and nothing else in the crontab is touched.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cronsim import CronSim, CronSimError

from luigi_tasks.errors import TaxiError
from luigi_tasks.operations.messages import VARIABLES

#: Bytes that a command in a crontab may have.
LONGEST_COMMAND = 998


@dataclass(frozen=True)
class Call:
    """How ``luigi-tasks run`` is called: in which folder, with which settings and arguments."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @classmethod
    def of_here(cls, arguments: Sequence[str] = ()) -> "Call":
        """The call as it would be made from this working folder, with these settings.

        :raises TaxiError: the folder has no path that a crontab and a unit can have.
        """
        here, logical = Path.cwd(), Path(os.environ.get("PWD", ""))
        if logical.is_absolute() and logical.exists() and logical.samefile(here):
            here = logical  # a link to the present release, for example, stays one
        # cron wouldn't hand them on
        settings = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
        if path := settings.get("LUIGI_CONFIG_PATH"):
            settings["LUIGI_CONFIG_PATH"] = str(here / path)
        call = cls(here, settings, tuple(arguments))
        for word in (str(here), *settings.values(), *call.words):
            if re.search(r"[\\\x00-\x1f\x7f]", word):
                raise TaxiError(f"{word!r}: cron can't be given a backslash or a control character")
        return call

    @property
    def words(self) -> list[str]:
        """The command and its arguments."""
        program = Path(sys.executable).with_name("luigi-tasks")
        command = [str(program)] if program.exists() else [sys.executable, "-m", "luigi_tasks"]
        return [*command, "run", *self.arguments]

    @property
    def marker(self) -> str:
        """What tells this folder and these settings from others."""
        return " ".join(["# luigi-tasks schedule:", *self._quoted([str(self.folder)])])

    @property
    def command(self) -> str:
        """The command for a shell."""
        return f"cd {shlex.quote(str(self.folder))} && {' '.join(self._quoted(self.words))}"

    def _quoted(self, words: Sequence[str]) -> list[str]:
        named = [f"{name}={shlex.quote(value)}" for name, value in sorted(self.settings.items())]
        return [*named, *map(shlex.quote, words)]


def check_times(at: str) -> CronSim:
    """Read times as cron does: minute, hour, day of the month, month, day of the week.

    :raises TaxiError: they aren't, or there is no such time.
    """
    item = r"(\*|\w+-\w+)(/\d+)?|\w+"
    fields = at.split()
    if len(fields) == 5 and all(
        re.fullmatch(rf"({item})(,({item}))*", each, re.ASCII) for each in fields
    ):
        try:
            times = CronSim(at, datetime.now())
            next(CronSim(at, datetime.now()))
            if all(isinstance(day, int) and day > 0 for day in times.days) and all(
                isinstance(day, int) for day in times.weekdays
            ):
                return times
        except (CronSimError, StopIteration):
            pass
    raise TaxiError(
        f"--at {at!r}: must be five fields as cron has them, such as '15 6 * * *': minute, hour, "
        "day of the month, month, day of the week"
    )


def next_time(at: str) -> datetime:
    """The next of the times, on this machine's clock."""
    return next(CronSim(at, datetime.now()))


# --- the crontab ------------------------------------------------------------------------------


def crontab_line(call: Call, at: str) -> str:
    """The line that has cron make a call.

    :raises TaxiError: the times can't be read, or the line is longer than cron takes.
    """
    check_times(at)
    command = f"{call.command} {call.marker}".replace("%", "\\%")  # % would end the line
    if len(os.fsencode(command)) > LONGEST_COMMAND:
        raise TaxiError(f"cron takes {LONGEST_COMMAND} bytes of a command, and this has more")
    return f"{' '.join(at.split())} {command}"


def changed_crontab(crontab: bytes, call: Call, line: str | None) -> bytes:
    """A crontab with this line in place of the call's own; without one, its own are taken out.

    All other lines stay as they are.
    """
    marker = os.fsencode(" " + call.marker.replace("%", "\\%"))
    new = [os.fsencode(line) + b"\n"] if line else []
    kept: list[bytes] = []
    for each in crontab.splitlines(keepends=True):
        if each.rstrip(b"\r\n").endswith(marker) and not each.lstrip().startswith(b"#"):
            kept += new
            new = []
        else:
            kept.append(each)
    if new and kept and not kept[-1].endswith(b"\n"):
        kept.append(b"\n")
    return b"".join(kept + new)


def read_crontab() -> bytes:
    """This user's crontab, empty if there is none.

    :raises TaxiError: there is no cron here, or the user may not use it.
    """
    done = _crontab("-l")
    if done.returncode and b"no crontab" not in done.stderr:
        raise TaxiError(f"crontab -l: {_said(done)}")
    return b"" if done.returncode else done.stdout


def write_crontab(crontab: bytes) -> None:
    """Replace this user's crontab; an empty one is removed.

    :raises TaxiError: cron refuses it.
    """
    done = _crontab("-", given=crontab) if crontab else _crontab("-r")
    if done.returncode:
        raise TaxiError(f"crontab: {_said(done)}")


def _crontab(*arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    program = shutil.which("crontab")
    if program is None:
        raise TaxiError(
            "crontab isn't installed: install cron, or use --systemd, or keep "
            "luigi-tasks schedule --foreground running"
        )
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        [program, *arguments], input=given, env=environment, capture_output=True, check=False
    )


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    words = os.fsdecode(done.stderr or done.stdout).split()
    return " ".join(words) or f"ended with {done.returncode}"
