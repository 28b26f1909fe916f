"""A command in a process: what it is given, what comes back, and that nothing of it stays."""

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import skip

from luigi_tasks import config, runner, sample
from luigi_tasks.errors import TaxiError
from luigi_tasks.runner import CommandError, Job, JobResult, process
from luigi_tasks.runner.reports import Reports

Settings = Callable[[str, str, str], None]
Servers = Callable[[], list[psutil.Process]]
LABEL = "green 2024-01"

#: Begins a script that reports by ``out(name=value)``.
REPORTING = """
import json, os, signal, sys, time
def out(**values):
    print("::" + json.dumps({"outputs": values}) + "::", flush=True)
"""


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "luigi-interface.runner")


@pytest.fixture(autouse=True)
def _no_job_hangs(settings: Settings) -> None:
    settings("runner", "time_limit", "60")
    settings("runner", "stop_grace", "1")


def job(code: str, **parts: Any) -> Job:
    """A job that runs Python code, unless ``parts`` has another command."""
    command = ["python", "-c", REPORTING + textwrap.dedent(code)]
    return Job(**{"task": "TaxiTransform", "month": LABEL, "command": command, **parts})


def run(code: str, folder: Path, **parts: Any) -> JobResult:
    return runner.run(job(code, **parts), folder, config.runner(), "process")


