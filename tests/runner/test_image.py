"""Images that are pulled from a real registry, or built."""

import base64
import importlib.resources
import json
import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engines import (  # noqa: F401  (the fixtures)
    BASE,
    PASSWORD,
    USERNAME,
    Engine,
    Images,
    Scripts,
    fixture_engine,
    fixture_images,
    fixture_no_login,
    fixture_own_image,
    fixture_private_registry,
    fixture_registry,
    fixture_script,
    fixture_task,
)

from luigi_tasks import config, runner
from luigi_tasks.errors import TaxiError
from luigi_tasks.runner import Job
from luigi_tasks.runner.docker import engine as the_engine
from luigi_tasks.runner.docker import image

pytestmark = pytest.mark.slow

Set = Callable[[str, str, str], None]
CREDENTIALS = {"username": USERNAME, "password": PASSWORD}


def ensure(name: str | None = None) -> str:
    """As a job has its image, with an engine by the settings."""
    with the_engine.connected() as client:
        return image.ensure(client, name, config.runner())


def own_name() -> str:
    """That of the transform's own image, by the settings."""
    return image.own_name(config.runner().base_image)


def failure(name: str | None = None) -> str:
    with pytest.raises(TaxiError) as failed:
        ensure(name)
    assert "\n" not in str(failed.value)
    return str(failed.value)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.INFO]


# --- the transform's own ------------------------------------------------------------------------


