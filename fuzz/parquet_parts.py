"""The parts of a Parquet file that describe it, to be changed: its footer and its page headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fuzz import thrift
from fuzz.thrift import Struct

MAGIC = b"PAR1"
#: Numbers of the values of Parquet's structs that are changed by name.
SCHEMA, ROWS, ROW_GROUPS, CREATED_BY = 2, 3, 4, 6  # of the file
CHUNKS, GROUP_BYTES, GROUP_ROWS = 1, 2, 3  # of a row group
METADATA = 3  # of a column chunk
ENCODINGS, PATH, CODEC, VALUES, UNCOMPRESSED, COMPRESSED = 2, 3, 4, 5, 6, 7  # of its metadata
DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE = 9, 10, 11  # where these begin, of its metadata
PAGE_TYPE, PAGE_UNCOMPRESSED, PAGE_COMPRESSED, PAGE, DICTIONARY, PAGE_V2 = 1, 2, 3, 5, 7, 8


def footer_of(content: bytes) -> Struct:
    """Read the footer of a Parquet file.

    :raises ValueError, IndexError, struct.error: it has none.
    """
    if content[-4:] != MAGIC:
        raise ValueError("no Parquet file")
    size = int.from_bytes(content[-8:-4], "little")
    if size > len(content) - 8:
        raise ValueError("no footer")
    return thrift.read(content[-8 - size : -8])[0]


def with_footer(content: bytes, footer: Struct) -> bytes:
    """Put another footer in the place of a Parquet file's."""
    body = content[: -8 - int.from_bytes(content[-8:-4], "little")]
    written = thrift.write(footer)
    return body + written + len(written).to_bytes(4, "little") + MAGIC


def chunks(footer: Struct) -> Iterator[Struct]:
    """The metadata of all column chunks."""
    for group in footer[ROW_GROUPS]:
        for chunk in group[CHUNKS]:
            yield chunk[METADATA]


def with_page(
    content: bytes, chunk: int, change: Callable[[Struct], object], *, dictionary: bool = False
) -> bytes:
    """Change the header of a column chunk's first page, or of its dictionary, in a Parquet file.

    The offsets of what comes after it are kept right.
    """
    footer = footer_of(content)
    metadata = list(chunks(footer))[chunk]
    start = metadata[DICTIONARY_PAGE if dictionary else DATA_PAGE]
    header, end = thrift.read(content, start)
    change(header)
    written = thrift.write(header)
    longer = len(written) - (end - start)
    metadata[COMPRESSED] += longer
    for each in chunks(footer):
        for number in (DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE):
            if number in each.values and each[number] > start:
                each[number] += longer
    return with_footer(content[:start] + written + content[end:], footer)
