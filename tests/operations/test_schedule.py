"""``luigi-tasks schedule``: the line of the crontab, systemd's units, and the foreground."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from conftest import PYTHON, skip
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from luigi_tasks.commands import schedule as module
from luigi_tasks.errors import TaxiError
from luigi_tasks.operations import timers
from luigi_tasks.operations.schedule import Call, changed_crontab, check_times, crontab_line

#: Keeps a crontab in a file beside it, as cron's own does where nobody looks.
CRONTAB = """#!/bin/sh
kept="$(dirname "$0")/kept"
case $1 in
-l) [ -e "$kept" ] || { echo "no crontab for somebody" >&2; exit 1; }; cat "$kept" ;;
-r) rm "$kept" ;;
-) cat >"$kept" ;;
esac
"""
OTHERS = b"# mine\nMAILTO=me\n\n5 4 * * *\techo '100\\%'  \n#15 6 * * * off"


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    """Write a program, and return the environment in which it is found."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / name).write_text(text)
    (folder / "bin" / name).chmod(0o755)
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


@dataclass
class Done:
    """What the command printed and returned."""

    returncode: int
    stdout: str
    stderr: str


class Schedule(Protocol):
    def __call__(self, folder: Path, *words: str, **environment: str) -> Done: ...


@pytest.fixture
def schedule(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    settings: Callable[[str, str, str], None],
) -> Schedule:
    """The command in this process, in a folder and with an environment."""

    def call(folder: Path, *words: str, **environment: str) -> Done:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            for name, value in {"PWD": str(folder), **environment}.items():
                patch.setenv(name, value)
            try:
                module.schedule.main([*words], standalone_mode=False)
            except TaxiError as error:
                return Done(1, capfd.readouterr().out, f"{error}\n")
        return Done(0, *capfd.readouterr())

    return call


# --- cron ---------------------------------------------------------------------------------------


def test_a_line_is_shown_written_once_and_taken_out(schedule: Schedule, tmp_path: Path) -> None:
    environment = program(tmp_path, "crontab", CRONTAB)
    kept = tmp_path / "bin" / "kept"
    kept.write_bytes(OTHERS + b"\n")
    shown = schedule(tmp_path, **environment)
    assert (shown.returncode, shown.stderr) == (
        0,
        "would be written to the crontab; --yes does it\n",
    )
    assert kept.read_bytes() == OTHERS + b"\n"
    for said in ("written to the crontab\n", "the crontab has this line already\n"):
        written = schedule(tmp_path, "--yes", **environment)
        assert (written.returncode, written.stderr) == (0, said)
        assert written.stdout == shown.stdout
        assert kept.read_bytes() == OTHERS + b"\n" + shown.stdout.encode()
    changed = schedule(tmp_path, "--yes", "--at=0 7 * * *", "--", "--run-label=a b", **environment)
    assert changed.stderr == f"written to the crontab, in place of: {shown.stdout}"
    assert kept.read_bytes().count(b"luigi-tasks run") == 1
    assert b" run '--run-label=a b' #" in kept.read_bytes()
    would = schedule(tmp_path, "--remove", **environment)
    assert would.stdout == changed.stdout
    assert b"luigi-tasks run" in kept.read_bytes()
    for said in ("taken out of the crontab\n", "the crontab has no such line\n"):
        removed = schedule(tmp_path, "--remove", "--yes", **environment)
        assert (removed.returncode, removed.stderr) == (0, said)
        assert kept.read_bytes() == OTHERS + b"\n"


def test_where_there_was_no_crontab_there_is_none_after(schedule: Schedule, tmp_path: Path) -> None:
    environment = program(tmp_path, "crontab", CRONTAB)
    assert schedule(tmp_path, "--yes", **environment).returncode == 0
    assert (tmp_path / "bin" / "kept").read_text().count("\n") == 1
    assert schedule(tmp_path, "--remove", "--yes", **environment).returncode == 0
    assert not (tmp_path / "bin" / "kept").exists()


