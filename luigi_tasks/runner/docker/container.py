"""Run a job in a container with as few rights as it needs, and remove it in any case."""

import logging
import math
import os
import re
import secrets
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from luigi_tasks import stopping
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.runner.docker import engine, image
from luigi_tasks.runner.docker.files import INPUTS, JOB, WORK, copy_inputs, copy_outputs
from luigi_tasks.runner.job import Job
from luigi_tasks.runner.reports import Lines, Reports

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from luigi_tasks import config

logger = logging.getLogger("luigi-interface.runner")

#: Labels of a container.
TASK, MONTH, RUN = "luigi_tasks.task", "luigi_tasks.month", "luigi_tasks.run"
KEEP_FAILED = "luigi_tasks.keep_failed"
#: The user of the container if this process is root's: nobody.
NOBODY = "65534:65534"
#: The engine's own log of a container's output, for containers that failed and stay.
LOG = {"type": "json-file", "config": {"max-size": "10m"}}
#: Seconds between two requests for the state of a container whose output has ended.
INTERVAL = 0.02
#: Seconds by which two readings of a process's start may differ when the clock is set.
CLOCK_TOLERANCE = 5


@contextmanager
def run_container(
    job: Job, folder: Path, reports: Reports, settings: "config.runner"
) -> Iterator[int]:
    """Run a job in a container; its exit code, with its output files in the folder.

    The container lasts as long as the context. If a TaxiError ends the context, the container
    stays if ``[runner] keep_failed`` is set.

    :param folder: an empty folder that any user may write to.
    :raises TaxiError: the job exceeded its limit of time or memory.
    :raises SystemicError: the engine or the image can't be used, or the job can't be started.
    """
    with engine.connected(settings.engine) as client:
        _remove_containers_of_dead_runs(client)
        try:
            name = image.ensure(client, job.image, settings)
        except TaxiError as error:
            raise SystemicError(str(error)) from None
        container = _create(client, name, job, folder, settings)
        keep = False
        try:
            if settings.files == "copy":
                copy_inputs(container, job)
            else:
                job.write_contents(folder)
            code = _run(container, name, job, reports, settings)
            if code == 0 and settings.files == "copy":
                copy_outputs(container, job, folder, settings.time_limit)
            yield code
        except TaxiError:
            keep = settings.keep_failed
            if keep:
                _log_commands_to_inspect(container, job, settings)
            raise
        finally:
            with stopping.undisturbed():
                _remove(container, settings.stop_grace, keep=keep)


def _log_commands_to_inspect(container: "Container", job: Job, settings: "config.runner") -> None:
    number = container.short_id
    commands = [f"docker logs {number}", f"docker rm -v {number}"]
    if settings.files == "copy":  # a mounted folder is removed with the task's
        commands.insert(1, f"docker cp {number}:{WORK} .")
    logger.warning("%s: the container is kept: %s", job.month, "; ".join(commands))


def _create(
    client: "DockerClient", name: str, job: Job, folder: Path, settings: "config.runner"
) -> "Container":
    from docker.errors import APIError

    user = settings.user or _own_user()
    mounts = [*_mounts(job, folder, user, settings.files), *map(_volume, settings.volumes)]
    host = client.api.create_host_config(
        mem_limit=settings.memory or None,
        memswap_limit=settings.memory or None,
        nano_cpus=round(settings.cpus * 1e9) or None,
        pids_limit=settings.pids or None,
        network_mode=settings.network,
        read_only=settings.read_only,
        tmpfs={"/tmp": f"size={settings.tmpfs},mode=1777"} if settings.tmpfs else None,  # noqa: S108
        cap_drop=list(settings.cap_drop),
        security_opt=["no-new-privileges"] if settings.no_new_privileges else None,
        mounts=mounts,
        init=True,  # or SIGTERM wouldn't end a Python
        log_config=LOG,
    )
    labels = {
        TASK: job.task,
        MONTH: job.month,
        RUN: _this_run(),
        KEEP_FAILED: str(settings.keep_failed),
    }
    try:
        created = client.api.create_container(  # client.containers would drop the warnings
            name,
            list(job.command),
            name=re.sub(r"\W+", "-", f"luigi-tasks-{job.task}-{job.month}-{secrets.token_hex(3)}"),
            labels=labels,
            environment={
                "HOME": "/tmp",  # noqa: S108
                "PYTHONUNBUFFERED": "1",
                **settings.environment,
                **job.environment,
            },
            entrypoint=[],
            user=user,
            working_dir=WORK,
            host_config=host,
        )
    except APIError as error:
        reason = engine.explanation(error)
        if any(f" {path}" in reason for path in (folder, *job.paths.values())):
            raise SystemicError(
                f"the Docker engine doesn't see this machine's files ({reason}): "
                "set [runner] files = copy"
            ) from None
        raise
    for warning in created.get("Warnings") or ():
        logger.warning("%s: the Docker engine warns: %s", job.month, warning)
    return client.containers.prepare_model(created)


def _own_user() -> str:
    return f"{os.getuid()}:{os.getgid()}" if os.getuid() else NOBODY


