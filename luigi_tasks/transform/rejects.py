"""Rows that can't be read: why, and a file of them, one JSON object a line."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa

from luigi_tasks.texts import shortened


@dataclass(frozen=True)
class Reject:
    """Why a row was rejected; ``row`` is its number in the file, from 1."""

    file: str
    row: int
    column: str
    value: Any
    reason: str

    def __str__(self) -> str:
        column, value = shortened(self.column), shortened(repr(self.value))
        return f"row {self.row}, {column} {value}: {shortened(self.reason, 200)}"


#: Rejects, each with its whole row.
Rejected = list[tuple[Reject, Mapping[str, Any]]]


class RejectsFile:
    """A file of rejects as JSON lines, which is created with the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def __enter__(self) -> "RejectsFile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def write(self, reject: Reject, record: Mapping[str, Any]) -> None:
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8")
        line = {**asdict(reject), "record": record}
        self._file.write(json.dumps(line, default=str, allow_nan=False) + "\n")


def records(batch: pa.RecordBatch, indexes: list[int]) -> list[dict[str, Any]]:
    """Return the rows at these indexes with values that JSON can have."""
    if not indexes:
        return []
    rows = batch.take(pa.array(indexes, pa.int64()))
    try:
        return [_as_json(row) for row in rows.to_pylist()]
    except (ValueError, OverflowError, LookupError):  # some value that Python doesn't have
        return [
            {name: as_python(column[index]) for name, column in zip(names, rows, strict=True)}
            for names in [batch.schema.names]
            for index in range(len(indexes))
        ]


def as_python(value: pa.Scalar) -> Any:
    """Return a value as JSON can have it: as text if Python or JSON has no such value."""
    try:
        return _as_json(value.as_py())
    except UnicodeDecodeError:
        return value.as_buffer().to_pybytes().decode(errors="replace")
    except (ValueError, OverflowError, LookupError):  # a time outside the years 1 to 9999
        with suppress(pa.ArrowException):
            return str(value.cast(pa.int64()))
        return f"a {value.type} that can't be shown"


def _as_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _as_json(each) for name, each in value.items()}
    return value
