"""A month on an executor, without Spark: the settings that it gets, and how its process ends."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Database, Published

from luigi_tasks import config, warehouse
from luigi_tasks.config import Handover
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.runner import spark
from luigi_tasks.runner.spark import MonthWork, months, session

MODULE = "luigi_tasks.tasks.on_executor"
SECRET = "{{ s3cret }}%"
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)


@pytest.fixture
def handed(
    database: Database, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Handover:
    """Settings as a driver hands them over, with a password that a variable has."""
    with_password = database.url.replace("postgres@", "postgres:${TAXI_TEST_PASSWORD}@")
    files = {
        "warehouse": {"url": with_password},
        "source": {"url": published.url, "retries": "0"},
        "storage": {"root": "data"},
    }
    packaged = config.hand_over().files
    merged = {name: {**keys, **files.get(name, {})} for name, keys in packaged.items()}
    from urllib.parse import quote

    environment = {"TAXI_TEST_PASSWORD": quote(SECRET, safe="")}
    return Handover("cfg", merged, {}, environment, str(tmp_path / "hosts" / "folder"))


def work(handed: Handover, **others: Any) -> MonthWork:
    given = {
        "version": version("luigi-tasks"),
        "settings": handed.as_json(),
        "run_id": None,
        "task": "TaxiMonth",
        "task_module": "luigi_tasks.tasks.chain",
        "parameters": {"taxi_type": "green"},
        "month_parameter": "month",
        "log_level": 20,
    }
    return MonthWork(MODULE, {**given, **others}, {"LUIGI_CONFIG_PARSER": "cfg"})


@on_one_server
def test_a_month_is_loaded_by_the_settings_that_were_handed_over(
    handed: Handover,
    database: Database,
    published: Published,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published.write("green", "2024-01", rows=200)
    wrong = tmp_path / "luigi.cfg"
    wrong.write_text("[warehouse]\nurl = postgresql://nobody@/nowhere\n")
    monkeypatch.setenv("LUIGI_CONFIG_PATH", str(wrong))
    monkeypatch.setenv("PGDATABASE", "nowhere")
    for message in ("inserted 200 rows", "was complete"):
        result = work(handed)("2024-01")
        assert result["state"] == "loaded", result
        assert message in result["message"]
    assert database.value("SELECT count(*) FROM green_trips") == 200
    assert Path(handed.folder, "data").is_dir()
    assert not any("s3cret" in str(value) for value in result.values())


@on_one_server
def test_a_month_that_fails_is_a_result_with_its_reason(
    handed: Handover, published: Published
) -> None:
    result = work(handed)("2024-01")
    assert (result["state"], result["month"]) == ("failed", "2024-01")
    assert "green_tripdata_2024-01.parquet" in result["error"]
    other = work(handed, version="0.0.1")("2024-01")
    assert "install the same" in other["error"]
    dead = MonthWork("luigi_tasks.no_such_module", {})("2024-01")
    assert dead["error"] == "its process ended with exit code 1"
    assert not dead["is_recorded"]


HOLDER = """
import json, pickle, sys
work = pickle.load(sys.stdin.buffer)
print(json.dumps(work("2024-01")), flush=True)
"""


@pytest.fixture
def stuck(handed: Handover, tmp_path: Path) -> Iterator[Callable[[], MonthWork]]:
    """The work of a month whose transform waits for the test."""
    script = tmp_path / "waits.py"
    script.write_text("import time\nopen('/dev/null')\ntime.sleep(600)\n")

    def make() -> MonthWork:
        handed.files["transform"]["script"] = str(script)
        return work(handed)

    return make


@on_one_server
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_executor_that_is_killed_takes_its_month_with_it(
    number: signal.Signals,
    stuck: Callable[[], MonthWork],
    published: Published,
    database: Database,
) -> None:
    import pickle

    published.write("green", "2024-01", rows=50)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE)
    assert holder.stdin
    with holder.stdin as pipe:
        pipe.write(pickle.dumps(stuck()))
    process = psutil.Process(holder.pid)
    descendants: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while not any("waits.py" in " ".join(p.cmdline()) for p in descendants):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        descendants = [p for p in process.children(recursive=True) if p.is_running()]
        descendants = [p for p in descendants if p.status() != psutil.STATUS_ZOMBIE]
    holder.send_signal(number)
    holder.wait(10)
    _, alive = psutil.wait_procs(descendants, timeout=20)
    assert alive == []
    assert database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


# --- what is handed over -------------------------------------------------------------------------


def test_settings_are_handed_over_as_they_are_written(
    settings: Callable[[str, str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAXI_TEST_PASSWORD", SECRET)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("SOMETHING_ELSE", SECRET)
    written = "postgresql://me:${TAXI_TEST_PASSWORD}@host/taxi"
    settings("warehouse", "url", written)
    handed = config.hand_over()
    assert handed.files["warehouse"]["url"] == written
    assert handed.environment["TAXI_TEST_PASSWORD"] == SECRET
    assert handed.environment["AWS_SECRET_ACCESS_KEY"] == SECRET
    assert "SOMETHING_ELSE" not in handed.environment
    assert handed.folder == str(Path.cwd())
    assert SECRET not in repr(handed) + repr(work(handed))
    assert json.loads(json.dumps(handed.as_json()))["files"] == handed.files


@on_one_server
def test_the_password_of_a_password_file_is_found(
    database: Database,
    settings: Callable[[str, str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    settings("warehouse", "url", database.url)
    assert warehouse.password(config.open_warehouse()) is None
    passwords = tmp_path / "passwords"
    passwords.write_text("*:*:*:*:out of a file\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert warehouse.password(config.open_warehouse()) == "out of a file"


# --- what Spark needs ----------------------------------------------------------------------------


def test_what_spark_needs_is_named_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def message() -> str:
        with pytest.raises(TaxiError) as raised:
            spark.check_requirements()
        return str(raised.value)

    with monkeypatch.context() as patched:
        patched.setattr(session.sys, "version_info", (3, 10, 4))
        assert message() == "TaxiSpark needs Python 3.11 or later, as pyspark does; this is 3.10"
    monkeypatch.setattr(session.sys, "version_info", (3, 11, 0))
    with monkeypatch.context() as patched:
        patched.setattr(session.importlib.util, "find_spec", lambda _: None)
        assert message() == "TaxiSpark needs pyspark: pip install luigi-tasks[spark]"
    monkeypatch.setattr(session.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert "there is none in PATH; install Java 17" in message()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert f"JAVA_HOME, {tmp_path}, has none" in message()
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    assert "is version 11; install Java 17 or later" in message()
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.5\" 2024-10-15' >&2\n")
    spark.check_requirements()


def test_a_master_that_does_not_answer_is_named_at_once() -> None:
    with pytest.raises(SystemicError, match=r"no master answers at .*: Connection refused"):
        session._check_master("spark://127.0.0.1:1")
    with pytest.raises(TaxiError, match="must be like spark://host:7077"):
        session._check_master("spark://127.0.0.1")


LOST = (
    "Job aborted due to stage failure: Task 1 in stage 0.0 failed 4 times, most recent failure: "
    "Lost task 1.3 in stage 0.0 (TID 9) (127.0.0.1 executor 7): {}\nDriver stacktrace:"
)


def test_a_month_that_kills_executors_is_given_up_and_other_errors_end_the_job() -> None:
    lost = RuntimeError(LOST.format("ExecutorLostFailure (executor 7 exited caused by one)"))
    result = months._given_up(lost, ["2024-01", "2024-02"])
    assert result["month"] == "2024-02"
    assert "its executor was lost 4 times" in result["error"]
    with pytest.raises(SystemicError, match="Spark has given up: Job aborted"):
        months._given_up(RuntimeError(LOST.format("java.io.IOException: no such file")), ["a", "b"])
    missing = LOST.format("ModuleNotFoundError: No module named 'luigi_tasks'")
    with pytest.raises(TaxiError, match="the executors' Python has no luigi_tasks"):
        months._given_up(RuntimeError(missing), ["a", "b"])
