"""The harness that makes every call of a load fail once: a sample of its points, and itself."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL

import pytest
from conftest import ROOT, skip
from hypothesis import given
from hypothesis import strategies as st

from torture import results, shim
from torture.cluster import NoServerError
from torture.compare import differences
from torture.harness import DATABASE, Harness, running_harness, scenario_of
from torture.messages import Borders, Talk
from torture.points import Call, Point, of_messages, shuffled
from torture.proxy import Seen

#: How many points are tried by default: with what leads to them, a minute on one core. Two hundred
#: take some six, and all of them half a day: scripts/torture.
POINTS = int(os.environ.get("LUIGI_TASKS_TORTURE_POINTS", "24"))
SEED = int(os.environ.get("LUIGI_TASKS_TORTURE_SEED", "1"))
#: The scenarios of the sample: each of them takes some seconds to be prepared.
SAMPLED = ("first/pass", "edition/refresh", "strays/chain")
#: Points that have failed before what they showed was mended.
REPLAYS = [
    "strays/chain/files/transform:open:work~green_tripdata_2024-02-*~built-in~job-*~work~"
    "green_tripdata_2024-02.parquet:2/EIO",
    "first/pass/source/2GET/garbage",
    "edition/refresh/source/1HEAD/half-head",
    "edition/refresh/files/"
    "worker:unlink:lake~trips~taxi_type=green~month=2024-02~.part.parquet.*.tmp:1/KILL-AFTER",
    "edition/refresh/files/worker:write:work~green_tripdata_2024-02-*~part.parquet:3/EIO",
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return shim.compiled(tmp_path_factory.mktemp("shim"))
    except shim.NoCompilerError as error:
        skip(str(error))
        raise


@pytest.fixture(scope="module")
def harness(library: Path) -> Iterator[Harness]:
    try:
        with running_harness() as harness:
            yield harness
    except NoServerError as error:
        skip(str(error))


# --- points --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_load_survives_whatever_call_fails(harness: Harness) -> None:
    """As it does all of them: scripts/torture --only POINT repeats one that is shown here."""
    starts = {name: harness.start(scenario_of(name)) for name in SAMPLED}
    found = [point for start in starts.values() for point in start.points]
    sample = [*map(Point.parse, REPLAYS), *shuffled(found, SEED)[:POINTS]]
    tried = [harness.try_point(starts[point.scenario], point) for point in sample]
    failed = [result for result in tried if result.outcome == "failed"]
    assert not failed, "\n".join(f"{r.point}: {r.found}\n{r.output}" for r in failed)
    reached = [result for result in tried if result.outcome == "survived"]
    assert len(reached) >= 0.9 * len(tried), [r.point for r in tried if r.outcome == "unreached"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM green_trips WHERE ctid IN (SELECT min(ctid) FROM green_trips_2024_02)",
        "UPDATE green_trips SET trip_distance = trip_distance + 0.01 "
        "WHERE unique_row_id = (SELECT min(unique_row_id::text)::uuid FROM green_trips)",
        "UPDATE daily_trips_by_file SET trips = trips + 1 WHERE trips = 7",
        "CREATE TABLE green_trips_staging_2024_02 ()",
        "DELETE FROM table_updates",
        "UPDATE load_attempts SET state = 'running'",
    ],
)
def test_the_comparison_finds(harness: Harness, statement: str) -> None:
    start = harness.start(scenario_of("lake/lake"))
    harness._set_up(start)
    harness._must_run(start.scenario, start.scenario.task, "2024-02")
    assert differences(harness._state(), start.wanted) == []
    harness.cluster.query(DATABASE, statement)
    assert len(differences(harness._state(), start.wanted)) >= 1


# --- messages ------------------------------------------------------------------------------------

MESSAGES = [
    b"\0\0\0\x08\x04\xd2\x16\x2f",  # may TLS be used
    b"\0\0\0\x09\0\3\0\0\0",
    b"Q\0\0\0\x0dSELECT 1\0",
    b"X\0\0\0\4",
]


@given(st.lists(st.integers(0, sum(map(len, MESSAGES)))))
def test_the_borders_are_found_however_the_bytes_come(cuts: list[int]) -> None:
    text, borders = b"".join(MESSAGES), Borders(Talk(), is_client=True)
    ends = sorted({0, len(text), *cuts})
    pieces = [text[start:end] for start, end in pairwise(ends)]
    assert [message for piece in pieces for message in borders.feed(piece)] == MESSAGES


def test_an_answer_of_one_byte_is_a_message() -> None:
    talk = Talk()
    asked = list(Borders(talk, is_client=True).feed(MESSAGES[0]))
    assert asked == MESSAGES[:1]
    answers = [b"N", b"R\0\0\0\x08\0\0\0\0", b"Z\0\0\0\5I"]
    assert list(Borders(talk, is_client=False).feed(b"".join(answers))) == answers


def test_of_rows_the_first_and_the_last_stand_for_all() -> None:
    rows = ["T", *"DDDDD", "C 'SELECT 5'", "Z"]
    seen = [Seen("c1>1", "Q SELECT"), *(Seen(f"c1<{n}", row) for n, row in enumerate(rows, 1))]
    points = list(of_messages("first/chain", seen))
    assert len({point.id for point in points}) == len(points)
    of_server = [point for point in points if "<" in point.call]
    cut = [point.call for point in of_server if point.how == "before"]
    assert cut == ["c1<1", "c1<2", "c1<6", "c1<7", "c1<8"]
    assert [point.call for point in of_server if point.how == "after"] == ["c1<8"]
    assert sorted(p.how for p in points if p.call == "c1>1") == sorted(
        ("before", "within", "after", "late", "restart")
    )


def test_the_id_of_a_point_leads_to_it() -> None:
    call = Call("worker", "rename", "raw/green_tripdata_2024-02.parquet", 1)
    point = Point("first/pass", "files", call.name, "EIO")
    assert Point.parse(point.id) == point
    assert Call.parse(point.call) == call
    with pytest.raises(ValueError, match="no point"):
        Point.parse("first")


# --- calls to the file system --------------------------------------------------------------------

WORK = """
import os, sys
os.mkdir("raw")
with open("raw/file", "wb", buffering=0) as file:
    for _ in range(3):
        file.write(bytes(8))
    os.fsync(file.fileno())
