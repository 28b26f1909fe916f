"""When ``luigi-tasks run`` is called, by systemd: a service and its timer.

Root's are in ``/etc/systemd/system``, a user's in ``~/.config/systemd/user``. Their name is made of
the working folder and of the settings, so several may be installed.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from luigi_tasks.errors import TaxiError
from luigi_tasks.operations.schedule import Call, check_times

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def unit_name(call: Call) -> str:
    """The name of the two units, without its suffix."""
    digest = hashlib.sha256(os.fsencode(call.marker)).hexdigest()[:8]
    folder = re.sub(r"\W+", "-", call.folder.name, flags=re.ASCII).strip("-")
    return "-".join(part for part in ("luigi-tasks", folder, digest) if part)


def folder_of_units() -> Path:
    """Where this user's units are."""
    if os.geteuid() == 0:
        return Path("/etc/systemd/system")
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "systemd" / "user"


def units(call: Call, at: str) -> dict[str, str]:
    """The service and its timer, by the names of their files.

    :param at: times as cron writes them.
    """
    description = _escaped(f"Load the New York taxi trips that are due, from {call.folder}")
    settings = "".join(
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in call.settings.items()
    )
    service = f"""[Unit]
Description={description}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={_escaped(str(call.folder))}
{settings}ExecStart={" ".join(_quoted(word).replace("$", "$$") for word in call.words)}
# not published yet; left to another run
SuccessExitStatus=20 25
"""
    if os.geteuid() != 0:  # a user's systemd has no such target
        service = re.sub(r"(Wants|After)=.*\n", "", service)
    times = "".join(f"OnCalendar={each}\n" for each in calendar(at))
    timer = f"""[Unit]
Description={description}

[Timer]
{times}# a time at which the machine was off is made up for
Persistent=true

[Install]
WantedBy=timers.target
"""
    name = unit_name(call)
    return {f"{name}.service": service, f"{name}.timer": timer}


def calendar(at: str) -> list[str]:
    """Times of cron as systemd writes them: two where cron takes a day of either kind."""
    times = check_times(at)
    clock = f"{_numbers(times.hours, 24)}:{_numbers(times.minutes, 60)}:00"
    months = _numbers(times.months, 12)
    weekdays = {int(str(day)) % 7 for day in times.weekdays}
    is_any_weekday, is_any_day = len(weekdays) == 7, len(times.days) == 31
    names = "" if is_any_weekday else ",".join(_DAYS[day] for day in sorted(weekdays)) + " "
    days = _numbers(times.days, 31)
    if is_any_weekday or is_any_day or times.day_and:
        return [f"{names}*-{months}-{days} {clock}"]
    return [f"*-{months}-{days} {clock}", f"{names}*-{months}-* {clock}"]


def install(call: Call, at: str) -> None:
    """Write the units, and start the timer.

    :raises TaxiError: they can't be written, or systemd isn't there.
    """
    folder = folder_of_units()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in units(call, at).items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise TaxiError(f"{error.filename}: {error.strerror}") from None
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", f"{unit_name(call)}.timer")


def remove(call: Call) -> None:
    """Stop the timer, and remove the units.

    :raises TaxiError: they can't be removed, or systemd isn't there.
    """
    _systemctl("disable", "--now", f"{unit_name(call)}.timer")
    for suffix in (".timer", ".service"):
        (folder_of_units() / f"{unit_name(call)}{suffix}").unlink(missing_ok=True)
    _systemctl("daemon-reload")


def installed(call: Call) -> dict[str, str]:
    """The units of a call that exist, by the names of their files."""
    names = [f"{unit_name(call)}{suffix}" for suffix in (".service", ".timer")]
    files = [folder_of_units() / name for name in names]
    return {file.name: file.read_text(encoding="utf-8") for file in files if file.exists()}


def _systemctl(*arguments: str) -> None:
    program = shutil.which("systemctl")
    if program is None:
        raise TaxiError("systemctl isn't installed: this machine is without systemd; use cron")
    words = [program, *([] if os.geteuid() == 0 else ["--user"]), *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise TaxiError(f"systemctl {' '.join(words[1:])}: {said or 'failed'}")


def _numbers(found: Iterable[int], most: int) -> str:
    numbers = sorted(found)
    return "*" if len(numbers) == most else ",".join(f"{number:02}" for number in numbers)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    text = _escaped(text)
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else '"' + text.replace('"', '\\"') + '"'