def test_each_folder_and_each_settings_file_has_a_line(schedule: Schedule, tmp_path: Path) -> None:
    environment = program(tmp_path, "crontab", CRONTAB)
    (tmp_path / "other").mkdir()
    (tmp_path / "o.cfg").touch()
    with_file = {**environment, "LUIGI_CONFIG_PATH": "../o.cfg"}
    for _ in range(2):
        for folder in (tmp_path, tmp_path / "other"):
            assert schedule(folder, "--yes", **environment).returncode == 0
        assert schedule(tmp_path / "other", "--yes", **with_file).returncode == 0
    lines = (tmp_path / "bin" / "kept").read_text().splitlines()
    assert len(lines) == 3
    assert f"&& LUIGI_CONFIG_PATH={tmp_path}/other/../o.cfg /" in lines[2]
    schedule(tmp_path / "other", "--remove", "--yes", **environment)
    assert (tmp_path / "bin" / "kept").read_text().splitlines() == [lines[0], lines[2]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#!/bin/sh\necho 'you (me) are not allowed to use this program' >&2; exit 1", "are not a"),
        ("#!/bin/sh\n[ $1 = -l ] || { cat >&2; exit 1; }", "crontab: 15 6 * * *"),
    ],
)
def test_what_crontab_refuses_is_one_line(
    schedule: Schedule, tmp_path: Path, text: str, said: str
) -> None:
    refused = schedule(tmp_path, "--yes", **program(tmp_path, "crontab", text))
    assert refused.returncode == 1
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_without_cron_it_says_what_else_there_is(schedule: Schedule, tmp_path: Path) -> None:
    refused = schedule(tmp_path, PATH=str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr.startswith("crontab isn't installed: install cron, or use --systemd, or ")


def test_variables_that_cron_does_not_have_are_named(
    schedule: Schedule, tmp_path: Path, settings: Callable[[str, str, str], None]
) -> None:
    environment = program(tmp_path, "crontab", CRONTAB)
    settings("warehouse", "url", "postgresql://u:${SECRET}@h/d")
    shown = schedule(tmp_path, SECRET="hush", PGPASSWORD="hush", **environment)
    assert "a scheduled run doesn't have this shell's PGPASSWORD, SECRET: " in shown.stderr
    assert "hush" not in shown.stdout + shown.stderr


def test_settings_that_cannot_work_are_not_scheduled(
    schedule: Schedule, tmp_path: Path, settings: Callable[[str, str, str], None]
) -> None:
    settings("runner", "kind", "podman")
    refused = schedule(tmp_path, "--yes", **program(tmp_path, "crontab", CRONTAB))
    assert refused.returncode == 1
    assert not (tmp_path / "bin" / "kept").exists()


TIMES = [
    "15 6 * * *",
    "*/20 * * * *",
    "0,30 */6 1-7 * mon-fri",
    "0 0 1 jan,JUL *",
    "5 4 31 * 7",
    "0 12 */2 * 0",
    "59 23 29 2 *",
]


@pytest.mark.parametrize("at", TIMES)
def test_times_of_cron_are_taken(at: str) -> None:
    check_times(at)


@pytest.mark.parametrize(
    "at",
    [
        *("", "daily", "@daily", "15 6 * *", "15 6 * * * *", "60 6 * * *", "15 24 * * *"),
        *("15 6 0 * *", "15 6 L * *", "15 6 * * 1#2", "15 6 * * 5L", "15 6 LW * *", "5/15 * * * *"),
        *(
            "15 6 31 2 *",
            "15 6 * * *\n",
            "15 6 * * * root",
            "a b c d e",
            "1,,2 * * * *",
            "% * * * *",
        ),
    ],
)
def test_other_times_are_refused(at: str) -> None:
    if at.endswith("\n"):
        assert "\n" not in crontab_line(Call(Path("/srv")), at)
        return
    with pytest.raises(TaxiError, match="must be five fields as cron has them"):
        check_times(at)


def unescaped(command: str) -> str:
    """What cron hands to the shell."""
    assert not re.search(r"(?<!\\)%", command)
    return command.replace("\\%", "%")


@pytest.mark.parametrize(
    "name", ["plain", "with space", "100%", "it's", "$HOME", "a#b", "für & ;x"]
)
def test_a_folder_of_any_name_is_found_by_the_shell(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    call = Call(folder, {"LUIGI_CONFIG_PATH": f"{folder}/l.cfg"}, ("--run-label=50% of $it",))
    line = crontab_line(call, "15 6 * * *")
    said = "import os, sys; print(os.getcwd(), os.environ['LUIGI_CONFIG_PATH'], sys.argv[1:])"
    command = unescaped(line.split(maxsplit=5)[5])
    assert " /" in command
    words = command.replace(call.words[0], f'{PYTHON} -c "{said}"', 1)
    ran = subprocess.run(["/bin/sh", "-c", words], capture_output=True, text=True, cwd="/")
    assert ran.stdout == f"{folder} {folder}/l.cfg {['run', *call.arguments]}\n", ran.stderr


@pytest.mark.parametrize("name", ["back\\slash", "new\nline"])
def test_a_folder_that_cron_has_no_words_for_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(TaxiError, match="a backslash or a control character"):
        Call.of_here()


def test_a_link_to_the_folder_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release-3").mkdir()
    (tmp_path / "current").symlink_to("release-3")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert Call.of_here().folder == tmp_path / "current"
    monkeypatch.setenv("PWD", "/")
    assert Call.of_here().folder == tmp_path / "release-3"


FOLDERS = [Path("/srv/a"), Path("/srv/a b"), Path("/srv/100%"), Path("/a")]
CALLS = [Call(f, s) for f in FOLDERS for s in ({}, {"LUIGI_CONFIG_PATH": "/srv/a"})]
LINES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=20),
    st.sampled_from([f"#{crontab_line(CALLS[0], '15 6 * * *')}", CALLS[0].marker[1:]]),
)


