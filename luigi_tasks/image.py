"""The image that a container is made of: pulled, or built."""

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

from luigi_tasks import config
from luigi_tasks.engine import said
from luigi_tasks.errors import TaxiError
from luigi_tasks.reports import SHOWN_LINES

if TYPE_CHECKING:
    from docker import APIClient

logger = logging.getLogger("luigi-interface.runner")

#: What the transform's own image is made of, in the package.
PARTS = (
    "Dockerfile",
    "__init__.py",
    "catalog/__init__.py",
    "catalog/columns.py",
    "catalog/lookups.py",
    "catalog/quality.py",
    "catalog/services.py",
    "chunks.py",
    "errors.py",
    "formats/__init__.py",
    "formats/compressed.py",
    "formats/csv.py",
    "formats/json.py",
    "formats/open.py",
    "formats/parquet.py",
    "formats/rows.py",
    "texts.py",
    "transform/__init__.py",
    "transform/__main__.py",
    "transform/casting.py",
    "transform/command.py",
    "transform/files.py",
    "transform/new_columns.py",
    "transform/quality.py",
    "transform/rejects.py",
)
#: Seconds between two lines about a pull.
INTERVAL = 5
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

#: The images that this process has pulled or built, which "always" doesn't do again.
_fresh: set[tuple[str, str]] = set()


def ensure(client: "APIClient", name: str | None) -> str:
    """Have an image on the engine, by ``[runner] pull``.

    :param name: in place of ``[runner] image``; empty for the transform's own.
    :returns: its name.
    :raises TaxiError: it isn't there, and can't be pulled or built, or may not be.
    """
    settings = config.runner()
    build = settings.build if name is None else ""
    name = settings.image if name is None else name
    wanted = name or own_name()
    fresh = (client.base_url, wanted) in _fresh
    if _is_there(client, wanted) and (settings.pull != "always" or fresh):
        return wanted
    if settings.pull == "never":
        raise TaxiError(
            f"image {wanted} isn't there, and [runner] pull = never: pull or build it by hand, or "
            "let if_not_present do so"
        )
    if build:
        dockerfile = Path(build)
        if not dockerfile.is_file():
            raise TaxiError(f"[runner] build: there is no file {dockerfile}")
        _build(client, wanted, path=str(dockerfile.parent), dockerfile=dockerfile.name)
    elif name:
        _pull(client, wanted)
    else:
        _build(client, wanted, fileobj=_own_context(), custom_context=True)
    _fresh.add((client.base_url, wanted))
    return wanted


def own_name() -> str:
    """The name of the transform's own image: another one for each version and content."""
    digest = hashlib.sha256(config.runner().base_image.encode())
    for part in PARTS:
        digest.update((files("luigi_tasks") / part).read_bytes())
    return f"luigi-tasks:{version('luigi-tasks')}-{digest.hexdigest()[:8]}"


def _own_context() -> io.BytesIO:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for part in PARTS:
            content = (files("luigi_tasks") / part).read_bytes()
            info = tarfile.TarInfo(part if part == "Dockerfile" else f"luigi_tasks/{part}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    context.seek(0)
    return context


def _is_there(client: "APIClient", name: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        client.inspect_image(name)
    except ImageNotFound:
        return False
    return True


def _build(client: "APIClient", name: str, **context: Any) -> None:
    settings = config.runner()
    logger.info("building image %s on %s; that is for once", name, settings.base_image)
    began = time.monotonic()
    shown: deque[str] = deque(maxlen=SHOWN_LINES)
    arguments = {"BASE_IMAGE": settings.base_image}
    steps = client.build(
        tag=name, buildargs=arguments, rm=True, forcerm=True, decode=True, **context
    )
    error = ""
    for step in steps:  # to the end, or the connection would stay
        for line in _COLOUR.sub("", step.get("stream", "")).splitlines():
            logger.log(logging.INFO if line.startswith("Step ") else logging.DEBUG, "%s", line)
            if line.strip() and not line.startswith((" --->", "Removing intermediate")):
                shown.append(line.strip())
        error = step.get("error", error)
    if error:
        told = f"image {name} can't be built on {settings.base_image}, [runner] base_image"
        error = re.sub("The command '.*' returned", "it returned", _one_line(error))
        raise TaxiError(f"{told}: {'; '.join(shown)}; {error}")
    logger.info("built image %s in %.0f s", name, time.monotonic() - began)


def _pull(client: "APIClient", name: str) -> None:
    from docker.errors import APIError
    from docker.utils import parse_repository_tag

    logger.info("pulling image %s", name)
    repository, tag = parse_repository_tag(name)
    try:
        steps = client.pull(
            repository, tag or "latest", stream=True, decode=True, auth_config=_credentials()
        )
        errors = [step["error"] for step in _told(steps) if "error" in step]
    except APIError as error:
        raise TaxiError(_not_pulled(name, said(error))) from None
    if errors:
        raise TaxiError(_not_pulled(name, errors[0]))
    logger.info("pulled image %s", name)


def _told(steps: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The steps of a pull, and a line about them every few seconds."""
    layers: dict[str, dict[str, int]] = {}
    told = time.monotonic()
    for step in steps:
        if step.get("status") == "Downloading":
            layers[step["id"]] = step["progressDetail"]
        if layers and time.monotonic() - told > INTERVAL:
            told = time.monotonic()
            done, total = (
                sum(layer.get(key, 0) for layer in layers.values()) / 1e6
                for key in ("current", "total")
            )
            logger.info("pulling: %.0f of %.0f MB so far", done, total)
        yield step


def _credentials() -> dict[str, str] | None:
    """Of the registry; without them, the client looks for what ``docker login`` keeps."""
    username = os.environ.get("LUIGI_TASKS_REGISTRY_USERNAME")
    password = os.environ.get("LUIGI_TASKS_REGISTRY_PASSWORD")
    return {"username": username, "password": password} if username and password else None


def _not_pulled(name: str, reason: str) -> str:
    return (
        f"image {name} can't be pulled: {_one_line(reason)}; is [runner] image right? For a "
        "registry that asks for a password: LUIGI_TASKS_REGISTRY_USERNAME and _PASSWORD"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
