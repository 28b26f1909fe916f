"""The answers of docs/queries.md are those of the months that scripts/quickstart loads."""

import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import PYTHON, Database, Luigi, Server, folder_url, lasting_database
from test_docs import Block, blocks_of

BLOCKS = blocks_of("docs/queries.md", "sql", "python", "text")
#: Each question with the answer that follows it.
ASKED = [
    pytest.param(question, answer.text, id=f"{question.document}:{question.line}")
    for question, answer in pairwise(BLOCKS)
    if question.language != "text"
]


@pytest.fixture(scope="module")
def sample(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """What scripts/quickstart loads."""
    folder = tmp_path_factory.mktemp("sample")
    with lasting_database(server, "sample") as database:
        luigi = Luigi(folder, {"--warehouse-url": database.url, "--source-url": folder_url(folder)})
        for taxi_type in ("yellow", "green"):
            flags = ["--taxi-type", taxi_type, "--month", "2024-01", "--stop", "2024-04"]
            subprocess.run([PYTHON, "-m", "luigi_tasks", "sample", folder, *flags], check=True)
            run = luigi.merge_range(taxi_type, "2024-01", "2024-04")
            assert run.code == 0, run.output
        run = luigi("TaxiZones", f"--source-zones-url=file://{folder}/taxi_zone_lookup.csv")
        assert run.code == 0, run.output
        yield database


def ask(question: Block, url: str, folder: Path) -> str:
    """What is printed in answer to a question, by psql or by Python with warnings as errors."""
    if question.language == "python":
        (folder / "luigi.cfg").write_text(f"[warehouse]\nurl = {url}\n")
        command = [PYTHON, "-W", "error", "-W", "ignore::DeprecationWarning:luigi", "-c"]
    else:
        words = ["--warehouse-url", url, "--no-psqlrc", "--pset=footer=off", "-c"]
        command = [PYTHON, "-m", "luigi_tasks", "psql", *words]
    run = subprocess.run([*command, question.text], cwd=folder, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    lines = [line.rstrip() for line in run.stdout.rstrip().splitlines()]
    return "\n".join(lines) + "\n"


def test_ten_questions_are_answered() -> None:
    assert [block.language for block in BLOCKS[1::2]] == ["text"] * 10


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
@pytest.mark.parametrize(("question", "answer"), ASKED)
def test_a_question_has_the_answer_of_the_page(
    question: Block, answer: str, sample: Database, tmp_path: Path
) -> None:
    assert ask(question, sample.url, tmp_path) == answer
