"""Where the lake is: a folder of this machine, or a store such as S3. An object appears whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from luigi_tasks import records
from luigi_tasks.errors import TaxiError
from luigi_tasks.stores import errors_on_one_line, file_system
from luigi_tasks.urls import Url

#: Stores in which an object appears with the end of its PUT. Elsewhere a file grows while it is
#: sent, so it is sent under another name and renamed.
_WITH_PUT = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "memory"}
)


class Objects(Protocol):
    """Objects by their names, such as ``trips/taxi_type=green/month=2024-01/part.parquet``."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The names and sizes in bytes of all objects under a folder; none if there is no such."""

    def put(self, file: Path, name: str) -> None:
        """Have a file as an object, in place of another; the file may be gone afterwards."""

    def write(self, content: bytes, name: str) -> None:
        """Have bytes as an object, in place of another."""

    def remove(self, name: str) -> None:
        """Remove an object, if it exists."""


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def sizes(self, folder: str) -> dict[str, int]:
        with _errors_of_lake():
            found = {}
            for parent, _, files in os.walk(self._root / folder):
                for file in files:
                    path = Path(parent, file)
                    with suppress(FileNotFoundError):  # renamed at this moment
                        found[path.relative_to(self._root).as_posix()] = path.stat().st_size
            return found

    def put(self, file: Path, name: str) -> None:
        with self._replacing(name) as temporary:
            try:
                file.rename(temporary)
            except OSError:  # on another disk
                shutil.copyfile(file, temporary)

    def write(self, content: bytes, name: str) -> None:
        with self._replacing(name) as temporary:
            temporary.write_bytes(content)

    def remove(self, name: str) -> None:
        path = self._root / name
        with _errors_of_lake():
            path.unlink(missing_ok=True)
            with suppress(OSError):  # it isn't empty
                path.parent.rmdir()

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        """Have what is written to another name renamed to this one, once it is on the disk."""
        path = self._root / name
        temporary = path.with_name(temporary_name(path.name))
        with _errors_of_lake():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield temporary
                records.flush(temporary)
                temporary.replace(path)
                records.flush(path.parent)
            finally:
                temporary.unlink(missing_ok=True)


class Store:
    """A prefix in a store, by fsspec."""

    def __init__(self, url: Url) -> None:
        self._url = url

    def sizes(self, folder: str) -> dict[str, int]:
        with errors_on_one_line(self._url):
            files, root = file_system(self._url)
            root = root.rstrip("/")
            try:
                found = files.find(f"{root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
            return {
                path.removeprefix(root).lstrip("/"): int(facts["size"] or 0)
                for path, facts in found.items()
            }

    def put(self, file: Path, name: str) -> None:
        with self._replacing(name) as (files, path):
            files.put_file(str(file), path)

    def write(self, content: bytes, name: str) -> None:
        with self._replacing(name) as (files, path):
            files.pipe_file(path, content)

    def remove(self, name: str) -> None:
        with errors_on_one_line(self._url):
            files, root = file_system(self._url)
            with suppress(FileNotFoundError):
                files.rm_file(f"{root.rstrip('/')}/{name}")

    @contextmanager
    def _replacing(self, name: str) -> Iterator[tuple[Any, str]]:
        """The file system, and the path to write to."""
        with errors_on_one_line(self._url):
            files, root = file_system(self._url)
            path = f"{root.rstrip('/')}/{name}"
            if self._url.scheme in _WITH_PUT:
                yield files, path
                return
            folder, _, last = path.rpartition("/")
            files.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/{temporary_name(last)}"
            yield files, temporary
            files.mv(temporary, path)


def objects_at(location: Path | Url) -> Objects:
    """The objects of a folder or a store."""
    return Store(location) if isinstance(location, Url) else Folder(location)


def temporary_name(name: str) -> str:
    """A name for what isn't finished; engines leave out what begins with a dot. No two writers have
    the same, so that one that was frozen can't write into another's file."""
    return f".{name}.{uuid.uuid4().hex}.tmp"


@contextmanager
def _errors_of_lake() -> Iterator[None]:
    """Report what the system says of the lake's folder on one line."""
    try:
        yield
    except OSError as error:
        raise TaxiError(f"[lake] url: {error}") from None
