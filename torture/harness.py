"""A point: the state it begins in, the disturbed run, a clean one after it, the comparison."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forks import Server

from torture import points, shim
from torture.cluster import Cluster, running_cluster
from torture.compare import State, differences, left_over, state_of, trips_of
from torture.points import Call, Point
from torture.proxy import Proxy, Spoiled
from torture.scenarios import MONTH, SCENARIOS, Scenario
from torture.source import Source
from torture.worker import SHARES

ROOT = Path(__file__).resolve().parent.parent
#: Seconds after which a run counts as stuck: its longest waits are seconds here.
LONGEST_RUN = 180.0
#: Minutes after which a statement is given up, and seconds after which the source is: where a point
#: is about these limits, and otherwise, so that a busy machine doesn't come near them.
SHORT_LIMITS, LONG_LIMITS = (0.02, 0.4), (1.0, 20.0)
#: Ways to fail that end with these limits.
_OF_LIMITS = ("late", "stall", "stall-body")
#: The database of the run, and the folder with its shim.
DATABASE = "point"


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, or the number of the signal that ended it, negative."""

    code: int
    output: str
    was_stuck: bool


@dataclass(frozen=True)
class Result:
    """What became of a point: ``survived``, ``failed`` or ``unreached``; ``code`` is what the
    disturbed run ended with, and ``found`` what was wrong."""

    point: str
    outcome: str
    code: int | None
    seconds: float
    found: list[str]
    output: str = ""


@dataclass
class Start:
    """A scenario's beginning and what an undisturbed run makes of it."""

    scenario: Scenario
    template: str
    folder: Path
    trips: Any
    wanted: State
    wanted_trips: Any
    points: list[Point]


