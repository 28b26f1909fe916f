"""The Docker engine: how to connect to it, and what its errors mean."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from luigi_tasks.errors import SystemicError

if TYPE_CHECKING:
    from docker import DockerClient

#: Seconds that the engine may take to answer.
TIMEOUT = 60


@contextmanager
def connected(url: str = "") -> "Iterator[DockerClient]":
    """Connect to an engine.

    :param url: of the engine; empty for that of $DOCKER_HOST or of this machine.
    :raises SystemicError: it doesn't answer, refuses a request, or breaks the connection.
    """
    try:
        import docker
        import requests
    except ImportError:
        raise SystemicError(
            "[runner] kind = docker needs the package docker: scripts/bootstrap docker, or "
            "pip install 'luigi-tasks[docker]'"
        ) from None
    environment = dict(os.environ)
    if url:
        environment["DOCKER_HOST"] = url
    url = environment.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        if url.startswith("unix://"):
            probe(url.removeprefix("unix://"))
        client = docker.DockerClient.from_env(
            environment=environment, version="auto", timeout=TIMEOUT
        )
    except (docker.errors.DockerException, requests.RequestException, ValueError, OSError) as error:
        raise _unreachable(url, error) from None
    try:
        yield client
    except docker.errors.APIError as error:
        raise SystemicError(f"the Docker engine refuses: {explanation(error)}") from None
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
    """Connect to a socket and close it: the client doesn't close one that it can't use."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(TIMEOUT)
        probe.connect(path)


def explanation(error: Any) -> str:
    """What the engine reports to be wrong, on one line."""
    return " ".join(str(error.explanation or error).split())


def _unreachable(url: str, error: Exception) -> SystemicError:
    if _is_caused_by(error, PermissionError):
        return SystemicError(
            f"no permission to use the Docker engine at {url}: join its group (usermod -aG docker "
            "$USER, then log in again), or run a rootless engine and name it in [runner] engine"
        )
    if _is_caused_by(error, (FileNotFoundError, ConnectionRefusedError)):
        return SystemicError(
            f"no Docker engine answers at {url}: start it (systemctl start docker), name another "
            "in [runner] engine or DOCKER_HOST, or use [runner] kind = process"
        )
    return SystemicError(f"the Docker engine at {url} can't be used: {_first_line(error)}")


def _is_caused_by(error: Any, error_class: Any) -> bool:
    """Return whether an error, or one that it was raised from, is of a class."""
    if isinstance(error, error_class):
        return True
    inner = [error.__cause__ or error.__context__, getattr(error, "reason", None), *error.args]
    return any(
        _is_caused_by(each, error_class) for each in inner if isinstance(each, BaseException)
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
