"""Run a job in a container that can disturb nothing, and remove it, whatever happens."""

import logging
import math
import os
import re
import secrets
import shutil
import socket
import stat
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import psutil

from luigi_tasks import config, engine, image, stopping
from luigi_tasks.chunks import Chunks
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.job import Job
from luigi_tasks.reports import Lines, Reports

if TYPE_CHECKING:
    from docker import APIClient

logger = logging.getLogger("luigi-interface.runner")

#: In the container: the inputs, and the working folder.
JOB, INPUTS, WORK = "/job", "/job/inputs", "/job/work"
TASK, MONTH, RUN = "luigi_tasks.task", "luigi_tasks.month", "luigi_tasks.run"
KEPT = "luigi_tasks.keep_failed"
#: Who it is when whoever runs it is root: nobody.
NOBODY = "65534:65534"
#: Of an engine's own log of a container's output, for a look at one that was kept.
LOG = {"type": "json-file", "config": {"max-size": "10m"}}
#: Seconds between two looks at a container whose output has ended.
INTERVAL = 0.02
#: Seconds by which two readings of one process's start may differ, when the clock is set.
CLOCK = 5


@contextmanager
def ran(job: Job, folder: Path, reports: Reports) -> Iterator[int]:
    """Run a job in a container: its exit code, while what it made is in the folder."""
    settings = config.runner()
    with engine.connected() as client:
        from docker.errors import APIError

        _remove_those_of_dead_runs(client)
        try:
            name = image.ensure(client, job.image)
        except TaxiError as error:
            raise SystemicError(str(error)) from None
        try:
            container = _create(client, name, job, folder)
        except APIError as error:
            if any(f" {path}" in engine.said(error) for path in (folder, *job.paths.values())):
                raise SystemicError(
                    f"the Docker engine doesn't see this machine's files ({engine.said(error)}): "
                    "set [runner] files = copy"
                ) from None
            raise
        keep = False
        try:
            if settings.files == "copy":
                client.put_archive(container, JOB, _packed(job))
            else:
                job.write_contents(folder)
            code = _run(client, container, name, job, reports)
            if code == 0 and settings.files == "copy":
                _unpack(client, container, job, folder)
            yield code
        except TaxiError:
            keep = settings.keep_failed
            if keep:
                number = container[:12]
                looks = [f"docker logs {number}", f"docker rm -v {number}"]
                if settings.files == "copy":  # a mounted folder goes with the task's
                    looks.insert(1, f"docker cp {number}:{WORK} .")
                logger.warning("%s: the container is kept: %s", job.month, "; ".join(looks))
            raise
        finally:
            with stopping.undisturbed():
                _remove(client, container, keep=keep)


def _create(client: "APIClient", name: str, job: Job, folder: Path) -> str:
    """Create a container, and return its number."""
    settings = config.runner()
    user = settings.user or _own_user()
    limits = {
        "mem_limit": settings.memory or None,
        "memswap_limit": settings.memory or None,
        "nano_cpus": round(settings.cpus * 1e9) or None,
        "pids_limit": settings.pids or None,
    }
    host = client.create_host_config(
        **limits,
        network_mode=settings.network,
        read_only=settings.read_only,
        tmpfs={"/tmp": f"size={settings.tmpfs},mode=1777"} if settings.tmpfs else None,  # noqa: S108
        cap_drop=list(settings.cap_drop),
        security_opt=["no-new-privileges"] if settings.no_new_privileges else None,
        mounts=[*_mounts(job, folder, user), *map(_volume, settings.volumes)],
        init=True,  # or SIGTERM wouldn't end a Python
        log_config=LOG,
    )
    created = client.create_container(
        name,
        list(job.command),
        name=re.sub(r"\W+", "-", f"luigi-tasks-{job.task}-{job.month}-{secrets.token_hex(3)}"),
        labels={
            TASK: job.task,
            MONTH: job.month,
            RUN: _this_run(),
            KEPT: str(settings.keep_failed),
        },
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
    for warning in created.get("Warnings") or ():
        logger.warning("%s: the Docker engine says: %s", job.month, warning)
    return str(created["Id"])


def _own_user() -> str:
    return f"{os.getuid()}:{os.getgid()}" if os.getuid() else NOBODY


def _mounts(job: Job, folder: Path, user: str) -> list[Any]:
    from docker.types import Mount

    if config.runner().files == "copy":
        return [Mount(JOB, None)]
    mounts = [Mount(WORK, str(folder), type="bind")]
    for name, path in job.paths.items():
        _check_readable(path, user)
        source = str(path.resolve())
        mounts.append(Mount(f"{INPUTS}/{name}", source, type="bind", read_only=True))
        (folder / name).symlink_to(f"{INPUTS}/{name}")
    return mounts


def _check_readable(path: Path, user: str) -> None:
    """Refuse a file that only its owner can read, where the container isn't that."""
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
    kind = "bind" if source.startswith("/") else "volume"
    return Mount(target, source, type=kind, read_only=mode == ["ro"])


# --- a container's life -----------------------------------------------------------------------


def _run(client: "APIClient", container: str, name: str, job: Job, reports: Reports) -> int:
    """Start a container and wait for its end.

    :returns: its exit code.
    :raises TaxiError: it took too long or too much memory, or has no such command.
    """
    settings = config.runner()
    deadline = time.monotonic() + settings.time_limit if settings.time_limit else math.inf
    reader = _attach(client, container, reports)
    client.start(container)
    reader.join(_seconds_to(deadline))
    state = client.inspect_container(container)["State"]
    while state["Running"] and time.monotonic() < deadline:  # though its output may have ended
        time.sleep(INTERVAL)
        state = client.inspect_container(container)["State"]
    if state["Running"]:
        client.stop(container, timeout=math.ceil(settings.stop_grace))
        reader.join(settings.stop_grace)
        raise TaxiError(
            f"{job.command[0]} was stopped after {settings.time_limit:g} s, [runner] time_limit"
        )
    reader.join()
    code = int(state["ExitCode"])
    if code and state["OOMKilled"]:
        limit = settings.memory or "that of the machine"
        raise TaxiError(
            f"{job.command[0]} ran out of memory: its limit is {limit}, [runner] memory"
        )
    if code in (126, 127) and "[FATAL tini" in "".join(reports.last_lines):
        raise SystemicError(
            f"{job.command[0]} can't be started in image {name}: {'; '.join(reports.last_lines)}; "
            "[transform] script and [runner] image must fit"
        )
    return code


def _seconds_to(deadline: float) -> float | None:
    """The time that is left, a moment at least; None if there is no limit."""
    return None if deadline == math.inf else max(deadline - time.monotonic(), 0.1)


def _attach(client: "APIClient", container: str, reports: Reports) -> threading.Thread:
    """Read what a container says, from its first line on, until its end."""
    said = client.attach(container, stdout=True, stderr=True, stream=True, demux=True)

    def read() -> None:
        output, errors = Lines(reports.take), Lines(reports.take_error)
        try:
            with suppress(OSError):  # the connection broke, which the wait for the end tells
                for from_output, from_errors in said:
                    output.feed(from_output or b"")
                    errors.feed(from_errors or b"")
            output.end()
            errors.end()
        finally:
            said._response.close()  # its own close() leaves the socket's file open

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader


def _remove(client: "APIClient", container: str, *, keep: bool) -> None:
    """Stop a container if it runs, and remove it; what can't be now is left to the next run."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        grace = stopping.shortened(config.runner().stop_grace)
        client.stop(container, timeout=math.ceil(grace))
    except (DockerException, RequestException) as error:
        logger.debug("container %s isn't stopped: %s", container, error)
    finally:
        if not keep:
            with suppress(DockerException, RequestException):
                client.remove_container(container, force=True, v=True)


def _this_run() -> str:
    """What tells a run from all others, and whether it still goes on."""
    return " ".join((_here(), str(os.getpid()), str(int(psutil.Process().create_time()))))


def _here() -> str:
    """The machine and, as process numbers mean nothing elsewhere, its namespace of these."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = "pid"
    return f"{socket.gethostname()} {namespace}"


def _is_dead(run: str) -> bool:
    """Whether a run was one of this machine and is over."""
    here, pid, start = run.rsplit(" ", 2)
    if here != _here():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - int(start)) > CLOCK
    except psutil.NoSuchProcess:
        return True


