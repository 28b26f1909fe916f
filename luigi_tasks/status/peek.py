"""A look at a published file before it is loaded, by some of its bytes."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from luigi_tasks import config, source
from luigi_tasks.catalog import Column, Match, TaxiType
from luigi_tasks.errors import TaxiError
from luigi_tasks.formats import detect_format, open_published
from luigi_tasks.months import Month
from luigi_tasks.operations import published
from luigi_tasks.source import RemoteFile, TooMuchError
from luigi_tasks.texts import shortened

#: Rows that are shown, and bytes that may be fetched for them.
ROWS, MOST_BYTES = 10, 900_000
#: Bytes from the beginning of a file that isn't parquet; and those that they may unpack to.
HEAD_BYTES, MOST_UNPACKED = 128 << 10, 256 << 10
#: Bytes of a buffer that pyarrow reads a column through.
BUFFER = 16 << 10


@dataclass
class Peeked:
    """What some bytes show of a published file.

    ``columns`` has the published names with their types, empty where the file has none. ``values``
    has the first rows by column, without those whose bytes would have been too many; of these,
    ``ranges`` has the smallest and the largest value, as far as the footer says it, and ``sizes``
    the bytes that their values take in the row group of these rows.
    ``rows`` and ``row_groups`` are None where only reading the whole file would show them.
    """

    month: Month
    url: str
    facts: source.RemoteMetadata
    format: str
    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, list[Any]] = field(default_factory=dict)
    ranges: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    rows: int | None = None
    row_groups: list[int] | None = None
    shown_group: int | None = None
    fetched: int = 0

    def match(self, taxi_type: TaxiType) -> Match:
        """Which columns of the catalog the file has.

        :raises TaxiError: it isn't a file of this service.
        """
        return taxi_type.match(self.columns)


def peek(month: Month) -> Peeked:
    """Look at a month's published file.

    :raises TaxiError: it isn't published, can't be reached, or has no format that is known.
    """
    limits = config.source()
    for url in published.urls(month):
        timeout, retries = float(limits.timeout), int(limits.retries)
        file = source.open_remote(url, most=MOST_BYTES, timeout=timeout, retries=retries)
        if file:
            found = _look(month, file)
            found.fetched = file.fetched
            return found
    published.check_source(month)
    raise TaxiError(f"{month}: isn't published yet; nothing is to be seen")


def missing_columns(taxi_type: TaxiType, match: Match) -> list[Column]:
    """The columns of the catalog that a file lacks; they are NULL."""
    found = {*match.columns, *match.fillers}
    return [column for column in taxi_type.columns if column.name not in found]


def _look(month: Month, file: RemoteFile) -> Peeked:
    found = Peeked(month, file.url.redacted, file.facts, "")
    head = file.read(512)
    name = detect_format(head)
    found.format = name or "unknown"
    try:
        if name == "parquet":
            _look_at_parquet(file, found)
        elif name:
            _look_at_text(file, found, name)
        else:
            raise TaxiError(f"it isn't parquet, CSV or JSON: it begins with {head[:16]!r}")
    except TooMuchError:
        raise TaxiError(
            f"{found.url}: its description alone has more than {MOST_BYTES:,} bytes; load it to "
            "see it"
        ) from None
    except (pa.ArrowException, OSError, ValueError, zlib.error) as error:
        text = shortened(str(error).splitlines()[0], 200)
        raise TaxiError(f"{found.url}: it can't be read: {text}") from None
    except TaxiError as error:
        raise TaxiError(f"{found.url}: {error}") from None
    return found


# --- parquet --------------------------------------------------------------------------------------


def _look_at_parquet(file: RemoteFile, found: Peeked) -> None:
    """Read the footer, and of the smallest row group as many columns as may be fetched, the small
    ones first."""
    with _opened(file) as opened:
        metadata, schema = opened.metadata, opened.schema_arrow
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        found.rows = metadata.num_rows
        found.row_groups = [group.num_rows for group in groups]
        found.columns = {each.name: str(each.type) for each in schema}
        filled = [number for number, group in enumerate(groups) if group.num_rows]
        if not filled:
            return
        number = min(filled, key=lambda each: groups[each].total_byte_size)
        found.shown_group = number + 1
        for at, name in enumerate(found.columns if len(schema) == metadata.num_columns else ()):
            with contextlib.suppress(pa.ArrowException, TypeError, ValueError):  # it's an extra
                of_groups = [groups[each].column(at).statistics for each in filled]
                if all(each is not None and each.has_min_max for each in of_groups):
                    least = min(each.min for each in of_groups)
                    found.ranges[name] = least, max(each.max for each in of_groups)
        chunks = [groups[number].column(at) for at in range(metadata.num_columns)]
        found.sizes = {each.path_in_schema: each.total_compressed_size for each in chunks}
    for chunk in sorted(chunks, key=lambda each: each.total_compressed_size):
        # one that is too large leaves what it has read, and others may be in that
        with contextlib.suppress(TooMuchError), _opened(file, metadata) as opened:
            name = chunk.path_in_schema
            batches = opened.iter_batches(ROWS, row_groups=[number], columns=[name])
            batch = next(batches, None)
            if batch is not None and batch.num_columns == 1:
                found.values[batch.schema.names[0]] = batch.column(0).to_pylist()


@contextlib.contextmanager
def _opened(file: RemoteFile, metadata: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    """The file as pyarrow reads it; the bytes that were fetched stay with ``file``."""
    file.seek(0)
    with pq.ParquetFile(
        pa.PythonFile(file, mode="r"), metadata=metadata, pre_buffer=False, buffer_size=BUFFER
    ) as opened:
        yield opened
    file.closed = False


# --- text -----------------------------------------------------------------------------------------


def _look_at_text(file: RemoteFile, found: Peeked, name: str) -> None:
    """Read the first rows of CSV or JSON, compressed or not."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    is_whole = len(head) == file.size
    if name in ("gzip", "zip"):
        head, is_whole = _unpacked(head, name)
        inner = detect_format(head) or "unknown"
        found.format, name = f"{inner} in {name}", inner
    if name == "csv":
        _look_at_csv(head if is_whole else head[: head.rfind(b"\n") + 1], found)
    elif name == "json":
        records = _records(head.decode("utf-8-sig", "ignore"))
        names = list(dict.fromkeys(key for record in records for key in record))
        found.columns = dict.fromkeys(names, "JSON")
        found.values = {key: [record.get(key) for record in records] for key in names}
    else:
        raise TaxiError("it isn't CSV or JSON inside")