def _mounts(job: Job, folder: Path, user: str, files: str) -> list[Any]:
    from docker.types import Mount

    if files == "copy":
        return [Mount(JOB, None)]
    mounts = [Mount(WORK, str(folder), type="bind")]
    for name, path in job.paths.items():
        _check_readable(path, user)
        source = str(path.resolve())
        mounts.append(Mount(f"{INPUTS}/{name}", source, type="bind", read_only=True))
        (folder / name).symlink_to(f"{INPUTS}/{name}")
    return mounts


def _check_readable(path: Path, user: str) -> None:
    """Refuse a file that only its owner can read if the container's user is another."""
    found = path.stat()
    is_owner = user.partition(":")[0] in ("0", "root", str(found.st_uid))
    if not is_owner and not found.st_mode & stat.S_IROTH:
        raise SystemicError(
            f"{path} can't be read by user {user} of the container: let others read it (its umask "
            "was too strict), set [runner] user, or [runner] files = copy"
        )


def _volume(setting: str) -> Any:
    from docker.types import Mount

    source, target, *mode = setting.split(":")
    mount_type = "bind" if source.startswith("/") else "volume"
    return Mount(target, source, type=mount_type, read_only=mode == ["ro"])


# --- a container's life -----------------------------------------------------------------------


def _run(
    container: "Container", image_name: str, job: Job, reports: Reports, settings: "config.runner"
) -> int:
    """Start a container and wait for its end.

    :returns: its exit code.
    :raises TaxiError: it exceeded its limit of time or memory, or the image has no such command.
    """
    deadline = time.monotonic() + settings.time_limit if settings.time_limit else math.inf
    reader = _attach(container, reports)
    container.start()
    reader.join(_seconds_to(deadline))
    state = _state(container)
    while state["Running"] and time.monotonic() < deadline:  # though its output may have ended
        time.sleep(INTERVAL)
        state = _state(container)
    if state["Running"]:
        container.stop(timeout=math.ceil(settings.stop_grace))
        reader.join(settings.stop_grace)
        raise TaxiError(
            f"{job.program} was stopped after {settings.time_limit:g} s, [runner] time_limit"
        )
    reader.join()
    code = int(state["ExitCode"])
    if code and state["OOMKilled"]:
        limit = settings.memory or "that of the machine"
        raise TaxiError(f"{job.program} ran out of memory: its limit is {limit}, [runner] memory")
    if code in (126, 127) and "[FATAL tini" in "".join(reports.last_lines):
        raise SystemicError(
            f"{job.program} can't be started in image {image_name}: "
            f"{'; '.join(reports.last_lines)}; [transform] script and [runner] image must fit"
        )
    return code


def _state(container: "Container") -> dict[str, Any]:
    container.reload()
    return container.attrs["State"]  # type: ignore[no-any-return]


def _seconds_to(deadline: float) -> float | None:
    """The time that is left, at least 0.1 s; None without a limit."""
    return None if deadline == math.inf else max(deadline - time.monotonic(), 0.1)


def _attach(container: "Container", reports: Reports) -> threading.Thread:
    """Read the output of a container in a thread, from its first line to its end."""
    stream = container.attach(stdout=True, stderr=True, stream=True, demux=True)

    def read() -> None:
        output, errors = Lines(reports.add_line), Lines(reports.add_error_line)
        try:
            with suppress(OSError):  # if the connection breaks, so does the wait for the end
                for of_output, of_errors in stream:
                    output.feed(of_output or b"")
                    errors.feed(of_errors or b"")
            output.end()
            errors.end()
        finally:
            stream._response.close()  # its own close() leaves the socket's file open

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _remove(container: "Container", stop_grace: float, *, keep: bool) -> None:
    """Stop a container if it runs, and remove it; if that fails, the next run removes it."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        container.stop(timeout=math.ceil(stopping.shortened(stop_grace)))
    except (DockerException, RequestException) as error:
        logger.debug("container %s isn't stopped: %s", container.id, error)
    finally:
        if not keep:
            with suppress(DockerException, RequestException):
                container.remove(force=True, v=True)


def _this_run() -> str:
    """The identity of this run, by which others can find out whether it still goes on."""
    return " ".join((_host(), str(os.getpid()), str(int(psutil.Process().create_time()))))


def _host() -> str:
    """The machine and its namespace of process numbers, outside which they mean nothing."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = "pid"
    return f"{socket.gethostname()} {namespace}"


def _is_dead(run: str) -> bool:
    """Return whether a run was on this machine and is over."""
    host, pid, start = run.rsplit(" ", 2)
    if host != _host():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - int(start)) > CLOCK_TOLERANCE
    except psutil.NoSuchProcess:
        return True


def _remove_containers_of_dead_runs(client: "DockerClient") -> None:
    """Remove the containers of runs that were killed, except those that failed and are kept."""
    from docker.errors import APIError

    for container in client.containers.list(all=True, filters={"label": RUN}, sparse=True):
        found = container.attrs
        failed = found["State"] == "exited" and "(0)" not in found["Status"]
        is_kept = failed and found["Labels"].get(KEEP_FAILED) == str(True)
        if _is_dead(found["Labels"][RUN]) and not is_kept:
            logger.info("removing a container of a run that was killed: %s", found["Names"][0])
            try:
                container.remove(force=True, v=True)
            except APIError as error:
                # another job may be removing it, too
                if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                    raise