def failure(code: str, folder: Path, **parts: Any) -> TaxiError:
    """The error of a job that fails, whose message is one line."""
    with pytest.raises(TaxiError) as failed:
        run(code, folder, **parts)
    assert str(failed.value).isprintable()
    return failed.value


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Level and text of what a job said."""
    prefix = f"{LABEL}: "
    records = [each for each in caplog.records if each.name == "luigi-interface.runner"]
    assert all(each.getMessage().startswith(prefix) for each in records)
    return [(each.levelno, each.getMessage().removeprefix(prefix)) for each in records]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for _, text in logged(caplog)]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def assert_gone(*processes: psutil.Process) -> None:
    """That processes end within a moment."""
    for _ in range(200):
        if not any(map(is_there, processes)):
            return
        time.sleep(0.05)
    raise AssertionError(f"still there: {[each for each in processes if is_there(each)]}")


def is_there(found: psutil.Process) -> bool:
    try:
        return found.is_running() and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# files in


def test_inputs_are_there_by_their_names(tmp_path: Path) -> None:
    given = tmp_path / "source" / "original.csv"
    given.parent.mkdir()
    given.write_text("a,b\n")
    inputs = {"trips.csv": given, "note.txt": "é\n"}
    for _ in range(2):
        outputs = run(
            """
            out(names=sorted(os.listdir()))
            out(trips=open("trips.csv").read(), note=open("note.txt", encoding="utf-8").read())
            """,
            tmp_path,
            inputs=inputs,
        ).outputs
        assert outputs == {"names": ["note.txt", "trips.csv"], "trips": "a,b\n", "note": "é\n"}
        assert given.read_text() == "a,b\n"


def test_an_input_outlives_a_job_that_removes_it(tmp_path: Path) -> None:
    given = tmp_path / "trips.csv"
    given.write_text("a,b\n")
    code = """os.remove("trips.csv"); open("trips.csv", "w").write("mine")"""
    assert run(code, tmp_path, inputs={"trips.csv": given}, optional=["*"]).files == []
    assert given.read_text() == "a,b\n"


def test_an_input_is_never_an_output(tmp_path: Path) -> None:
    inputs = {"a.csv": tmp_path / "a", "b.csv": "b"}
    (tmp_path / "a").write_text("a")
    error = failure("pass", tmp_path, inputs=inputs, outputs=["*.csv"])
    assert "*.csv" in str(error)
    assert "no files" in str(error)
    made = run('open("c.csv", "w")', tmp_path, inputs=inputs, outputs=["*.csv"])
    assert made.files == [tmp_path / "c.csv"]


def test_a_text_is_a_program(tmp_path: Path) -> None:
    script = '#!/bin/sh\necho "::{\\"outputs\\": {\\"words\\": \\"$*\\"}}::"\n'
    inputs = {"tool.sh": script}
    for _ in range(2):
        made = run("", tmp_path, command=["./tool.sh", "a b", "$HOME", "*"], inputs=inputs)
        assert made.outputs == {"words": "a b $HOME *"}


# files out


def test_outputs_are_moved_to_the_folder_in_the_order_of_their_names(tmp_path: Path) -> None:
    code = """
        for name in ("b.csv", "a.csv", "other", "log.txt"):
            open(name, "w").write(name)
        out(**{name: os.stat(name).st_ino for name in ("b.csv", "a.csv", "log.txt")})
        """
    (tmp_path / "a.csv").write_text("of an earlier run")
    for _ in range(2):
        made = run(code, tmp_path, outputs=["*.csv"], optional=["log.*", "*.absent"])
        assert made.files == [tmp_path / name for name in ("a.csv", "b.csv", "log.txt")]
        assert [each.read_text() for each in made.files] == ["a.csv", "b.csv", "log.txt"]
        assert {each.name: each.stat().st_ino for each in made.files} == made.outputs
        assert names(tmp_path) == ["a.csv", "b.csv", "log.txt"]


@pytest.mark.parametrize(
    ("left", "told"), [([], "no files"), (["trips.csv", "A.PARQUET"], "A.PARQUET, trips.csv")]
)
def test_a_missing_output_is_named_and_what_there_is(
    tmp_path: Path, left: list[str], told: str
) -> None:
    code = f"for name in {left!r}: open(name, 'w')"
    for _ in range(2):
        error = failure(code, tmp_path, outputs=["*.parquet"], optional=["*.csv"])
        assert str(error) == f"python made no *.parquet; its folder has {told}"
        assert not isinstance(error, CommandError)
        assert names(tmp_path) == []


@pytest.mark.parametrize("name", [b"a\nb", b"\x1b[31m", b"\xff"])
def test_a_strange_file_name_makes_no_strange_message(tmp_path: Path, name: bytes) -> None:
    failure(f"open({name!r}, 'w')", tmp_path, outputs=["*.parquet"])
    failure(f"os.mkdir({name!r})", tmp_path, outputs=["*"])


NO_FILES = {
    "link": 'os.symlink("/etc/hostname", "b.csv")',
    "link to an input": 'os.symlink("input", "b.csv")',
    "link to nothing": 'os.symlink("nowhere", "b.csv")',
    "pipe": 'os.mkfifo("b.csv")',
    "folder": 'os.mkdir("b.csv")',
}


@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES)
def test_an_output_that_is_no_plain_file_is_refused(tmp_path: Path, make: str) -> None:
    for patterns in ({"outputs": ["*.csv"]}, {"optional": ["*.csv"]}):
        error = failure(make, tmp_path, inputs={"input": "a"}, **patterns)
        assert str(error) == "python made b.csv, which isn't a plain file"
        assert names(tmp_path) == []


def test_beside_a_refused_output_nothing_is_moved(tmp_path: Path) -> None:
    code = f'open("a.csv", "w"); {NO_FILES["folder"]}'
    failure(code, tmp_path, outputs=["*.csv"])
    assert names(tmp_path) == []


def test_a_failed_job_makes_no_files(tmp_path: Path) -> None:
    code = """open("a.csv", "w"); sys.exit(3)"""
    for _ in range(2):
        failure(code, tmp_path, outputs=["*.csv"])
        assert names(tmp_path) == []


# where it runs


def test_it_runs_in_an_empty_folder_of_its_own(tmp_path: Path) -> None:
    code = """out(folder=os.getcwd(), names=os.listdir(), mode=os.stat("..").st_mode)"""
    first, second = (run(code, tmp_path).outputs for _ in range(2))
    for seen in (first, second):
        assert Path(seen["folder"]).is_relative_to(tmp_path.resolve())
        assert seen["names"] == []
        assert seen["mode"] & 0o077 == 0
    assert first["folder"] != second["folder"]


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_its_folder_goes_with_all_that_is_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    code = f"""
        print(os.getcwd())
        os.makedirs("a/b"); open("a/b/c", "w"); os.chmod("a/b", 0o500)
        {ending}
        """
    if ending:
        failure(code, tmp_path)
    else:
        run(code, tmp_path)
    assert not Path(said(caplog)[0]).exists()
    assert names(tmp_path) == []


def test_its_standard_input_is_empty(tmp_path: Path) -> None:
    assert run("out(read=sys.stdin.read())", tmp_path).outputs == {"read": ""}


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    error = failure("pass", tmp_path / "gone")
    assert str(tmp_path / "gone") in str(error)


# its environment


def test_it_sees_none_of_the_secrets_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "LUIGI_TASKS_REGISTRY_PASSWORD", "OTHER"):
        monkeypatch.setenv(name, "a secret")
    passed = {"HOME": "/home", "LANG": "C.UTF-8", "TZ": "UTC", "PATH": os.environ["PATH"]}
    for name, value in passed.items():
        monkeypatch.setenv(name, value)
    settings("runner", "environment", '{"TOKEN": "of the runner", "TZ": "Asia/Tokyo", "B": "1"}')
    for _ in range(2):
        seen = run("out(**os.environ)", tmp_path, environment={"JOB": "é 'x'", "B": "2"}).outputs
        assert "a secret" not in seen.values()
        expected = {
            **passed,
            "TZ": "Asia/Tokyo",
            "TOKEN": "of the runner",
            "JOB": "é 'x'",
            "B": "2",
        }
        assert {name: seen.get(name) for name in expected} == expected


def test_names_in_its_environment_may_be_in_any_case(tmp_path: Path) -> None:
    environment = {"lower": "3", "A_1": "", "B__": "x"}
    seen = run("out(**os.environ)", tmp_path, environment=environment).outputs
    assert {name: seen.get(name) for name in environment} == environment


# what is run


def test_python_is_the_one_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert run("out(python=sys.executable)", tmp_path).outputs == {"python": sys.executable}


def test_a_program_is_found_in_the_path_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "tool"
    tool.write_text('#!/bin/sh\necho \'::{"outputs": {"ran": 1}}::\'\n')
    tool.chmod(0o755)
    path = {"PATH": f"{tool.parent}:{os.environ['PATH']}"}
    assert run("", tmp_path, command=["tool"], environment=path).outputs == {"ran": 1}
    assert run("", tmp_path, command=[str(tool)]).outputs == {"ran": 1}
    failure("", tmp_path, command=["tool"])


@pytest.mark.parametrize("name", ["no-such-program", "/no/such/program", ".", "/", ""])
def test_a_program_that_is_not_there_is_told_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for _ in range(2):
        error = failure("", tmp_path, command=[name, "--flag"], inputs={"a": "b"})
        assert str(error).startswith(f"{name} can't be started: ")
        assert not isinstance(error, CommandError)
        assert caplog.records == []
        assert names(tmp_path) == []


def test_an_input_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "./no-such-input" in str(failure("", tmp_path, command=["./no-such-input"]))


def test_a_command_line_that_is_too_long_is_told(tmp_path: Path) -> None:
    error = failure("", tmp_path, command=["python", "-c", "x" * 10_000_000])
    assert "can't be started" in str(error)
    assert names(tmp_path) == []


# how it ends


@pytest.mark.parametrize("code", [2, 3, 127, 255])
def test_an_exit_code_is_told(tmp_path: Path, code: int) -> None:
    for _ in range(2):
        error = failure(f"sys.exit({code})", tmp_path)
        assert isinstance(error, CommandError)
        assert error.exit_code == code
        assert str(error) == f"python ended with exit code {code}"


@pytest.mark.parametrize(("code", "told"), [(1, ""), (3, "python ended with exit code 3, after: ")])
def test_a_failure_shows_the_last_lines(tmp_path: Path, code: int, told: str) -> None:
    for stream in ("sys.stdout", "sys.stderr"):
        printed = f"""print("a\\nb\\nc\\x1b\\n\\n", "d", file={stream})"""
        error = failure(f"{printed}; sys.exit({code})", tmp_path)
        assert isinstance(error, CommandError)
        assert error.exit_code == code
        assert str(error) == f"{told}b; c\\x1b;  d"


def test_a_traceback_is_told_by_its_last_line(tmp_path: Path) -> None:
    told = str(failure("int('é')", tmp_path))
    assert told.endswith("ValueError: invalid literal for int() with base 10: 'é'")


def test_a_failure_after_a_long_line_is_told_in_short(tmp_path: Path) -> None:
    told = str(failure("sys.exit('x' * 5_000_000)", tmp_path))
    assert told.startswith("xxx")
    assert len(told) < 10_000


def test_a_failure_without_a_word_is_told(tmp_path: Path) -> None:
    assert str(failure("sys.exit(1)", tmp_path)) == "python ended with exit code 1"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGRTMIN"])
@pytest.mark.parametrize("before", ["", "working"])
def test_a_signal_is_named(tmp_path: Path, name: str, before: str) -> None:
    code = f"print({before!r}, flush=True); os.kill(os.getpid(), signal.{name})"
    error = failure(code, tmp_path)
    assert isinstance(error, CommandError)
    assert error.exit_code == -getattr(signal, name)
    assert str(error) == f"python was ended by {name}{before and ', after: '}{before}"


# lines and reports


def test_reports_of_both_streams_arrive(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    code = """
        count = {"name": "n", "type": "counter", "value": 2, "tags": {"é": 1}}
        for stream in (sys.stdout, sys.stderr):
            print("before", file=stream)
            print("::" + json.dumps({"outputs": {stream.name: "é"}}) + "::", file=stream)
            print("::" + json.dumps({"metrics": [count]}) + "::\\r", file=stream)
            log = {"level": "WARN", "message": "one\\ntwo"}
            print("::" + json.dumps({"logs": [log]}) + "::", file=stream)
            print("::{broken}::", file=stream)
            print("after\\r", file=stream)
            print('::{"outputs": {"last": 1}}::', end="", file=stream)
        """
    for _ in range(2):
        caplog.clear()
        made = run(code, tmp_path)
        assert made.outputs == {"<stdout>": "é", "<stderr>": "é", "last": 1}
        assert made.metrics == [{"name": "n", "type": "counter", "value": 4, "tags": {"é": 1}}]
        expected = [
            (logging.INFO, "before"),
            (logging.WARNING, "one"),
            (logging.WARNING, "two"),
            (logging.WARNING, "unreadable report: ::{broken}::"),
            (logging.INFO, "after"),
        ]
        assert sorted(logged(caplog)) == sorted(expected * 2)


def test_a_silent_job_reports_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        assert runner.run(job("pass"), tmp_path, config.runner()) == JobResult([], {}, [])
    assert caplog.records == []


def test_a_job_that_fails_has_said_what_it_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failure("print('working'); sys.exit(3)", tmp_path)
    assert said(caplog) == ["working"]


def test_many_lines_of_both_streams_are_all_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = """
        import threading
        def write(name, number):
            with open(number, "w", closefd=False, buffering=1) as stream:
                for start in range(0, 20000, 100):
                    for line in range(start, start + 100):
                        stream.write(f"{name} {line}\\n")
                    time.sleep(0.004)
        threads = [threading.Thread(target=write, args=each) for each in (("out", 1), ("err", 2))]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        out(done=True)
        """
    assert run(code, tmp_path).outputs == {"done": True}
    lines = said(caplog)
    for name in ("out", "err"):
        assert [each for each in lines if each.startswith(name)] == [
            f"{name} {number}" for number in range(20_000)
        ]
    assert len(lines) == 40_000


@pytest.mark.parametrize(
    ("length", "end"), [(65_536, "\n"), (65_536, "\r\n"), (5_000_000, "\n"), (5_000_000, "")]
)
def test_a_long_line_is_logged_wholly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, length: int, end: str
) -> None:
    code = f"""
        sys.stderr.write("x" * {length} + {end!r})
        out(a=1)
        """
    assert run(code, tmp_path).outputs == {"a": 1}
    assert "".join(said(caplog)) == "x" * length


def test_bytes_that_are_no_text_harm_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = r"""
        import random
        rubbish = bytes(range(256)) * 20 + random.Random(1).randbytes(200000)
        for stream in (sys.stdout, sys.stderr):
            report = b'::{"outputs": {"%s": "\xc3\xa9\xff"}}::' % stream.name.encode()
            stream.buffer.write(rubbish + b"\n" + report + b"\n" + rubbish)
        """
    assert run(code, tmp_path).outputs == {"<stdout>": "é\ufffd", "<stderr>": "é\ufffd"}
    assert caplog.records
    for each in said(caplog):
        assert not [c for c in each if c != "\t" and (ord(c) < 32 or 127 <= ord(c) < 160)]


def test_a_report_in_pieces_between_lines_of_the_other_stream_is_found(tmp_path: Path) -> None:
    code = """
        report = '::{"outputs": {"é": "😀"}}::\\n'.encode()
        for byte in report:
            os.write(1, bytes([byte]))
            os.write(2, b"between\\n::{")
        """
    for _ in range(2):
        assert run(code, tmp_path).outputs == {"é": "😀"}


def test_jobs_of_many_threads_dont_mix(tmp_path: Path) -> None:
    made: dict[int, JobResult] = {}

    def one(number: int) -> None:
        code = f"""open("a.csv", "w").write("{number}"); out(number={number})"""
        (tmp_path / str(number)).mkdir()
        made[number] = run(code, tmp_path / str(number), outputs=["*.csv"])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {number: each.outputs["number"] for number, each in made.items()} == {
        number: number for number in range(8)
    }
    assert all(each.files[0].read_text() == str(number) for number, each in made.items())


# the package of the protocol


WITH_KESTRA = """
from kestra import Kestra

