"""Commands and what comes back of them; nothing of them stays behind."""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from luigi_tasks import runner
from luigi_tasks.errors import TaxiError


def run(code: str, folder: Path) -> dict[str, Any]:
    """Run Python code as a command."""
    return runner.run([sys.executable, "-c", code], folder)


def failure(code: str, folder: Path) -> str:
    with pytest.raises(TaxiError) as failed:
        run(code, folder)
    assert "\n" not in str(failed.value)
    return str(failed.value)


def assert_gone(pid: int) -> None:
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


def test_outputs_are_found_among_other_lines(tmp_path: Path) -> None:
    code = """if True:
        import sys
        print("before")
        print('::{"outputs": {"rows": 3, "names": ["a", "é"]}}::')
        print('  ::{"outputs": {"not": "at the beginning"}}:: ')
        print('::{"outputs": {"more": null, "rows": 4}}::', file=sys.stderr)
        print('::{"metrics": []}::')
        print("after", end="")
    """
    for _ in range(2):
        assert run(code, tmp_path) == {"rows": 4, "names": ["a", "é"], "more": None}


def test_a_command_without_outputs_has_none(tmp_path: Path) -> None:
    assert run("pass", tmp_path) == {}


@pytest.mark.parametrize(
    "line",
    [
        "::{broken}::",
        "::{}::",
        '::{"outputs": 5}::',
        '::{"outputs": null}::',
        '::{"outputs": ["a"]}::',
        '::{"outputs": {"a": 1}::',
        "::[]::",
        "::::",
        "::{::",
    ],
)
def test_a_line_that_only_looks_like_a_report_harms_nothing(tmp_path: Path, line: str) -> None:
    code = f"""print({line!r}); print('::{{"outputs": {{"rows": 3}}}}::')"""
    for _ in range(2):
        assert run(code, tmp_path) == {"rows": 3}


def test_other_lines_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "luigi-interface.runner")
    code = """print("100 %s of it"); print(); print('::{"outputs": {}}::')"""
    run(code, tmp_path)
    assert [record.getMessage() for record in caplog.records] == ["100 %s of it"]


def test_bytes_that_are_no_text_harm_nothing(tmp_path: Path) -> None:
    code = r"""import sys; sys.stdout.buffer.write(b'\xff\xfe\n::{"outputs": {"a": 1}}::\n')"""
    assert run(code, tmp_path) == {"a": 1}


def test_much_output_harms_nothing(tmp_path: Path) -> None:
    code = """print("x" * 5_000_000); print("y\\n" * 200_000); print('::{"outputs": {"a": 1}}::')"""
    assert run(code, tmp_path) == {"a": 1}


def test_it_runs_in_its_folder_and_reads_nothing(tmp_path: Path) -> None:
    code = """import json, os, sys
print("::" + json.dumps({"outputs": {"folder": os.getcwd(), "read": sys.stdin.read()}}) + "::")"""
    outputs = run(code, tmp_path)
    assert Path(outputs["folder"]).samefile(tmp_path)
    assert outputs["read"] == ""


# failures


def test_a_failure_shows_the_last_lines(tmp_path: Path) -> None:
    code = """import sys; print("a\\nb\\nc\\n\\nd"); sys.exit("e")"""
    for _ in range(2):
        told = failure(code, tmp_path)
        for shown in ("c", "d", "e"):
            assert shown in told.split("; ")
        assert "b" not in told.split("; ")


def test_a_silent_failure_shows_its_exit_code(tmp_path: Path) -> None:
    assert failure("raise SystemExit(3)", tmp_path).endswith("ended with exit code 3")


@pytest.mark.parametrize("said", ["", "print('working', flush=True); "])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV"])
def test_a_signal_is_named(tmp_path: Path, name: str, said: str) -> None:
    told = failure(f"{said}import os, signal; os.kill(os.getpid(), signal.{name})", tmp_path)
    assert name in told


@pytest.mark.parametrize("command", ["no-such-command", "/no/such/command", "."])
def test_what_cannot_be_started_is_named(tmp_path: Path, command: str) -> None:
    for _ in range(2):
        with pytest.raises(TaxiError, match="can't be started"):
            runner.run([command, "--flag"], tmp_path)


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TaxiError, match="can't be started"):
        runner.run([sys.executable, "-c", "pass"], tmp_path / "gone")


# nothing stays behind

WITH_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], {stdout})
print(child.pid, flush=True)
{then}
"""


def test_an_interruption_ends_the_command_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def interrupt(lines: Any) -> None:
        seen.append(int(next(iter(lines))))
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "_listen", interrupt)
    code = WITH_CHILD.format(stdout="", then="time.sleep(600)")
    with pytest.raises(KeyboardInterrupt):
        run(code, tmp_path)
    assert_gone(seen[0])
    assert not [each for each in psutil.Process(os.getpid()).children() if code in each.cmdline()]


@pytest.mark.parametrize("then", ["", "sys.exit(1)"])
def test_a_command_that_ends_takes_its_children_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, then: str
) -> None:
    caplog.set_level(logging.DEBUG, "luigi-interface.runner")
    quiet = "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"
    code = WITH_CHILD.format(stdout=quiet, then=then)
    if then:
        failure(code, tmp_path)
    else:
        run(code, tmp_path)
    assert_gone(int(caplog.records[0].getMessage()))
