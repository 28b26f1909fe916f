"""What a terminal shows while a run goes on, and after it: one bar, whole lines, a table."""

import multiprocessing
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Luigi, Published
from rich.console import Console

from luigi_tasks.months import Month
from luigi_tasks.status.loads import MOST, draw
from luigi_tasks.tasks import bar
from luigi_tasks.tasks.bar import Bar
from luigi_tasks.warehouse import RunMonth

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


def console(width: int = 80) -> Console:
    return Console(width=width, force_terminal=True, color_system=None)


def planned(months: int, steps: int = 4) -> Bar:
    shown = Bar(console(120))
    for month in range(months):
        for step in range(steps):
            shown.add_task(f"green {month}", f"{month}.{step}", can_run=True)
    shown.begin_work()
    return shown


def test_a_bar_counts_months_and_never_goes_back() -> None:
    shown = planned(4)
    began = shown._began
    shares = [shown.facts(began)[2]]
    for month in range(4):
        for step in range(4):
            shown.report(f"copying green {month}", "1 of 2", 0.5, rows=100)
            shares.append(shown.facts(began + 10)[2])
            shown.end_task(f"green {month}", f"{month}.{step}", has_failed=False)
            shares.append(shown.facts(began + 10)[2])
        assert shown.facts(began + 10)[:2] == (month + 1, 4)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert shown.facts(began + 10)[3] == ["160 rows/s"]


def test_a_bar_never_goes_back_where_one_task_loads_a_month() -> None:
    shown, shares = planned(2, steps=1), []
    for step in ("fetching", "copying"):
        for share in (0.0, 0.5, 1.0):
            shown.report(f"{step} green 0", "1 of 2", share, rows=0)
            shares.append(shown.facts(shown._began)[2])
    shown.end_task("green 0", "0.0", has_failed=False)
    shares.append(shown.facts(shown._began)[2])
    assert shares == sorted(shares)
    assert shares[-1] == 0.5


def test_a_bar_moves_with_what_other_processes_do() -> None:
    """Each of several workers has a month in hand, in a process of its own."""
    shown = planned(2)
    for month, share in ("green 0", 0.5), ("green 1", 0.25):
        report = (f"copying {month}", "half of it", share, 1_000)
        process = multiprocessing.get_context("fork").Process(target=shown.report, args=report)
        process.start()
        process.join()
        assert process.exitcode == 0
    assert shown.facts(shown._began + 1)[2:] == (0.75 / 4 / 2, ["2,000 rows/s"])
    assert "copying green 1: half of it" in shown._text()
    shown.end_task("green 1", "1.0", has_failed=False)
    assert shown.facts(shown._began)[2] == 1.5 / 4 / 2
    assert "copying" not in shown._text()


def test_a_bar_tells_the_time_that_is_left() -> None:
    shown = planned(45)
    for month in range(11):
        for step in range(4):
            shown.end_task(f"green {month}", f"{month}.{step}", has_failed=False)
    shown.report("copying green 11", "50 of 100 rows", 0.5, rows=1_000_000)
    ended, total, share, texts = shown.facts(shown._began + 100)
    assert (ended, total) == (11, 45)
    assert share == pytest.approx(11.125 / 45)
    assert texts == ["10,000 rows/s", "5:04 left"]
    assert shown._text().startswith("month 12 of 45  ")


def test_months_that_fail_have_ended_and_unpublished_ones_are_not_counted() -> None:
    shown = planned(3)
    shown.add_task("green 2", "published", can_run=False)
    shown.end_task("green 0", "0.0", has_failed=True)
    assert shown.facts(shown._began)[:2] == (1, 2)
    assert shown.facts(shown._began)[3] == ["1 failed"]
    for step in range(4):  # it was tried again
        shown.end_task("green 0", f"0.{step}", has_failed=False)
    assert shown.facts(shown._began)[3] == []


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
def test_a_bar_fits_the_terminal(width: int) -> None:
    shown = planned(1200)
    shown._console = console(width)
    shown.report("copying green 2024-01", "1,000,000 of 3,000,000 rows", 0.3, rows=10**9)
    shown._began -= 100
    assert len(shown._text()) < width


def test_a_terminal_that_is_gone_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> int:
        raise OSError(5, "Input/output error")

    screen = SimpleNamespace(isatty=lambda: True, write=gone, flush=gone, encoding="utf-8")
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    bar.start()
    shown = bar.current()
    assert shown
    shown.begin_work()
    shown.report("fetching", "1 B", 0.5, rows=0)
    shown._draw()
    bar.stop()
    assert bar.current() is None


# --- on a terminal ------------------------------------------------------------------------------


def on_terminal(
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    act: Callable[[str, int], None] = lambda seen, pid: None,
) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns, and return its exit code and all that it printed.

    :param act: is called with what was printed so far and the process, again and again.
    """
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", **environment}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=its, stdout=its, stderr=its, close_fds=True
    ) as process:
        os.close(its)
        seen, until = b"", time.monotonic() + 120
        while time.monotonic() < until:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:
                    break
                if not piece:
                    break
                seen += piece
            act(seen.decode(errors="replace"), process.pid)
        os.close(ours)
        process.wait(timeout=30)
    return process.returncode, seen.decode().replace("\r\n", "\n")


def stands(printed: str) -> list[str]:
    """The lines that are left on the terminal: of each what follows the last wipe."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed)
    return [re.split(r"\r(?:\x1b\[K)?", line)[-1] for line in plain.split("\n")]