Kestra.outputs({"rows": 3, "name": "é"})
for amount in (1, 2):
    Kestra.counter("rows", amount, {"type": "green"})
    Kestra.timer("took", 1.5)
    Kestra.gauge("level", amount)
Kestra.timer("a call", lambda: None)
logger = Kestra.logger()
logger.debug("in detail")
logger.info("begun")
logger.warning("odd")
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("failed")
logger.error("two\\nlines")
"""


def test_a_script_that_uses_kestra_runs_unchanged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = {"flow.py": WITH_KESTRA}
    made = run("", tmp_path, command=["python", "flow.py"], inputs=inputs)
    assert made.outputs == {"rows": 3, "name": "é"}
    *others, call = made.metrics
    assert others == [
        {"name": "rows", "type": "counter", "value": 3, "tags": {"type": "green"}},
        {"name": "took", "type": "timer", "value": 3.0, "tags": {}},
        {"name": "level", "type": "gauge", "value": 2, "tags": {}},
    ]
    assert (call["name"], call["type"]) == ("a call", "timer")
    by_level: dict[int, list[str]] = {}
    for level, text in logged(caplog):
        by_level.setdefault(level, []).append(text.rpartition(" - ")[2])
    assert by_level[logging.DEBUG] == ["in detail"]
    assert by_level[logging.INFO] == ["begun"]
    assert by_level[logging.WARNING] == ["odd"]
    errors = by_level[logging.ERROR]
    assert errors[:2] == ["failed", "Traceback (most recent call last):"]
    assert errors[-3:] == ["ZeroDivisionError: division by zero", "two", "lines"]


# nothing of it goes on


#: Starts a child that ignores SIGTERM, then writes its own and the child's process id to a file.
FAMILY = """
import subprocess
child = subprocess.Popen(
    [sys.executable, "-c", '''if True:
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        time.sleep(600)
    '''],
    stdout=subprocess.PIPE,
)
child.stdout.readline()
with open(os.environ["PIDS"] + ".new", "w") as file:
    json.dump([os.getpid(), child.pid], file)
