"""``luigi-tasks``, as ``python -m luigi_tasks``: what all its commands have in common."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import PYTHON, skip
from luigi.configuration import LuigiTomlParser

from luigi_tasks import tasks
from luigi_tasks.__main__ import COMMANDS
from luigi_tasks.catalog import read_zones

URL = "postgresql://taxi:secret@db.example.org/trips"


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "luigi_tasks", *arguments]
    environment = os.environ | environment
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def write_psql(folder: Path, lines: str) -> dict[str, str]:
    """Write a program in place of psql, and return the environment in which it is found."""
    program = folder / "psql"
    program.write_text(f"#!/bin/sh\n{lines}")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.bare_install
def test_help_has_a_line_for_every_command_and_task(tmp_path: Path) -> None:
    helped = run("--help", cwd=tmp_path)
    assert (helped.returncode, helped.stderr) == (0, "")
    described = dict(
        line.split(maxsplit=1) for line in helped.stdout.splitlines() if len(line.split()) > 1
    )
    for name in (*COMMANDS, *tasks.__all__):
        assert described[name][0].isupper(), name
    listed = re.split(r"\n  (?=\w)", helped.stdout.partition("Commands:")[2])[1:]
    for entry in listed:
        sentence = entry.partition("\n\n")[0].rstrip()
        assert re.search(r"[^.]\.$", sentence), entry
    assert helped.stdout.index("TaxiPublished ") < helped.stdout.index("TaxiMerge  ")
    assert not list(tmp_path.iterdir())


def test_only_the_command_line_imports_click() -> None:
    code = "import sys, luigi_tasks.tasks; print('click' in sys.modules)"
    imported = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    assert imported.stdout == "False\n", imported.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[runner]\nkind = podman\n", "[runner] kind: podman is not a valid choice "),
        ("[warehouse]\nurl = mysql://db.example.org/trips\n", "[warehouse] url: must be "),
        ("kind = docker\n", "File contains no section headers. file: 'luigi.cfg', line: 1"),
    ],
)
def test_settings_that_cannot_work_are_one_line(
    tmp_path: Path, settings: str, message: str
) -> None:
    (tmp_path / "luigi.cfg").write_text(settings)
    refused = run("psql", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(message)
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["query"], ["serve", "--prot=5434"], ["sample"]])
def test_a_command_line_that_is_wrong_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    refused = run(*arguments, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--help' for help.\n\nError: " in refused.stderr


@pytest.mark.parametrize("parser", ["cfg", "toml"])
def test_a_percent_sign_in_a_flag_is_one_however_settings_are_written(
    tmp_path: Path, parser: str
) -> None:
    if parser == "toml" and sys.executable != PYTHON:
        pytest.skip("what is tried has no extras")
    if parser == "toml" and not LuigiTomlParser.enabled:
        skip("Luigi reads TOML by the package toml, which isn't installed")
    refused = run("psql", "--storage-root=50%", cwd=tmp_path, LUIGI_CONFIG_PARSER=parser)
    assert refused.stderr.startswith(f"no warehouse is in {tmp_path}/50% yet: ")
    assert refused.returncode == 1


@pytest.mark.bare_install
def test_psql_gets_its_arguments_in_their_order(tmp_path: Path) -> None:
    """And the password by its environment."""
    program = write_psql(tmp_path, 'printf "%s\\n" "$@"; echo $PGPASSWORD; exit 3')
    words = ["-Atc", "SELECT 1", "--pset=footer=off", "-h", "here", "--port", "1", "name"]
    ran = run("psql", *words[:2], f"--warehouse-url={URL}", *words[2:], cwd=tmp_path, **program)
    dsn, *rest = ran.stdout.splitlines()
    assert dsn.split() == ["user=taxi", "dbname=trips", "host=db.example.org"]
    assert (rest, ran.returncode) == ([*words, "secret"], 3)


def test_ctrl_c_is_left_to_psql(tmp_path: Path) -> None:
    program = write_psql(
        tmp_path, "trap 'echo cancelled' INT; echo ready; sleep 60 & wait; kill $!; echo goes on"
    )
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(
        [PYTHON, "-m", "luigi_tasks", "psql", f"--warehouse-url={URL}"],
        cwd=tmp_path,
        env=os.environ | program,
        start_new_session=True,
        text=True,
        **streams,
    ) as psql:
        assert psql.stdout
        assert psql.stdout.readline() == "ready\n"
        time.sleep(0.1)
        os.killpg(psql.pid, signal.SIGINT)  # as a terminal does
        assert psql.stdout.read() == "cancelled\ngoes on\n"
    assert psql.returncode == 0


def test_a_sample_has_the_names_of_all_zones(tmp_path: Path, shared_data: Path) -> None:
    written = run("sample", "here", "--month=2024-01", "--rows=10", cwd=tmp_path)
    file = tmp_path / "here" / "taxi_zone_lookup.csv"
    assert written.stdout.splitlines()[-2:] == [
        "here/taxi_zone_lookup.csv: 265 zones",
        "here/taxi_zones.zip: their outlines",
    ]
    assert read_zones(file) == read_zones(shared_data / "lookup" / file.name)


def test_it_says_its_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.startswith("luigi-tasks ")
