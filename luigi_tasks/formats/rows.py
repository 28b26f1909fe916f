"""What every open file has: names of columns, and rows in batches; and limits for all formats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from luigi_tasks.errors import TaxiError
from luigi_tasks.texts import shortened

#: Rows of a batch, and of a row group that is written: some 20 MB of a trips table.
BATCH_ROWS = 131_072
#: Bytes that are read at once, and bytes at a file's beginning that show its format.
PIECE, HEAD = 1 << 20, 512
#: Rows in a row that may be irregular, as the format defines it.
MOST_IRREGULAR = 100_000
#: Bytes of a line or a value; longer ones are no trip's.
LONGEST_LINE = 1 << 20
#: Columns of a file, and characters of a column's name. A row of PostgreSQL has a page of 8 KB.
MOST_COLUMNS, LONGEST_NAME = 500, 250


@dataclass(frozen=True)
class Broken:
    """A row that can't be split into columns: its number in the file, from 1, its text and why."""

    number: int
    text: str
    reason: str


@dataclass(frozen=True)
class Rows:
    """Some rows of a file; ``numbers`` has the number in the file, from 1, of each in the batch."""

    batch: pa.RecordBatch
    numbers: Sequence[int]
    broken: list[Broken] = field(default_factory=list)


class PublishedFile(Protocol):
    """An open file.

    ``schema`` has the types of its columns and ``total`` its number of rows; each is None where
    only reading the whole file would show it. ``share`` is the part of the file that was read so
    far, from 0 to 1.
    """

    schema: pa.Schema | None
    total: int | None

    @property
    def share(self) -> float: ...

    def all_names(self) -> list[str]:
        """Return the names of all columns.

        JSON is read to its end for them; ``rows`` then has none left.
        """
        ...

    def rows(self) -> Iterator[Rows]: ...


def name_all(names: list[str]) -> list[str]:
    """Return the names of columns, with a number for those that have none: ``column 22``."""
    return [name if name.strip() else f"column {number}" for number, name in enumerate(names, 1)]


def _is_unicode(text: str) -> bool:
    """Whether a text has no surrogate, which stands for a byte that isn't UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_names(names: list[str], count: int = 0) -> list[str]:
    """Return the names of columns, if a month's file can have them.

    :param count: the number of columns, where it is larger than that of names.
    :raises TaxiError: there are too many columns, or a name is too long.
    """
    count = max(count, len(names))
    if count > MOST_COLUMNS:
        raise TaxiError(f"it has {count:,} columns, more than {MOST_COLUMNS:,}")
    for name in names:
        if not name.isascii() and not _is_unicode(name):
            raise TaxiError(f"it has a column whose name isn't UTF-8: {shortened(name)}")
        if len(name) > LONGEST_NAME:
            raise TaxiError(
                f"it has a column whose name has {len(name):,} characters, more than "
                f"{LONGEST_NAME}: {shortened(name)}"
            )
    return names