os.rename(file.name, os.environ["PIDS"])
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[[], list[psutil.Process]]]:
    """Waits for a job's processes to be there; ends them after the test."""
    found: list[psutil.Process] = []

    def wait() -> list[psutil.Process]:
        for _ in range(600):
            if (tmp_path / "pids").exists():
                pids = json.loads((tmp_path / "pids").read_text())
                found.extend(psutil.Process(pid) for pid in pids if psutil.pid_exists(pid))
                return found
            time.sleep(0.05)
        raise AssertionError("the job hasn't begun")

    yield wait
    for each in filter(is_there, found):
        each.kill()


STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.mark.parametrize("leader", [STUBBORN, ""], ids=["stubborn", "obedient"])
def test_a_timeout_ends_the_whole_group(
    tmp_path: Path, settings: Settings, family: Callable[[], list[psutil.Process]], leader: str
) -> None:
    settings("runner", "time_limit", "2.5")
    settings("runner", "stop_grace", "0.5")
    code = f"{FAMILY}\n{leader}\ntime.sleep(600)"
    (tmp_path / "work").mkdir()
    watched: list[psutil.Process] = []
    watching = threading.Thread(target=lambda: watched.extend(family()))
    watching.start()
    error = failure(code, tmp_path / "work", environment={"PIDS": str(tmp_path / "pids")})
    watching.join()
    assert str(error) == "python was stopped after 2.5 s, [runner] time_limit"
    assert not isinstance(error, CommandError)
    assert len(watched) == 2
    assert_gone(*watched)
    assert names(tmp_path / "work") == []


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_can_tidy_up_before_it_is_stopped(
    tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    settings("runner", "time_limit", "1")
    settings("runner", "stop_grace", "60")
    tidy = f"trap 'sleep 0.5; echo tidied; echo done > \"$FILE\"; exit {code}' TERM"
    script = f"#!/bin/sh\n{tidy}\necho begun\nwhile :; do sleep 0.1; done\n"
    (tmp_path / "work").mkdir()
    error = failure(
        "",
        tmp_path / "work",
        command=["./script"],
        inputs={"script": script},
        environment={"FILE": str(tmp_path / "file")},
    )
    assert str(error) == "./script was stopped after 1 s, [runner] time_limit"
    assert [each for each in said(caplog) if each != "Terminated"] == ["begun", "tidied"]
    assert (tmp_path / "file").read_text() == "done\n"


def test_without_a_time_limit_it_ends_when_it_ends(tmp_path: Path, settings: Settings) -> None:
    settings("runner", "time_limit", "0")
    assert run("time.sleep(0.2); out(a=1)", tmp_path).outputs == {"a": 1}


@pytest.mark.parametrize("ending", ["", "sys.exit(3)"])
@pytest.mark.parametrize("stream", ["None", "subprocess.DEVNULL"], ids=["open", "closed"])
def test_a_job_that_ends_takes_its_children_along(
    tmp_path: Path, family: Callable[[], list[psutil.Process]], ending: str, stream: str
) -> None:
    code = f"""{FAMILY}
subprocess.Popen(["sleep", "600"], stdout={stream}, stderr={stream})
out(before="end")
{ending}
"""
    code = code.replace("stdout=subprocess.PIPE,", f"stdout=subprocess.PIPE, stderr={stream},")
    parts = {"environment": {"PIDS": str(tmp_path / "pids")}}
    (tmp_path / "work").mkdir()
    if ending:
        failure(code, tmp_path / "work", **parts)
    else:
        assert run(code, tmp_path / "work", **parts).outputs == {"before": "end"}
    assert_gone(*family())


def test_a_process_of_a_group_of_its_own_goes_as_well(tmp_path: Path) -> None:
    code = """
        import subprocess
        null = subprocess.DEVNULL
        sleep = ["sleep", "600"]
        # as the program "timeout" does
        left = subprocess.Popen(sleep, preexec_fn=os.setpgrp, stdout=null, stderr=null)
        out(left=left.pid)
        """
    pid = run(code, tmp_path).outputs["left"]
    if psutil.pid_exists(pid):
        left = psutil.Process(pid)
        try:
            assert_gone(left)
        finally:
            left.kill()


def test_a_process_that_left_the_session_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LAST_OUTPUT", 0.5)
    code = """
        import subprocess
        left = subprocess.Popen(["sleep", "600"], start_new_session=True)
        out(left=left.pid)
        """
    left = psutil.Process(run(code, tmp_path).outputs["left"])
    assert is_there(left)
    left.kill()
    assert_gone(left)


def test_the_last_output_is_read_however_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LAST_OUTPUT", 0.2)
    add_line = Reports.add_line

    def slowly(self: Reports, line: str, **names: Any) -> None:
        time.sleep(0.05)
        add_line(self, line, **names)

    monkeypatch.setattr(Reports, "add_line", slowly)
    assert run("print('\\n' * 20); out(done=True)", tmp_path).outputs == {"done": True}


def test_a_process_that_writes_without_an_end_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_MOST_LAST_LINES", 100)
    code = """
        import subprocess
        left = subprocess.Popen(["yes"], start_new_session=True)
        out(left=left.pid)
        """
    left = psutil.Process(run(code, tmp_path).outputs["left"])
    left.kill()
    assert_gone(left)


def test_the_watch_is_no_child_that_the_job_can_see(tmp_path: Path) -> None:
    code = """
        try:
            os.wait()
        except ChildProcessError:
            out(children=0)
        """
    for _ in range(2):
        assert run(code, tmp_path).outputs == {"children": 0}


def test_many_runs_leave_nothing_behind(tmp_path: Path) -> None:
    def held() -> tuple[int, int, list[psutil.Process]]:
        here = psutil.Process()
        return here.num_fds(), threading.active_count(), here.children(recursive=True)

    def both() -> None:
        run("", tmp_path, command=["true", str(tmp_path)])
        failure("", tmp_path, command=["false", str(tmp_path)])
        failure("", tmp_path, command=["no-such-program"])

    both()
    before = held()
    for _ in range(30):
        both()
    assert held() == before
    assert names(tmp_path) == []
    started = [
        p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in (p.info["cmdline"] or [])
    ]
    assert_gone(*started)


# its memory


MODULE = ["python", "-m", "luigi_tasks.transform"]

limited = pytest.mark.skipif(sys.platform != "linux", reason="no other system has such a limit")

GREEDY = {
    "one value": "x = bytearray(1 << 30)",
    "many values": "x = [bytearray(1 << 20) for _ in range(1000)]",
    "a program of its own": (
        "import subprocess; "
        'sys.exit(subprocess.call([sys.executable, "-c", "x = bytearray(1 << 30)"]))'
    ),
    "an array": "import numpy; numpy.zeros(1 << 28)",
    "an Arrow array": "import pyarrow as pa; pa.array([1000 * 'x']).take(pa.array([0] * 10**6))",
    "threads": """
import threading
threading.stack_size(64 << 20)
for _ in range(100):
    threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
""",
}


@limited
@pytest.mark.parametrize("code", GREEDY.values(), ids=GREEDY)
def test_a_job_that_takes_too_much_memory_is_one_line(
    tmp_path: Path, settings: Settings, code: str
) -> None:
    settings("runner", "memory", "400M")
    error = failure(f"{code}\nopen('made', 'w')", tmp_path, optional=["*"])
    assert str(error) == "python ran out of memory: its limit is 400M, [runner] memory"
    assert not isinstance(error, CommandError)
    assert names(tmp_path) == []


@limited
@pytest.mark.parametrize(
    ("memory", "limit"), [("300m", 300 << 20), ("1G", 1 << 30), ("2097152k", 2 << 30), ("", -1)]
)
def test_a_job_has_the_limit_of_the_settings_and_leaves_no_core(
    tmp_path: Path, settings: Settings, memory: str, limit: int
) -> None:
    settings("runner", "memory", memory)
    code = (
        "import resource as r; out(limits=[r.getrlimit(r.RLIMIT_DATA), r.getrlimit(r.RLIMIT_CORE)])"
    )
    for _ in range(2):
        assert run(code, tmp_path).outputs == {"limits": [[limit, limit], [0, 0]]}


@limited
def test_memory_that_is_reserved_and_not_written_to_does_not_count(
    tmp_path: Path, settings: Settings
) -> None:
    settings("runner", "memory", "300m")
    run("import mmap; mmap.mmap(-1, 8 << 30, mmap.MAP_PRIVATE, prot=mmap.PROT_READ)", tmp_path)


@limited
@pytest.mark.parametrize("memory", ["1", "100k", "2m"])
def test_a_limit_that_is_too_low_for_anything_is_one_line(
    tmp_path: Path, settings: Settings, memory: str
) -> None:
    settings("runner", "memory", memory)
    failure("out(a=1)", tmp_path)


def write_swelling(file: Path, rows: int) -> None:
    """A parquet file of some KB with a text of 1 MB in each row."""
    sample.write_month(file, "green", date(2024, 1, 1), rows=rows)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array(["x" * 1_000_000]))
    table = pq.read_table(file).append_column("note", texts)
    pq.write_table(table, file, compression="zstd", store_schema=False)