os.replace("raw/file", "raw/whole")
os.unlink("raw/whole")
"""


def work(folder: Path, library: Path, plan: shim.Plan) -> "subprocess.CompletedProcess[str]":
    root = folder / "root"
    root.mkdir()
    environment = {
        "LD_PRELOAD": str(library),
        "TORTURE_FILES": str(plan.path),
        "TORTURE_ROOT": str(root),
    }
    return subprocess.run(
        [sys.executable, "-c", WORK], cwd=root, env=environment, capture_output=True, text=True
    )


def test_every_call_is_noted_once(library: Path, tmp_path: Path) -> None:
    plan = shim.Plan(tmp_path / "plan")
    plan.record()
    assert work(tmp_path, library, plan).returncode == 0
    assert [f"{c.operation} {c.path} {c.number}" for c in plan.calls()] == [
        "mkdir raw 1",
        "create raw/file 1",
        *("write raw/file 1", "write raw/file 2", "write raw/file 3"),
        "fsync raw/file 1",
        "rename raw/whole 1",
        "unlink raw/whole 1",
    ]


@pytest.mark.parametrize(
    ("call", "how", "code_and_size"),
    [
        ("mkdir:raw:1", "EACCES", (errno.EACCES, None)),
        ("write:raw~file:2", "ENOSPC", (errno.ENOSPC, 8)),
        ("write:raw~file:2", "FULL", (errno.ENOSPC, 8)),
        ("fsync:raw~file:1", "EIO", (errno.EIO, 24)),
        ("write:raw~file:2", "KILL-BEFORE", (0, 8)),
        ("write:raw~file:2", "KILL-HALF", (0, 12)),
        ("write:raw~file:2", "KILL-AFTER", (0, 16)),
        ("rename:raw~whole:1", "KILL-BEFORE", (0, 24)),
    ],
)
def test_one_call_fails(
    library: Path, tmp_path: Path, call: str, how: str, code_and_size: tuple[int, int | None]
) -> None:
    """By an error of the system, or by the process's end."""
    code, size = code_and_size
    plan = shim.Plan(tmp_path / "plan")
    plan.spoil(Call.parse(f"worker:{call}"), how)
    worked = work(tmp_path, library, plan)
    assert plan.has_fired
    if code:
        assert f"[Errno {code}]" in worked.stderr
    else:
        assert worked.returncode == -SIGKILL
    file = tmp_path / "root" / "raw" / "file"
    assert (file.stat().st_size if file.exists() else None) == size


# --- the report ----------------------------------------------------------------------------------


def test_the_table_of_the_last_run_is_well_formed() -> None:
    """Not that it is recent."""
    page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    inner = page.partition(results.BEGIN)[2].partition(results.END)[0].strip().splitlines()
    told, _, header, _, *rows = inner
    assert told.startswith("Commit ")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in (header, *rows)]
    assert cells[0] == list(results.HEADER)
    numbers = [[int(cell.replace(",", "")) for cell in row[2:]] for row in cells[1:]]
    *parts, total = numbers
    assert total == [sum(column) for column in zip(*parts, strict=True)]
    for points, tried, survived, at_once, unreached, failed in numbers:
        assert points >= tried == survived + unreached + failed
        assert survived >= at_once


def test_results_are_kept_and_reported(tmp_path: Path) -> None:
    kept = results.Results(results.Code("0123456789", "ab"), tmp_path)
    ids = [f"first/chain/db/c1>{number}/{how}" for number in (1, 2) for how in ("before", "late")]
    kept.note_points("first/chain", ids)
    for point, outcome in zip(ids, ("survived", "failed", "survived"), strict=False):
        kept.add(results.Result(point, outcome, 0, 1.0, []))
    kept.add(results.Result(ids[1], "survived", 30, 1.0, []))
    assert [line["outcome"] for line in kept.read().values()] == ["survived"] * 3
    page = tmp_path / "page.md"
    page.write_text(f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    results.write_report(kept, page)
    assert "| first/chain | message | 4 | 3 | 3 | 2 | 0 | 0 |" in page.read_text()
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("\nafter\n")
    assert "old" not in page.read_text()
