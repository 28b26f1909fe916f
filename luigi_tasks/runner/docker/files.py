"""A job's files by copy, to a container of an engine that sees none of this machine's."""

import io
import math
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from luigi_tasks.chunks import Chunks
from luigi_tasks.errors import TaxiError
from luigi_tasks.runner.job import Job

if TYPE_CHECKING:
    from docker.models.containers import Container

#: Folders in the container: the inputs, and the working folder.
JOB, INPUTS, WORK = "/job", "/job/inputs", "/job/work"


def copy_inputs(container: "Container", job: Job) -> None:
    """Copy a job's inputs to a container, as a tar archive that is written while it is sent."""
    reading, writing = os.pipe()
    with ThreadPoolExecutor(1) as thread:
        packed = thread.submit(_pack, job, writing)
        try:
            with os.fdopen(reading, "rb") as archive:
                container.put_archive(JOB, archive)
        finally:
            error = packed.exception()
            if error and not isinstance(error, BrokenPipeError):
                raise error


def _pack(job: Job, pipe: int) -> None:
    """Write a tar archive of a job's inputs and working folder to a pipe, and close it."""
    with os.fdopen(pipe, "wb") as file, tarfile.open(fileobj=file, mode="w|") as tar:
        tar.addfile(_entry("work", type=tarfile.DIRTYPE, mode=0o777))
        tar.addfile(_entry("inputs", type=tarfile.DIRTYPE, mode=0o755))
        for name, path in job.paths.items():
            link = {"type": tarfile.SYMTYPE, "linkname": f"{INPUTS}/{name}"}
            tar.addfile(_entry(f"work/{name}", **link))
            with path.open("rb") as content:
                found = os.fstat(content.fileno())
                mode = 0o444 | found.st_mode & 0o111
                tar.addfile(_entry(f"inputs/{name}", size=found.st_size, mode=mode), content)
        for name, script in job.contents.items():
            tar.addfile(_entry(f"work/{name}", size=len(script), mode=0o755), io.BytesIO(script))


def _entry(name: str, **attributes: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def copy_outputs(container: "Container", job: Job, folder: Path, time_limit: float) -> None:
    """Copy a job's output files to a folder here, and of other files the name only.

    :param time_limit: in seconds; 0 for none.
    :raises TaxiError: it takes longer, as a file of exabytes that takes no room over there would.
    """
    api = container.client.api
    # as get_archive, whose stream can't be broken off: the engine wouldn't remove the container
    url = api._url("/containers/{0}/archive", container.id)
    with closing(api._get(url, params={"path": WORK}, stream=True)) as response:
        api._raise_for_status(response)
        pieces = _within(time_limit, response.iter_content(1 << 20), job)
        _unpack(pieces, job, folder)


def _unpack(pieces: Iterator[bytes], job: Job, folder: Path) -> None:
    refused = ""
    with tarfile.open(fileobj=Chunks(pieces), mode="r|") as tar:  # type: ignore[call-overload]
        for member in tar:  # to the end, or the connection would stay open
            _, *names = PurePosixPath(member.name).parts
            if len(names) != 1 or names[0] in job.inputs:
                continue
            copy = folder / names[0]
            content = tar.extractfile(member) if member.isfile() else None
            first = PurePosixPath(member.linkname).name
            if not job.is_output(copy.name):
                copy.touch()
            elif content:
                with copy.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
            elif member.islnk() and job.is_output(first) and (folder / first).exists():
                shutil.copyfile(folder / first, copy)
            else:
                refused = copy.name
    if refused:
        raise job.not_a_file(refused)


def _within(seconds: float, pieces: Iterator[bytes], job: Job) -> Iterator[bytes]:
    """The pieces of an archive, as long as they come within a time; 0 is no limit."""
    deadline = time.monotonic() + seconds if seconds else math.inf
    for piece in pieces:
        if time.monotonic() > deadline:
            raise TaxiError(
                f"{job.program}: to copy its files took longer than {seconds:g} s, [runner] "
                "time_limit"
            )
        yield piece
