"""The transform of a month: the built-in one, the user's script, or both."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from luigi_tasks import config, runner, warehouse
from luigi_tasks.errors import ContentError, TaxiError, is_systemic
from luigi_tasks.months import Month
from luigi_tasks.records import Edition
from luigi_tasks.runner import CommandError, Job, JobResult
from luigi_tasks.storage import MonthFiles
from luigi_tasks.tasks import script
from luigi_tasks.tasks.script import Script

if TYPE_CHECKING:
    from luigi_tasks.formats import Trips

logger = logging.getLogger("luigi-interface.steps")

#: Names of the outputs. No input has one, since inputs are parquet files.
TRIPS, REJECTS = "trips", "rejects"
#: Standard output in place of an output.
STREAM = "-"


@dataclass
class Transformed:
    """A canonical file, unless the trips were a stream; its rejects; what the transform reported.

    ``script`` is the identity of the user's script, if there was one, and ``outputs`` and
    ``metrics`` are its reports.
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


class TransformJob:
    """The jobs that transform one month, whose output files are left in a folder."""

    def __init__(self, month: Month, files: MonthFiles, folder: Path) -> None:
        self.month, self.files, self.folder = month, files, folder

    def run(self, edition: Edition) -> Transformed:
        """Transform the month's raw file.

        :raises TaxiError: a job can't be run or fails, or its output isn't valid.
        """
        before = _state(self.files.raw)
        transformed = self._run(edition)
        self._check_raw(before)
        return transformed

    @staticmethod
    def can_stream() -> bool:
        """Whether the trips can be had while the transform runs: it is the built-in one, in a
        process, and its file isn't to be kept."""
        return _is_in_process() and config.cleanup().enabled

    @staticmethod
    def prepare(month: Month) -> None:
        """Have the transform's Python started, while the file is fetched or tasks are forked."""
        if _is_in_process():
            runner.prepare(_job(month, {}, STREAM), config.runner())

    @contextmanager
    def stream(self) -> Iterator[tuple["Trips", Callable[[], Transformed]]]:
        """Transform the month's raw file while the trips are taken.

        Yields the trips, and what waits for the end of the transform, once they are all taken.

        :raises TaxiError: the job can't be run or fails, or the raw file changed meanwhile.
        """
        from luigi_tasks.formats import BrokenStreamError, read_trips

        before, folder = _state(self.files.raw), self._new_folder("built-in")
        job = _job(self.month, {self.files.raw.name: self.files.raw}, STREAM)
        with self._refusing(), runner.stream(job, folder, config.runner()) as streaming:

            def finish() -> Transformed:
                transformed = self._transformed(folder, streaming.result())
                self._check_raw(before)
                return transformed

            try:
                yield read_trips(streaming.output, "the transform", streaming.stop), finish
            except BrokenStreamError:
                streaming.result()  # raises what the transform has failed by
                raise

    def _check_raw(self, before: tuple[int, int] | None) -> None:
        if _state(self.files.raw) != before:
            raise TaxiError(f"{self.files.raw} changed while it was transformed; run again")

    def _run(self, edition: Edition) -> Transformed:
        custom = script.configured()
        if custom is None:
            return self._transform_raw(image=None)
        if custom.replaces:
            name = _published_name(edition.url)
            return self._check(custom, self._run_script(custom, self.files.raw, name))
        # in the transform's own image, since [runner] image is the script's
        first = self._transform_raw(image="")
        checked = self._check(custom, self._run_script(custom, first.trips, "trips.parquet"))
        # the rejects of the built-in transform were read, too
        checked.rows_read += first.rows_rejected
        checked.rows_rejected += first.rows_rejected
        checked.unknown_columns = sorted({*first.unknown_columns, *checked.unknown_columns})
        checked.rejects = _joined(first.rejects, checked.rejects)
        return checked

    def _transform_raw(self, image: str | None) -> Transformed:
        with self._refusing():
            return self._transform({self.files.raw.name: self.files.raw}, "built-in", image=image)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Remove a file that can't be transformed.

        :raises ContentError: in place of the transform's own error.
        """
        try:
            yield
        except CommandError as error:
            if not is_systemic(error) and config.cleanup().enabled:
                warehouse.check_locks()
                self.files.remove()  # fetched again when another edition is published
            if not is_systemic(error) and error.exit_code == 1:  # as the transform ends on its own
                raise ContentError(str(error)) from error
            raise

    def _run_script(self, custom: Script, given: Path, name: str) -> JobResult:
        if name in custom.files:
            raise TaxiError(f"[transform] script: the month's file is called {name}, too")
        before = _state(given)
        job = Job(
            task="TaxiTransform",
            month=str(self.month),
            command=custom.command,
            inputs={**custom.files, name: given},
            outputs=["*.parquet"],
            environment={
                "TAXI_FILE": name,
                "TAXI_TYPE": self.month.taxi_type,
                "TAXI_MONTH": self.month.text,
            },
        )
        try:
            result, error = runner.run(job, self._new_folder("script"), config.runner()), None
        except TaxiError as failed:
            result, error = None, failed
        if _state(given) != before:
            if given == self.files.raw:
                warehouse.check_locks()
                self.files.remove()  # so that the next run fetches it again
            raise TaxiError(f"{custom.name} wrote to {name}, which it may only read")
        if result is None:
            raise TaxiError(f"{custom.name}: {error}") from error
        return result

    def _check(self, custom: Script, made: JobResult) -> Transformed:
        """Bring the output of a script to the catalog's columns and types."""
        try:
            # in a process, since only the transform's own image has pyarrow for certain
            inputs = {path.name: path for path in made.files}
            checked = self._transform(inputs, "checked", kind="process")
        except CommandError as error:
            raise TaxiError(f"the output of {custom.name} can't be loaded: {error}") from None
        checked.script = custom.identity
        checked.outputs, checked.metrics = made.outputs, made.metrics
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
        result = runner.run(_job(self.month, inputs, TRIPS, image), folder, config.runner(), kind)
        return self._transformed(folder, result)

    @staticmethod
    def _transformed(folder: Path, result: JobResult) -> Transformed:
        try:
            return Transformed(folder / TRIPS, folder / REJECTS, **result.outputs)
        except TypeError:
            raise TaxiError(
                "the transform in [runner] image isn't this version's: it reported "
                f"{', '.join(result.outputs) or 'nothing'}; leave image empty, or build it again"
            ) from None

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


