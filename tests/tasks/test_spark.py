"""A range on a real Spark cluster: a master and two workers of one core each.

``LUIGI_TASKS_SPARK_MONTHS=24`` loads so many of the TLC's real months in place of three made up.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import sparks
from conftest import Database, Luigi, Published, Server, folder_url, lasting_database

from bench.cluster import EXECUTOR, MONTH, Cluster, read_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]
MONTHS = int(os.environ.get("LUIGI_TASKS_SPARK_MONTHS", "0"))
SECRET, OTHER = "s3cret-of-postgres", "s3cret-of-spark"
PATIENCE = 300


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with sparks.started(tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster


@pytest.fixture
def on_spark(luigi_command: Luigi, database: Database, cluster: Cluster) -> Luigi:
    """The command, with settings for the cluster and passwords in variables of the environment."""
    conf = {**cluster.conf, "spark.taxi.password": "${SPARK_TEST_SECRET}"}
    settings = {
        "warehouse": {"url": database.url.replace("postgres@", "postgres:${TAXI_TEST_SECRET}@")},
        "spark": {"master": cluster.master, "conf": json.dumps(conf)},
        "core": {"log_level": "DEBUG"},
    }
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        for name, keys in settings.items()
    ]
    (luigi_command.folder / "luigi.cfg").write_text("\n".join(lines))
    luigi_command.settings.clear()
    luigi_command.environment |= {"TAXI_TEST_SECRET": SECRET, "SPARK_TEST_SECRET": OTHER}
    return luigi_command


def words(start: str, stop: str, source: str) -> list[str]:
    of_params = json.dumps({"taxi_type": "green"})
    return [
        "--of=TaxiMonth",
        f"--of-params={of_params}",
        f"--start={start}",
        f"--stop={stop}",
        f"--source-url={source}",
    ]


@contextmanager
def started(command: Luigi, *flags: str) -> Iterator["subprocess.Popen[str]"]:
    """The command under way, with its output in a file."""
    log = command.folder.parent / "log"
    with log.open("w") as output:
        process: subprocess.Popen[str] = subprocess.Popen(
            command.command("TaxiSpark", *flags),
            cwd=command.folder,
            text=True,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def log_of(command: Luigi) -> str:
    return (command.folder.parent / "log").read_text()


def wait_until(happened: Any, process: "subprocess.Popen[str]", command: Luigi) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := happened()):
        assert process.poll() is None, log_of(command)
        assert time.monotonic() < deadline, log_of(command)
        time.sleep(0.2)
    return found


def executor_at_work(cluster: Cluster) -> psutil.Process | None:
    """An executor that has a month in hand."""
    for month in cluster.processes(MONTH):
        for process in month.parents():
            if EXECUTOR in " ".join(process.cmdline()):
                return process
    return None


# --- where a secret may not be ------------------------------------------------------------------

PAGES = (
    "",
    "jobs/",
    "stages/",
    "storage/",
    "environment/",
    "executors/",
    "executors/threadDump/?executorId=driver",
)
API = ("", "/environment", "/allexecutors", "/jobs", "/stages", "/storage/rdd")


class Search:
    """Looks for secrets wherever others can see them."""

    def __init__(self, cluster: Cluster, port: str) -> None:
        self._cluster, self._page = cluster, f"http://127.0.0.1:{port}"
        self.looked_at = 0
        self.found: list[str] = []

    def everywhere(self) -> None:
        for process in psutil.process_iter(["cmdline"]):
            self._look(f"process {process.pid}", " ".join(process.info["cmdline"] or []))
        for file in self._cluster.folder.rglob("*"):
            if file.is_file():
                try:
                    self._look(str(file), file.read_bytes().decode("latin-1"))
                except OSError:
                    continue
        for page in PAGES:
            self._look(page, read_page(f"{self._page}/{page}"))
        listed = read_page(f"{self._page}/api/v1/applications")
        for each in json.loads(listed) if listed else []:
            for part in API:
                url = f"{self._page}/api/v1/applications/{each['id']}{part}"
                self._look(url, read_page(url))
        for page in self._cluster.pages:
            self._look(page, read_page(f"{page}/") + read_page(f"{page}/json/"))

    def _look(self, where: str, text: str) -> None:
        self.looked_at += bool(text)
        if SECRET in text or OTHER in text:
            self.found.append(where)


# --- the tests ----------------------------------------------------------------------------------


@pytest.fixture
def expected(
    server: Server, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """The flags of a range, and what an undisturbed run of the chain makes of it."""
    if not MONTHS:
        source = request.getfixturevalue("three_months").url
        undisturbed = request.getfixturevalue("undisturbed")
        yield words("2024-01", "2024-04", source), undisturbed.contents
        return
    shared = request.getfixturevalue("shared_data") / "parquet"
    files = sorted(shared.glob("green_tripdata_*.parquet"))[:MONTHS]
    year, month = map(int, files[-1].stem[-7:].split("-"))
    stop = f"{year + month // 12}-{month % 12 + 1:02}"
    flags = words(files[0].stem[-7:], stop, folder_url(shared))
    with lasting_database(server, "undisturbed_spark") as database:
        (tmp_path / "chain").mkdir()
        chain = Luigi(tmp_path / "chain", {"--warehouse-url": database.url})
        run = chain("RangeMonthly", *flags, "--of=TaxiMerge", timeout=1800)
        assert run.code == 0, run.output
        yield flags, database.contents()


def test_a_killed_executor_loses_and_doubles_nothing_and_no_secret_is_seen(
    cluster: Cluster,
    on_spark: Luigi,
    database: Database,
    expected: tuple[list[str], dict[str, Any]],
) -> None:
    flags, contents = expected
    search = Search(cluster, json.loads(_conf(on_spark))["spark.ui.port"])
    began = time.monotonic()
    with started(on_spark, *flags) as process:
        victim = wait_until(lambda: executor_at_work(cluster), process, on_spark)
        search.everywhere()
        victim = wait_until(lambda: executor_at_work(cluster), process, on_spark)
        months = [p for p in victim.children(recursive=True) if MONTH in " ".join(p.cmdline())]
        victim.kill()
        _, alive = psutil.wait_procs(months, timeout=30)
        assert months
        assert alive == []
        search.everywhere()
        assert process.wait(PATIENCE * 5) == 0, log_of(on_spark)
    search.everywhere()
    print(f"{time.monotonic() - began:.1f} s, {search.looked_at} places")
    log = log_of(on_spark)
    assert "Spark: Lost executor" in log
    assert database.contents() == contents
    [(state, code)] = database.query("SELECT state, exit_code FROM runs")
    assert (state, code) == ("succeeded", 0)
    assert not database.value("SELECT count(*) FROM load_attempts WHERE state <> 'succeeded'")
    assert search.found == []
    assert SECRET not in log
    assert OTHER not in log
    assert search.looked_at > 50
    assert sorted(path.name for path in on_spark.folder.iterdir()) == ["data", "luigi.cfg"]
    with started(on_spark, *flags) as process:
        assert process.wait(PATIENCE) == 0
    assert "nothing was to be done" in log_of(on_spark)
    assert "starting Spark" not in log_of(on_spark)


def _conf(command: Luigi) -> str:
    text = (command.folder / "luigi.cfg").read_text()
    found = re.search(r"^conf = (.*)$", text, re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_nothing_at_work(
    number: signal.Signals,
    cluster: Cluster,
    on_spark: Luigi,
    three_months: Published,
    database: Database,
) -> None:
    with started(on_spark, *words("2024-01", "2024-04", three_months.url)) as process:
        wait_until(lambda: executor_at_work(cluster), process, on_spark)
        own = psutil.Process(process.pid).children(recursive=True)
        at_work = [*own, *cluster.processes(EXECUTOR), *cluster.processes(MONTH)]
        process.send_signal(number)
        code = process.wait(30)
        assert code == (-9 if number == signal.SIGKILL else 128 + number)
        _, alive = psutil.wait_procs(at_work, timeout=30)
        assert alive == []
    if number != signal.SIGKILL:
        assert "the same command continues from there" in log_of(on_spark)
        assert "Traceback" not in log_of(on_spark).replace("DEBUG: Spark", "")
    assert database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_a_month_that_fails_does_not_stop_the_others(
    cluster: Cluster, on_spark: Luigi, published: Published, database: Database
) -> None:
    for month in ("2024-01", "2024-03"):
        published.write("green", month, rows=60)
    (published.folder / "green_tripdata_2024-02.parquet").write_bytes(b"no parquet at all")
    on_spark.settings["--log-level"] = "INFO"
    with started(on_spark, *words("2024-01", "2024-05", published.url)) as process:
        assert process.wait(PATIENCE) == 30, log_of(on_spark)
    log = log_of(on_spark)
    assert database.value("SELECT count(*) FROM load_history") == 2
    assert "green: 2 months loaded, 120 rows, 1 month failed, 1 not yet published" in log
    assert re.search(r"ERROR: green 2024-02 failed: .+ \(\S+, \d+\.\d s\)", log)
    assert "1 of 3 months failed: green 2024-02" in log
    lines = [line for line in log.splitlines() if "WARN" in line or "Spark" in line]
    assert len(lines) < 10, log
    states = dict(database.query("SELECT to_char(month, 'MM'), state FROM load_attempts"))
    assert states == {"01": "succeeded", "02": "failed", "03": "succeeded"}


def test_what_executors_cannot_do_is_refused_at_once(on_spark: Luigi, cluster: Cluster) -> None:
    flags = words("2024-01", "2024-03", "file:///nowhere/{{ month }}.parquet")
    run = on_spark("TaxiSpark", *flags, "--warehouse-url=embedded")
    assert run.code == 40
    assert f"the executors of {cluster.master} can't reach the embedded" in run.output
    run = on_spark("TaxiSpark", *flags, "--of=TaxiMerge")
    assert run.code == 40
    assert "an executor does whole months" in run.output
