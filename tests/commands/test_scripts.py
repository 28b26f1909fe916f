"""The scripts of a clone: what they answer before anything is installed, and how they install."""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

NAMES = sorted(file.name for file in (ROOT / "scripts").iterdir())


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the scripts and nothing else."""
    shutil.copytree(ROOT / "scripts", tmp_path / "clone" / "scripts")
    return tmp_path / "clone"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "installed"])
def test_help_does_nothing_but_say_what_a_script_is_for(clone: Path, name: str) -> None:
    for folder in (clone, clone.parent):  # by a relative path, from wherever
        path = (clone / "scripts" / name).relative_to(folder)
        helped = subprocess.run([path, "--help"], cwd=folder, capture_output=True, text=True)
        assert (helped.returncode, helped.stderr) == (0, "")
        source = (clone / "scripts" / name).read_text()
        lines = helped.stdout.splitlines()
        assert source.startswith(f"#!/usr/bin/env bash\n# {lines[0]}\n")
        assert f"# {lines[-1]}\nset -euo pipefail\n" in source
    assert [path.name for path in clone.iterdir()] == ["scripts"]


@pytest.mark.parametrize("name", ["make-sample", "psql", "serve"])
def test_a_command_of_a_clone_needs_bootstrap(clone: Path, name: str) -> None:
    refused = subprocess.run(
        [f"scripts/{name}", "-c", "SELECT 1"], cwd=clone, capture_output=True, text=True
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"scripts/{name}: nothing is installed yet; run scripts/bootstrap first\n"
    )
    assert [path.name for path in clone.iterdir()] == ["scripts"]


PIP = """#!/bin/sh
echo 'Obtaining file:///clone'
echo 'Collecting luigi<4,>=3.8.1 (from luigi-tasks==0.1.0)'
echo '  Installing build dependencies: started'
echo 'Collecting psycopg2-binary>=2.9.11 (from luigi-tasks==0.1.0)'
echo 'Installing collected packages: luigi, psycopg2-binary'
[ ! -e fails ] || { echo 'ERROR: no space left' >&2; exit 1; }
echo 'Successfully installed luigi-3.8.1 psycopg2-binary-2.9.11'
"""


def test_bootstrap_shows_what_it_installs(clone: Path) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PIP)
    python.chmod(0o755)
    for name in ("setup.cfg", "pyproject.toml"):
        (clone / name).touch()
    failure = clone / "fails"
    failure.touch()
    progress = "installing luigi-tasks into .venv\n luigi psycopg2-binary; unpacking"

    def bootstrap() -> tuple[int, str]:
        ran = subprocess.run(["scripts/bootstrap"], cwd=clone, capture_output=True, text=True)
        assert ran.stdout == ""
        return ran.returncode, ran.stderr

    code, said = bootstrap()
    assert (code, said.count("ERROR: no space left\n")) == (1, 1)
    failure.unlink()
    assert bootstrap() == (0, f"{progress}\n")
    assert bootstrap() == (0, "")
