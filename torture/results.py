"""What became of the points, in a file that a later run goes on with; and the report of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from torture.harness import ROOT, Result

FOLDER = ROOT / "build" / "torture"
PAGE = ROOT / "docs" / "guarantees.md"
BEGIN, END = "<!-- The table that scripts/torture report writes -->", "<!-- Its end -->"
KINDS = {"db": "message", "files": "file call", "source": "request"}


@dataclass(frozen=True)
class Code:
    """What is tried: the commit, and a digest of the package and its SQL, which other commits may
    share."""

    commit: str
    digest: str

    @classmethod
    def present(cls) -> Code:
        trees = _git("ls-tree", "HEAD", "luigi_tasks", "sql")
        changed = _git("status", "--porcelain", "--", "luigi_tasks", "sql")
        digest = hashlib.sha256((trees + changed).encode()).hexdigest()[:12]
        return cls(
            _git("rev-parse", "--short=10", "HEAD").strip() + ("+" if changed else ""), digest
        )


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words],  # noqa: S607 - whichever git is here
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


class Results:
    """The results of one version of the code, a line each, which runs at once may append to."""

    def __init__(self, code: Code, folder: Path = FOLDER) -> None:
        self.code, self.path = code, folder / f"{code.digest}.jsonl"
        self.points_path = folder / f"{code.digest}.points.json"

    def add(self, result: Result) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        line = {"at": at, "commit": self.code.commit, **asdict(result)}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def read(self) -> dict[str, dict[str, Any]]:
        """The last result of each point."""
        if not self.path.exists():
            return {}
        lines = map(json.loads, self.path.read_text().splitlines())
        return {line["point"]: line for line in lines}

    def note_points(self, scenario: str, ids: Iterable[str]) -> None:
        """Note which points there are of a scenario, so that the report knows what is left."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        noted = self.points()
        noted[scenario] = dict(Counter(point.split("/")[2] for point in ids))
        self.points_path.write_text(json.dumps(noted, indent=1))

    def points(self) -> dict[str, dict[str, int]]:
        """How many points there are, by scenario and kind."""
        if not self.points_path.exists():
            return {}
        read: dict[str, dict[str, int]] = json.loads(self.points_path.read_text())
        return read


HEADER = ("scenario", "kind", "points", "tried", "survived", "by that run", "not reached", "failed")


def table(results: Results) -> list[tuple[Any, ...]]:
    """Rows of the report, one for each scenario and kind, and their sum."""
    counted: dict[tuple[str, str], Counter[str]] = {}
    for scenario, kinds in sorted(results.points().items()):
        for kind, points in sorted(kinds.items()):
            counted[scenario, kind] = Counter(points=points)
    for line in results.read().values():
        way, kind = line["point"].rsplit("/", 3)[0], line["point"].split("/")[2]
        counter = counted.setdefault((way, kind), Counter())
        counter["tried"] += 1
        counter[line["outcome"]] += 1
        counter["at once"] += line["outcome"] == "survived" and line["code"] == 0
    names = ("points", "tried", "survived", "at once", "unreached", "failed")
    rows: list[tuple[Any, ...]] = [
        (scenario, KINDS[kind], *(counter[name] for name in names))
        for (scenario, kind), counter in counted.items()
    ]
    total = Counter[str]()
    for counter in counted.values():
        total.update(counter)
    return [*rows, ("all", "", *(total[name] for name in names))]


def markdown(results: Results) -> str:
    """The table, with what it is of."""
    lines = results.read().values()
    days = sorted(line["at"][:10] for line in lines) or ["no day yet"]
    commits = sorted({line["commit"] for line in lines}) or ["no commit yet"]
    text = [f"Commit {', '.join(commits)}, {' to '.join(dict.fromkeys((days[0], days[-1])))}.", ""]
    text += [f"| {' | '.join(HEADER)} |", f"| --- | --- |{' ---: |' * (len(HEADER) - 2)}"]
    for row in table(results):
        text.append("| " + " | ".join(_cell(value) for value in row) + " |")
    return "\n".join(text) + "\n"


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def write_report(results: Results, page: Path = PAGE) -> None:
    """Write the report as JSON and Markdown, and the table into the page."""
    known = {"commit": results.code.commit, "digest": results.code.digest, "header": HEADER}
    failed = [each for each in results.read().values() if each["outcome"] != "survived"]
    report = {**known, "rows": table(results), "not_survived": failed}
    results.path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    results.path.with_suffix(".md").write_text(markdown(results))
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the table: {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n{END}{after}", encoding="utf-8")