def _job(month: Month, inputs: dict[str, Path], trips: str, image: str | None = None) -> Job:
    """The job of the built-in transform."""
    return Job(
        task="TaxiTransform",
        month=str(month),
        command=[
            *("python", "-m", "luigi_tasks.transform"),
            f"--taxi-type={month.taxi_type}",
            f"--trips={trips}",
            f"--rejects={REJECTS}",
            f"--max-reject-ratio={config.transform().max_reject_ratio}",
            f"--schema-contract={config.schema_contract()}",
            "--",
            *inputs,
        ],
        inputs=inputs,
        outputs=[trips] if trips != STREAM else [],
        optional=[REJECTS],
        image=image,
        quiet=True,
    )


def _is_in_process() -> bool:
    """Whether the built-in transform is all there is, and runs as a process."""
    return script.configured() is None and config.runner().kind == "process"


def _state(file: Path) -> tuple[int, int] | None:
    """A file's modification time and size, which change when it is written; None if it is gone."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size


def _published_name(url: str) -> str:
    """The last part of a URL, or "published" where that can't be a file's name."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name if name and not name.startswith((".", "-")) else "published"


def _joined(first: Path, second: Path) -> Path:
    """Append the second file of rejects to the first one; either may not exist."""
    if second.exists():
        with first.open("ab") as all_rejects, second.open("rb") as more:
            shutil.copyfileobj(more, all_rejects)
    return first
