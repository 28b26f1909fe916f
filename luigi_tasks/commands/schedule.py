"""Have cron or systemd call ``luigi-tasks run``, or call it from the foreground."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime

import click

from luigi_tasks import config
from luigi_tasks.operations import timers
from luigi_tasks.operations.schedule import (
    Call,
    changed_crontab,
    check_times,
    crontab_line,
    next_time,
    read_crontab,
    write_crontab,
)

#: Most seconds between two looks at the clock, which may be set, or jump while a machine sleeps.
INTERVAL = 30.0


@click.command()
@click.option("--at", default="15 6 * * *", show_default=True, help="When, as cron writes it.")
@click.option("--yes", is_flag=True, help="Do it. Without, it is only shown.")
@click.option("--remove", is_flag=True, help="Take it out again.")
@click.option("--systemd", is_flag=True, help="By a timer of systemd instead of cron.")
@click.option("--foreground", is_flag=True, help="By this process, at once and at these times.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- RUN'S ARGUMENTS]...")
def schedule(
    *, at: str, yes: bool, remove: bool, systemd: bool, foreground: bool, arguments: tuple[str, ...]
) -> None:
    """Have luigi-tasks run called every day.

    It is called in this folder, with the settings that hold here. Each folder has a line of its own
    in the crontab, and each file that LUIGI_CONFIG_PATH names. Without --yes nothing is changed.
    """
    config.check()
    check_times(at)
    if foreground and (yes or remove or systemd):
        raise click.UsageError("--foreground goes with --at only")
    call = Call.of_here(arguments)
    if foreground:
        _stay(call, at)
    elif systemd:
        _by_systemd(call, at, yes, remove)
    else:
        _by_cron(call, at, yes, remove)
    if not remove:
        _note_variables()


def _by_cron(call: Call, at: str, yes: bool, remove: bool) -> None:
    line = None if remove else crontab_line(call, at)
    before = read_crontab()
    after = changed_crontab(before, call, line)
    old = [each for each in before.splitlines() if each not in after.splitlines()]
    shown = [line] if line else [os.fsdecode(each) for each in old]
    for each in shown:
        click.echo(each)
    if after == before:
        _say("the crontab has no such line" if remove else "the crontab has this line already")
    elif not yes:
        would = "taken out of the crontab" if remove else "written to the crontab"
        _say(f"would be {would}{_instead(old) if line else ''}; --yes does it")
    else:
        write_crontab(after)
        _say("taken out of the crontab" if remove else f"written to the crontab{_instead(old)}")


def _instead(old: list[bytes]) -> str:
    return "".join(f", in place of: {os.fsdecode(each)}" for each in old)


def _by_systemd(call: Call, at: str, yes: bool, remove: bool) -> None:
    folder, before = timers.folder_of_units(), timers.installed(call)
    after = {} if remove else timers.units(call, at)
    for name, text in (before if remove else after).items():
        click.echo(f"# {folder / name}\n{text}")
    if after == before and (remove or not yes):
        _say("there is no such timer" if remove else "the timer is there already")
    elif not yes:
        _say(f"would be {'removed' if remove else 'written, and started'}; --yes does it")
    elif remove:
        timers.remove(call)
        _say("the timer is stopped and removed")
    else:
        timers.install(call, at)
        _say(f"the timer runs; systemctl list-timers {timers.unit_name(call)}.timer shows it")
        if os.geteuid() != 0:
            _say("while you aren't logged in, it runs after: loginctl enable-linger")


def _stay(call: Call, at: str) -> None:
    """Make the call at once and at each of the times, until a signal comes."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        while True:
            _run(call)
            then = next_time(at)
            _say(f"the next run is at {then:%Y-%m-%d %H:%M}")
            while (left := (then - datetime.now()).total_seconds()) > 0:
                time.sleep(min(left, INTERVAL))
    except KeyboardInterrupt:
        sys.exit(0)


def _run(call: Call) -> None:
    environment = {**os.environ, **call.settings}
    with subprocess.Popen(call.words, cwd=call.folder, env=environment) as running:
        try:
            running.wait()
        except KeyboardInterrupt:
            running.terminate()
            running.wait()
            raise


def _note_variables() -> None:
    """Say which variables of this environment a scheduled run would lack."""
    names = {*config.variables()} | {name for name in ("PGPASSWORD",) if name in os.environ}
    if names:
        _say(
            f"a scheduled run doesn't have this shell's {', '.join(sorted(names))}: "
            "docs/operating.md says where to set it"
        )


def _say(text: str) -> None:
    click.echo(text, err=True)
