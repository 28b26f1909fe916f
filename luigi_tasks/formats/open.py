"""Detect the format of a published file by its content, whatever its name, and open it."""

import codecs
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from luigi_tasks.errors import TaxiError
from luigi_tasks.formats.compressed import Uncompressed
from luigi_tasks.formats.csv import CsvFile
from luigi_tasks.formats.json import JsonFile
from luigi_tasks.formats.parquet import ParquetFile
from luigi_tasks.formats.rows import HEAD, PIECE, PublishedFile


def detect_format(head: bytes) -> str | None:
    """Return the format of a file that begins with these bytes.

    :returns: ``parquet``, ``gzip``, ``zip``, ``json`` or ``csv``; None for anything else.
    """
    for name, magic in (("parquet", b"PAR1"), ("gzip", b"\x1f\x8b"), ("zip", b"PK\x03\x04")):
        if head.startswith(magic):
            return name
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in (b"[", b"{"):
        return "json"
    line = text.partition(b"\n")[0]
    is_text = line and not line.startswith(b"<") and not set(line) & {*range(9), *range(14, 32)}
    return "csv" if is_text else None


@contextmanager
def open_published(path: Path) -> Iterator[PublishedFile]:
    """Open a published file.

    :raises TaxiError: the file has no known format, ends early, or is too large when it is
        uncompressed.
    """
    with ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(path.open("rb"))
        head = raw.read(HEAD)
        raw.seek(0)
        name = detect_format(head)
        if name == "parquet":
            yield stack.enter_context(ParquetFile(raw, path))
            return
        stream = io.BufferedReader(Uncompressed(stack, raw, name), PIECE)
        if name in ("gzip", "zip"):
            head = stream.peek(HEAD)[:HEAD]
            name = detect_format(head)
        if name == "csv":
            yield CsvFile(stream)
        elif name == "json":
            yield JsonFile(stream)
        else:
            raise TaxiError(
                f"it isn't parquet, CSV or JSON, nor one of the latter in gzip or zip: it begins "
                f"with {head[:16]!r}"
            )
