"""The Docker engine: how it's reached, and what it means when it can't be."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from luigi_tasks import config
from luigi_tasks.errors import SystemicError

if TYPE_CHECKING:
    from docker import APIClient

#: Seconds that the engine may take to answer.
TIMEOUT = 60


@contextmanager
def connected() -> "Iterator[APIClient]":
    """A connection to the engine of ``[runner] engine``, $DOCKER_HOST or this machine.

    :raises SystemicError: it isn't there, refuses, or goes away.
    """
    try:
        import docker
        import docker.utils
        import requests
    except ImportError:
        raise SystemicError(
            "[runner] kind = docker needs the package docker: scripts/bootstrap docker, or "
            "pip install 'luigi-tasks[docker]'"
        ) from None
    environment = dict(os.environ)
    if config.runner().engine:
        environment["DOCKER_HOST"] = config.runner().engine
    url = environment.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        if url.startswith("unix://"):
            probe(url.removeprefix("unix://"))
        arguments = docker.utils.kwargs_from_env(environment=environment)
        client = docker.APIClient(**arguments, version="auto", timeout=TIMEOUT)
    except (docker.errors.DockerException, requests.RequestException, ValueError, OSError) as error:
        raise _unreachable(url, error) from None
    try:
        yield client
    except docker.errors.APIError as error:
        raise SystemicError(f"the Docker engine refuses: {said(error)}") from None
    except docker.errors.DockerException as error:  # of the client: its settings, mostly
        raise SystemicError(f"Docker can't be used: {_first_line(error)}") from None
    except requests.RequestException as error:
        raise SystemicError(
            f"the Docker engine at {url} broke the connection ({_first_line(error)}); look at its "
            "log, and run again"
        ) from None
    finally:
        client.close()


def probe(path: str) -> None:
    """Connect to a socket and leave it: the client would leave it open if it can't be used."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(TIMEOUT)
        probe.connect(path)


def said(error: Any) -> str:
    """What the engine says is wrong, on one line."""
    return " ".join(str(error.explanation or error).split())


def _unreachable(url: str, error: Exception) -> SystemicError:
    if _is_within(error, PermissionError):
        return SystemicError(
            f"no permission to use the Docker engine at {url}: join its group (usermod -aG docker "
            "$USER, then log in again), or run a rootless engine and name it in [runner] engine"
        )
    if _is_within(error, (FileNotFoundError, ConnectionRefusedError)):
        return SystemicError(
            f"no Docker engine answers at {url}: start it (systemctl start docker), name another "
            "in [runner] engine or DOCKER_HOST, or use [runner] kind = process"
        )
    return SystemicError(f"the Docker engine at {url} can't be used: {_first_line(error)}")


def _is_within(error: Any, kind: Any) -> bool:
    """Whether an error is of a kind, or was made of one that is."""
    if isinstance(error, kind):
        return True
    inner = [error.__cause__ or error.__context__, getattr(error, "reason", None), *error.args]
    return any(_is_within(each, kind) for each in inner if isinstance(each, BaseException))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
