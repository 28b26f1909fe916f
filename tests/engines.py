"""Docker engines, jobs for them, and registries, for the tests."""

import gc
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from socket import AF_INET
from textwrap import dedent
from typing import Any

import psutil
import pytest
import requests
from conftest import ROOT, skip

from luigi_tasks import config, runner
from luigi_tasks.errors import TaxiError
from luigi_tasks.runner import Job, JobResult
from luigi_tasks.runner.docker import container, image
from luigi_tasks.runner.docker.engine import connected, probe

BASE = "python:3.11-slim"
#: What a script begins with, to tell what it sees.
REPORT = """
import json, os, sys, time

def report(**values):
    print("::" + json.dumps({"outputs": values}) + "::", flush=True)
"""
#: A process that runs one job and tells what comes of it.
WORKER = """
import json, logging, sys
from pathlib import Path
from luigi.configuration import get_config
from luigi_tasks import config, runner
from luigi_tasks.errors import TaxiError
from luigi_tasks.runner import Job

settings, job, folder = json.loads(sys.argv[1])
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
for key, value in settings.items():
    get_config().set("runner", key, value)
try:
    result = runner.run(Job(**job), Path(folder), config.runner(), "docker")
    print("finished", result.outputs)
except TaxiError as error:
    print("failed", error)
"""

#: Hides a folder, and hands the socket that is standard input to an engine.
START_ENGINE = """
mount -t tmpfs none "$0" && exec 3<&0 </dev/null
export LISTEN_FDS=1 LISTEN_PID=$$
exec dockerd "$@"
"""


@dataclass
class Engine:
    """An engine and what is on it."""

    url: str
    client: Any

    def containers(self, task: str) -> list[dict[str, Any]]:
        """Those of a task, running or not."""
        filters = {"label": f"{container.TASK}={task}"}
        return list(self.client.containers(all=True, filters=filters))

    def has(self, number: str) -> bool:
        return any(each["Id"] == number for each in self.client.containers(all=True))

    def running(self, task: str, said: str = "ready") -> str:
        """Wait until the task's container has said something; its number."""
        for _ in range(300):
            for each in self.containers(task):
                if each["State"] == "running" and said.encode() in self.client.logs(each["Id"]):
                    return str(each["Id"])
            time.sleep(0.05)
        raise AssertionError(f"no container of {task} has said {said}")

    def create(self, task: str, run: str, *, starts: bool = False) -> str:
        """A container that some run left."""
        from docker.errors import APIError

        labels = {container.TASK: task, container.RUN: run}
        made = self.client.create_container(BASE, ["sleep", "600"], labels=labels)
        if starts:
            with suppress(APIError):  # another test's job has removed it already
                self.client.start(made["Id"])
        return str(made["Id"])

    def clean(self, task: str) -> None:
        for each in self.containers(task):
            self.client.remove_container(each["Id"], force=True, v=True)

    def address(self) -> str:
        """This machine's address on the network "bridge"."""
        options = self.client.inspect_network("bridge")["Options"]
        name = options["com.docker.network.bridge.name"]
        return next(each.address for each in psutil.net_if_addrs()[name] if each.family == AF_INET)

    def volumes(self) -> list[str]:
        return [each["Name"] for each in self.client.volumes()["Volumes"] or ()]

    def image_id(self, name: str) -> str | None:
        from docker.errors import ImageNotFound

        try:
            return str(self.client.inspect_image(name)["Id"])
        except ImageNotFound:
            return None


def _client(url: str) -> Any:
    import docker

    environment = {**os.environ, "DOCKER_HOST": url}
    arguments = docker.utils.kwargs_from_env(environment=environment)
    return docker.APIClient(**arguments, version="auto", timeout=300)


@pytest.fixture(name="engine", scope="session")
def fixture_engine() -> Iterator[Engine]:
    """The engine of this machine, with the base image on it."""
    try:
        import docker
    except ImportError:
        skip("the package docker isn't installed")
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        if url.startswith("unix://"):
            probe(url.removeprefix("unix://"))
        client = _client(url)
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        skip(f"no Docker engine answers at {url}: {error}")
    engine = Engine(url, client)
    if not engine.image_id(BASE):
        _have_base_image(engine)
    yield engine
    client.close()


