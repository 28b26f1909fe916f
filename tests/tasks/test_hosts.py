"""Runs on several hosts: network namespaces with names, cables and schedulers of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Database, Luigi, Published
from hosts import Host, network
from paused import Locks, Paused, ending, state_of, until
from servers import OwnServer, running_server

pytestmark = pytest.mark.slow

#: Seconds within which the server must notice that a host is gone.
MINUTE = 60.0
PROGRAM = str(Path(sys.executable).with_name("luigi-tasks"))


@dataclass
class Site:
    """Two hosts and a server between them."""

    alpha: Host
    beta: Host
    server: OwnServer

    @property
    def database(self) -> Database:
        """As this process reaches it, whatever is cut off."""
        return Database(self.server.socket_url)


@pytest.fixture
def site() -> Iterator[Site]:
    with network() as made:
        alpha, beta = made.add("alpha"), made.add("beta")
        with running_server(["ip", "netns", "exec", made.space]) as server:
            yield Site(alpha, beta, server)


#: Where the holders are when their network is cut: a session is idle, in COPY, at work.
HELD_AT = {"2024-01": "transformed", "2024-02": "copy", "2024-03": "working"}


def test_who_waits_goes_on_within_a_minute_when_the_holder_is_cut_off(
    site: Site, three_months: Published, tmp_path: Path
) -> None:
    """And the holder, when it comes back, writes nothing more."""

    def start(host: Host, month: str, point: str) -> Paused:
        folder = tmp_path / host.name / month
        folder.mkdir(parents=True)
        url = site.server.url_at(host.server)
        luigi = Luigi(folder, {"--warehouse-url": url, "--source-url": three_months.url})
        words = luigi.command("TaxiMerge", f"--month={month}", "--taxi-type=green")
        return Paused(words, point, folder, prefix=host.prefix())

    holders = {month: start(site.alpha, month, point) for month, point in HELD_AT.items()}
    names = {month: f"green {month}" for month in HELD_AT}
    with ending(*holders.values()):
        for holder in holders.values():
            holder.paused()
        waiters = {month: start(site.beta, month, "nowhere") for month in HELD_AT}
        with ending(*waiters.values()), Locks(site.database, *names.values()) as locks:
            for month, waiter in waiters.items():
                told = f"at work on {names[month]}; waiting for it: session "
                until(lambda waiter=waiter, told=told: told in waiter.output, waiter)
                assert "on alpha" in waiter.output
                assert locks.holders(names[month]) == [holders[month].pid]
            site.alpha.cut()
            began, took = time.monotonic(), {}
            while len(took) < len(waiters):
                for month in waiters.keys() - took.keys():
                    held_by = locks.holders(names[month])
                    assert len(held_by) <= 1
                    if held_by == [waiters[month].pid] or waiters[month].popen.poll() is not None:
                        took[month] = time.monotonic() - began
                assert time.monotonic() - began < 3 * MINUTE, took
                time.sleep(0.1)
            runs = {month: waiter.ended() for month, waiter in waiters.items()}
        for month, point in HELD_AT.items():
            print(f"cut off while {point}: the other one went on after {took[month]:.1f} s")
        assert all(run.code == 0 for run in runs.values()), runs
        contents, files = site.database.contents(), state_of(tmp_path / "alpha")
        site.alpha.mend()
        for holder in holders.values():
            holder.go()
        back = {month: holder.ended() for month, holder in holders.items()}
    for run in back.values():
        assert run.code == 0, run.output
        assert "Traceback" not in run.output
    assert site.database.contents() == contents
    left = {name: facts for name, facts in state_of(tmp_path / "alpha").items() if "data" in name}
    assert left.items() <= files.items()
    assert max(took.values()) < MINUTE


def test_each_behavior_of_a_second_run_holds_between_hosts(
    site: Site, three_months: Published, tmp_path: Path
) -> None:
    """Each host has a scheduler of its own, which knows nothing of the other's."""
    folders = {}
    for host in (site.alpha, site.beta):
        folder = folders[host.name] = tmp_path / host.name
        folder.mkdir()
        (folder / "luigi.cfg").write_text(
            f"[source]\nurl = {three_months.url}\n"
            f"[warehouse]\nurl = {site.server.url_at(host.server)}\n"
            "[schedule]\ntaxi_types = green\nfirst_month = 2024-01\n"
            "[core]\nlocal_scheduler = false\n"
        )
        luigid(host, folder, "start")

    def start(host: Host, point: str, *flags: str) -> Paused:
        words = [PROGRAM, "run", *flags, "--log-level=INFO"]
        return Paused(words, point, folders[host.name], prefix=host.prefix())

    runs = {}
    try:
        first = start(site.alpha, "download")
        with ending(first):
            first.paused()
            for behavior in ("cancel", "fail"):
                other = start(site.beta, "nowhere", f"--concurrency-behavior={behavior}")
                with ending(other):
                    runs[behavior] = other.ended()
            other = start(site.beta, "nowhere")
            with ending(other):
                until(lambda: "waiting for it" in other.output, other)
                first.go()
                runs["queue"] = other.ended()
            runs["first"] = first.ended()
    finally:
        for host in (site.alpha, site.beta):
            luigid(host, folders[host.name], "stop")
    codes = {name: run.code for name, run in runs.items()}
    # later months of the present are overdue
    assert codes == {"first": 20, "queue": 20, "cancel": 25, "fail": 30}, runs
    for name in ("queue", "cancel", "fail"):
        assert "another run is at work on" in runs[name].output
        assert f"luigi_tasks {first.pid} on alpha" in runs[name].output
    assert [
        count
        for (count,) in site.database.query("SELECT count(*) FROM load_history GROUP BY month")
    ] == [1, 1, 1]
    states = dict(site.database.query("SELECT exit_code, state FROM runs WHERE host = 'beta'"))
    assert states == {20: "succeeded", 25: "cancelled", 30: "failed"}


def luigid(host: Host, folder: Path, what: str) -> None:
    command = [*host.prefix(), PROGRAM, "luigid", what]
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
