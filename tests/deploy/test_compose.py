"""``compose.yaml``: what it promises, and the worker's image against a server with a password."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Database, Published, _system_binaries, skip
from engines import BASE, Engine, fixture_engine  # noqa: F401

SECRET = r"hush \ : hush"


def compose() -> list[str]:
    """Docker's plugin, or the program before it, which Debian has."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            asked = subprocess.run([*command, "version"], capture_output=True)
            if asked.returncode == 0:
                return command
    skip("neither docker compose nor docker-compose is installed")
    return []


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as Compose reads them."""
    command = [*compose(), "--file", "compose.yaml", "--profile", "page", "config"]
    read = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert read.returncode == 0, read.stderr
    return dict(yaml.safe_load(read.stdout)["services"])


def test_there_are_a_warehouse_a_worker_and_a_page(services: dict[str, Any]) -> None:
    assert set(services) == {"warehouse", "worker", "luigid"}
    assert services["luigid"]["profiles"] == ["page"]
    assert not any("profiles" in services[name] for name in ("warehouse", "worker"))
    assert all(each["healthcheck"]["test"] for each in services.values())
    assert services["worker"]["depends_on"]["warehouse"]["condition"] == "service_healthy"


def test_nothing_listens_outside_the_host(services: dict[str, Any]) -> None:
    for each in services.values():
        assert "network_mode" not in each
        for port in each.get("ports", ()):
            host = port["host_ip"] if isinstance(port, dict) else port.split(":")[0]
            assert host == "127.0.0.1"


def test_images_are_pinned(services: dict[str, Any]) -> None:
    base = re.findall(r"^ARG BASE_IMAGE=(\S+)", (ROOT / "deploy" / "Dockerfile").read_text(), re.M)
    images = [each["image"] for each in services.values()]
    for image in [*images, *base]:
        assert re.search(r":\d+\.\d+", image), image
    version = re.findall(r"^version = (.+)", (ROOT / "setup.cfg").read_text(), re.M)
    assert services["worker"]["image"] == f"luigi-tasks-worker:{version[0]}"


def test_the_password_is_in_a_file_only(services: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert set(re.findall(r"\w*PASS\w*", text)) == {"POSTGRES_PASSWORD_FILE"}
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")
    assert "secrets" not in (ROOT / ".dockerignore").read_text()


def test_what_is_kept_is_in_named_volumes(services: dict[str, Any]) -> None:
    kept = [str(volume) for each in services.values() for volume in each.get("volumes", ())]
    assert len([volume for volume in kept if "deploy/luigi.cfg" in volume]) == 2
    assert len([volume for volume in kept if "warehouse" in volume or "storage" in volume]) == 2


# --- the image ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worker_image(engine: Engine) -> Iterator[str]:
    from docker.errors import BuildError

    name = "luigi-tasks-worker:tested"
    lines: list[str] = []
    for line in engine.client.build(
        path=str(ROOT),
        dockerfile="deploy/Dockerfile",
        tag=name,
        rm=True,
        decode=True,
        buildargs={"BASE_IMAGE": BASE},
    ):
        lines.append(str(line.get("stream", line)))
        if "error" in line:
            raise BuildError("".join(lines[-20:]), [])
    yield name
    engine.client.remove_image(name, force=True)


@contextmanager
def server_with_password(folder: Path) -> Iterator[int]:
    """A system PostgreSQL on a port of this machine that admits nobody without the password."""
    binaries = _system_binaries()
    if not binaries:
        skip("no system PostgreSQL of version 15 or later is installed")
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    (folder / "password").write_text(SECRET)
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])

    def run(*words: str | Path) -> None:
        command = [str(Path(str(binaries)) / str(words[0])), *map(str, words[1:])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **user)  # type: ignore[call-overload]

    cluster = folder / "cluster"
    flags = ["-U", "taxi", "--auth=scram-sha-256", "--encoding=utf8", "--no-sync"]
    run("initdb", "-D", cluster, *flags, f"--pwfile={folder / 'password'}")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    options += " -c fsync=off"
    run("pg_ctl", "-D", cluster, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield port
    finally:
        run("pg_ctl", "-D", cluster, "-w", "-m", "immediate", "stop")


@pytest.mark.slow
def test_the_worker_loads_what_is_due_with_the_secret_alone(
    engine: Engine, worker_image: str, published: Published
) -> None:
    """Twice, and no environment and no process list shows the secret."""
    for month in ("2025-01", "2025-02"):
        published.write("green", month, rows=50)
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "secret").write_text(SECRET + "\n")
        (folder / "luigi.cfg").write_text("")
        with server_with_password(folder) as port:
            (folder / "luigi.cfg").write_text(
                f"[warehouse]\nurl = postgresql://taxi@127.0.0.1:{port}/postgres\n"
                "[storage]\nroot = /data\n"
                "[source]\n"
                "url = file:///published/{{ taxi_type }}_tripdata_{{ month }}.parquet\n"
                "[schedule]\ntaxi_types = green\nfirst_month = 2025-01\n"
            )
            binds = [
                f"{folder / 'secret'}:/run/secrets/postgres_password:ro",
                f"{folder / 'luigi.cfg'}:/etc/luigi-tasks/luigi.cfg:ro",
                f"{published.folder}:/published:ro",
            ]
            config = engine.client.create_host_config(
                binds=binds,
                network_mode="host",
                read_only=True,
                tmpfs={"/tmp": ""},
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                init=True,
            )
            made = engine.client.create_container(
                worker_image, host_config=config, volumes=["/data"]
            )
            try:
                engine.client.start(made)
                said = ""
                for _ in range(600):
                    said = engine.client.logs(made).decode()
                    if "the next run is at" in said:
                        break
                    assert engine.client.inspect_container(made)["State"]["Running"], said
                    time.sleep(0.2)
                assert "green: 2 months loaded, 100 rows" in said, said
                again = [*("sh", "-c", "luigi-tasks run; echo $?; cat /tmp/pgpass | wc -l")]
                assert inside(engine, made, [*again]).splitlines() == ["20", "1"]
                check = ["luigi-tasks", "psql", "--quiet", "--command=SELECT 1"]
                assert "1 row" in inside(engine, made, check)
                shown = str(engine.client.inspect_container(made)) + str(engine.client.top(made))
                assert "hush" not in shown + engine.client.logs(made).decode()
                engine.client.stop(made, timeout=20)
                assert engine.client.inspect_container(made)["State"]["ExitCode"] == 0
            finally:
                engine.client.remove_container(made, force=True, v=True)
            password = SECRET.replace("\\", "%5C").replace(" ", "%20").replace(":", "%3A")
            url = f"postgresql://taxi:{password}@127.0.0.1:{port}/postgres"
            assert Database(url).value("SELECT count(*) FROM green_trips") == 100


def inside(engine: Engine, container: Any, command: list[str]) -> str:
    """What a command prints in a running container."""
    called = engine.client.exec_create(container, command)
    return str(engine.client.exec_start(called).decode())