@given(st.lists(LINES), st.booleans(), st.lists(st.sampled_from(CALLS)), st.sampled_from(CALLS))
def test_other_lines_stay_as_they_are(
    others: list[str], is_ended: bool, before: list[Call], call: Call
) -> None:
    crontab = "\n".join(others).encode() + (b"\n" if is_ended and others else b"")
    started = crontab
    for each in before:
        crontab = changed_crontab(crontab, each, crontab_line(each, "0 5 * * *"))
    line = crontab_line(call, "15 6 * * *")
    installed = changed_crontab(crontab, call, line)
    assert installed.splitlines().count(line.encode()) == 1
    assert changed_crontab(installed, call, line) == installed
    for each in {c.marker: c for c in [*before, call]}.values():
        installed = changed_crontab(installed, each, None)
    ending = b"" if started.endswith(b"\n") or not started else b"\n"
    assert installed == started + ending


# --- systemd ------------------------------------------------------------------------------------


def analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    if not shutil.which("systemd-analyze"):
        skip("systemd-analyze isn't installed: Debian's package systemd")
    environment = {**os.environ, "TZ": "UTC", "SYSTEMD_COLORS": "0"}
    command = ["systemd-analyze", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("at", TIMES)
def test_systemd_reads_the_times_as_cron_does(at: str) -> None:
    now = datetime(2026, 2, 27, 5, 17)
    elapsed: set[str] = set()
    for expression in timers.calendar(at):
        read = analyze(
            "calendar", "--iterations=30", f"--base-time={now:%Y-%m-%d %H:%M:%S} UTC", expression
        )
        assert read.returncode == 0, read.stderr
        elapsed |= set(re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d):\d\d UTC", read.stdout))
    times = CronSim(at, now)
    expected = [f"{next(times):%Y-%m-%d %H:%M}" for _ in range(10)]
    assert sorted(elapsed)[:10] == expected[: len(elapsed)]


@pytest.mark.parametrize("name", ["taxis", 'a "b" $c 100% ü'])
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    call = Call(tmp_path / name, {"LUIGI_CONFIG_PATH": "/srv/a b.cfg"}, ("--run-label=a 5%$x",))
    units = timers.units(call, "15 6 * * *")
    for file, text in units.items():
        (tmp_path / file).write_text(text)
    verified = analyze("verify", "--man=no", *[str(tmp_path / file) for file in units])
    told = [line for line in verified.stderr.splitlines() if "luigi-tasks" in line]
    assert (verified.returncode, told) == (0, []), verified.stderr
    assert "Persistent=true\n" in units[f"{timers.unit_name(call)}.timer"]


def test_a_timer_is_shown_written_once_and_removed(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemctl = '#!/bin/sh\necho "$@" >>"$(dirname "$0")/called"\n'
    environment = program(tmp_path, "systemctl", systemctl)
    units = tmp_path / "config" / "systemd" / "user"
    environment["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    def by_systemd(*words: str) -> Done:
        return schedule(tmp_path, "--systemd", *words, **environment)

    shown = by_systemd()
    assert (shown.returncode, shown.stderr) == (0, "would be written, and started; --yes does it\n")
    assert not units.exists()
    for _ in range(2):
        written = by_systemd("--yes")
        assert written.returncode == 0, written.stderr
        assert written.stdout == shown.stdout
        assert len(list(units.iterdir())) == 2
    assert by_systemd().stderr == "the timer is there already\n"
    assert by_systemd("--remove").stdout == shown.stdout
    assert len(list(units.iterdir())) == 2
    assert by_systemd("--remove", "--yes").returncode == 0
    assert list(units.iterdir()) == []
    assert by_systemd("--remove", "--yes").stderr == "there is no such timer\n"
    called = (tmp_path / "bin" / "called").read_text().splitlines()
    name = re.findall(r"luigi-tasks-\S+\.timer", shown.stdout)[0].rpartition("/")[2]
    once = ["--user daemon-reload", f"--user enable --now {name}"]
    assert called == [*once, *once, f"--user disable --now {name}", "--user daemon-reload"]


def test_a_machine_without_systemd_is_told(tmp_path: Path) -> None:
    call = Call(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(TaxiError, match="this machine is without systemd; use cron"):
            timers.remove(call)


# --- the foreground -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_a_run_is_called_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """And a signal ends it."""
    command = [PYTHON, "-m", "luigi_tasks", "schedule", "--foreground", "--", "--help"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, cwd=tmp_path, text=True, **streams) as running:  # type: ignore[call-overload]
        assert running.stdout
        printed = ""
        while "the next run is at" not in printed:
            printed += running.stdout.readline()
        running.send_signal(number)
        began = time.monotonic()
        assert running.wait(10) == 0
        assert time.monotonic() - began < 5
    assert "Usage: luigi-tasks run" in printed
    then = datetime.fromisoformat(printed.split()[-2] + " " + printed.split()[-1])
    assert datetime.now() < then < datetime.now() + timedelta(days=1, minutes=1)
