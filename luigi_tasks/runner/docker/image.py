"""The image of a container: pulled from a registry, or built."""

import hashlib
import io
import logging
import os
import re
import tarfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luigi_tasks.errors import TaxiError
from luigi_tasks.runner.docker.engine import explanation
from luigi_tasks.runner.reports import SHOWN_LINES

if TYPE_CHECKING:
    from docker import DockerClient

    from luigi_tasks import config

logger = logging.getLogger("luigi-interface.runner")

#: The modules and packages of ``luigi_tasks`` in the transform's own image.
PARTS = ("catalog", "chunks", "errors", "formats", "texts", "transform")
#: Seconds between two log lines about a pull.
INTERVAL = 5
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

#: The images that this process has pulled or built, by engine and name: "always" does so once.
_fresh: set[tuple[str, str]] = set()


def ensure(client: "DockerClient", name: str | None, settings: "config.runner") -> str:
    """Make sure that the engine has an image, as ``[runner] pull`` wants it.

    :param name: overrides ``[runner] image``; empty, it is the transform's own image.
    :returns: the image's name.
    :raises TaxiError: it doesn't exist, and can't be pulled or built, or may not be.
    """
    build = settings.build if name is None else ""
    name = settings.image if name is None else name
    wanted = name or own_name(settings.base_image)
    fresh = (client.api.base_url, wanted) in _fresh
    if _exists(client, wanted) and (settings.pull != "always" or fresh):
        return wanted
    if settings.pull == "never":
        raise TaxiError(
            f"image {wanted} isn't on the engine, and [runner] pull = never: pull or build it by "
            "hand, or set pull = if_not_present"
        )
    if build:
        dockerfile = Path(build)
        if not dockerfile.is_file():
            raise TaxiError(f"[runner] build: there is no file {dockerfile}")
        context: dict[str, Any] = {"path": str(dockerfile.parent), "dockerfile": dockerfile.name}
        _build(client, wanted, settings.base_image, **context)
    elif name:
        _pull(client, wanted)
    else:
        _build(client, wanted, settings.base_image, fileobj=_own_context(), custom_context=True)
    _fresh.add((client.api.base_url, wanted))
    return wanted


def own_name(base_image: str) -> str:
    """The name of the transform's own image, which differs by version, content and base image."""
    digest = hashlib.sha256(base_image.encode())
    for name, content in own_files().items():
        digest.update(f"{name} {len(content)} ".encode() + content)
    return f"luigi-tasks:{version('luigi-tasks')}-{digest.hexdigest()[:8]}"


def own_files() -> dict[str, bytes]:
    """The files that the transform's own image is built from, by their path in the context."""
    package = Path(str(files("luigi_tasks")))
    paths = [package / "__init__.py"]
    for part in PARTS:
        folder = package / part
        paths += sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    modules = {f"luigi_tasks/{path.relative_to(package)}": path.read_bytes() for path in paths}
    return {"Dockerfile": (package / "Dockerfile").read_bytes(), **modules}


def _own_context() -> io.BytesIO:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in own_files().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    context.seek(0)
    return context


def _exists(client: "DockerClient", name: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _build(client: "DockerClient", name: str, base_image: str, **context: Any) -> None:
    """Build an image, and log the steps as they come, which ``client.images`` doesn't give."""
    logger.info("building image %s on %s (first use only)", name, base_image)
    started = time.monotonic()
    last_lines: deque[str] = deque(maxlen=SHOWN_LINES)
    steps = client.api.build(
        tag=name,
        buildargs={"BASE_IMAGE": base_image},
        rm=True,
        forcerm=True,
        decode=True,
        **context,
    )
    error = ""
    for step in steps:  # to the end, or the connection would stay open
        for line in _COLOUR.sub("", step.get("stream", "")).splitlines():
            logger.log(logging.INFO if line.startswith("Step ") else logging.DEBUG, "%s", line)
            if line.strip() and not line.startswith((" --->", "Removing intermediate")):
                last_lines.append(line.strip())
        error = step.get("error", error)
    if error:
        message = f"image {name} can't be built on {base_image}, [runner] base_image"
        error = re.sub("The command '.*' returned", "it returned", _one_line(error))
        raise TaxiError(f"{message}: {'; '.join(last_lines)}; {error}")
    logger.info("built image %s in %.0f s", name, time.monotonic() - started)


def _pull(client: "DockerClient", name: str) -> None:
    """Pull an image, and log its progress, which ``client.images`` doesn't give."""
    from docker.errors import APIError
    from docker.utils import parse_repository_tag

    logger.info("pulling image %s", name)
    repository, tag = parse_repository_tag(name)
    try:
        steps = client.api.pull(
            repository, tag or "latest", stream=True, decode=True, auth_config=_credentials()
        )
        errors = [step["error"] for step in _log_progress(steps) if "error" in step]
    except APIError as error:
        raise TaxiError(_pull_error(name, explanation(error))) from None
    if errors:
        raise TaxiError(_pull_error(name, errors[0]))
    logger.info("pulled image %s", name)


def _log_progress(steps: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pass on the steps of a pull, and log every few seconds how many bytes have come."""
    layers: dict[str, dict[str, int]] = {}
    logged = time.monotonic()
    for step in steps:
        if step.get("status") == "Downloading":
            layers[step["id"]] = step["progressDetail"]
        if layers and time.monotonic() - logged > INTERVAL:
            logged = time.monotonic()
            done, total = (
                sum(layer.get(key, 0) for layer in layers.values()) / 1e6
                for key in ("current", "total")
            )
            logger.info("pulling: %.0f of %.0f MB so far", done, total)
        yield step


def _credentials() -> dict[str, str] | None:
    """Those of the registry; without any, the client looks for what ``docker login`` stored."""
    username = os.environ.get("LUIGI_TASKS_REGISTRY_USERNAME")
    password = os.environ.get("LUIGI_TASKS_REGISTRY_PASSWORD")
    return {"username": username, "password": password} if username and password else None


def _pull_error(name: str, reason: str) -> str:
    return (
        f"image {name} can't be pulled: {_one_line(reason)}; is [runner] image right? For a "
        "registry that asks for a password: LUIGI_TASKS_REGISTRY_USERNAME and _PASSWORD"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
