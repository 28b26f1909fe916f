"""Months and years of unattended operation, under a real cron daemon with a clock that is moved."""

import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from conftest import Database, Published, skip
from crons import FAKETIME, ZONE, Cron
from dateutil.relativedelta import relativedelta
from mirror import Mirror

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]

MONTHS = int(os.environ.get("LUIGI_TASKS_CRON_MONTHS", "4"))
SEED = int(os.environ.get("LUIGI_TASKS_CRON_SEED", "1"))
#: Two of them, since one is skipped and the other one comes twice when the summer time changes.
AT = "30 1,2 * * *"
FIRST = date(2018, 11, 1)
NEW_YORK = ZoneInfo(ZONE)
#: The longest span for which the machine is off, in days.
OFF = 456
SETTINGS = """
[source]
url = {url}
[warehouse]
url = {warehouse}
[schedule]
taxi_types = green
first_month = {first:%Y-%m}
[log]
file = log
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where runs start; cron's user must get to it."""
    if os.geteuid() != 0:
        skip("a cron daemon in a namespace of its own is started by root only")
    if not FAKETIME or not shutil.which("cron", path="/usr/sbin:/usr/bin"):
        skip("cron or faketime isn't installed")
    with tempfile.TemporaryDirectory(prefix="cron-") as name:
        yield Path(name)


def published_at(draw: random.Random) -> dict[date, datetime]:
    """When each month is published: 47 to 121 days after its end."""
    times = {}
    for number in range(MONTHS):
        end = FIRST + relativedelta(months=number + 1)
        day = end + timedelta(days=draw.randint(47, 121))
        times[FIRST + relativedelta(months=number)] = at(day)
    return times


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK)


def changes(first: date, last: date) -> list[date]:
    """The days on which the summer time begins or ends."""
    days = [first + timedelta(days=number) for number in range((last - first).days)]
    return [day for day in days if at(day).utcoffset() != at(day + timedelta(days=1)).utcoffset()]