@limited
def test_each_transform_has_the_limit(tmp_path: Path, settings: Settings, servers: Servers) -> None:
    settings("runner", "memory", "500m")
    raw = tmp_path / "raw"
    write_swelling(raw, 1_000)
    assert raw.stat().st_size < 200_000
    for _ in range(3):
        error = failure(
            "",
            tmp_path,
            command=[*MODULE, "--taxi-type=green", "--trips=trips", "--rejects=rejects", "raw"],
            inputs={"raw": raw},
        )
        assert str(error) == "python ran out of memory: its limit is 500m, [runner] memory"
    [before] = servers()
    settings("runner", "memory", "600m")
    run("", tmp_path, command=[*MODULE, "--help"])
    assert_gone(before)


# a Python that forks for the jobs of a module


def command_line(found: psutil.Process) -> str:
    """It is empty for a moment, while the process becomes another program."""
    for _ in range(200):
        if words := found.cmdline():
            return " ".join(words)
        time.sleep(0.01)
    return ""


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Those of this process at present."""
    if sys.platform != "linux":
        skip("only Linux lets a fork use what was imported before it")

    def found() -> list[psutil.Process]:
        children = psutil.Process().children()
        return [p for p in children if is_there(p) and "fork_server" in command_line(p)]

    process._close_servers()
    yield found
    process._close_servers()
    assert found() == []


def test_jobs_of_a_module_are_forks_of_one_python(
    tmp_path: Path, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    texts, used = [], set()
    for _ in range(3):
        caplog.clear()
        run("", tmp_path, command=[*MODULE, "--help"])
        texts.append(said(caplog))
        used.update(servers())
    assert len(used) == 1
    assert texts[0][0].startswith("usage: python -m luigi_tasks.transform")
    assert texts == texts[:1] * 3


def test_a_job_that_was_prepared_for_finds_its_python_there(
    tmp_path: Path, servers: Servers
) -> None:
    module = job("", command=[*MODULE, "--help"])
    runner.prepare(module, config.runner())
    prepared = servers()
    assert len(prepared) == 1
    runner.prepare(job(""), config.runner())
    runner.prepare(module, config.runner())
    runner.run(module, tmp_path, config.runner())
    assert servers() == prepared


def test_a_fork_is_like_a_command(
    tmp_path: Path,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its folder, its files, its exit code and its message."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    command = [*MODULE, "--taxi-type=green", "--trips=trips", "--rejects=rejects", "raw"]

    def error() -> str:
        inputs = {"raw": "PAR1, but no parquet"}
        return str(failure("", Path("work"), command=command, inputs=inputs))

    def usage() -> str:
        caplog.clear()
        return str(failure("", Path("work"), command=[*MODULE, "--no-such-option"]))

    forked = error(), usage()
    assert servers()
    assert "raw can't be read: " in forked[0]
    assert "ended with exit code 2" in forked[1]
    monkeypatch.setattr(process, "_HAS_FORKS", False)
    process._close_servers()
    assert (error(), usage()) == forked
    assert servers() == []


def test_a_fork_has_a_session_of_its_own(tmp_path: Path, servers: Servers) -> None:
    """So a signal to its group, or a kill of its session, hits nobody else."""
    os.mkfifo(tmp_path / "pipe")
    command = [*MODULE, "--taxi-type=green", "--trips=-", "--rejects=rejects", "raw"]
    started = job("", command=command, inputs={"raw": tmp_path / "pipe"})
    with runner.stream(started, tmp_path, config.runner()) as at_work:
        [server] = servers()
        [keeper] = server.children()
        [forked] = keeper.children()
        assert os.getsid(forked.pid) == os.getpgid(forked.pid) == forked.pid
        assert len({os.getsid(each.pid) for each in (server, keeper, forked)}) == 3
        at_work.stop()
    assert_gone(keeper, forked)
    assert servers() == [server]


def test_a_server_is_not_used_with_another_environment(
    tmp_path: Path, servers: Servers, settings: Settings
) -> None:
    run("", tmp_path, command=[*MODULE, "--help"])
    [before] = servers()
    settings("runner", "environment", '{"COLUMNS": "50"}')
    run("", tmp_path, command=[*MODULE, "--help"])
    assert_gone(before)
    assert len(servers()) == 1


def test_a_server_may_be_killed(
    tmp_path: Path, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        run("", tmp_path, command=[*MODULE, "--help"])
        for server in servers():
            server.kill()
            assert_gone(server)
    caplog.clear()
    run("", tmp_path, command=[*MODULE, "--help"])
    assert said(caplog)


def test_a_server_is_ended_without_a_thread(
    tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None can be started any more when Python 3.12 ends."""
    run("", tmp_path, command=[*MODULE, "--help"])
    assert servers()
    with monkeypatch.context() as patch:
        patch.delattr("threading.Thread.start")
        process._close_servers()
    assert servers() == []


