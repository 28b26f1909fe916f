"""What an alarm says: what failed, why, and the line to run again. No secret is in it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from luigi.parameter import BoolParameter
from luigi.task_register import Register, TaskClassException

from luigi_tasks import config
from luigi_tasks.months import Month
from luigi_tasks.operations.law import Change
from luigi_tasks.operations.outcome import Outcome
from luigi_tasks.texts import printable, shortened
from luigi_tasks.urls import redacted

#: The variables that name the settings.
VARIABLES = ("LUIGI_CONFIG_PATH", "LUIGI_CONFIG_PARSER")
IMPLICIT = BoolParameter.IMPLICIT_PARSING
#: Characters of an error that a message has.
LONGEST_ERROR = 600
#: The tasks that lead to a merged month; TaxiMerge runs all that are missing.
CHAIN = (
    "TaxiPublished",
    "TaxiDownload",
    "TaxiTransform",
    "TaxiStageLoad",
    "TaxiMerge",
)


@dataclass(frozen=True)
class Message:
    """An alarm as it is sent: a title of one line, and a body."""

    change: Change
    title: str
    body: str


@dataclass(frozen=True)
class Failed:
    """A month's attempt that failed: where, when, by which task, and why.

    ``cause`` is ``content``, ``passing`` or ``other``.
    """

    step: str
    error: str | None
    cause: str | None
    host: str
    run_id: int
    ended_at: datetime


def month_failed(month: Month, failed: Failed) -> Message:
    """The message for a month that failed by a fault of its own."""
    lines = [
        f"{failed.step} of {month} failed on {_host(failed.host)}, {_time(failed.ended_at)}, "
        f"in run {failed.run_id}.",
        "",
        _error(failed.error),
        "",
    ]
    if failed.cause == "content":
        lines.append(
            "Other months go on. The file is tried again when another edition of it is published, "
            "or the settings of the transform change."
        )
    else:
        lines.append("Other months go on. Each run tries it again.")
    return Message(
        Change.FAILED, f"{month} failed", "\n".join([*lines, _run_again(month, failed.step)])
    )


def month_mended(month: Month) -> Message:
    """The message for a month that had failed and is loaded."""
    return Message(
        Change.MENDED, f"{month} is loaded after all", f"{month} had failed, and is merged now."
    )


def month_overdue(month: Month, deadline: date | None, today: date) -> Message:
    """The message for a month that isn't published and should be.

    :param deadline: the last day on which it wasn't overdue, if that is known.
    """
    ended = month.bounds["stop"]
    days = (today - ended).days
    lines = [f"{month} isn't published yet, {days:,} days after the month's end."]
    if deadline and deadline < today:
        usual = (deadline - ended).days
        lines.append(
            f"Nearly all months of {month.taxi_type} were out {usual} days after their end; it has "
            f"been overdue since {deadline.isoformat()}."
        )
    else:
        lines.append("A later month is out already.")
    lines += [
        "",
        "The next run that finds it loads it. Is [source] url still right? To look now:",
        command("TaxiMerge", month),
    ]
    return Message(Change.OVERDUE, f"{month} is late", "\n".join(lines))


def month_arrived(month: Month) -> Message:
    """The message for a month that was overdue and is loaded."""
    return Message(
        Change.ARRIVED, f"{month} has arrived", f"{month} was overdue, and is merged now."
    )


def host_failed(outcome: Outcome, error: str | None) -> Message:
    """The message for a run that met a fault which isn't of one month."""
    host = _host(outcome.host)
    run = f"Run {outcome.run_id}" if outcome.run_id is not None else "A run"
    code = "" if outcome.exit_code is None else f", with exit code {outcome.exit_code}"
    lines = [
        f"{run} on {host} failed{code}: {_error(outcome.command)}.",
        "",
        _error(error),
        "",
        "That is a fault of the machine, the source, the warehouse or the settings, and of no "
        "single month. The next run goes on from there. To run again:",
        _again(outcome.command),
    ]
    return Message(Change.FAILED, f"runs on {host} fail", "\n".join(lines))


def host_mended(outcome: Outcome) -> Message:
    """The message for the first run without a fault after one that had one."""
    host = _host(outcome.host)
    return Message(
        Change.MENDED,
        f"runs on {host} work again",
        f"The last run on {host} met no fault: {_error(outcome.command)}",
    )


def _run_again(month: Month, step: str) -> str:
    if step in CHAIN:
        return f"To run again: {command('TaxiMerge', month)}"
    if step.startswith("Taxi"):
        return f"To run again: {command(step, month)}"
    return f"To run again: {step} for {month}"


def command(task: str, month: Month) -> str:
    """The line for a shell that runs a task of a month, from any folder."""
    return f"{from_here()}{luigi(of_month(task, month))}"


def of_month(task: str, month: Month) -> str:
    """A task of a month, as ``luigi`` takes it."""
    return f"{task} --month {month.text} --taxi-type {month.taxi_type}"


def _again(command: str) -> str:
    """The line for a run, from how it is recorded: a task's name, and parameters as name=value.

    What is a default, or no parameter, is left out.
    """
    task, *values = re.split(r" (?=\w+=)", command)
    try:
        parameters = dict(Register.get_task_cls(task).get_params())
    except TaskClassException:
        return f"{from_here()}{luigi('...')}"
    flags = []
    for name, _, value in (each.partition("=") for each in values):
        flag = f"--{name.replace('_', '-')}"
        parameter = parameters.get(name)
        if parameter is None or value == _default(parameter):
            continue
        if isinstance(parameter, BoolParameter) and parameter.parsing == IMPLICIT:
            flags += [flag] if value == "True" else []
        else:
            flags.append(f"{flag} {shlex.quote(value)}")
    return printable(from_here() + luigi(redacted(" ".join([task, *flags]))))


def _default(parameter: Any) -> str | None:
    """The default that a task gives to a parameter, as it is recorded."""
    try:
        return str(parameter.serialize(parameter._default))
    except (AttributeError, TypeError, ValueError):  # it has none
        return None


def from_here() -> str:
    """What has a line for a shell work from any folder."""
    return printable(f"cd {shlex.quote(str(Path.cwd()))} && ")


def luigi(words: str) -> str:
    """The line of this folder's shell that runs a task with the settings and the tasks of this run.

    :param words: the task and its parameters.
    """
    named = next((b for a, b in pairwise(sys.argv) if a == "--module"), "luigi_tasks")
    return program("luigi", f"--module {shlex.quote(named)} {words}")


def program(name: str, words: str) -> str:
    """The line of this folder's shell that calls a program of this Python with the settings of this
    run: those of its files, and those that it was given by flags, without a password."""
    folder, path = Path.cwd(), Path(sys.executable).with_name(name)
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    named = [
        f"{variable}={shlex.quote(os.environ[variable])}"
        for variable in VARIABLES
        if os.environ.get(variable)
    ]
    flags = shlex.join(config.given_flags())
    line = " ".join([*named, shlex.quote(str(shown)), words, flags])
    return printable(line.rstrip())


def _error(text: str | None) -> str:
    return shortened(redacted(text), LONGEST_ERROR) if text else "The reason isn't known."


def _host(host: str) -> str:
    return shortened(host)


def _time(at: datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="minutes")
