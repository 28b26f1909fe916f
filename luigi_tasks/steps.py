"""What a month's transform runs: the built-in one, the user's script, or both."""

import logging
import shutil
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from luigi_tasks import config, runner, script
from luigi_tasks.errors import TaxiError, is_systemic
from luigi_tasks.job import Job
from luigi_tasks.runner import CommandError
from luigi_tasks.script import Script
from luigi_tasks.source import Edition
from luigi_tasks.storage import MonthFiles

logger = logging.getLogger("luigi-interface.steps")

#: Names that no input has: those are parquet files.
TRIPS, REJECTS = "trips", "rejects"


@dataclass
class Transformed:
    """A canonical file, what was set aside for it, and what is told of it.

    ``script`` is the identity of the user's script, if there was one, and ``outputs`` and
    ``metrics`` are what it reported.
    """

    trips: Path
    rejects: Path
    rows_read: int
    rows_rejected: int
    rows_written: int
    unknown_columns: list[str]
    quality: dict[str, int]
    new_columns: dict[str, str]
    script: str | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)


class Steps:
    """The steps of one month, which leave what they make in a folder."""

    def __init__(self, taxi_type: str, month: date, folder: Path) -> None:
        self.taxi_type, self.month, self.folder = taxi_type, f"{month:%Y-%m}", folder
        self.files = MonthFiles(taxi_type, month)

    def run(self, edition: Edition) -> Transformed:
        """Transform the month's raw file.

        :raises TaxiError: a step can't be run or fails, or its output isn't as it must be.
        """
        before = _state(self.files.raw)
        made = self._run(edition)
        if _state(self.files.raw) != before:
            raise TaxiError(f"{self.files.raw} changed while it was transformed; run again")
        return made

    def _run(self, edition: Edition) -> Transformed:
        custom = script.configured()
        if custom is None:
            return self._transform_raw(image=None)
        if custom.replaces:
            name = _published_name(edition.url)
            return self._check(custom, self._run_script(custom, self.files.raw, name))
        # its own image, for [runner] image is the script's
        first = self._transform_raw(image="")
        checked = self._check(custom, self._run_script(custom, first.trips, "trips.parquet"))
        # what the built-in transform set aside was read and rejected, too
        checked.rows_read += first.rows_rejected
        checked.rows_rejected += first.rows_rejected
        checked.unknown_columns = sorted({*first.unknown_columns, *checked.unknown_columns})
        checked.rejects = _joined(first.rejects, checked.rejects)
        return checked

    def _transform_raw(self, image: str | None) -> Transformed:
        try:
            return self._transform({self.files.raw.name: self.files.raw}, "built-in", image=image)
        except CommandError as error:
            if not is_systemic(error) and config.cleanup().enabled:
                self.files.remove()  # so that the next run fetches it anew, corrected perhaps
            raise

    def _run_script(self, custom: Script, given: Path, name: str) -> runner.Finished:
        if name in custom.files:
            raise TaxiError(f"[transform] script: the month's file is called {name}, too")
        before = _state(given)
        job = Job(
            task="TaxiTransform",
            month=f"{self.taxi_type} {self.month}",
            command=custom.command,
            inputs={**custom.files, name: given},
            outputs=["*.parquet"],
            environment={
                "TAXI_FILE": name,
                "TAXI_TYPE": self.taxi_type,
                "TAXI_MONTH": self.month,
            },
        )
        try:
            finished, error = runner.run(job, self._new_folder("script")), None
        except TaxiError as failed:
            finished, error = None, failed
        if _state(given) != before:
            if given == self.files.raw:
                self.files.remove()  # so that the next run fetches it anew
            raise TaxiError(f"{custom.name} wrote to {name}, which it may only read")
        if finished is None:
            raise TaxiError(f"{custom.name}: {error}") from error
        return finished

    def _check(self, custom: Script, made: runner.Finished) -> Transformed:
        """Bring what a script made to the catalog's columns, if it can be."""
        try:
            # in a process, for only the transform's own image has what this needs
            inputs = {path.name: path for path in made.files}
            checked = self._transform(inputs, "checked", kind="process")
        except CommandError as error:
            raise TaxiError(f"what {custom.name} made can't be loaded: {error}") from None
        checked.script, checked.outputs, checked.metrics = (
            custom.identity,
            made.outputs,
            made.metrics,
        )
        return checked

    def _transform(
        self,
        inputs: dict[str, Path],
        name: str,
        *,
        image: str | None = None,
        kind: str | None = None,
    ) -> Transformed:
        """Run the built-in transform."""
        folder = self._new_folder(name)
        job = Job(
            task="TaxiTransform",
            month=f"{self.taxi_type} {self.month}",
            command=[
                *("python", "-m", "luigi_tasks.transform"),
                f"--taxi-type={self.taxi_type}",
                f"--trips={TRIPS}",
                f"--rejects={REJECTS}",
                f"--max-reject-ratio={config.transform().max_reject_ratio}",
                f"--schema-contract={config.schema_contract()}",
                "--",
                *inputs,
            ],
            inputs=inputs,
            outputs=[TRIPS],
            optional=[REJECTS],
            image=image,
            quiet=True,
        )
        finished = runner.run(job, folder, kind)
        try:
            return Transformed(folder / TRIPS, folder / REJECTS, **finished.outputs)
        except TypeError:
            raise TaxiError(
                "the transform in [runner] image isn't this version's: it reported "
                f"{', '.join(finished.outputs) or 'nothing'}; leave image empty, or build it anew"
            ) from None

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


def _state(file: Path) -> tuple[int, int] | None:
    """What tells whether a file was written to; None if it's gone."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


def _published_name(url: str) -> str:
    """The last part of a URL, or what stands for it."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name if name and not name.startswith((".", "-")) else "published"


def _joined(first: Path, second: Path) -> Path:
    """Two files of rejects, either of which may not be there, as one."""
    if second.exists():
        with first.open("ab") as all_rejects, second.open("rb") as more:
            shutil.copyfileobj(more, all_rejects)
    return first