class Harness:
    """A server, a source and a Python to fork from, for one point after the other."""

    def __init__(
        self, cluster: Cluster, source: Source, folder: Path, library: Path | None
    ) -> None:
        self.cluster, self.source, self.folder = cluster, source, folder
        self.proxy = Proxy(cluster.port, cluster.restart)
        self.run_folder = folder / "run"
        self.plan = shim.Plan(folder / "plan")
        self._starts: dict[str, Start] = {}
        self.library = library
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "TORTURE_FILES": str(self.plan.path),
            "TORTURE_ROOT": str(self.run_folder / "data"),
        }
        self._preload = {"LD_PRELOAD": str(library)} if library else {}
        path = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
        self._forks = Server(
            *(sys.executable, "-m", "torture.worker"),
            environment={"PYTHONPATH": path, **self._preload},
        )

    def close(self) -> None:
        self._forks.close()
        self.proxy.close()

    def start(self, scenario: Scenario) -> Start:
        """The scenario's beginning, made at its first use, with all points of its run."""
        if scenario.id not in self._starts:
            self._starts[scenario.id] = self._begin(scenario)
        return self._starts[scenario.id]

    def try_point(self, start: Start, point: Point) -> Result:
        """Disturb a run, have a clean one follow, and compare."""
        began = time.monotonic()
        self._set_up(start)
        disturbed, has_come = self._disturb(start, point)
        found = self._faults_of(start, disturbed)
        clean = self._run(start.scenario, start.scenario.task, MONTH)
        if clean.code or clean.was_stuck or "Traceback" in clean.output:
            found.append(f"the clean run ended with {clean.code}")
        found += [f"left over: {each}" for each in self._left_over()]
        found += differences(self._state(), start.wanted)
        outcome = "failed" if found else "survived" if has_come else "unreached"
        output = f"{disturbed.output}--- the clean run:\n{clean.output}" if found else ""
        seconds = round(time.monotonic() - began, 2)
        return Result(point.id, outcome, disturbed.code, seconds, found, output)

    def _disturb(self, start: Start, point: Point) -> tuple[Ended, bool]:
        """Run with one call spoiled; whether the run has come to it."""
        spoiled = Spoiled(point.call, point.how) if point.kind == "db" else None
        is_of_files = point.kind == "files"
        self.proxy.begin(spoiled)
        self.source.begin(*((point.call, point.how) if point.kind == "source" else ()))
        if is_of_files:
            self.plan.spoil(Call.parse(point.call), point.how)
        limits = SHORT_LIMITS if point.how in _OF_LIMITS else LONG_LIMITS
        task = start.scenario.task
        ended = self._run(start.scenario, task, MONTH, is_started=is_of_files, limits=limits)
        if spoiled and spoiled.has_come:
            spoiled.is_over.wait(LONGEST_RUN)  # a restart may outlast the run
        has_come = bool(spoiled and spoiled.has_come) or self.source.has_spoiled
        has_come = has_come or (is_of_files and self.plan.has_fired)
        self.proxy.begin(None)
        self.source.begin()
        self.plan.do_nothing()
        return ended, has_come

    def _faults_of(self, start: Start, disturbed: Ended) -> list[str]:
        """What a disturbed run mustn't do, whatever disturbed it."""
        found = []
        if disturbed.was_stuck:
            found.append(f"the run was stuck for {LONGEST_RUN:g} s")
        if "Traceback" in disturbed.output:
            found.append("the run ended with a traceback")
        trips = trips_of(self.cluster, DATABASE)
        if trips not in (start.trips, start.wanted_trips):
            found.append(f"the run left a part of its work: {trips} trips")
        if disturbed.code == 0 and trips != start.wanted_trips:
            found.append("the run ended with 0, and its work isn't done")
        return found

    def _begin(self, scenario: Scenario) -> Start:
        name = scenario.id.replace("/", "_")
        folder = self.folder / name
        published = self.source.folder / name
        scenario.publish(published)
        self._set_up(None)
        for task, month in scenario.before:
            self._must_run(scenario, task, month)
        self._left_over()
        scenario.republish(published)
        template = f"start_{name}"
        self.cluster.create(template, DATABASE)
        shutil.copytree(self.run_folder, folder)
        trips = trips_of(self.cluster, template)
        start = Start(scenario, template, folder, trips, {}, None, [])
        self._record(start)
        return start

    def _record(self, start: Start) -> None:
        """Run twice without a fault: what comes in both can be spoiled."""
        recorded = []
        for is_started in (False, True):
            self._set_up(start)
            self.proxy.begin(None)
            self.source.begin()
            self.plan.record()
            self._must_run(start.scenario, start.scenario.task, MONTH, is_started=is_started)
            requests = [request.method for request in self.source.requests]
            recorded.append((list(self.proxy.seen), self.plan.calls(), requests))
            self.plan.do_nothing()
            if found := self._left_over():
                raise RuntimeError(f"{start.scenario.id} leaves {found}")
            # a run with nothing to do is a part of what follows a point
            self._must_run(start.scenario, start.scenario.task, MONTH)
            self._left_over()
            state = self._state()
            if start.wanted and (changed := differences(state, start.wanted)):
                raise RuntimeError(f"{start.scenario.id} isn't the same twice: {changed}")
            start.wanted, start.wanted_trips = state, trips_of(self.cluster, DATABASE)
        (seen, _, _), (_, calls, requests) = recorded
        name = start.scenario.id
        start.points = [*points.of_messages(name, seen), *points.of_requests(name, requests)]
        if self.library:
            start.points += points.of_calls(name, calls)

    def _set_up(self, start: Start | None) -> None:
        """Have the database and the folder as they were at a scenario's beginning."""
        self.plan.do_nothing()
        self.cluster.drop(DATABASE)
        self.cluster.create(DATABASE, start.template if start else "template1")
        shutil.rmtree(self.run_folder, ignore_errors=True)
        if start:
            shutil.copytree(start.folder, self.run_folder)
        else:
            self.run_folder.mkdir()

    def _must_run(
        self, scenario: Scenario, task: str, month: str, *, is_started: bool = False
    ) -> None:
        ended = self._run(scenario, task, month, is_started=is_started)
        if ended.code:
            raise RuntimeError(f"{scenario.id}: {task} {month} failed:\n{ended.output}")

    def _run(
        self,
        scenario: Scenario,
        task: str,
        month: str,
        *,
        is_started: bool = False,
        limits: tuple[float, float] = LONG_LIMITS,
    ) -> Ended:
        inner = {"TORTURE_ROLE": "transform", **self._environment, **self._preload}
        inner = {name: value for name, value in inner.items() if name.isupper() and "_" in name}
        url = self.source.template(self.source.folder / scenario.id.replace("/", "_"))
        words = ["--module", "luigi_tasks", task, f"--month={month}", "--taxi-type=green"]
        words += [f"--warehouse-url={self.cluster.url(DATABASE, self.proxy.port)}"]
        words += [f"--warehouse-time-limit={limits[0]}", f"--source-timeout={limits[1]}"]
        words += [f"--source-url={url}", "--source-retries=2", "--quality-least-rows=0"]
        words += [f"--runner-environment={json.dumps(inner)}", *scenario.flags]
        environment = {**self._environment, **({} if is_started else {SHARES: "yes"})}
        began = time.monotonic()
        code, output = self._forks.run(words, self.run_folder, environment, LONGEST_RUN)
        return Ended(code, output, was_stuck=time.monotonic() - began > LONGEST_RUN)

    def _state(self) -> State:
        return state_of(self.cluster, DATABASE, self.run_folder)

    def _left_over(self) -> list[str]:
        return left_over(self.cluster, DATABASE, self.run_folder)


@contextmanager
def running_harness() -> Iterator[Harness]:
    """A harness with a server of its own, in a folder of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-"))).resolve()
        published = folder / "published"
        published.mkdir()
        library = None
        with suppress(shim.NoCompilerError):
            library = shim.compiled(ROOT / "build" / "torture")
        cluster = stack.enter_context(running_cluster())
        source = stack.enter_context(Source(published))
        harness = Harness(cluster, source, folder, library)
        stack.callback(harness.close)
        yield harness


def scenario_of(name: str) -> Scenario:
    """The scenario of an id such as ``first/chain``.

    :raises ValueError: there is none.
    """
    for scenario in SCENARIOS:
        if scenario.id == name:
            return scenario
    raise ValueError(f"there is no scenario {name}; there are {', '.join(s.id for s in SCENARIOS)}")