def test_forks_of_a_run_share_its_server(tmp_path: Path, servers: Servers) -> None:
    """Luigi's tasks are processes of their own where it has several workers."""
    module = job("", command=[*MODULE, "--help"])
    runner.prepare(module, config.runner())
    before = servers()
    ended = []
    for _ in range(3):
        number = os.fork()
        ended.append(number)
        if not number:
            code = 1
            try:
                runner.run(module, tmp_path, config.runner(), "process")
                code = len(servers())  # it has none of its own
            finally:
                os._exit(code)
    assert [os.waitpid(number, 0)[1] for number in ended] == [0, 0, 0]
    assert servers() == before


def test_a_script_is_not_forked(tmp_path: Path, servers: Servers) -> None:
    run("", tmp_path, command=["python", "-m", "json.tool", "--help"])
    run("", tmp_path)
    assert servers() == []


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_a_server_and_its_forks_end_with_the_process_that_asked(
    tmp_path: Path, servers: Servers, number: signal.Signals | None
) -> None:
    os.mkfifo(tmp_path / "pipe")
    code = """
import sys, threading
from pathlib import Path
from luigi_tasks import config, runner
from luigi_tasks.runner import Job
folder = Path(sys.argv[1])
command = [*sys.argv[2:], "--taxi-type=green", "--trips=-", "--rejects=rejects", "raw"]
job = Job("TaxiTransform", "green 2024-01", command, inputs={"raw": folder / "pipe"})
with runner.stream(job, folder, config.runner()):
    print("ready", flush=True)
    sys.stdin.read()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), *MODULE], stdin=pipe, stdout=pipe, text=True
    ) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
        [server] = psutil.Process(worker.pid).children()
        others = server.children(recursive=True)
        assert len(others) == 2
        if number:
            worker.send_signal(number)
        worker.communicate(timeout=60)
    assert worker.returncode == -(number or 0)
    assert_gone(server, *others)


# the process that runs it


WORKER = """
import signal, sys, threading
from pathlib import Path
from luigi.configuration import get_config
from luigi_tasks import config, runner
from luigi_tasks.runner import Job

