"""Alarms of runs that are recorded in a warehouse: which messages go out, and what they say."""

import random
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, Server, lasting_database
from luigi.cmdline_parser import CmdlineParser
from months import close_sessions

from luigi_tasks import config, warehouse
from luigi_tasks.months import Month
from luigi_tasks.operations import alarms, delivery, host_state, messages
from luigi_tasks.operations.delivery import DeliveryError, Receiver
from luigi_tasks.operations.messages import Message
from luigi_tasks.operations.outcome import Expected, Outcome
from luigi_tasks.tables import Warehouse
from luigi_tasks.tasks import RangeMonthly, TaxiDue, TaxiMerge, TaxiRefresh, worker

pytestmark = pytest.mark.parametrize("server", ["embedded"], indirect=True)

JANUARY, FEBRUARY = Month("green", date(2024, 1, 1)), Month("green", date(2024, 2, 1))
Settings = Callable[[str, str, str], None]


@dataclass
class World:
    """Runs that are recorded, as the real ones do it, and what one receiver has heard."""

    database: Database
    opened: Warehouse
    titles: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    is_dead: bool = False

    def hear(self, message: Message) -> None:
        if self.is_dead:
            raise DeliveryError("it is dead")
        self.titles.append(message.title)
        self.bodies.append(message.body)

    def run(
        self,
        attempts: dict[Month, str] | None = None,
        *,
        state: str = "",
        expected: tuple[Expected, ...] = (),
        report: bool = True,
        **facts: Any,
    ) -> Outcome:
        """A run whose attempts end as ``content``, ``other``, ``passing``, ``cancelled`` or
        ``merged``."""
        attempts = attempts or {}
        run_id = self.begin()
        for month, ends in attempts.items():
            warehouse.begin_attempt(self.opened, run_id, month, "TaxiTransform")
            if ends in ("merged", "cancelled"):
                self.end(run_id, month, ends)
            else:
                error = f"{month}: {ends} https://user:secret@example.org/x?sig=secret is broken"
                warehouse.end_attempt(self.opened, run_id, month, "failed", error=error, cause=ends)
        has_failed = {"content", "other", "passing"}.intersection(attempts.values())
        state = state or ("failed" if has_failed else "succeeded")
        warehouse.end_run(
            self.opened, run_id, state, exit_code=0, error=None, corrections_checked=[]
        )
        outcome = Outcome("TaxiDue", run_id, host="here", state=state, expected=expected, **facts)
        if report:
            alarms.report(self.opened, outcome)
        return outcome

    def begin(self) -> int:
        return int(
            self.database.value(
                "INSERT INTO runs (host, pid, started_by, command, state, package_version) "
                "VALUES ('here', 1, 'somebody', 'TaxiDue', 'running', '0') RETURNING run_id"
            )
        )

    def end(self, run_id: int, month: Month, ends: str) -> None:
        if ends == "cancelled":
            warehouse.end_attempt(self.opened, run_id, month, "cancelled")
            return
        warehouse.begin_attempt(self.opened, run_id, month, "TaxiMerge")
        warehouse.end_attempt(self.opened, run_id, month, "succeeded")
        self.database.query(
            "INSERT INTO table_updates (update_id, target_table) VALUES (%s, 'x') "
            "ON CONFLICT DO NOTHING",
            month.merged_id,
        )

    def withdraw(self, month: Month) -> None:
        """What TaxiReset does."""
        warehouse.forget_failures(self.opened, month)
        self.database.query("DELETE FROM table_updates WHERE update_id = %s", month.merged_id)

    def start_anew(self) -> None:
        self.titles.clear()
        self.bodies.clear()
        self.database.query("TRUNCATE runs, load_attempts, alarms, table_updates")
        (config.storage_root() / host_state.FILE).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def prepared(server: Server) -> Iterator[Database]:
    """A database with the tables of runs and alarms."""
    with lasting_database(server, "alarms") as database:
        yield database


