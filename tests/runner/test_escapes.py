"""Jobs that want out: what they try in a container, and what they leave for whoever reads it."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import (  # noqa: F401  (the fixtures)
    Scripts,
    fixture_engine,
    fixture_files,
    fixture_script,
    fixture_task,
)

from luigi_tasks import config, runner
from luigi_tasks.errors import TaxiError
from luigi_tasks.runner import Job, JobResult, reports

Set = Callable[[str, str, str], None]

#: Each by its name, and how it fails. What succeeds is listed under ``done``.
ATTEMPTS = """
    import ctypes, errno, mmap, resource, signal, socket, stat, struct
    libc = ctypes.CDLL(None, use_errno=True)
    done = []

    def call(name, *words):
        if libc[name](*words) == -1:
            raise OSError(ctypes.get_errno(), name)

    def write(path, text=b"x"):
        with open(path, "wb", buffering=0) as file:
            file.write(text)

    def device(number, path="disk"):
        os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(*number))
        open(path, "rb").read(1)

    def raw():
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()

    def netlink():
        # add an interface's address: RTM_NEWADDR
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        link.send(struct.pack("=LHHLL", 16, 20, 5, 1, 0))
        kind, code = struct.unpack("=HxxxxxxxxxxI", link.recv(99)[4:20])
        raise OSError(errno.EPERM, "answered")

    def setuid():
        write("root-shell")
        os.chown("root-shell", 0, 0)

    ATTEMPTS = {
        "mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "remount": lambda: call("mount", b"none", b"/", None, 32, None),
        "umount": lambda: call("umount2", b"/proc/sys", 2),
        "pivot_root": lambda: call("pivot_root", b"/job", b"/job/work"),
        "chroot": lambda: os.chroot("/job"),
        "user namespace": lambda: call("unshare", 0x10000000),
        "mount namespace": lambda: call("unshare", 0x00020000),
        "another's namespace": lambda: call("setns", os.open("/proc/1/ns/mnt", 0), 0),
        "become root": lambda: os.setuid(0),
        "become a group": lambda: os.setgroups([0]),
        "capability": lambda: call("prctl", 47, 2, 1, 0, 0),
        "a device": lambda: device((8, 0)),
        "memory of the machine": lambda: device((1, 1), "mem"),
        "/dev/mem": lambda: open("/dev/mem", "rb").read(1),
        "/dev/kmsg": lambda: write("/dev/kmsg"),
        "a disk": lambda: open("/dev/sda", "rb").read(1),
        "where cores go": lambda: write("/proc/sys/kernel/core_pattern", b"|/bin/true"),
        "sysrq": lambda: write("/proc/sysrq-trigger", b"c"),
        "another's memory": lambda: open("/proc/1/mem", "rb").read(1),
        "the kernel's symbols": lambda: open("/proc/kcore", "rb").read(1)[0],
        "timers": lambda: open("/proc/timer_list", "rb").read(1)[0],
        "a control group": lambda: os.mkdir("/sys/fs/cgroup/mine"),
        "its limit": lambda: write("/sys/fs/cgroup/memory.max", b"max"),
        "the firmware": lambda: open("/sys/firmware/memmap/0/start"),
        "uevent helper": lambda: write("/sys/kernel/uevent_helper", b"/bin/true"),
        "a module": lambda: call("init_module", b"x", 1, b""),
        "bpf": lambda: call("syscall", 321, 5, b"", 0),
        "keys": lambda: call("syscall", 250, 0, -3, 1),
        "perf": lambda: call("syscall", 298, b"", 0, -1, -1, 0),
        "reboot": lambda: call("reboot", 0),
        "the clock": lambda: call("settimeofday", (ctypes.c_long * 2)(1, 1), None),
        "the host's name": lambda: socket.sethostname("mine"),
        "priority": lambda: os.nice(-5),
        "raw packets": raw,
        "an address": netlink,
        "a file of root's": setuid,
        "the engine": lambda: socket.socket(socket.AF_UNIX).connect("/var/run/docker.sock"),
        "the engine's own": lambda: socket.socket(socket.AF_UNIX).connect("/run/docker.sock"),
        "an abstract socket": lambda: socket.socket(socket.AF_UNIX).connect(os.environ["ABSTRACT"]),
        "a name on the network": lambda: socket.getaddrinfo("example.org", 80),
        "this machine's port": lambda: socket.create_connection(("127.0.0.1", 22), 2),
        "its input": lambda: write("given.txt"),
        "its input, linked": lambda: os.link("/job/inputs/given.txt", "linked"),
        "its input, renamed over": lambda: os.rename("script.py", "/job/inputs/given.txt"),
        "its input, by its descriptor": lambda: write(f"/proc/self/fd/{os.open('given.txt', 0)}"),
    }
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except (OSError, IndexError):  # the engine puts an empty file over some
            continue
        done.append(name)
    with open("/proc/self/mountinfo") as mounts:
        mounted = [line.split()[4] for line in mounts]
    report(done=done, processes=len([n for n in os.listdir("/proc") if n.isdigit()]),
           mounted=[path for path in mounted if path.startswith("/job")])