def _have_base_image(engine: Engine) -> None:
    from docker.errors import APIError

    beside = ROOT.parent / "shared" / "tools" / "standin-base-image"
    script = Path(os.environ.get("LUIGI_TASKS_BASE_IMAGE_SCRIPT", beside))
    try:
        engine.client.pull(*BASE.split(":"))
    except APIError as error:
        if not script.is_file():
            skip(f"image {BASE} can't be pulled: {error.explanation}")
        subprocess.run([sys.executable, script], check=True)


@pytest.fixture(name="own_image", scope="session")
def fixture_own_image(engine: Engine) -> str:
    """The transform's own image, built by the first who needs it."""
    with connected(engine.url) as client:
        return image.ensure(client, "", config.runner())


@pytest.fixture(name="remote", scope="session")
def fixture_remote(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A second engine, which has the base image, sees no file of the tests, and is all theirs."""
    if os.getuid() != 0:
        skip("a second Docker engine needs root")
    if not shutil.which("dockerd"):
        skip("a second Docker engine needs the program dockerd")
    # not pytest's folder, which is hidden, and a socket's path is short
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/var/tmp"))
    (folder / "config").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as server, (folder / "log").open("wb") as log:
        url = "tcp://{}:{}".format(*server.getsockname())
        process = subprocess.Popen(
            [
                # a network of its own, or it would remove the first engine's docker0
                *("unshare", "--mount", "--net", "sh", "-c", START_ENGINE),
                *(tmp_path_factory.getbasetemp(), f"--config-file={folder}/config"),
                *(f"--data-root={folder}/data", f"--exec-root={folder}/exec"),
                *(f"--pidfile={folder}/pid", f"--host=unix://{folder}/socket", "--host=fd://"),
                *("--bridge=none", "--iptables=false"),
            ],
            stdin=server.fileno(),
            stdout=log,
            stderr=log,
        )
    try:
        client = _answering(url, process, folder / "log")
        client.load_image(engine.client.get_image(BASE))
        yield Engine(url, client)
        client.close()
    finally:
        process.terminate()
        process.wait(60)
        _remove_with_mounts(folder)


def _answering(url: str, process: "subprocess.Popen[bytes]", log: Path) -> Any:
    import docker

    for _ in range(300):
        try:
            return _client(url)
        except (docker.errors.DockerException, requests.RequestException):
            if process.poll() is not None:
                break
            time.sleep(0.1)
    last = log.read_text().splitlines()[-5:]
    raise AssertionError(f"the second engine doesn't start: {last}")


def _remove_with_mounts(folder: Path) -> None:
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed(mounted):
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", place])
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# --- jobs ---------------------------------------------------------------------------------------


@pytest.fixture(name="task")
def fixture_task(engine: Engine) -> Iterator[str]:
    """A task of the test's own, whose containers go when it ends."""
    task = f"test-{secrets.token_hex(4)}"
    yield task
    engine.clean(task)


@dataclass
class Scripts:
    """Runs Python code in containers of the base image."""

    engine: Engine
    task: str
    folder: Path
    numbers: Iterator[int] = field(default_factory=count)

    def job(self, code: str, **more: Any) -> dict[str, Any]:
        """A job, as what its class takes."""
        inputs = {"script.py": REPORT + dedent(code), **more.pop("inputs", {})}
        job = {"task": self.task, "month": "green 2024-01", "command": ["python", "script.py"]}
        return {**job, "image": BASE, "inputs": inputs, **more}

    def __call__(self, code: str, **more: Any) -> JobResult:
        job = Job(**self.job(code, **more))
        return runner.run(job, self.new_folder(), config.runner(), "docker")

    def failure(self, code: str = "", **more: Any) -> str:
        """How it fails, in one line."""
        with pytest.raises(TaxiError) as failed:
            self(code, **more)
        assert "\n" not in str(failed.value)
        return str(failed.value)

    def start(
        self, code: str, settings: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Run it in a process of its own."""
        given = json.dumps([settings or {}, self.job(code), str(self.new_folder())])
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, given],
            cwd="/",  # no configuration but the package's
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def left(self) -> list[str]:
        """The containers that are there of it, by their numbers."""
        return [str(each["Id"]) for each in self.engine.containers(self.task)]

    def new_folder(self) -> Path:
        folder = self.folder / f"job-{next(self.numbers)}"
        folder.mkdir(parents=True)
        return folder


@pytest.fixture(name="script")
def fixture_script(engine: Engine, task: str, tmp_path: Path) -> Iterator[Scripts]:
    yield Scripts(engine, task, tmp_path / "jobs")
    collect_connections()


@pytest.fixture(name="files", params=["mount", "copy"])
def fixture_files(
    request: pytest.FixtureRequest, settings: Callable[[str, str, str], None]
) -> Iterator[str]:
    """How files get in and out: each test runs with either."""
    settings("runner", "files", request.param)
    yield str(request.param)
    collect_connections()


def collect_connections() -> None:
    """The client leaves a connection open now and then, when it copies files most of all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(name="on_remote")
def fixture_on_remote(
    remote: Engine, settings: Callable[[str, str, str], None]
) -> Iterator[Engine]:
    """The second engine as the one to use, by copy; nothing may stay on it."""
    settings("runner", "engine", remote.url)
    settings("runner", "files", "copy")
    yield remote
    left = remote.client.containers(all=True)
    for each in left:
        remote.client.remove_container(each["Id"], force=True, v=True)
    assert [each["Names"] for each in left] == []
    assert remote.volumes() == []
    collect_connections()


# --- images and registries ----------------------------------------------------------------------


@dataclass
class Images:
    """Makes tiny images, and names that are gone after the test."""

    engine: Engine
    names: list[str] = field(default_factory=list)

    def name(self, registry: str = "") -> str:
        """A new name."""
        self.names.append(f"{registry and registry + '/'}luigi-test-{secrets.token_hex(4)}:latest")
        return self.names[-1]

    def tag(self, source: str, name: str) -> None:
        self.engine.client.tag(source, *name.rsplit(":", 1))

    def make(self, name: str, size: int = 1_000) -> str:
        """An image that holds nothing but a file of chance; its number."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            info = tarfile.TarInfo("chance")
            info.size = size
            tar.addfile(info, io.BytesIO(secrets.token_bytes(size)))
        repository, _, tag = name.rpartition(":")
        self.engine.client.import_image_from_data(content.getvalue(), repository, tag)
        number = self.engine.image_id(name)
        assert number
        return number

    def publish(self, name: str, size: int = 1_000, **push: Any) -> str:
        """Make an image that is in its registry, but not here; its number."""
        number = self.make(name, size)
        for step in self.engine.client.push(name, stream=True, decode=True, **push):
            assert "error" not in step, step
        self.remove(name)
        return number

    def clean(self) -> None:
        """Remove them all, and what a pull or a tag that moved has left of them."""
        for name in self.names:
            self.remove(name)
        digests = tuple(f"{name.rpartition(':')[0]}@" for name in self.names)
        for each in self.engine.client.images():
            for digest in each["RepoDigests"] or ():
                if digest.startswith(digests):
                    self.remove(digest)

    def remove(self, name: str) -> None:
        from docker.errors import ImageNotFound

        try:
            self.engine.client.remove_image(name, force=True)
        except ImageNotFound:
            return


@pytest.fixture(name="images")
def fixture_images(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Images]:
    monkeypatch.setattr(image, "_fresh", set())
    images = Images(engine)
    yield images
    images.clean()


USERNAME, PASSWORD = "someone", "made-up-password"
#: The password, as the registry keeps it.
HASHED = "$2y$05$abcdefghijklmnopqrstuuJgtjjEyKgAjLKfyMzQrXVWZG2QMxka."


@contextmanager
def running_registry(folder: Path, *, private: bool) -> Iterator[str]:
    """A registry, by its address; a private one asks for the password."""
    if not shutil.which("docker-registry"):
        skip("the program docker-registry isn't installed")
    address = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": address},
    }
    if private:
        (folder / "passwords").write_text(f"{USERNAME}:{HASHED}\n")
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "passwords")}}
    (folder / "config.yml").write_text(json.dumps(settings))  # which is YAML, too
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", folder / "config.yml"], stdout=log, stderr=log
        )
    try:
        _wait_for_registry(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait_for_registry(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(200):
        try:
            requests.get(f"http://{address}/v2/", timeout=5)
        except requests.RequestException:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the registry doesn't answer")


@pytest.fixture(name="registry", scope="session")
def fixture_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry"), private=False) as address:
        yield address


@pytest.fixture(name="private_registry", scope="session")
def fixture_private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("private"), private=True) as address:
        yield address


@pytest.fixture(name="no_login")
def fixture_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what ``docker login`` would keep, without anything in it."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"LUIGI_TASKS_REGISTRY_{name}", raising=False)
    return folder