def _unpacked(head: bytes, name: str) -> tuple[bytes, bool]:
    """What the beginning of a compressed file unpacks to, and whether that is all."""
    start, bits = 0, 31  # a gzip header
    if name == "zip":
        lengths = (int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
        start, bits = 30 + sum(lengths), -15
    unpacking = zlib.decompressobj(bits)
    return unpacking.decompress(head[start:], MOST_UNPACKED), unpacking.eof


def _look_at_csv(text: bytes, found: Peeked) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.csv"
        path.write_bytes(text)
        with open_published(path) as opened:
            found.columns = dict.fromkeys(opened.all_names(), "text")
            # read to its end, so that no thread of pyarrow's is left
            batches = [rows.batch for rows in opened.rows()]
        if batches:
            found.values = batches[0].slice(0, ROWS).to_pydict()


def _records(text: str) -> list[dict[str, Any]]:
    """The first objects that hold a row each: those of the first list of objects, or of lines."""
    decoder = json.JSONDecoder()
    records: list[dict[str, Any]] = []
    found = re.search(r"\[\s*(?=\{)", text)
    at = found.end() if found else text.find("{")
    while 0 <= at < len(text) and len(records) < ROWS:
        try:
            record, end = decoder.raw_decode(text, at)
        except ValueError:
            break
        if isinstance(record, dict):
            records.append(record)
        rest = text[end:]
        skipped = len(rest) - len(rest.lstrip(" \t\r\n,"))
        at = end + skipped if rest[skipped : skipped + 1] == "{" else -1
    return records


def shown(values: Sequence[Any]) -> list[str]:
    """Values as they are shown, each on part of a line."""
    return ["-" if value is None else shortened(value, 40) for value in values]