@pytest.fixture
def world(
    prepared: Database,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    settings("warehouse", "url", prepared.url)
    settings("storage", "root", str(tmp_path / "data"))
    opened = config.open_warehouse()
    warehouse.prepare(opened, "test")
    found = World(prepared, opened)
    found.start_anew()
    receiver = Receiver("0123456789abcdef", "the receiver", found.hear)
    monkeypatch.setattr(delivery, "receivers", lambda: [receiver])
    yield found
    close_sessions()


def late(month: Month, deadline: date | None = date(2024, 6, 1)) -> Expected:
    return Expected(month, True, deadline)


def test_a_month_that_is_broken_for_three_runs_and_mended_gives_two_messages(world: World) -> None:
    for _ in range(3):
        world.run({JANUARY: "content"})
    world.run({JANUARY: "merged"})
    world.run()
    assert world.titles == ["green 2024-01 failed", "green 2024-01 is loaded after all"]
    [(receivers, run_ids)] = world.database.query(
        "SELECT array_agg(receivers::text), array_agg(run_id ORDER BY alarm_id) FROM alarms"
    )
    assert (receivers, run_ids) == (["{}", "{}"], [1, 4])


def test_the_message_says_what_failed_why_and_how_to_run_again(world: World) -> None:
    world.run({JANUARY: "content"})
    [body] = world.bodies
    assert "TaxiTransform of green 2024-01 failed on here" in body
    assert "content https://example.org/x?sig=... is broken" in body
    assert re.search(
        r"cd \S+ && \S*luigi --module \S+ TaxiMerge --month 2024-01 --taxi-type green$", body
    )
    assert "secret" not in body
    assert "secret" not in str(world.database.query("SELECT title, body FROM alarms"))


def test_a_fault_that_passes_is_of_the_host_and_of_no_month(world: World) -> None:
    for _ in range(2):
        world.run({JANUARY: "passing", FEBRUARY: "passing"})
    world.run({JANUARY: "merged", FEBRUARY: "merged"})
    assert world.titles == ["runs on here fail", "runs on here work again"]
    assert "passing https://example.org/x?sig=... is broken" in world.bodies[0]
    assert re.search(r"&& \S*luigi --module \S+ TaxiDue$", world.bodies[0])


def test_a_source_that_cannot_be_asked_is_one_message_and_nothing_is_late(world: World) -> None:
    error = "cannot reach example.org: no answer in time; check the URL and the network"
    world.run(state="failed", error=error, is_cause_passing=True, exit_code=35)
    assert world.titles == ["runs on here fail"]
    assert error in world.bodies[0]
    assert "exit code 35" in world.bodies[0]


def test_luigi_accepts_the_line_to_run_again(world: World) -> None:
    tasks = [
        RangeMonthly(of=TaxiMerge, start="2024-01", of_params={"taxi_type": "green"}),
        RangeMonthly(of=TaxiMerge, start="2024-01", reverse=True),
        TaxiRefresh(month="2024-02", taxi_type="green"),
        TaxiDue(),
    ]
    for task in tasks:
        shown = worker._shown(task)
        line = messages.host_failed(Outcome(shown, state="failed"), None).body.splitlines()[-1]
        words = shlex.split(line)
        with CmdlineParser.global_instance(words[words.index("--module") + 2 :]) as parser:
            again = parser.get_task_obj()
        assert worker._shown(again) == shown


def test_what_a_later_attempt_of_the_run_mended_is_not_said(world: World) -> None:
    run_id = world.begin()
    for cause in ("passing", "content"):
        warehouse.begin_attempt(world.opened, run_id, JANUARY, "TaxiDownload")
        warehouse.end_attempt(world.opened, run_id, JANUARY, "failed", error="x", cause=cause)
    world.end(run_id, JANUARY, "merged")
    alarms.report(world.opened, Outcome("TaxiDue", run_id, state="succeeded"))
    assert world.titles == []


def test_a_late_month_is_late_once_and_arrives_once(world: World) -> None:
    for _ in range(3):
        world.run(expected=(late(JANUARY), Expected(FEBRUARY, False, date(2099, 1, 1))))
    world.run(state="failed", error="cannot reach it", is_cause_passing=True)
    world.run({JANUARY: "merged"})
    assert world.titles == [
        "green 2024-01 is late",
        "runs on here fail",
        "green 2024-01 has arrived",
        "runs on here work again",
    ]
    assert "overdue since 2024-06-01" in world.bodies[0]
    assert "121 days after their end" in world.bodies[0]


def test_a_late_month_that_comes_and_fails_has_failed_and_is_mended(world: World) -> None:
    world.run(expected=(late(JANUARY, None),))
    world.run({JANUARY: "content"})
    world.run({JANUARY: "content"}, expected=(late(JANUARY),))
    world.run({JANUARY: "merged"})
    assert world.titles == [
        "green 2024-01 is late",
        "green 2024-01 failed",
        "green 2024-01 is loaded after all",
    ]


def test_runs_that_were_stopped_change_nothing(world: World) -> None:
    world.run({JANUARY: "cancelled"}, state="cancelled", exit_code=25)
    world.run({JANUARY: "content"})
    world.run({JANUARY: "cancelled"}, state="cancelled", exit_code=143)
    world.run({JANUARY: "passing"})
    world.run({JANUARY: "cancelled"}, state="cancelled")
    assert world.titles == ["green 2024-01 failed", "runs on here fail"]


def test_a_month_that_was_reset_is_well_when_it_is_loaded(world: World) -> None:
    world.run({JANUARY: "merged"})
    world.run({JANUARY: "content"})
    world.withdraw(JANUARY)
    world.run()
    assert world.titles == ["green 2024-01 failed"]
    world.run({JANUARY: "merged"})
    assert world.titles[1:] == ["green 2024-01 is loaded after all"]


def test_a_failure_that_nobody_heard_of_and_a_reset_took_back_is_not_said(world: World) -> None:
    world.run({JANUARY: "content"}, report=False)
    world.withdraw(JANUARY)
    world.run()
    assert world.titles == []


def test_a_download_that_succeeds_mends_nothing(world: World) -> None:
    world.run({JANUARY: "content"})
    run_id = world.begin()
    warehouse.begin_attempt(world.opened, run_id, JANUARY, "TaxiDownload")
    warehouse.end_attempt(world.opened, run_id, JANUARY, "succeeded")
    alarms.report(world.opened, Outcome("TaxiDownload", run_id, state="succeeded"))
    assert world.titles == ["green 2024-01 failed"]


LETTERS = {"f": "content", "p": "passing", "c": "cancelled", "m": "merged"}


def expected_titles(history: str) -> list[str]:
    """The messages about a month and the host, of runs that tried one month each, or (``l``) found
    it late."""
    told, titles = "", []
    is_faulty = False
    for letter in history:
        if letter in "fml":
            before = told[-1:]
            if letter == "f" and before != "f":
                titles.append("green 2024-01 failed")
            elif letter == "l" and before in ("", "m"):
                titles.append("green 2024-01 is late")
            elif letter == "m" and before in ("f", "l"):
                after_all = "is loaded after all" if before == "f" else "has arrived"
                titles.append(f"green 2024-01 {after_all}")
            if not (letter == "l" and before == "f"):
                told += letter
        if letter != "c" and is_faulty != (letter == "p"):
            is_faulty = letter == "p"
            titles.append(f"runs on here {'fail' if is_faulty else 'work again'}")
    return titles


def test_the_law_holds_in_the_tables(world: World) -> None:
    """Of 15 random histories; a month that was merged isn't late any more."""
    chance = random.Random(13)
    for _ in range(15):
        letters = "".join(chance.choice("fpcml") for _ in range(8))
        before, merged, after = letters.partition("m")
        history = before + merged + after.replace("l", "")
        world.start_anew()
        for letter in history:
            if letter == "l":
                world.run(expected=(late(JANUARY),))
            else:
                state = "cancelled" if letter == "c" else ""
                world.run({JANUARY: LETTERS[letter]}, state=state)
        assert world.titles == expected_titles(history), history


# --- delivery -------------------------------------------------------------------------------------


def test_a_dead_receiver_gets_all_in_order_when_it_is_well(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.is_dead = True
    world.run({JANUARY: "content"})
    world.run({JANUARY: "passing"})
    world.run({JANUARY: "merged"})
    assert world.titles == []
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert (
        warnings == ["the receiver didn't take an alarm: it is dead; the next run tries again"] * 3
    )
    world.is_dead = False
    world.run()
    world.run()
    assert world.titles == [
        "green 2024-01 failed",
        "runs on here fail",
        "green 2024-01 is loaded after all",
        "runs on here work again",
    ]


def test_who_has_it_does_not_get_it_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = World(world.database, world.opened, is_dead=True)
    both = [Receiver("1" * 16, "one", world.hear), Receiver("2" * 16, "other", other.hear)]
    monkeypatch.setattr(delivery, "receivers", lambda: both)
    world.run({JANUARY: "content"})
    world.run({JANUARY: "passing"})
    other.is_dead = False
    world.run({JANUARY: "passing"})
    assert world.titles == other.titles == ["green 2024-01 failed", "runs on here fail"]


def test_what_was_not_taken_for_a_week_is_given_up(world: World) -> None:
    world.is_dead = True
    world.run({JANUARY: "content"})
    world.database.query("UPDATE alarms SET created_at = now() - interval '8 days'")
    world.is_dead = False
    world.run({JANUARY: "content"})
    assert world.titles == []


def test_two_runs_that_end_at_once_send_once(world: World) -> None:
    """Each in a process of its own would be; here each thread has its session."""
    outcomes = [world.run({JANUARY: "content"}, report=False) for _ in range(2)]
    run_ids = [outcome.run_id for outcome in outcomes]
    code = (
        "import sys; from luigi_tasks import config; from luigi_tasks.operations import alarms\n"
        "from luigi_tasks.operations.outcome import Outcome\n"
        "outcome = Outcome('TaxiDue', int(sys.argv[1]), state='failed')\n"
        "alarms.report(config.open_warehouse(), outcome)"
    )
    heard = report_in_processes(code, run_ids, world)
    assert heard.count("green 2024-01 failed") == 1


def report_in_processes(code: str, run_ids: list[int | None], world: World) -> list[str]:
    """Report runs in two processes, with hosts' files of their own, at the same time."""
    import os
    import subprocess

    from conftest import PYTHON

    root = config.storage_root()
    heard = root.parent / "heard"
    script = "import sys; t = sys.stdin.readline(); open(sys.argv[1], 'a').write(t)"
    processes = []
    for number, run_id in enumerate(run_ids):
        folder = root.parent / f"host-{number}"
        folder.mkdir()
        (folder / "luigi.cfg").write_text(
            f"[warehouse]\nurl = {world.database.url}\n"
            f'[alarms]\ncommand = {PYTHON} -c "{script}" {heard}\n'
        )
        processes.append(
            subprocess.Popen([PYTHON, "-c", code, str(run_id)], cwd=folder, env=dict(os.environ))
        )
    assert [process.wait(60) for process in processes] == [0, 0]
    return heard.read_text().splitlines()


# --- what may be down -----------------------------------------------------------------------------


def unreachable(world: World, **facts: Any) -> Outcome:
    outcome = Outcome("TaxiDue", host="here", state="failed", is_cause_passing=True, **facts)
    outcome.error = "the warehouse at postgresql://db.example.org can't be reached"
    alarms.report(world.opened, outcome)
    return outcome


def test_a_warehouse_that_is_down_is_heard_of_once(world: World) -> None:
    for _ in range(3):
        unreachable(world)
    world.run()
    assert world.titles == ["runs on here fail", "runs on here work again"]
    assert "can't be reached" in world.bodies[0]


def test_a_host_state_that_cannot_be_kept_is_one_line_and_the_fault_is_heard_of(
    world: World, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    settings("storage", "root", str(tmp_path / "file"))
    unreachable(world)
    assert world.titles == ["runs on here fail"]
    assert ["can't be kept" in record.getMessage() for record in caplog.records] == [True]


def test_a_warehouse_that_breaks_off_now_keeps_nothing_of_the_host_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.database.query("ALTER TABLE alarms RENAME TO gone")
    outcome = world.run({JANUARY: "passing"}, report=False)
    alarms.report(world.opened, outcome)
    world.database.query("ALTER TABLE gone RENAME TO alarms")
    assert world.titles == ["runs on here fail"]
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == ["alarms about months have to wait: UndefinedTable"]


def test_an_alarm_never_raises(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[Receiver]:
        raise RuntimeError("secret")

    monkeypatch.setattr(delivery, "receivers", fail)
    world.run({JANUARY: "content"})


def test_without_receivers_nothing_is_recorded_until_there_is_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr(delivery, "receivers", list)
        world.run({JANUARY: "content"})
    world.run({JANUARY: "content"})
    assert world.titles == ["green 2024-01 failed"]