folder, code, pids, where = sys.argv[1:]
# whatever nohup or a shell's "&" has set
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
get_config().set("runner", "stop_grace", "0.5")
job = Job("TaxiTransform", "green 2024-01", ["python", "-c", code], environment={"PIDS": pids})
words = job, Path(folder), config.runner(), "process"
if where == "thread":
    thread = threading.Thread(target=runner.run, args=words)
    thread.start()
    thread.join()
else:
    runner.run(*words)
"""


@pytest.mark.parametrize(
    ("number", "where"),
    [
        (signal.SIGTERM, "main"),
        (signal.SIGTERM, "thread"),
        (signal.SIGHUP, "main"),
        (signal.SIGINT, "main"),
        (signal.SIGKILL, "main"),
        (signal.SIGKILL, "thread"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_job_ends_with_the_process_that_runs_it(
    tmp_path: Path, family: Callable[[], list[psutil.Process]], number: signal.Signals, where: str
) -> None:
    (tmp_path / "work").mkdir()
    code = f"{REPORTING}\n{FAMILY}\ntime.sleep(600)"
    words = [str(tmp_path / "work"), code, str(tmp_path / "pids"), where]
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, *words], stderr=subprocess.PIPE, text=True
    ) as worker:
        try:
            processes = family()
            assert len(processes) == 2
            assert all(map(is_there, processes))
            worker.send_signal(number)
            _, printed = worker.communicate(timeout=60)
        finally:
            worker.kill()
    assert worker.returncode == -number
    assert_gone(*processes)
    if number != signal.SIGINT:
        assert "Traceback" not in printed
    if number != signal.SIGKILL and where == "main":
        assert names(tmp_path / "work") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_handled_or_ignored_already_stays_so(
    tmp_path: Path, number: signal.Signals
) -> None:
    caught: list[int] = []

    def catch(caught_number: int, _: Any) -> None:
        caught.append(caught_number)

    before = signal.getsignal(number)
    code = f"os.kill(os.getppid(), {int(number)}); time.sleep(0.2); out(a=1)"
    try:
        for handler in (signal.SIG_IGN, catch):
            signal.signal(number, handler)
            assert run(code, tmp_path).outputs == {"a": 1}
            assert signal.getsignal(number) is handler
        assert caught == [number]
        signal.signal(number, signal.SIG_DFL)
        run("pass", tmp_path)
        failure("sys.exit(1)", tmp_path)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


# a stream


def test_a_stream_is_read_while_its_job_runs(tmp_path: Path) -> None:
    code = """
    os.write(1, b"first")
    while not os.path.exists("go on"):
        time.sleep(0.01)
    os.write(1, b"last")
    open("note", "w").close()
    print('::{"outputs": {"rows": 2}}::', file=sys.stderr)
    """
    for _ in range(2):
        (tmp_path / "note").unlink(missing_ok=True)
        with runner.stream(job(code, outputs=["note"]), tmp_path, config.runner()) as streaming:
            assert streaming.output.read(5) == b"first"
            [folder] = tmp_path.glob("job-*/work")
            (folder / "go on").touch()
            assert streaming.output.read() == b"last"
            assert streaming.result() == JobResult([tmp_path / "note"], {"rows": 2}, [])
        assert names(tmp_path) == ["note"]


def test_a_stream_of_a_job_that_fails_ends_and_says_why(tmp_path: Path) -> None:
    code = "os.write(1, b'some'); sys.exit('no more')"
    with runner.stream(job(code), tmp_path, config.runner()) as streaming:
        assert streaming.output.read() == b"some"
        with pytest.raises(CommandError, match="no more"):
            streaming.result()


def test_a_stream_beyond_its_time_ends_for_its_reader(tmp_path: Path, settings: Settings) -> None:
    settings("runner", "time_limit", "0.5")
    with runner.stream(job("time.sleep(600)"), tmp_path, config.runner()) as streaming:
        assert streaming.output.read() == b""
        with pytest.raises(TaxiError, match=r"was stopped after 0.5 s, \[runner\] time_limit"):
            streaming.result()


@pytest.mark.parametrize("ends", ["by its reader's error", "since it is stopped"])
def test_no_streaming_job_is_left(tmp_path: Path, ends: str) -> None:
    def read() -> None:
        with runner.stream(job("out(); time.sleep(600)"), tmp_path, config.runner()) as streaming:
            assert streaming.output.readline() == b'::{"outputs": {}}::\n'
            processes.extend(
                each
                for each in psutil.Process().children(recursive=True)
                if "time.sleep(600)" in " ".join(each.cmdline())
            )
            if ends == "since it is stopped":
                stopping = threading.Thread(target=streaming.stop)
                stopping.start()
                assert streaming.output.read() == b""
                stopping.join()
            raise ZeroDivisionError

    processes: list[psutil.Process] = []
    with pytest.raises(ZeroDivisionError):
        read()
    assert processes
    assert_gone(*processes)
