"""Each file of the corpus of bad ones: it is refused in one line, or loaded with every row counted,
and takes neither long nor much memory."""

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bad_files import BAD, KINDS, MOST_REJECTS, Bad
from transforms import Transformed, Transforms

#: Bytes and seconds that each may take.
MOST_MEMORY, MOST_SECONDS = 1 << 30, 30


@pytest.fixture(scope="module")
def transforms() -> Iterator[Transforms]:
    transforms = Transforms()
    yield transforms
    transforms.end()


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_file_is_refused_in_one_line_or_loaded_with_every_row_counted(
    transforms: Transforms, tmp_path: Path, kind: str
) -> None:
    wrong = {}
    for name, bad in BAD.items():
        if name.startswith(f"{kind}: ") and (fault := fault_of(transforms, tmp_path, bad)):
            wrong[name] = fault
    assert wrong == {}


def test_there_are_enough_of_each_kind() -> None:
    counts = [sum(name.startswith(f"{kind}: ") for name in BAD) for kind in KINDS]
    assert min(counts) >= 40
    assert sum(counts) == len(BAD) >= 200


def fault_of(transforms: Transforms, folder: Path, bad: Bad) -> str:
    """What is wrong with what becomes of a file; an empty text for nothing."""
    (folder / "raw").write_bytes(bad.make())
    for name in ("trips", "rejects"):
        (folder / name).unlink(missing_ok=True)
    words = ["raw", "--taxi-type=green", "--trips=trips", "--rejects=rejects"]
    done = transforms.run(folder, *words, f"--max-reject-ratio={MOST_REJECTS}")
    if done.memory > MOST_MEMORY or done.seconds > MOST_SECONDS:
        return f"{done.memory >> 20} MB, {done.seconds:.1f} s"
    if done.code == 0:
        return _fault_of_rows(done, folder, bad)
    return _fault_of_message(done, folder, bad)


def _fault_of_message(done: Transformed, folder: Path, bad: Bad) -> str:
    lines = done.errors.splitlines()
    if done.code != 1 or len(lines) != 1 or not _is_harmless(lines[0]):
        return f"code {done.code}: {done.errors}"
    if bad.refused is None or bad.refused not in lines[0] or len(lines[0]) > 1_000:
        return f"refused: {lines[0]}"
    return "something is left" if (folder / "trips").exists() else ""


def _is_harmless(line: str) -> bool:
    """Whether a line has no character that moves a cursor, ends a line or turns its direction."""
    return not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in line)


def _fault_of_rows(done: Transformed, folder: Path, bad: Bad) -> str:
    if bad.rows is None:
        return f"loaded: {done.output}"
    report = json.loads(done.output.strip().removeprefix("::").removesuffix("::"))["outputs"]
    read, rejected = report["rows_read"], report["rows_rejected"]
    rejects = folder / "rejects"
    lines = rejects.read_text().splitlines() if rejects.exists() else []
    counted = pq.read_metadata(folder / "trips").num_rows + len(lines)
    if not read == counted == bad.rows + bad.rejects or len(lines) != rejected:
        return f"{counted} rows, {len(lines)} rejects: {report}"
    return "" if rejected == bad.rejects or bad.refused else f"{rejected} rejects: {lines}"
