"""Several hosts with one luigid and one PostgreSQL load a range together, whatever befalls them.

They are network namespaces with folders of their own. LUIGI_TASKS_HOST_MOMENTS=100 has it befall
them so often, twenty times in each backfill of 48 months; LUIGI_TASKS_HOST_SEED draws others.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import ROOT, Database, Published, files_in_work
from hosts import Host, Network, network
from servers import OwnServer, running_server

pytestmark = pytest.mark.slow

MOMENTS = int(os.environ.get("LUIGI_TASKS_HOST_MOMENTS", "4"))
SEED = int(os.environ.get("LUIGI_TASKS_HOST_SEED", "1"))
IS_LONG = MOMENTS > 4
#: Months of each service, and moments in one backfill of them.
MONTHS, AT_ONCE = (24, 20) if IS_LONG else (3, 4)
#: Seconds: a host is frozen, or cut off for at most so long; is down for at most so long; and is
#: silent for so long when luigid gives its month to others.
FROZEN, CUT, DOWN, SILENT = (90.0, 90.0, 20.0, 30) if IS_LONG else (6.0, 6.0, 2.0, 3)
PATIENCE = 1800.0 if IS_LONG else 240.0
SERVICES = ("green", "yellow")
START, STOP = "2022-01", f"{2022 + MONTHS // 12}-{MONTHS % 12 + 1:02}"
PROGRAMS = Path(sys.executable).parent
#: What a host has in hand, and when a host has begun with it after that.
IN_HAND = """
SELECT a.taxi_type, a.month::text FROM load_attempts a JOIN runs r USING (run_id)
WHERE a.state = 'running' AND r.host = %s AND r.state = 'running'
"""
TAKEN_OVER = """
SELECT min(extract(epoch FROM began_at)) - %s FROM load_attempts
WHERE taxi_type = %s AND month = %s::date AND began_at > to_timestamp(%s)
"""
PAGE = (ROOT / "docs" / "several-machines.md").read_text()


def documented(language: str, about: str) -> str:
    """The block of the page that has a text in it."""
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if about in block]
    return re.sub(r"^   ", "", found, flags=re.MULTILINE)


@dataclass
class Site:
    """Hosts around a server, on which a luigid and a PostgreSQL run."""

    net: Network
    server: OwnServer
    folder: Path
    source: str

    def settings(self, database: str) -> str:
        """The page's settings of a host, for a database."""
        url = f"postgresql://taxi@{self.net.address}:{self.server.port}/{database}"
        text = documented("ini", "scheduler_url").replace("postgresql://taxi@10.0.0.5/taxi", url)
        quick = "" if IS_LONG else "rpc_connect_timeout = 1\n"
        return f"{text.replace('10.0.0.5', self.net.address)}{quick}[source]\nurl = {self.source}\n"

    def database(self, name: str) -> Database:
        return Database(self.server.socket_url.replace("/postgres?", f"/{name}?"))

    def luigid(self, what: str) -> None:
        within = ["ip", "netns", "exec", self.net.space]
        words = shlex.split(documented("sh", "luigid start"))
        words = [str(PROGRAMS / "luigi-tasks"), *words[1:]]
        words = [self.net.address if word == "10.0.0.5" else word for word in words]
        words[words.index("start")] = what
        subprocess.run([*within, *words], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    published = Published(tmp_path_factory.mktemp("published"))
    for number in range(MONTHS):
        month = f"{2022 + number // 12}-{number % 12 + 1:02}"
        for service in SERVICES:
            published.write(service, month, rows=200, strays=4, duplicates=2)
    folder = tmp_path_factory.mktemp("luigid")
    (folder / "luigi.cfg").write_text(f"[scheduler]\nworker_disconnect_delay = {SILENT}\n")
    with network() as net:
        for name in ("alpha", "beta", "gamma"):
            net.add(name)
        with running_server(["ip", "netns", "exec", net.space]) as server:
            made = Site(net, server, folder, published.url)
            Database(server.socket_url).query("CREATE ROLE taxi SUPERUSER LOGIN")
            made.luigid("start")
            try:
                yield made
            finally:
                made.luigid("stop")


def create(site: Site, name: str) -> Database:
    import psycopg2

    session = psycopg2.connect(site.server.socket_url)
    session.autocommit = True
    session.cursor().execute(f"CREATE DATABASE {name}")
    session.close()
    return site.database(name)


def command(service: str, workers: int) -> list[str]:
    """The page's command, for the months here."""
    words = shlex.split(documented("sh", "--workers 2").replace("\\\n", ""))[1:]
    words = [str(PROGRAMS / "luigi"), *(word.replace("green", service) for word in words)]
    return [*words, f"--start={START}", f"--stop={STOP}", f"--workers={workers}"]


@dataclass
class Member:
    """A host that loads one service after the other, by the same command as the others."""

    host: Host
    folder: Path
    workers: int
    left: list[str]
    process: subprocess.Popen[bytes] | None = None
    #: When it comes back from what has befallen it; None while it's well.
    back_at: float | None = None
    fate: str = ""
    was_cut: bool = False
    outputs: list[Path] = field(default_factory=list)
    codes: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return self.process is not None and self.back_at is None

    def start(self) -> None:
        self.outputs.append(self.folder / f"output-{len(self.outputs)}")
        self.was_cut = self.fate == "cut off" and self.back_at is not None
        with self.outputs[-1].open("wb") as output:
            self.process = subprocess.Popen(
                [*self.host.prefix(), *command(self.left[0], self.workers)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def tree(self) -> list[psutil.Process]:
        assert self.process
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def befall(self, fate: str, seconds: float) -> None:
        self.fate, self.back_at = fate, time.monotonic() + seconds
        if fate == "cut off":
            self.was_cut = True
            self.host.cut()
        elif fate == "frozen":
            for process in self.tree():  # itself first, so that it starts no more
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
        else:
            assert self.process
            for process in self.tree():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()
            self.process = None

    def come_back(self) -> None:
        self.back_at = None
        if self.fate == "cut off":
            self.host.mend()
        elif self.fate == "frozen":
            for process in reversed(self.tree()):
                with suppress(psutil.NoSuchProcess):
                    process.resume()
        elif self.left:
            self.start()

    def output(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in self.outputs)


class Backfill:
    """Three hosts that load all months, and what befalls them meanwhile."""

    def __init__(self, site: Site, name: str, folder: Path, draw: random.Random) -> None:
        self.database, self.draw = create(site, name), draw
        self.happened: list[tuple[float, str, str, int]] = []
        #: When a host ended, and what it had in hand.
        self.deaths: list[tuple[float, list[tuple[str, str]]]] = []
        self.members = []
        for host in site.net.hosts:
            own = folder / host.name
            own.mkdir(parents=True)
            (own / "luigi.cfg").write_text(site.settings(name))
            workers = draw.choice((1, 1, 2))
            self.members.append(Member(host, own, workers, list(SERVICES)))
        total = MONTHS * len(SERVICES)
        #: Each when so many months are loaded, and a moment later.
        count = min(AT_ONCE, MOMENTS)
        self.moments = sorted((draw.uniform(0, total), draw.uniform(0, 2)) for _ in range(count))

    def loaded(self, service: str = "") -> int:
        with suppress(Exception):  # there is no table yet
            where = f"WHERE taxi_type = '{service}'" if service else ""
            asked = f"SELECT count(DISTINCT (taxi_type, month)) FROM load_history {where}"
            return int(self.database.value(asked))
        return 0

    def run(self) -> None:
        began = time.monotonic()
        for member in self.members:
            member.start()
        due: float | None = None
        try:
            while any(member.left and member.fate != "gone" for member in self.members):
                now = time.monotonic()
                assert now - began < PATIENCE, self.told()
                for member in self.members:
                    if member.back_at is not None and now >= member.back_at:
                        member.come_back()
                    if member.process is not None and member.process.poll() is not None:
                        self.note_end(member)
                if self.moments and due is None and self.loaded() >= self.moments[0][0]:
                    due = now + self.moments.pop(0)[1]
                if due is not None and now >= due and self.strike(now - began):
                    due = None
                time.sleep(0.05)
        finally:
            for member in self.members:
                if member.fate == "cut off" and member.back_at is not None:
                    member.host.mend()
                if member.process is not None:
                    member.befall("killed", 0)

    def strike(self, after: float) -> bool:
        well = [member for member in self.members if member.is_well and member.left]
        if not well:
            return False
        member = self.draw.choice(well)
        fate = self.draw.choice(("killed", "killed", "cut off", "frozen"))
        seconds = {
            "killed": self.draw.uniform(0, DOWN),
            "cut off": self.draw.uniform(1, CUT),
            "frozen": FROZEN,
        }[fate]
        is_first = all(each.fate != "gone" for each in self.members)
        if fate == "killed" and is_first and len(self.moments) < AT_ONCE // 3:
            fate, seconds = "gone", 1e9  # for good
        self.happened.append((round(after, 1), member.host.name, fate, self.loaded()))
        if fate in ("killed", "gone"):
            held = self.database.query(IN_HAND, member.host.name) if self.loaded() else []
            self.deaths.append((time.time(), held))
        member.befall(fate, seconds)
        return True

    def taken_over_after(self) -> list[float]:
        """Seconds until a host began with what one that ended had in hand."""
        found = []
        for at, held in self.deaths:
            for taxi_type, month in held:
                seconds = self.database.value(TAKEN_OVER, at, taxi_type, month, at)
                found += [round(float(seconds), 1)] if seconds is not None else []
        return sorted(found)

    def note_end(self, member: Member) -> None:
        assert member.process
        code, service = member.process.returncode, member.left[0]
        member.process = None
        member.codes.append((service, "cut off" if member.was_cut else "", code))
        if code == 0:
            assert self.loaded(service) == MONTHS, f"{member.host.name} ended with 0 too early"
            member.left.pop(0)
        else:
            assert member.was_cut, self.told()
        if member.back_at is not None and member.fate != "cut off":
            member.back_at = None
        if member.left:
            member.start()

    def told(self) -> str:
        lines = [str(each) for each in self.happened]
        for member in self.members:
            lines += [
                f"== {member.host.name} {member.left} {member.codes}",
                member.output()[-6000:],
            ]
        return "\n".join(lines)


@pytest.fixture(scope="module")
def undisturbed_contents(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run on one host makes of the same months."""
    database = create(site, "undisturbed")
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "luigi.cfg").write_text(site.settings("undisturbed"))
    prefix = site.net.hosts[0].prefix()
    for service in SERVICES:
        words = [*prefix, *command(service, 1), "--local-scheduler"]
        run = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    return database.contents()


@pytest.mark.parametrize("number", range(max(1, MOMENTS // AT_ONCE)))
def test_hosts_load_each_month_once_though_some_die_or_freeze_or_are_cut_off(
    number: int, site: Site, undisturbed_contents: dict[str, Any], tmp_path: Path
) -> None:
    draw = random.Random(SEED * 1000 + number)
    backfill = Backfill(site, f"disturbed_{number}", tmp_path, draw)
    database = backfill.database
    began = time.monotonic()
    backfill.run()
    took = time.monotonic() - began
    outputs = "\n".join(member.output() for member in backfill.members)
    transformed = Counter(re.findall(r"(\w+ \d{4}-\d\d): read [\d,]+ rows, rejected", outputs))
    print(f"{took:.0f} s; {backfill.happened}; {[m.codes for m in backfill.members]}")
    print("taken over after", backfill.taken_over_after())
    print(transformed.total(), {each: n for each, n in transformed.items() if n > 1})
    assert database.contents() == undisturbed_contents, backfill.told()
    assert database.query(
        "SELECT max(count) FROM (SELECT count(*) FROM load_history "
        "GROUP BY taxi_type, month) AS months"
    ) == [(1,)]
    assert transformed.total() <= MONTHS * len(SERVICES) + len(backfill.happened)
    assert "Traceback" not in outputs, backfill.told()
    for member in backfill.members:
        if not member.left:
            assert files_in_work(member.folder / "data") == [], backfill.told()


def test_an_embedded_warehouse_is_refused_on_another_host(site: Site, tmp_path: Path) -> None:
    (tmp_path / "luigi.cfg").write_text(site.settings("postgres"))
    words = [*site.net.hosts[0].prefix(), *command("green", 1), "--warehouse-url=embedded"]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 40, run.stdout + run.stderr
    [told] = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
    assert "'embedded' is this machine's own, and luigid on" in told
    assert not (tmp_path / "data" / "warehouse").exists()
