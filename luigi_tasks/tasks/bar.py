"""The last line of a terminal while a run goes on: month 12 of 45, rows a second, time left.

One process draws it, the one that began the run. Its forks, of which ``--workers`` makes one for
each task, write how far they are into memory that all share. Whatever logs a line, in whichever
process, wipes the bar first; so the line stands alone, and the bar comes back below it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from luigi_tasks import stopping

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Seconds between two times that the bar is drawn.
INTERVAL = 0.25
#: The colour of what is done, for dark and light terminals.
COLOUR = "#56b4e9"
#: Begins a line anew: back to its start, and wipe it.
WIPE = "\r\x1b[K"
#: Columns of the bar itself, and those that must be free for what is being done.
COLUMNS, LEAST_ROOM = 20, 15
#: The part of a month that is over when a step begins and when it ends, where one task does all.
SHARES = {"fetching": (0.0, 0.25), "copying": (0.5, 0.9)}
#: Bytes of the text of a step.
LONGEST_STEP = 200
#: Seconds, and share of the work, before which no time left is shown.
_EARLIEST, _LEAST = 3.0, 0.01


class Bar:
    """How far a run is with its months."""

    def __init__(self, console: Console) -> None:
        self._console, self._pid, self._began = console, os.getpid(), time.monotonic()
        fork: Any = multiprocessing.get_context("fork")
        self._rows = fork.Value("q", 0)  # of all processes
        self._tasks: dict[str, set[str]] = {}  # of each month, those that have yet to end
        self._planned: Counter[str] = Counter()
        self._left_out: set[str] = set()
        self._ended: set[str] = set()
        self._failed: set[str] = set()
        # of all processes, without a lock that one which is killed would keep: the part of its step
        # that is done of each month, which one process has in hand; and what was reported last
        self._shares: Any = fork.RawArray("d", 1)
        self._step: Any = fork.RawArray("c", LONGEST_STEP)
        self._numbers: dict[str, int] = {}  # of the months in these shares
        self._share = 0.0  # of a step that is no month's
        self._is_planned = False
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._redraw, daemon=True)

    def start(self) -> None:
        """Draw it from now on, below whatever is logged to the terminal."""
        for handler in _handlers_of_terminal():
            handler.setFormatter(_Wiping(handler.formatter or logging.Formatter()))
        stopping.at_last(self.stop)
        self._draw()
        self._thread.start()

    def stop(self) -> None:
        """Wipe it."""
        if os.getpid() != self._pid or self._is_over.is_set():
            return
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(1)  # or it may draw once more
        for handler in _handlers_of_terminal():
            if isinstance(handler.formatter, _Wiping):
                handler.setFormatter(handler.formatter.inner)
        self._write(WIPE)

    def begin_work(self) -> None:
        """Show the months from now on: all that are to be loaded are known."""
        fork: Any = multiprocessing.get_context("fork")
        self._numbers = {month: number for number, month in enumerate(self._tasks)}
        self._shares = fork.RawArray("d", max(1, len(self._numbers)))
        self._is_planned, self._began = True, time.monotonic()

    def add_task(self, month: str, task_id: str, *, can_run: bool) -> None:
        """Have a task of a month as one that is to be done; a month that isn't published isn't."""
        if can_run:
            self._tasks.setdefault(month, set()).add(task_id)
            self._planned[month] = max(self._planned[month], len(self._tasks[month]))
        else:
            self._left_out.add(month)

    def end_task(self, month: str, task_id: str, *, has_failed: bool) -> None:
        """Have a task as ended; a month ends with its last one, or by one that fails."""
        left = self._tasks.get(month, set())
        left.discard(task_id)
        if has_failed:
            self._failed.add(month)
        elif not left:
            self._failed.discard(month)
        if has_failed or not left:
            self._ended.add(month)
        self._share = 0.0
        if month in self._numbers:
            self._shares[self._numbers[month]] = 0.0
        if f" {month}: " in self._shown_step():
            self._step.value = b""

    def report(self, what: str, shown: str, share: float, rows: int) -> None:
        """How far a step is.

        :param what: the step and its month, such as ``copying green 2024-01``.
        :param shown: how much it has done, as text.
        :param share: the part of the step that is done, from 0 to 1.
        :param rows: how many rows more than at the last report are in the warehouse.
        """
        if rows > 0:
            with self._rows.get_lock():
                self._rows.value += rows
        self._step.value = f"{what}: {shown}".encode()[: LONGEST_STEP - 1]
        step, _, month = what.partition(" ")
        number = self._numbers.get(month)
        if number is None:
            self._share = share
            return
        if self._planned[month] == 1:
            begins, ends = SHARES.get(step, (0.0, 0.0))
            share = max(self._shares[number], begins + (ends - begins) * share)
        self._shares[number] = share

    def facts(self, now: float) -> tuple[int, int, float, list[str]]:
        """How many months have ended, of how many, the share of the work that is done, and what is
        known of the speed, as texts."""
        months = self._tasks.keys() - self._left_out
        total, ended = len(months), len(self._ended & months)
        share = self._share
        if total:
            done = [
                1 - (len(self._tasks[each]) - self._share_of(each)) / self._planned[each]
                for each in months - self._ended
            ]
            share = min((ended + sum(done)) / total, 1.0)
        elapsed, rows = now - self._began, self._rows.value
        texts = [f"{len(self._failed & months):,} failed"] if self._failed & months else []
        if rows and elapsed > 0:
            texts.append(f"{rows / elapsed:,.0f} rows/s")
        if elapsed > _EARLIEST and _LEAST < share < 1:
            texts.append(f"{_clock(elapsed / share * (1 - share))} left")
        return ended, total, share, texts

    def _share_of(self, month: str) -> float:
        """The part that is done of the step that a month is in."""
        number = self._numbers.get(month)
        return 0.0 if number is None else float(self._shares[number])

    def _shown_step(self) -> str:
        """What was reported last, by whichever process."""
        return str(self._step.value.decode(errors="replace"))

    def _redraw(self) -> None:
        while not self._is_over.wait(INTERVAL):
            if stopping.came():
                return
            with suppress(RuntimeError):  # a month was added at this moment
                self._draw()

    def _draw(self) -> None:
        with suppress(OSError, ValueError):  # the terminal is gone
            if text := self._text():
                self._write(f"\r{text}\x1b[K")

    def _text(self) -> str:
        """The line, in the colours of the terminal, and one column short of it."""
        from rich.text import Text

        ended, total, share, texts = self.facts(time.monotonic())
        step = self._shown_step()
        if not self._is_planned or not (total or step):
            return ""
        room = self._console.width - 1
        parts = [Text(f"month {min(ended + 1, total):,} of {total:,}")] if total else []
        parts += [self._drawn(share), Text(f"{share:.0%}"), *map(Text, texts)]
        line = Text("  ").join(parts)
        if step and room - len(line) > LEAST_ROOM:
            line.append(f"  {step}", style="dim")
        line.truncate(room, overflow="ellipsis")
        with self._console.capture() as captured:
            self._console.print(line, end="", soft_wrap=True)
        return captured.get()

    def _drawn(self, share: float) -> Text:
        """The bar itself."""
        from rich.text import Text

        is_unicode = self._console.encoding.startswith("utf")
        done, left = ("━", "━") if is_unicode else ("#", "-")
        if self._console.no_color or self._console.color_system is None:
            left = " "
        filled = int(share * COLUMNS)
        return Text.assemble((done * filled, COLOUR), (left * (COLUMNS - filled), "dim"))

    def _write(self, text: str) -> None:
        if os.getpid() == self._pid:
            with suppress(OSError, ValueError):
                sys.stderr.write(text)
                sys.stderr.flush()


class _Wiping(logging.Formatter):
    """Wipes the bar before each line of the log."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return WIPE + self.inner.format(record)


#: The bar of the run under way, if it has one.
_current: list[Bar] = []


def current() -> Bar | None:
    """The bar of the run under way, in its process and in those it forked."""
    return _current[0] if _current else None


def start() -> None:
    """Show a bar for the run that begins, if standard error is a terminal that can."""
    if _current or not is_terminal():
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if not console.is_dumb_terminal:
        _current.append(Bar(console))
        _current[0].start()


def stop() -> None:
    """Wipe the bar at the end of its run."""
    while _current:
        _current.pop().stop()


def is_terminal() -> bool:
    """Whether standard error is a terminal."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # it is closed
        return False


def _handlers_of_terminal() -> list[logging.Handler]:
    """The handlers that log to standard error."""
    found = [*logging.getLogger("luigi-interface").handlers, *logging.getLogger().handlers]
    return [each for each in found if getattr(each, "stream", None) is sys.stderr]


def _clock(seconds: float) -> str:
    """A time as ``2:05``, or ``1:02:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