def nights(draw: random.Random, times: dict[date, datetime]) -> list[tuple[date, bool]]:
    """The nights that the daemon lives through, and whether the machine was off before.

    They are three in two months, at random, and those in which the summer time changes. In some
    spans of random length, the machine is off.
    """
    first, last = min(times.values()).date(), max(times.values()).date() + timedelta(days=3)
    last = max(last, changes(first, first + timedelta(days=400))[1])
    length = (last - first).days
    days = {first + timedelta(days=draw.randrange(length)) for _ in range(MONTHS * 3 // 2)}
    days |= {*changes(first, last + timedelta(days=1)), last}
    spans = [OFF] * (MONTHS >= 40) + [draw.randint(14, OFF // 4) for _ in range(MONTHS // 12)]
    spans = spans or [21]
    off = []
    for span in spans:
        start = first + timedelta(days=draw.randrange(max(1, length - span)))
        off.append((start, start + timedelta(days=span)))
    left = sorted(d for d in days if d == last or not any(a < d < b for a, b in off))
    before = [first, *left]
    return [
        (day, draw.random() < 0.1 or any(a < day and b > earlier for a, b in off))
        for earlier, day in zip(before, left, strict=False)
    ]


def moments(night: date) -> list[datetime]:
    """Moments at which the daemon looks at its clock: every minute where the summer time changes,
    or else those around the second time of its line."""
    if not changes(night, night + timedelta(days=1)):
        return [at(night, 2, 29) + timedelta(seconds=30), at(night, 2, 30) + timedelta(seconds=5)]
    start = at(night, 1, 25).timestamp()
    minutes = range(round((at(night, 3, 5).timestamp() - start) / 60))
    return [datetime.fromtimestamp(start + 60 * minute, NEW_YORK) for minute in minutes]


class Machine:
    """A cron daemon that makes two calls at once, of one warehouse."""

    def __init__(self, cron: Cron, database: Database, url: str) -> None:
        self.cron, self.database = cron, database
        self.runs = self.overlaps = 0
        text = SETTINGS.format(url=url, warehouse=database.url, first=FIRST)
        program = str(Path(sys.executable).with_name("luigi-tasks"))
        for name in ("one", "other"):
            (cron.folder / f"{name}.cfg").write_text(text)
            environment = {**os.environ, "LUIGI_CONFIG_PATH": f"{name}.cfg"}
            words = (program, "schedule", "--yes", "--at", AT)
            cron.run(*words, cwd=cron.folder, env=environment)
        cron.set_variables({**cron.clock, "MAILTO": '""'})

    def live_through(self, night: date, *, was_off: bool) -> int:
        """Returns how many runs were made."""
        first, *others = moments(night)
        if was_off:
            self.cron.stop()
        if not self.cron.is_on:
            self.cron.set_clock(first)
            self.cron.start()
        self.cron.come_to(first)
        for moment in others:
            self.cron.come_to(moment)
        self.cron.come_to(others[-1] + timedelta(seconds=1), seconds=2)
        return self._date_runs(others[-1])

    def _date_runs(self, now: datetime) -> int:
        """Have the night's runs be of the daemon's time, for the server has another clock."""
        new = "FROM runs WHERE run_id > %s"
        if not self.database.value("SELECT to_regclass('runs')"):
            return 0
        [(count, last, overlap)] = self.database.query(
            f"SELECT count(*), max(run_id), max(began_at) < min(ended_at) {new}", self.runs
        )
        states = self.database.query(f"SELECT DISTINCT state {new}", self.runs)
        assert not count or states == [("succeeded",)], self.log
        self.overlaps += bool(overlap)
        self.database.query(
            "UPDATE runs SET began_at = %s, ended_at = %s WHERE run_id > %s", now, now, self.runs
        )
        self.runs = last or self.runs
        return int(count)

    @property
    def log(self) -> str:
        file = self.cron.folder / "log"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def mirror(published: Published) -> Iterator[Mirror]:
    published.folder.mkdir()
    with Mirror(published.folder) as mirror:
        yield mirror


def test_each_month_is_loaded_once_and_by_the_first_call_after_it_is_published(
    folder: Path, database: Database, published: Published, mirror: Mirror
) -> None:
    draw = random.Random(SEED)
    times = published_at(draw)
    all_nights = nights(draw, times)
    cron = Cron(folder, min(times.values()))
    machine = Machine(cron, database, mirror.url("{{ taxi_type }}_tripdata_{{ month }}.parquet"))
    calls: Counter[int] = Counter()
    merged = "SELECT month FROM load_history ORDER BY load_id"
    try:
        for night, was_off in all_nights:
            out = {month for month, time in times.items() if time <= at(night, 1)}
            for month in out:
                if not (published.folder / f"green_tripdata_{month:%Y-%m}.parquet").exists():
                    file = published.write("green", f"{month:%Y-%m}", rows=8)
                    os.utime(file, (times[month].timestamp(),) * 2)
            count = machine.live_through(night, was_off=was_off)
            changes_clock = bool(changes(night, night + timedelta(days=1)))
            assert count == (4 if changes_clock else 2), f"{night}\n{machine.log}"
            calls[count] += 1
            loaded = [month for (month,) in database.query(merged)]
            assert sorted(loaded) == sorted(out), (night, machine.log)
    finally:
        cron.stop()
    print(
        f"{MONTHS} months, {len(all_nights)} nights, the machine off before "
        f"{sum(off for _, off in all_nights)} of them, runs a night {dict(calls)}, "
        f"{machine.overlaps} nights of which had overlapping runs; "
        f"longest span without a call: {longest(all_nights)} days"
    )
    assert machine.overlaps > 0
    gets = Counter(request.path for request in mirror.asked("GET"))
    assert len(gets) == MONTHS
    assert set(gets.values()) == {1}, machine.log
    assert machine.log.count(": staged ") == MONTHS  # a COPY each
    assert database.value("SELECT count(*) FROM load_history") == MONTHS


def longest(all_nights: list[tuple[date, bool]]) -> int:
    days = [night for night, _ in all_nights]
    return max((b - a).days for a, b in pairwise(days))
