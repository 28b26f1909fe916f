"""Jobs in containers of a real Docker engine: what they see, make and leave behind."""

import hashlib
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Database, Luigi, embedded_database, folder_url, skip
from engines import (  # noqa: F401  (the fixtures)
    BASE,
    Engine,
    Scripts,
    fixture_engine,
    fixture_files,
    fixture_on_remote,
    fixture_own_image,
    fixture_remote,
    fixture_script,
    fixture_task,
    free_port,
)

from luigi_tasks import config, runner
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.runner import Job
from luigi_tasks.runner.docker import container
from luigi_tasks.runner.docker import engine as the_engine
from luigi_tasks.source import Edition
from luigi_tasks.storage import MonthFiles
from luigi_tasks.tasks.transform_job import TransformJob

pytestmark = pytest.mark.slow

Set = Callable[[str, str, str], None]

# --- what a job sees ----------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_it_reaches_a_network_only_if_it_is_set(
    script: Scripts, engine: Engine, settings: Set, network: str
) -> None:
    settings("runner", "network", network)
    code = """
        import socket
        address = os.environ["SERVER"].split(":")
        try:
            socket.create_connection((address[0], int(address[1])), timeout=5).close()
            told = "connected"
        except OSError as error:
            told = error.strerror
        routes = open("/proc/net/route").read().splitlines()[1:]
        report(interfaces=sorted(os.listdir("/sys/class/net")), routes=len(routes), told=told)
    """
    with socket.create_server((engine.address(), 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        seen = script(code, environment={"SERVER": address}).outputs
    if network == "none":
        assert seen == {"interfaces": ["lo"], "routes": 0, "told": "Network is unreachable"}
    else:
        assert seen["told"] == "connected"


RIGHTS = """
    status = dict(line.split(":\\t") for line in open("/proc/self/status") if ":\\t" in line)
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    report(
        user=[os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
        groups=[group for group in os.getgroups() if group != os.getgid()],
        capabilities={int(status[name], 16) for name in names} == {0},
        no_new_privileges=int(status["NoNewPrivs"]),
        first=open("/proc/1/cmdline").read().split("\\0")[0],
    )
"""


def test_it_has_no_rights(script: Scripts, files: str) -> None:
    seen = script(RIGHTS).outputs
    user, group = (os.getuid(), os.getgid()) if os.getuid() else (65534, 65534)
    assert seen["user"] == [user, user, group, group]
    assert seen["groups"] == []
    assert seen["capabilities"] is True
    assert seen["no_new_privileges"] == 1
    assert seen["first"].endswith("init")


def test_its_user_and_rights_can_be_set(script: Scripts, settings: Set, files: str) -> None:
    settings("runner", "user", "1234:2345")
    settings("runner", "no_new_privileges", "false")
    seen = script(RIGHTS).outputs
    assert seen["user"] == [1234, 1234, 2345, 2345]
    assert seen["no_new_privileges"] == 0
    settings("runner", "user", "root")
    settings("runner", "cap_drop", "[]")
    seen = script(RIGHTS).outputs
    assert seen["user"] == [0, 0, 0, 0]
    assert seen["capabilities"] is False


WRITES = """
    written = []
    for folder, _, _ in os.walk("/"):
        if folder.startswith(("/proc/", "/sys/")):
            continue
        path = os.path.join(folder, "written")
        try:
            open(path, "w").close()
        except OSError:
            continue
        os.remove(path)
        written.append(folder)
    report(written=written)
"""


def test_it_can_write_only_in_its_folder_and_in_memory(
    script: Scripts, settings: Set, files: str
) -> None:
    written = script(WRITES).outputs["written"]
    # /dev/shm and /dev/mqueue are memory of the container's own, as /tmp is
    assert set(written) - {"/dev/shm", "/dev/mqueue"} == {"/tmp", "/job/work"}
    settings("runner", "read_only", "false")
    assert "/var/tmp" in script(WRITES).outputs["written"]


def test_its_tmp_is_as_large_as_set(script: Scripts, settings: Set) -> None:
    settings("runner", "tmpfs", "1m")
    code = """
        import errno
        with open("/tmp/much", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError as error:
                report(error=errno.errorcode[error.errno], written=file.tell())
    """
    assert script(code).outputs == {"error": "ENOSPC", "written": 1 << 20}


def test_it_sees_none_of_the_secrets_here(
    script: Scripts, settings: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGPASSWORD", "HTTP_PROXY", "https_proxy", "LUIGI_TASKS_REGISTRY_PASSWORD"):
        monkeypatch.setenv(name, "a-secret")
    settings("runner", "environment", '{"TOKEN": "given", "TAXI_TYPE": "set"}')
    for _ in range(2):
        seen = script("report(**os.environ)", environment={"TAXI_TYPE": "green"}).outputs
        assert "a-secret" not in seen.values()
        own = {"PATH", "HOME", "HOSTNAME", "LANG", "LD_LIBRARY_PATH", "PYTHONUNBUFFERED"}
        own |= {name for name in seen if name.startswith(("PYTHON", "GPG"))}  # of the base image
        assert {name: seen[name] for name in seen.keys() - own} == {
            "TOKEN": "given",
            "TAXI_TYPE": "green",
        }


def test_volumes_are_there_if_they_are_set(
    script: Scripts, settings: Set, files: str, tmp_path: Path
) -> None:
    code = """
        told = {}
        for folder in ("/given", "/given-to-read"):
            try:
                told[folder] = open(folder + "/here").read()
                open(folder + "/written", "w").close()
            except OSError as error:
                told[folder] = told.get(folder, "") + error.strerror
        report(**told)
    """
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
        (tmp_path / name / "here").write_text(f"{name} ")
    missing = "No such file or directory"
    assert script(code).outputs == {"/given": missing, "/given-to-read": missing}
    volumes = f'["{tmp_path}/one:/given", "{tmp_path}/two:/given-to-read:ro"]'
    settings("runner", "volumes", volumes)
    expected = {"/given": "one ", "/given-to-read": "two Read-only file system"}
    for _ in range(2):
        assert script(code).outputs == expected
    assert (tmp_path / "one" / "written").is_file()
    assert not (tmp_path / "two" / "written").exists()


# --- limits -------------------------------------------------------------------------------------

ALLOCATE = "much = [bytearray(b'x' * (1 << 20)) for _ in range(200)]"
IN_A_CHILD = f"""
    import subprocess
    ended = subprocess.run([sys.executable, "-c", {ALLOCATE!r}])
    sys.exit(ended.returncode != 0)
"""


@pytest.mark.parametrize("code", [ALLOCATE, IN_A_CHILD], ids=["itself", "a_child"])
def test_too_much_memory_ends_it_and_is_told(script: Scripts, settings: Set, code: str) -> None:
    settings("runner", "memory", "64m")
    for _ in range(2):
        told = script.failure(code)
        assert told == "python ran out of memory: its limit is 64m, [runner] memory"
    settings("runner", "memory", "400m")
    script(code)


def test_no_more_processes_than_set_can_be_started(script: Scripts, settings: Set) -> None:
    code = """
        import errno
        children = 0
        try:
            for _ in range(60):
                if not os.fork():
                    time.sleep(600)
                children += 1
        except OSError as error:
            report(error=errno.errorcode[error.errno])
        report(children=children)
    """
    settings("runner", "pids", "20")
    # init and the script are two of them
    assert script(code).outputs == {"error": "EAGAIN", "children": 18}
    settings("runner", "pids", "0")
    assert script(code).outputs == {"children": 60}


def test_the_engine_is_given_all_limits(script: Scripts, engine: Engine, settings: Set) -> None:
    for key, value in {"cpus": "1.5", "pids": "33", "memory": "64m", "keep_failed": "true"}.items():
        settings("runner", key, value)
    code = """
        try:
            quota, period = open("/sys/fs/cgroup/cpu.max").read().split()
        except FileNotFoundError:
            folder = "/sys/fs/cgroup/cpu/cpu.cfs_"
            quota, period = (open(folder + n + "_us").read() for n in ("quota", "period"))
        sys.exit(f"{int(quota) / int(period)} processors")
    """
    assert script.failure(code) == "1.5 processors"
    [kept] = script.left()
    host = engine.client.inspect_container(kept)["HostConfig"]
    assert host["NanoCpus"] == 1_500_000_000
    assert host["PidsLimit"] == 33
    assert host["Memory"] == host["MemorySwap"] == 64 << 20
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["NetworkMode"] == "none"


@pytest.mark.parametrize("grace", ["60", "1"])
def test_a_time_limit_stops_it_and_is_told(
    script: Scripts,
    settings: Set,
    files: str,
    grace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface.runner")
    limit = "1.5" if grace == "60" else "5"  # the deaf one has to get to its handler
    settings("runner", "time_limit", limit)
    settings("runner", "stop_grace", grace)
    deaf = """
        import signal
        signal.signal(signal.SIGTERM, lambda *_: print("going on"))
        while True:
            time.sleep(1)
    """
    told = script.failure("time.sleep(600)" if grace == "60" else deaf)
    assert told == f"python was stopped after {limit} s, [runner] time_limit"
    assert script.left() == []
    if grace == "1":
        assert "going on" in caplog.text


def test_a_time_limit_holds_for_one_that_closed_its_output(script: Scripts, settings: Set) -> None:
    settings("runner", "time_limit", "1.5")
    told = script.failure("os.close(1); os.close(2); time.sleep(600)")
    assert told == "python was stopped after 1.5 s, [runner] time_limit"


@pytest.mark.parametrize("where", ["local", "remote"])
def test_a_job_may_be_silent_for_longer_than_the_engine_may(
    script: Scripts,
    settings: Set,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    if where == "remote":
        request.getfixturevalue("on_remote")
    monkeypatch.setattr(the_engine, "TIMEOUT", 2)
    assert script("time.sleep(4); report(at_last=True)").outputs == {"at_last": True}
    if where == "remote":
        code = "os.close(1); os.close(2); time.sleep(4); open('made', 'w')"
        assert len(script(code, outputs=["made"]).files) == 1


# --- files --------------------------------------------------------------------------------------


def test_inputs_can_be_read_by_name_and_not_be_written(
    script: Scripts, files: str, tmp_path: Path
) -> None:
    (tmp_path / "given.csv").write_text("of a path")
    (tmp_path / "link.csv").symlink_to("given.csv")
    code = """
        told = {}
        for name in ("given.csv", "link.csv"):
            told[name] = open(name).read()
            for path in (name, os.path.realpath(name)):
                try:
                    open(path, "a")
                    told[name] += ", written"
                except OSError:
                    pass
        report(**told, text=open("text.txt").read(), runs=os.access("script.py", os.X_OK))
    """
    inputs = {name: tmp_path / name for name in ("given.csv", "link.csv")}
    for _ in range(2):
        seen = script(code, inputs={**inputs, "text.txt": "of a text, é"}).outputs
        assert seen == {
            "given.csv": "of a path",
            "link.csv": "of a path",
            "text.txt"[:4]: "of a text, é",
            "runs": True,
        }
    assert (tmp_path / "given.csv").read_text() == "of a path"


def test_outputs_come_back_and_are_ours(script: Scripts, files: str) -> None:
    code = """
        for name in ("b.out", "a.out", "é ü.out", "maybe.txt", "other.bin", "A.OUT"):
            open(name, "w").write(name)
        os.mkdir("folder")
        open("folder/c.out", "w").write("not an output")
        os.symlink("/etc/passwd", "link.bin")
        os.mkfifo("pipe.bin")
        os.chmod("b.out", 0o400)
    """
    for _ in range(2):
        finished = script(code, outputs=["*.out"], optional=["maybe.*", "never.*"])
        names = [path.name for path in finished.files]
        assert names == ["a.out", "b.out", "maybe.txt", "é ü.out"]
        for path in finished.files:
            assert path.read_text() == path.name
            assert (path.stat().st_uid, path.stat().st_gid) == (os.getuid(), os.getgid())
        # nothing else is left of it
        assert sorted(path.name for path in finished.files[0].parent.iterdir()) == names


def test_a_file_arrives_byte_for_byte_both_ways(
    script: Scripts, files: str, tmp_path: Path
) -> None:
    content = random.Random(1).randbytes(20_000_001)
    (tmp_path / "given.bin").write_bytes(content)
    (tmp_path / "empty.bin").touch()
    code = """
        import hashlib
        content = open("given.bin", "rb").read()
        open("made.bin", "wb").write(content[::-1])
        open("nothing.bin", "wb").write(open("empty.bin", "rb").read())
        report(sha256=hashlib.sha256(content).hexdigest())
    """
    inputs = {name: tmp_path / name for name in ("given.bin", "empty.bin")}
    finished = script(code, inputs=inputs, outputs=["*.bin"])
    assert finished.outputs["sha256"] == hashlib.sha256(content).hexdigest()
    made, nothing = finished.files
    assert made.read_bytes() == content[::-1]
    assert nothing.read_bytes() == b""


def test_a_missing_output_is_told_with_what_is_there(script: Scripts, files: str) -> None:
    code = "open('trips.csv', 'w'); os.mkdir('folder')"
    told = script.failure(code, outputs=["*.csv", "*.parquet"])
    assert told == "python made no *.parquet; its folder has folder, trips.csv"
    assert script.failure("", outputs=["*.parquet"]).endswith("its folder has no files")


@pytest.mark.parametrize(
    "make",
    ["os.symlink('/etc/passwd', 'made')", "os.symlink('kept', 'made')", "os.mkdir('made')"],
    ids=["link_out", "link", "folder"],
)
def test_an_output_that_is_no_file_is_refused(script: Scripts, files: str, make: str) -> None:
    told = script.failure(f"open('kept', 'w'); {make}", outputs=["made"])
    assert told == "python made made, which isn't a plain file"


def test_a_second_name_of_a_file_is_a_file(script: Scripts, files: str) -> None:
    code = "open('a.out', 'w').write('same'); os.link('a.out', 'b.out')"
    finished = script(code, outputs=["*.out"])
    assert [path.read_text() for path in finished.files] == ["same", "same"]


def test_an_input_is_never_an_output(script: Scripts, files: str, tmp_path: Path) -> None:
    (tmp_path / "given.csv").write_text("given")
    code = """
        os.remove("given.csv")
        open("given.csv", "w").write("another")
        open("made.csv", "w")
    """
    finished = script(code, inputs={"given.csv": tmp_path / "given.csv"}, outputs=["*"])
    assert [path.name for path in finished.files] == ["made.csv"]
    assert (tmp_path / "given.csv").read_text() == "given"
    told = script.failure("", inputs={"given.csv": tmp_path / "given.csv"}, outputs=["*.csv"])
    assert "made no *.csv" in told


def test_a_file_that_only_we_can_read_needs_copy(
    script: Scripts, settings: Set, tmp_path: Path
) -> None:
    (tmp_path / "closed.csv").write_text("closed")
    (tmp_path / "closed.csv").chmod(0o600)
    job = {"inputs": {"closed.csv": tmp_path / "closed.csv"}, "outputs": ["made"]}
    code = "open('made', 'w').write(open('closed.csv').read())"
    settings("runner", "user", "65533:65533")
    told = script.failure(code, **job)
    for part in (str(tmp_path / "closed.csv"), "65533:65533", "[runner] files = copy"):
        assert part in told
    settings("runner", "files", "copy")
    assert script(code, **job).files[0].read_text() == "closed"


# --- an engine that doesn't share the folder ------------------------------------------------------


def test_an_engine_elsewhere_takes_and_gives_copies(
    script: Scripts, on_remote: Engine, tmp_path: Path
) -> None:
    (tmp_path / "given.txt").write_text("given")
    code = "open('made.txt', 'w').write(open('given.txt').read() + ' and made')"
    job = {"inputs": {"given.txt": tmp_path / "given.txt"}, "outputs": ["made.txt"]}
    for _ in range(2):
        assert script(code, **job).files[0].read_text() == "given and made"
        assert on_remote.volumes() == []


def test_a_mount_on_an_engine_elsewhere_tells_to_copy(
    script: Scripts, on_remote: Engine, settings: Set
) -> None:
    settings("runner", "files", "mount")
    for _ in range(2):
        assert "[runner] files = copy" in script.failure("report(a=1)")


def test_no_volume_stays_after_a_failure(script: Scripts, on_remote: Engine, settings: Set) -> None:
    settings("runner", "memory", "64m")
    failures = {
        "sys.exit('no')": "no",
        "": "made no made",
        "os.mkdir('made')": "isn't a plain file",
        "time.sleep(600)": "was stopped",
        ALLOCATE: "out of memory",
    }
    for code, told in failures.items():
        settings("runner", "time_limit", "1" if "sleep" in code else "60")
        assert told in script.failure(code, outputs=["made"])
        assert on_remote.volumes() == []
        assert on_remote.client.containers(all=True) == []


def test_no_volume_stays_after_a_kill_and_the_next_job(script: Scripts, on_remote: Engine) -> None:
    settings = {"engine": on_remote.url, "files": "copy"}
    worker = script.start("print('ready'); time.sleep(600)", settings)
    left = on_remote.running(script.task)
    worker.kill()
    worker.communicate()
    assert on_remote.has(left)
    assert len(on_remote.volumes()) == 1
    script("report(a=1)")
    assert on_remote.volumes() == []


# --- what it says -------------------------------------------------------------------------------


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    prefix = "green 2024-01: "
    return [
        record.getMessage().removeprefix(prefix)
        for record in caplog.records
        if record.name == "luigi-interface.runner" and record.getMessage().startswith(prefix)
    ]


def test_reports_are_found_among_other_lines(
    script: Scripts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface.runner")
    code = r"""
        print("the first")
        print('::{"outputs": {"rows": 3, "names": ["a", "é"]}}::')
        print('::{"outputs": {"more": null}}::', file=sys.stderr)
        for value in (1, 2):
            entry = {"name": "read", "type": "counter", "value": value, "tags": {"of": "x"}}
            print("::" + json.dumps({"metrics": [entry]}) + "::")
        print('::{"logs": [{"level": "WARN", "message": "look out"}]}::')
        print("x" * 65536)
        sys.stdout.flush()
        sys.stdout.buffer.write(b"\xff\xfe\x00\x1b[2J\r\n")
        sys.stdout.buffer.write(b"the last, without an end")
    """
    finished = script(code)
    assert finished.outputs == {"rows": 3, "names": ["a", "é"], "more": None}
    assert finished.metrics == [
        {"name": "read", "type": "counter", "value": 3, "tags": {"of": "x"}}
    ]
    told = messages(caplog)
    assert "the first" in told
    assert told[-1] == "the last, without an end"
    assert "x" * 65536 in told
    assert r"��\x00\x1b[2J" in told
    [warned] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert warned.getMessage().endswith("look out")


def test_thousands_of_lines_arrive_in_their_order(
    script: Scripts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface.runner")
    code = """
        for number in range(10_000):
            print("out", number)
            print("err", number, file=sys.stderr)
        report(last=number)
    """
    assert script(code).outputs == {"last": 9_999}
    told = messages(caplog)
    for stream in ("out", "err"):
        expected = [f"{stream} {number}" for number in range(10_000)]
        assert [line for line in told if line.startswith(stream)] == expected


def test_a_failure_shows_the_last_lines(script: Scripts, files: str) -> None:
    code = """
        # on one stream, for the engine doesn't keep the order of two
        print("a", "b", "c", "", "d", sep="\\n", file=sys.stderr)
        sys.exit("e")
    """
    for _ in range(2):
        assert script.failure(code) == "c; d; e"
    assert script.failure("sys.exit(3)") == "python ended with exit code 3"
    ended = "python was ended by SIGKILL", "python ended with exit code 137"
    assert script.failure("os.kill(os.getpid(), 9)") in ended


@pytest.mark.parametrize("command", ["no-such-program", "./script.py", "/etc/passwd"])
def test_a_command_that_is_not_in_the_image_is_named(
    script: Scripts, files: str, command: str
) -> None:
    job = script.job("")
    job["inputs"]["script.py"] = "#!/no/such/interpreter\n"
    with pytest.raises(TaxiError) as failed:
        runner.run(
            Job(**{**job, "command": [command]}), script.new_folder(), config.runner(), "docker"
        )
    told = str(failed.value)
    assert told.startswith(f"{command} can't be started in image {BASE}: ")
    assert "\n" not in told


# --- its end ------------------------------------------------------------------------------------

SLEEP = "print('ready'); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_worker_that_is_stopped_takes_its_container_along(
    script: Scripts, engine: Engine, number: int
) -> None:
    worker = script.start(SLEEP, {"stop_grace": "60"})
    engine.running(script.task)
    worker.send_signal(number)
    worker.communicate(timeout=20)
    assert worker.returncode == -number
    assert script.left() == []
    assert list(script.folder.glob("*/*")) == []


def test_a_worker_that_is_stopped_twice_waits_no_longer(script: Scripts, engine: Engine) -> None:
    worker = script.start(DEAF, {"stop_grace": "60"})
    engine.running(script.task)
    worker.send_signal(signal.SIGINT)
    time.sleep(1)
    assert worker.poll() is None
    worker.send_signal(signal.SIGINT)
    worker.communicate(timeout=20)
    assert script.left() == []


@pytest.mark.parametrize("code", [SLEEP, "print('ready')"], ids=["running", "ended"])
def test_the_next_job_removes_what_a_killed_worker_left(
    script: Scripts, engine: Engine, files: str, code: str
) -> None:
    settings = {"files": files}
    # it can't be killed between its container's end and its own
    worker = script.start(SLEEP, settings)
    left = engine.running(script.task)
    worker.kill()
    worker.communicate()
    if code != SLEEP and engine.has(left):
        engine.client.stop(left, timeout=0)
    script("report(a=1)")
    assert not engine.has(left)
    assert script.left() == []


def test_containers_of_runs_that_may_go_on_are_left_alone(script: Scripts, engine: Engine) -> None:
    worker = script.start(SLEEP)
    running = engine.running(script.task)
    here, pid, start = container._this_run().rsplit(" ", 2)
    machine, namespace = here.split(" ")
    gone = dead_process()
    left_alone = [
        running,
        engine.create(script.task, f"{here} {pid} {start}"),
        engine.create(script.task, f"another-{machine} {namespace} {gone} {start}"),
        engine.create(script.task, f"{machine} pid:[1] {gone} {start}"),
    ]
    of_dead_runs = [
        engine.create(script.task, f"{here} {gone} {start}"),
        # its number is another process's by now
        engine.create(script.task, f"{here} {pid} {int(start) - 1_000}", starts=True),
    ]
    script("report(a=1)")
    assert [number for number in left_alone if not engine.has(number)] == []
    assert [number for number in of_dead_runs if engine.has(number)] == []
    worker.terminate()
    worker.communicate(timeout=20)
    assert not engine.has(running)


def dead_process() -> int:
    """The number of a process that there was."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert not psutil.pid_exists(process.pid)
    return process.pid


def test_jobs_that_clean_up_at_once_do_not_disturb_each_other(
    script: Scripts, engine: Engine
) -> None:
    here, _, start = container._this_run().rsplit(" ", 2)
    for _ in range(6):
        engine.create(script.task, f"{here} {dead_process()} {start}", starts=True)
    ended: list[Any] = []

    def work() -> None:
        try:
            ended.append(script("report(a=1)").outputs)
        except TaxiError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [{"a": 1}] * 4
    assert script.left() == []


def test_a_container_that_failed_can_be_kept_for_a_look(
    script: Scripts,
    settings: Set,
    files: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings("runner", "keep_failed", "true")
    assert script.failure("print('here', flush=True); sys.exit(5)").endswith("after: here")
    [kept] = script.left()
    number = kept[:12]
    [told] = [message for message in messages(caplog) if "is kept" in message]
    for command in (f"docker logs {number}", f"docker rm -v {number}"):
        assert command in told
    assert script.engine.client.logs(kept) == b"here\n"
    # a mounted folder is gone with the job's
    assert (f"docker cp {number}:/job/work ." in told) == (files == "copy")
    if files == "copy":
        archive, found = script.engine.client.get_archive(kept, "/job/work")
        assert found["name"] == "work"
        assert b"script.py" in b"".join(archive)
    # one that does well isn't kept, and leaves the other alone
    script("report(a=1)")
    assert script.left() == [kept]


def test_a_kept_container_outlives_its_run(script: Scripts) -> None:
    worker = script.start("sys.exit('for a look')", {"keep_failed": "true"})
    told, _ = worker.communicate(timeout=30)
    assert "failed for a look" in told
    [kept] = script.left()
    for _ in range(2):
        script("report(a=1)")
    assert script.left() == [kept]


# --- an engine that can't be used -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("unix:///no/such/socket", "no Docker engine answers at unix:///no/such/socket: start it"),
        ("tcp://127.0.0.1:{port}", "no Docker engine answers at tcp://127.0.0.1:{port}: start it"),
        ("tcp://no-such-host.invalid:1", "the Docker engine at tcp://no-such-host.invalid:1"),
        ("nonsense", "the Docker engine at nonsense can't be used: "),
        ("ftp://there", "the Docker engine at ftp://there can't be used: "),
        ("tcp://127.0.0.1:port", "the Docker engine at tcp://127.0.0.1:port can't be used: "),
    ],
)
def test_an_engine_that_is_not_there_is_named(
    script: Scripts, settings: Set, monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    port = free_port()
    monkeypatch.setenv("DOCKER_HOST", url.format(port=port))
    assert script.failure().startswith(told.format(port=port))
    monkeypatch.delenv("DOCKER_HOST")
    settings("runner", "engine", url.format(port=port))
    assert script.failure().startswith(told.format(port=port))


def test_something_else_than_an_engine_is_named(script: Scripts, settings: Set) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"SSH-2.0-something\r\n")

        threading.Thread(target=answer, daemon=True).start()
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        settings("runner", "engine", url)
        assert script.failure().startswith(f"the Docker engine at {url} can't be used: ")


def test_a_socket_without_permission_is_told(script: Scripts) -> None:
    if os.getuid() != 0:
        skip("only root can be somebody else for a while")
    script("")  # so that all modules are loaded that somebody else might not get at
    with tempfile.TemporaryDirectory() as folder:
        script.folder = Path(folder)
        script.folder.chmod(0o777)
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(65534)
        os.seteuid(65534)
        try:
            told = script.failure()
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
    assert told.startswith("no permission to use the Docker engine at unix:///")
    assert "usermod -aG docker" in told


def test_the_missing_package_is_told(script: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "docker"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "docker", None)
    assert "pip install 'luigi-tasks[docker]'" in script.failure()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("network", "no-such-network", "no-such-network"),
        ("memory", "1m", "memory"),
        ("user", "no-such-user", "no-such-user"),
        ("volumes", '["/no/such/folder:/data"]', "/no/such/folder"),
        ("cap_drop", '["NONSENSE"]', "NONSENSE"),
        ("cpus", "10000", "CPUs"),
    ],
)
def test_what_the_engine_refuses_is_told_in_one_line(
    script: Scripts, settings: Set, key: str, value: str, told: str
) -> None:
    settings("runner", key, value)
    for _ in range(2):
        refused = script.failure()
        assert refused.startswith("the Docker engine refuses: ")
        assert told in refused
    assert script.left() == []


# --- the transform ------------------------------------------------------------------------------

EDITION = Edition(
    url="", etag=None, last_modified=None, bytes=0, sha256="", seconds=0
)  # of which the built-in transform sees nothing


def transform_job(taxi_type: str, first_day: date, folder: Path) -> TransformJob:
    month = Month(taxi_type, first_day)
    return TransformJob(month, MonthFiles(config.storage_root(), month), folder)


@pytest.fixture
def month_file(shared_data: Path, settings: Set, tmp_path: Path) -> Callable[[str], date]:
    """Puts a real month where it would have been fetched to."""
    settings("storage", "root", str(tmp_path / "data"))

    def put(month: str) -> date:
        name = f"green_tripdata_{month}.parquet"
        (tmp_path / "data" / "raw").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared_data / "parquet" / name, tmp_path / "data" / "raw" / name)
        return date.fromisoformat(f"{month}-01")

    return put


@pytest.mark.parametrize("month", ["2020-03", "2021-07", "2023-02"])
def test_a_real_month_is_the_same_from_a_container(
    own_image: str,
    month_file: Callable[[str], date],
    settings: Set,
    tmp_path: Path,
    month: str,
) -> None:
    first_day = month_file(month)
    made = {}
    for kind, files in (("process", "mount"), ("docker", "mount"), ("docker", "copy")):
        settings("runner", "kind", kind)
        settings("runner", "files", files)
        folder = tmp_path / f"{kind}-{files}"
        folder.mkdir()
        transformed = transform_job("green", first_day, folder).run(EDITION)
        facts = (transformed.rows_read, transformed.rows_written, transformed.unknown_columns)
        made[kind, files] = facts, transformed.trips.read_bytes()
    assert made["docker", "mount"] == made["process", "mount"]
    assert made["docker", "copy"] == made["process", "mount"]


def test_a_month_that_cannot_be_read_fails_the_same_in_a_container(
    own_image: str, settings: Set, tmp_path: Path
) -> None:
    settings("storage", "root", str(tmp_path / "data"))
    (tmp_path / "data" / "raw").mkdir(parents=True)
    raw = tmp_path / "data" / "raw" / "green_tripdata_2024-01.parquet"
    told = []
    for kind in ("process", "docker"):
        settings("runner", "kind", kind)
        raw.write_bytes(b"PAR1, so to say")
        (tmp_path / kind).mkdir()
        with pytest.raises(TaxiError) as failed:
            transform_job("green", date(2024, 1, 1), tmp_path / kind).run(EDITION)
        told.append(str(failed.value))
        assert not raw.exists()
    assert told[0] == told[1]


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_a_range_of_real_months_is_the_same_from_containers(
    own_image: str,
    luigi_command: Luigi,
    database: Database,
    shared_data: Path,
    embedded_root: Path,
) -> None:
    source = {"--source-url": folder_url((shared_data / "parquet").resolve())}
    luigi_command.settings |= source
    run = luigi_command.merge_range("green", "2020-04", "2020-06")
    assert run.code == 0, run.output
    expected = database.contents()
    luigi_command.settings |= {
        "--warehouse-url": "embedded",
        "--storage-root": str(embedded_root),
        "--runner-kind": "docker",
    }
    for inserted in (2, 0):
        run = luigi_command.merge_range("green", "2020-04", "2020-06")
        assert run.code == 0, run.output
        assert run.output.count(": inserted ") == inserted
    with embedded_database(embedded_root) as found:
        assert found.contents() == expected