def _remove_those_of_dead_runs(client: "APIClient") -> None:
    """Remove containers whose run was killed; but not those that failed and were kept."""
    from docker.errors import APIError

    for container in client.containers(all=True, filters={"label": RUN}):
        labels = container["Labels"]
        failed = container["State"] == "exited" and "(0)" not in container["Status"]
        if _is_dead(labels[RUN]) and not (failed and labels.get(KEPT) == str(True)):
            logger.info("removing a container of a run that was killed: %s", container["Names"][0])
            try:
                client.remove_container(container["Id"], force=True, v=True)
            except APIError as error:
                if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                    raise  # it isn't that another job is removing it, too


# --- files by copy ----------------------------------------------------------------------------


def _packed(job: Job) -> Iterator[bytes]:
    """A tar archive of a job's inputs, beside its working folder, piece by piece."""
    for name in ("work", "inputs"):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777 if name == "work" else 0o755
        yield folder.tobuf(tarfile.GNU_FORMAT)
    for name, path in job.paths.items():
        link = tarfile.TarInfo(f"work/{name}")
        link.type, link.linkname = tarfile.SYMTYPE, f"{INPUTS}/{name}"
        yield link.tobuf(tarfile.GNU_FORMAT)
        yield from _packed_file(name, path)
    for name, content in job.contents.items():
        script = tarfile.TarInfo(f"work/{name}")
        script.size, script.mode = len(content), 0o755
        yield script.tobuf(tarfile.GNU_FORMAT) + content + _padding(len(content))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _packed_file(name: str, path: Path) -> Iterator[bytes]:
    info = tarfile.TarInfo(f"inputs/{name}")
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        info.size, info.mode = found.st_size, 0o444 | found.st_mode & 0o111
        yield info.tobuf(tarfile.GNU_FORMAT)
        while piece := file.read(1 << 20):
            yield piece
    yield _padding(info.size)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _unpack(client: "APIClient", container: str, job: Job, folder: Path) -> None:
    """Copy what a job made into a folder here; of anything else, only the name."""
    pieces, _ = client.get_archive(container, WORK, chunk_size=1 << 20)
    refused = ""
    with tarfile.open(fileobj=Chunks(iter(pieces)), mode="r|") as tar:  # type: ignore[call-overload]
        for member in tar:  # to the end, or the connection would stay
            _, *names = PurePosixPath(member.name).parts
            if len(names) != 1 or names[0] in job.inputs:
                continue
            made = folder / names[0]
            content = tar.extractfile(member) if member.isfile() else None
            first = PurePosixPath(member.linkname).name
            if not job.makes(made.name):
                made.touch()
            elif content:
                with made.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
            elif member.islnk() and job.makes(first) and (folder / first).exists():
                shutil.copyfile(folder / first, made)
            else:
                refused = made.name
    if refused:
        raise job.not_a_file(refused)