def test_another_version_content_or_base_has_another_name(
    settings: Set, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = {own_name()}
    assert own_name() in names
    settings("runner", "base_image", "python:3.13-slim")
    names.add(own_name())
    monkeypatch.setattr(image, "version", lambda _: "99.9")
    names.add(own_name())
    assert any(name.startswith("luigi-tasks:99.9-") for name in names)
    package = tmp_path / "luigi_tasks"
    shutil.copytree(str(importlib.resources.files("luigi_tasks")), package)
    monkeypatch.setattr(image, "files", lambda _: package)
    assert own_name() in names
    parts = [name.removeprefix("luigi_tasks/") for name in image.own_files()]
    for part in parts:
        with (package / part).open("a") as file:
            file.write("# changed\n")
        names.add(own_name())
    assert len(names) == 3 + len(parts)
    with (package / "tasks.py").open("a") as file:
        file.write("# which isn't in it\n")
    assert own_name() in names


def test_the_transform_has_all_it_needs_and_nothing_more(own_image: str, script: Scripts) -> None:
    code = """
        import importlib.util
        from pathlib import Path
        import luigi_tasks.transform.command
        there = ["luigi", "psycopg2", "requests", "numpy", "docker"]
        report(
            modules=[name for name in there if importlib.util.find_spec(name)],
            parts=sorted(map(str, Path(luigi_tasks.__file__).parent.rglob("*.py"))),
        )
    """
    seen = script(code, image=own_image).outputs
    assert seen["modules"] == []
    modules = set(image.own_files()) - {"Dockerfile"}
    assert seen["parts"] == sorted(f"/opt/luigi-tasks/{name}" for name in modules)


def test_the_image_has_every_module_that_the_transform_imports() -> None:
    code = """
import sys
import luigi_tasks.transform.command
for module in list(sys.modules.values()):
    if module.__name__.partition(".")[0] == "luigi_tasks":
        print(module.__file__)
"""
    printed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    root = Path(str(importlib.resources.files("luigi_tasks"))).parent
    imported = {str(Path(line).relative_to(root)) for line in printed.stdout.splitlines()}
    assert "luigi_tasks/__init__.py" in imported
    assert imported <= set(image.own_files())
    parts = {name.removesuffix(".py").split("/")[1] for name in imported}
    assert parts - {"__init__"} == set(image.PARTS)


def test_it_is_built_once(
    own_image: str,
    engine: Engine,
    images: Images,
    settings: Set,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface.runner")
    base = images.name()
    images.tag(BASE, base)
    settings("runner", "base_image", base)
    name = own_name()
    images.names.insert(0, name)
    assert name != own_image
    assert ensure() == name
    told = messages(caplog)
    assert told[0] == f"building image {name} on {base} (first use only)"
    assert told[1].startswith("Step 1/")
    assert told[-1].startswith(f"built image {name} in ")
    assert engine.image_id(name)
    caplog.clear()
    for _ in range(2):
        assert ensure() == name
    assert messages(caplog) == []


def test_two_may_build_at_once(
    own_image: str, engine: Engine, images: Images, settings: Set
) -> None:
    base = images.name()
    images.tag(BASE, base)
    settings("runner", "base_image", base)
    images.names.insert(0, own_name())
    ended: list[Any] = []

    def build() -> None:
        try:
            ended.append(ensure())
        except TaxiError as error:
            ended.append(error)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [own_name()] * 3


def test_a_base_image_that_is_not_there_is_named(engine: Engine, settings: Set) -> None:
    settings("runner", "base_image", "127.0.0.1:1/no-such-base:latest")
    for _ in range(2):
        told = failure()
        assert "can't be built on 127.0.0.1:1/no-such-base:latest, [runner] base_image" in told


# --- a user's Dockerfile --------------------------------------------------------------------------


def write_dockerfile(folder: Path, *lines: str) -> str:
    """A Dockerfile on the base image, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    file = folder / "Dockerfile"
    file.write_text("\n".join(["ARG BASE_IMAGE", "FROM ${BASE_IMAGE}", *lines, ""]))
    return str(file)


def test_a_dockerfile_of_ones_own_is_built_once_with_its_folder(
    script: Scripts,
    images: Images,
    settings: Set,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface.runner")
    name = images.name()
    build = write_dockerfile(tmp_path / "context", "COPY beside.txt /opt/", 'ENTRYPOINT ["false"]')
    (tmp_path / "context" / "beside.txt").write_text("beside")
    settings("runner", "image", name)
    settings("runner", "build", build)
    code = "report(beside=open('/opt/beside.txt').read())"
    for builds in (1, 1):
        assert script(code, image=None).outputs == {"beside": "beside"}
        assert len([told for told in messages(caplog) if told.startswith("built")]) == builds
    images.names.append(str(script.engine.image_id(name)))
    # only "always" looks at the Dockerfile again, and only once a run
    (tmp_path / "context" / "beside.txt").write_text("another")
    settings("runner", "pull", "always")
    image._fresh.clear()
    for builds in (2, 2):
        assert script(code, image=None).outputs == {"beside": "another"}
        assert len([told for told in messages(caplog) if told.startswith("built")]) == builds


def test_a_dockerfile_that_fails_is_told_with_its_last_lines(
    engine: Engine, images: Images, settings: Set, tmp_path: Path
) -> None:
    name = images.name()
    settings("runner", "image", name)
    settings("runner", "build", f"{tmp_path}/none/Dockerfile")
    assert failure() == f"[runner] build: there is no file {tmp_path}/none/Dockerfile"
    failing = "RUN echo the first && echo the second && echo the last && exit 3"
    build = write_dockerfile(tmp_path / "failing", failing)
    settings("runner", "build", build)
    for _ in range(2):
        told = failure()
        assert f"image {name} can't be built" in told
        assert "the first; the second; the last; " in told
        assert told.endswith("it returned a non-zero code: 3")
    write_dockerfile(tmp_path / "failing", "NONSENSE here")
    assert "NONSENSE" in failure()
    assert engine.image_id(name) is None


def test_a_build_may_be_silent_for_longer_than_the_engine_may(
    images: Images, settings: Set, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(the_engine, "TIMEOUT", 2)
    settings("runner", "image", images.name())
    settings("runner", "build", write_dockerfile(tmp_path / "slow", "RUN sleep 4"))
    assert ensure() == images.names[0]


def test_a_script_with_the_package_kestra_runs_unchanged(
    script: Scripts,
    images: Images,
    settings: Set,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "luigi-interface.runner")
    settings("runner", "image", images.name())
    settings("runner", "build", write_dockerfile(tmp_path / "it", "RUN pip install kestra"))
    code = """
        from kestra import Kestra
        logger = Kestra.logger()
        logger.info("about to begin")
        logger.warning("look out")
        Kestra.outputs({"rows": 3, "names": ["a", "é"]})
        Kestra.counter("read", 2, {"of": "green"})
        Kestra.counter("read", 3, {"of": "green"})
        Kestra.timer("took", lambda: time.sleep(0.01))
        Kestra.timer("took again", 1.5)
    """
    for _ in range(2):
        caplog.clear()
        finished = script(code, image=None)
        assert finished.outputs == {"rows": 3, "names": ["a", "é"]}
        read, took, again = finished.metrics
        assert read == {"name": "read", "type": "counter", "value": 5, "tags": {"of": "green"}}
        assert (took["name"], took["type"]) == ("took", "timer")
        assert took["value"] > 0
        assert (again["name"], again["value"]) == ("took again", 1.5)
        # its logger puts the time before the message
        levels = {each.getMessage().rpartition(" - ")[2]: each.levelno for each in caplog.records}
        assert levels["about to begin"] == logging.INFO
        assert levels["look out"] == logging.WARNING
        assert not [told for told in levels if "unreadable report" in told]


# --- pulls ----------------------------------------------------------------------------------------


def test_if_not_present_pulls_what_is_missing_and_nothing_else(
    engine: Engine, images: Images, registry: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface.runner")
    name = images.name(registry)
    first = images.publish(name)
    assert ensure(name) == name
    assert engine.image_id(name) == first
    assert messages(caplog) == [f"pulling image {name}", f"pulled image {name}"]
    publish_another(images, name, first)
    image._fresh.clear()
    for _ in range(2):
        ensure(name)
        assert engine.image_id(name) == first


def publish_another(images: Images, name: str, present: str) -> str:
    """Have another image by a name in its registry than here."""
    kept = images.name()
    images.tag(present, kept)
    another = images.publish(name)
    images.tag(kept, name)
    assert another != present
    return another


def test_always_pulls_the_present_image_once_a_run(
    engine: Engine, images: Images, registry: str, settings: Set
) -> None:
    settings("runner", "pull", "always")
    name = images.name(registry)
    first = images.publish(name)
    ensure(name)
    assert engine.image_id(name) == first
    second = publish_another(images, name, first)
    ensure(name)
    assert engine.image_id(name) == first
    image._fresh.clear()  # as in another run
    for _ in range(2):
        ensure(name)
        assert engine.image_id(name) == second


def test_never_takes_what_is_there_and_nothing_else(
    engine: Engine, images: Images, registry: str, settings: Set
) -> None:
    settings("runner", "pull", "never")
    name = images.name(registry)
    images.publish(name)
    for _ in range(2):
        told = failure(name)
        assert told.startswith(f"image {name} isn't on the engine, and [runner] pull = never")
        assert engine.image_id(name) is None
    first = images.make(name)
    assert ensure(name) == name
    assert engine.image_id(name) == first


def test_a_digest_and_a_name_without_tag_can_be_pulled(
    engine: Engine, images: Images, registry: str
) -> None:
    name = images.name(registry)
    first = images.publish(name)
    untagged = name.removesuffix(":latest")
    ensure(untagged)
    assert engine.image_id(name) == first
    [digest] = engine.client.inspect_image(name)["RepoDigests"]
    images.remove(name)
    images.remove(digest)
    images.names.append(digest)
    for _ in range(2):
        assert ensure(digest) == digest
        assert engine.image_id(digest) == first
        image._fresh.clear()


def test_a_pull_tells_how_far_it_is(
    images: Images,
    registry: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "luigi-interface.runner")
    monkeypatch.setattr(image, "INTERVAL", 0)
    name = images.name(registry)
    images.publish(name, size=20_000_000)
    ensure(name)
    begun, *told, done = messages(caplog)
    assert (begun, done) == (f"pulling image {name}", f"pulled image {name}")
    assert told
    assert {line.partition(": ")[0] for line in told} == {"pulling"}
    assert all(line.endswith(" of 20 MB so far") for line in told)


@pytest.mark.parametrize(
    "missing",
    ["{registry}/no-such-image:latest", "{registry}/no-such-image", "127.0.0.1:1/a:b"],
)
def test_an_image_that_cannot_be_pulled_is_named(
    engine: Engine, registry: str, no_login: Path, missing: str
) -> None:
    name = missing.format(registry=registry)
    for _ in range(2):
        told = failure(name)
        assert told.startswith(f"image {name} can't be pulled: ")
        assert "is [runner] image right?" in told


@pytest.mark.parametrize("name", ["UPPER/case", "a b", "http://there/image", ":", "a:b:c"])
def test_a_name_that_cannot_be_one_is_refused_in_one_line(
    engine: Engine, no_login: Path, name: str
) -> None:
    told = failure(name)
    assert name in told or "invalid reference" in told


# --- a registry that asks for a password ----------------------------------------------------------


def test_a_password_by_variables_is_taken(
    engine: Engine,
    images: Images,
    private_registry: str,
    no_login: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = images.name(private_registry)
    first = images.publish(name, auth_config=CREDENTIALS)
    monkeypatch.setenv("LUIGI_TASKS_REGISTRY_USERNAME", USERNAME)
    monkeypatch.setenv("LUIGI_TASKS_REGISTRY_PASSWORD", PASSWORD)
    ensure(name)
    assert engine.image_id(name) == first


def test_what_docker_login_keeps_is_taken(
    engine: Engine, images: Images, private_registry: str, no_login: Path
) -> None:
    name = images.name(private_registry)
    first = images.publish(name, auth_config=CREDENTIALS)
    auth = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    logins = {"auths": {private_registry: {"auth": auth}}}
    (no_login / "config.json").write_text(json.dumps(logins))
    ensure(name)
    assert engine.image_id(name) == first


@pytest.mark.parametrize("password", [None, "a-wrong-password", "with\nanother line"])
def test_a_wrong_password_is_told_and_not_shown(
    images: Images,
    private_registry: str,
    no_login: Path,
    monkeypatch: pytest.MonkeyPatch,
    password: str | None,
) -> None:
    name = images.name(private_registry)
    images.publish(name, auth_config=CREDENTIALS)
    if password:
        monkeypatch.setenv("LUIGI_TASKS_REGISTRY_USERNAME", USERNAME)
        monkeypatch.setenv("LUIGI_TASKS_REGISTRY_PASSWORD", password)
    for _ in range(2):
        told = failure(name)
        assert told.startswith(f"image {name} can't be pulled: ")
        assert "LUIGI_TASKS_REGISTRY_USERNAME and _PASSWORD" in told
        assert password is None or password not in told


@pytest.mark.filterwarnings("ignore:docker-credential-no-such-helper:UserWarning")
def test_a_login_whose_helper_is_missing_is_told(
    images: Images, registry: str, no_login: Path
) -> None:
    name = images.name(registry)
    images.publish(name)
    (no_login / "config.json").write_text('{"credsStore": "no-such-helper"}')
    told = failure(name)
    assert "no-such-helper" in told
    assert "broke the connection" not in told


def test_a_job_pulls_its_image(script: Scripts, images: Images, registry: str) -> None:
    name = images.name(registry)
    images.publish(name)
    job = {**script.job(""), "command": ["/chance"], "image": name}
    with pytest.raises(TaxiError, match="can't be started in image") as failed:
        runner.run(Job(**job), script.new_folder(), config.runner(), "docker")
    assert name in str(failed.value)