"""


@pytest.mark.slow
def test_nothing_that_leads_out_of_a_container_succeeds(
    script: Scripts, files: str, tmp_path: Path
) -> None:
    import socket

    (tmp_path / "given.txt").write_text("given")
    name = f"luigi-tasks-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0{name}")
        abstract.listen()
        code = ATTEMPTS.replace('os.environ["ABSTRACT"]', f'"\\0{name}"')
        seen = script(code, inputs={"given.txt": tmp_path / "given.txt"}).outputs
    assert seen["done"] == []
    assert seen["processes"] <= 2
    mounted = {"mount": {"/job/work", "/job/inputs/given.txt"}, "copy": {"/job"}}
    assert set(seen["mounted"]) == mounted[files]
    assert (tmp_path / "given.txt").read_text() == "given"


@pytest.mark.slow
def test_a_fork_bomb_and_endless_output_end_with_the_time(
    script: Scripts,
    settings: Set,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And this machine goes on: its processes and its log are bounded."""
    monkeypatch.setattr(reports, "MOST_LOGGED", 100_000)
    caplog.set_level(logging.INFO, "luigi-interface.runner")
    settings("runner", "time_limit", "4")
    settings("runner", "stop_grace", "1")
    settings("runner", "pids", "40")
    bomb = """
        def breed():
            while True:
                try:
                    if os.fork() == 0:
                        os.setsid()
                except OSError:
                    time.sleep(0.05)
                print("x" * 1000, flush=True)
        breed()
    """
    told = script.failure(bomb)
    assert told == "python was stopped after 4 s, [runner] time_limit"
    assert script.left() == []
    assert sum(len(each.getMessage()) for each in caplog.records) < 200_000
    assert (
        len([each for each in caplog.records if "the rest isn't logged" in each.getMessage()]) == 1
    )


@pytest.mark.slow
def test_files_that_take_no_room_there_take_none_here(script: Scripts, settings: Set) -> None:
    settings("runner", "files", "copy")
    settings("runner", "time_limit", "3")
    told = script.failure("os.truncate(os.open('huge', os.O_CREAT | os.O_RDWR), 1 << 42)")
    assert told == "python: to copy its files took longer than 3 s, [runner] time_limit"
    assert script.left() == []
    assert list(script.folder.glob("*/*")) == []


# --- what is left for whoever reads it, with and without a container ------------------------------

LEFT = """
    for name in ("made.out", "other.out"):
        with open(name, "w") as file:
            file.write("made")
        os.chmod(name, 0o6777)
    os.link("made.out", "again.out")
"""
DEEP = """
    for _ in range(1010):
        os.mkdir("within")
        os.chdir("within")
    os.chmod(".", 0)
"""
REFUSED = {
    "a pipe": "os.mkfifo('made.out')",
    "a socket": "import socket; socket.socket(socket.AF_UNIX).bind('made.out')",
    "a link": "os.symlink('/etc/passwd', 'made.out')",
    "a link to a device": "os.symlink('/dev/zero', 'made.out')",
    "a link to this process": "os.symlink('/proc/self/environ', 'made.out')",
    "a link without an end": "os.symlink('made.out', 'made.out')",
    "a folder": "os.mkdir('made.out')",
}


def run_here(code: str, folder: Path) -> JobResult:
    """Run Python code in a process."""
    folder.mkdir()
    text = "import os\n" + "\n".join(line[4:] for line in code.splitlines())
    command = ["python", "-c", text if code.startswith("\n") else f"import os; {code}"]
    job = Job("test", "green 2024-01", command, outputs=["*.out"])
    return runner.run(job, folder, config.runner(), "process")


def check_left(result: JobResult) -> None:
    assert [path.name for path in result.files] == ["again.out", "made.out", "other.out"]
    for path in result.files:
        assert path.stat().st_mode & 0o7777 == 0o644
        assert path.read_text() == "made"
    assert sorted(path.parent.iterdir()) == sorted(result.files)


def test_what_a_process_leaves_is_plain_and_the_rest_goes(tmp_path: Path) -> None:
    check_left(run_here(LEFT + DEEP, tmp_path / "job"))


@pytest.mark.slow
def test_what_a_container_leaves_is_plain_and_the_rest_goes(script: Scripts, files: str) -> None:
    check_left(script(LEFT, outputs=["*.out"]))


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_file_is_refused_from_a_process(tmp_path: Path, what: str) -> None:
    with pytest.raises(TaxiError, match=r"made made\.out, which isn't a plain file"):
        run_here(REFUSED[what], tmp_path / "job")
    assert list((tmp_path / "job").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a pipe", "a socket", "a link to this process"])
def test_what_is_no_file_is_refused_from_a_container(
    script: Scripts, files: str, what: str
) -> None:
    told = script.failure(REFUSED[what], outputs=["*.out"])
    assert told in (
        "python made made.out, which isn't a plain file",
        "python made no *.out; its folder has no files",  # an archive has no sockets
    )
    assert list(script.folder.glob("*/*")) == []


def test_reports_without_end_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST_REPORTED", 10_000)
    found = reports.Reports("green 2024-01")
    for number in range(1_000):
        found.add_line(f'::{{"outputs": {{"name_{number}": "{"x" * 100}"}}}}::')
    assert 50 < len(found.outputs) < 100
    assert found.outputs["name_0"] == "x" * 100
