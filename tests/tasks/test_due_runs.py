"""A run loads the very list that its dry run shows."""

import os
import random
import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import wired
from conftest import FORKS, Database, Luigi, Published, Run
from dateutil.relativedelta import relativedelta
from months import close_sessions

from luigi_tasks import config, warehouse
from luigi_tasks.months import Month

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]

STATES = int(os.environ.get("LUIGI_TASKS_RANDOM_STATES", "5"))
#: Of one world, so that no test takes minutes.
MOST_STATES = 20
MONTHS = [date(2024, 1, 1) + relativedelta(months=number) for number in range(6)]
PROGRAM = str(Path(sys.executable).with_name("luigi-tasks"))
Set = Callable[[str, str, str], None]


class World:
    """Six months of two services, and what happens to them between two runs."""

    def __init__(
        self, luigi: Luigi, database: Database, published: Published, draw: random.Random
    ) -> None:
        self.luigi, self.database, self.published, self.draw = luigi, database, published, draw
        self.flags = {
            **luigi.settings,
            "--source-url": published.url,
            "--schedule-taxi-types": "green,yellow",
            "--schedule-first-month": "2024-01",
        }
        self.editions = 0

    def run(self, *flags: str) -> Run:
        words = [PROGRAM, "run", *flags]
        words += [word for pair in self.flags.items() for word in pair]
        return Run(*FORKS.run(words, self.luigi.folder, os.environ, 300))

    def file(self, month: Month) -> Path:
        return self.published.folder / month.filename

    def publish(self, month: Month) -> None:
        """Publish a month, or another edition of it."""
        self.editions += 1
        self.published.write(month.taxi_type, month.text, rows=20, seed=self.editions)

    def spoil(self, month: Month) -> None:
        """Publish what can't be read."""
        self.editions += 1
        self.file(month).write_bytes(b"PAR1" + bytes(1000 + self.editions) + b"PAR1")

    def withdraw(self, month: Month) -> None:
        self.file(month).unlink(missing_ok=True)

    def reset(self, month: Month) -> None:
        wired.reset(month.taxi_type, month.first_day)
        warehouse.forget_failures(config.open_warehouse(), month)

    def empty(self, month: Month) -> None:
        """Delete a month's trips, as somebody may."""
        self.database.query(
            f"DELETE FROM {month.taxi_type}_trips WHERE filename = %s", month.filename
        )

    def stage(self, month: Month) -> None:
        """Leave a month staged."""
        self.luigi("TaxiStageLoad", "--month", month.text, "--taxi-type", month.taxi_type)

    def happen(self) -> list[str]:
        """Have some things happen to some months; returns what."""
        acts = [self.publish, self.publish, self.publish, self.spoil, self.withdraw]
        acts += [self.reset, self.empty] if self.editions > 6 else []
        told = []
        for _ in range(self.draw.randint(1, 5)):
            act = self.draw.choice(acts)
            month = Month(self.draw.choice(["green", "yellow"]), self.draw.choice(MONTHS))
            if self.draw.random() < 0.05 and self.file(month).exists():
                act = self.stage
            act(month)
            told.append(f"{act.__name__} {month}")
        if self.draw.random() < 0.5:  # another calendar month: corrections are looked for
            self.database.query("UPDATE runs SET ended_at = ended_at - interval '40 days'")
            told.append("a month passes")
        if self.draw.random() < 0.15:  # a file that has failed is tried again
            self.flags["--transform-max-reject-ratio"] = str(self.draw.uniform(0.01, 0.02))
            told.append("other settings")
        return told


def listed(output: str) -> list[tuple[str, str]]:
    """The months that a dry run would load, with the reason."""
    line = r"^(\w+ \d{4}-\d\d) +(missing|corrected since) "
    return re.findall(line, output, re.MULTILINE)


@pytest.mark.parametrize("first", range(0, STATES, MOST_STATES))
def test_a_run_loads_the_very_list_that_a_dry_run_shows(
    first: int, luigi_command: Luigi, database: Database, published: Published, settings: Set
) -> None:
    settings("warehouse", "url", database.url)
    settings("source", "url", published.url)
    draw = random.Random(7 + first)
    world = World(luigi_command, database, published, draw)
    luigi_command.settings["--source-url"] = published.url
    for taxi_type in ("green", "yellow"):
        world.publish(Month(taxi_type, MONTHS[0]))
    assert world.run().code == 20
    reasons = {"missing": 0, "corrected since": 0}
    failed = 0
    numbers = range(first, min(first + MOST_STATES, STATES))
    for number in numbers:
        told = world.happen()
        close_sessions()
        dry = world.run("--dry-run")
        before = database.value("SELECT max(run_id) FROM runs")
        expected = listed(dry.output)
        run = world.run()
        attempts = database.query(
            "SELECT taxi_type || ' ' || to_char(month, 'YYYY-MM'), state, error "
            "FROM load_attempts WHERE run_id > %s ORDER BY attempt_id",
            before,
        )
        seen = f"state {number}: {told}\n{dry.output}\n{attempts}\n{run.output}"
        assert "Traceback" not in dry.output + run.output, seen
        assert sorted(month for month, *_ in attempts) == sorted(m for m, _ in expected), seen
        assert f"{len(expected)} to be loaded" in dry.output or not expected, seen
        assert {state for _, state, _ in attempts} <= {"succeeded", "failed"}, seen
        for _, reason in expected:
            reasons[reason] += 1
        failed += sum(state == "failed" for _, state, _ in attempts)
    print(f"{len(numbers)} states: {reasons}, of which {failed} failed")
    assert reasons["missing"] > 0
