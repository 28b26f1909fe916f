"""A real cron daemon whose clock the test moves, and whose crontab is its own.

It runs in a mount namespace: the machine's crontabs stay as they are, and none of their lines is
run. The clock is libfaketime's, an offset in a file that is read at each look at the time.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil

#: What the daemon and whatever it calls believe of time.
ZONE = "America/New_York"
FAKETIME = [
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *Path("/usr/local/lib/faketime").glob("libfaketimeMT.so.1"),
]
#: Sets up the namespace in which it runs; $1 is the folder, and the rest is run there.
SETUP = """
set -eu
folder=$1
shift
mount --make-rprivate /
mkdir -p "$folder/spool" "$folder/empty"
chown root:crontab "$folder/spool"
chmod 1730 "$folder/spool"
mount -t tmpfs tmpfs /run
mount --bind "$folder/spool" /var/spool/cron/crontabs
mount --bind "$folder/empty" /etc/cron.d
mount --bind /dev/null /etc/crontab
exec "$@"
"""


class Cron:
    """A daemon that isn't running yet, with a clock and a crontab in a folder."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.set_clock(now)

    @property
    def clock(self) -> dict[str, str]:
        """The environment of whatever has this clock."""
        return {
            "TZ": ZONE,
            "LD_PRELOAD": str(FAKETIME[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "clock"),
            "FAKETIME_NO_CACHE": "1",
        }

    def set_clock(self, now: datetime) -> None:
        """Set the time, from which the clock goes on at its usual pace."""
        new = self.folder / "clock.new"
        new.write_text(f"{now.timestamp() - time.time():+.3f}\n")
        new.replace(self.folder / "clock")

    def run(self, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
        """Run a command that sees the daemon's crontabs."""
        return subprocess.run(
            self._inside(*words),
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            **more,  # type: ignore[call-overload]
        )

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Put variables above the lines of the crontab, as its user does."""
        lines = [f"{name}={value}\n" for name, value in variables.items()]
        crontab = "".join(lines) + self.run("crontab", "-l").stdout
        self.run("crontab", "-", input=crontab)

    def start(self) -> None:
        """Switch the machine on."""
        variables = [f"{name}={value}" for name, value in self.clock.items()]
        command = self._inside("env", *variables, "cron", "-f")
        self._process = subprocess.Popen(command)
        time.sleep(0.5)
        assert self._process.poll() is None

    def stop(self) -> None:
        """Switch the machine off."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            self._process = None

    @property
    def is_on(self) -> bool:
        return self._process is not None

    def come_to(self, now: datetime, *, seconds: float = 0.05) -> None:
        """Set the clock, have the daemon look at it, and wait for whatever it calls.

        :param seconds: that it has to call something.
        """
        assert self._process
        self.set_clock(now)
        self._process.send_signal(signal.SIGHUP)  # ends its sleep
        time.sleep(seconds)
        assert self._process.poll() is None
        while self._is_calling():
            time.sleep(0.05)

    def _is_calling(self) -> bool:
        assert self._process
        for child in psutil.Process(self._process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if child.status() != psutil.STATUS_ZOMBIE:
                    return True
        return False

    def _inside(self, *words: str) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", SETUP, "sh", str(self.folder), *words]
