"""Run a job in a container of a Docker engine: the engine, the image and the container."""

from luigi_tasks.runner.docker.container import run_container

__all__ = ["run_container"]