@pytest.fixture
def backfill(luigi_command: Luigi, published: Published) -> list[str]:
    for month in ("2024-01", "2024-02", "2024-03"):
        published.write("green", month, rows=300)
    luigi_command.settings["--source-url"] = published.url
    flags = luigi_command.range_flags("green", "2024-01", "2024-05")
    return luigi_command.command("RangeMonthly", *flags)


@on_one_server
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_has_one_bar_whole_lines_and_a_table(
    luigi_command: Luigi, backfill: list[str], workers: str
) -> None:
    code, printed = on_terminal(
        [*backfill, "--workers", workers], luigi_command.folder, {"NO_COLOR": "1"}
    )
    assert code == 20  # April isn't published
    lines = stands(printed)
    known = r"(INFO|WARNING): |green 2024-0|total|  +rows|$"
    assert [line for line in lines if not re.match(known, line)] == []
    assert len([line for line in lines if ": staged 300 rows" in line]) == 3
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed)
    assert re.search(r"\rmonth [123] of 3  [━ ]{20}  \d+%", plain)
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", printed)  # no colour
    at = next(number for number, line in enumerate(lines) if line.endswith("seconds"))
    table = [line.split() for line in lines[at : at + 5]]
    assert table[0] == ["rows", "rejects", "seconds"]
    assert [row[:4] for row in table[1:4]] == [
        ["green", f"2024-0{month}", "300", "0"] for month in (1, 2, 3)
    ]
    assert (table[4][:3], table[4][4:]) == (["total", "900", "0"], ["3", "months"])
    assert re.fullmatch(r"INFO: green: 3 months loaded, 900 rows, 1 not .*", lines[at + 6])
    assert lines[-1] == ""


@on_one_server
def test_ctrl_c_leaves_a_clean_terminal(luigi_command: Luigi, backfill: list[str]) -> None:
    sent: list[int] = []

    def press(seen: str, pid: int) -> None:
        if not sent and "month 1 of 3" in seen:
            sent.append(pid)
            os.kill(pid, signal.SIGINT)

    code, printed = on_terminal(backfill, luigi_command.folder, {}, press)
    assert sent
    assert code == 130
    assert stands(printed)[-1] == ""
    assert "stopped by Ctrl-C" in stands(printed)[-2]
    assert "\x1b[?25l" not in printed  # the cursor was never hidden


@on_one_server
def test_what_is_no_real_terminal_gets_plain_lines(
    luigi_command: Luigi, backfill: list[str]
) -> None:
    code, printed = on_terminal(backfill, luigi_command.folder, {"TERM": "dumb"})
    assert code == 20
    assert "\x1b" not in printed
    assert "month 1 of" not in printed
    piped = luigi_command(*backfill[3:])
    assert "\x1b" not in piped.output
    assert "rejects  seconds" not in piped.output


# --- the table ----------------------------------------------------------------------------------


def loads(months: int, taxi_types: tuple[str, ...] = ("green",)) -> list[RunMonth]:
    return [
        RunMonth(
            Month(taxi_type, date(2014 + number // 12, number % 12 + 1, 1)),
            is_loaded=number != 4,
            rows=1_000_000 + number,
            rejects=number,
            seconds=1.5,
            error="green 2014-05: it can't be read" + " at all" * 30 if number == 4 else None,
        )
        for taxi_type in taxi_types
        for number in range(months)
    ]


def drawn(months: list[RunMonth], width: int = 80) -> list[str]:
    shown = Console(width=width, color_system=None)
    with shown.capture() as captured:
        draw(months, shown)
    return captured.get().split("\n")


@pytest.mark.parametrize(("months", "taxi_types"), [(2, ("green",)), (45, ("green", "yellow"))])
def test_a_table_has_at_most_forty_lines(months: int, taxi_types: tuple[str, ...]) -> None:
    asked = loads(months, taxi_types)
    lines = [line for line in drawn(asked) if line]
    assert len(lines) <= MOST + 2
    assert all(len(line) <= 80 for line in lines)
    total = lines[-1].split()
    assert total[0] == "total"
    assert total[1] == f"{sum(each.rows for each in asked):,}"
    assert total[2] == f"{sum(each.rejects for each in asked):,}"
    rows = [
        int(re.findall(r"[\d,]{5,}", line)[-1].replace(",", ""))
        for line in lines[1:-1]
        if "can't be read" not in line
    ]
    failed = sum(each.rows for each in asked if "can't be read" in "".join(lines) and each.error)
    assert sum(rows) + failed == sum(each.rows for each in asked)


def test_a_month_that_failed_says_why_on_its_line() -> None:
    lines = drawn(loads(6))
    assert lines[6].startswith("green 2014-05   F  it can't be read at all")
    assert lines[6].endswith("…")
    assert lines[8].endswith("5 months, 1 failed")
