"""Parquet whose footer or pages lie, or are damaged: what fuzzers of its readers have found."""

import random
from collections.abc import Callable
from typing import Any

from bad_files.shapes import Bad, either, parquet, refused, trips
from fuzz import parquet_parts as parts
from fuzz.thrift import BINARY, Struct, Value

#: The place of a column among the chunks: pickup_datetime, and one of text.
_PICKUP, _FLAG = 1, 6
_DAMAGED = "can't be read"
#: Out of memory, too.
_REFUSED = "can't be"


def _footer(change: Callable[[Struct], object], content: bytes | None = None) -> bytes:
    content = content or parquet()
    footer = parts.footer_of(content)
    change(footer)
    return parts.with_footer(content, footer)


def _chunk(number: int, value: Any, content: bytes | None = None, chunk: int = _PICKUP) -> bytes:
    """Another value in the metadata of a column chunk."""

    def change(footer: Struct) -> None:
        list(parts.chunks(footer))[chunk][number] = value

    return _footer(change, content)


def _group(number: int, value: Any, content: bytes | None = None) -> bytes:
    def change(footer: Struct) -> None:
        footer[parts.ROW_GROUPS][0][number] = value

    return _footer(change, content)


def _element(place: int, change: Callable[[Struct], object]) -> bytes:
    """Another element of the schema; the first one is the root."""
    return _footer(lambda footer: change(footer[parts.SCHEMA][place]))


def _page(change: Callable[[Struct], object], chunk: int = _PICKUP, **options: Any) -> bytes:
    return parts.with_page(parquet(**options), chunk, change)


def _dictionary(change: Callable[[Struct], object]) -> bytes:
    return parts.with_page(parquet(), _FLAG, change, dictionary=True)


def _set(number: int, value: Any, *path: int) -> Callable[[Struct], None]:
    def change(found: Struct) -> None:
        for each in path:
            found = found[each]
        found[number] = value

    return change


def _all_rows(count: int) -> Callable[[Struct], None]:
    """The same number of rows wherever the footer has one."""

    def change(footer: Struct) -> None:
        footer[parts.ROWS] = footer[parts.ROW_GROUPS][0][parts.GROUP_ROWS] = count
        for chunk in parts.chunks(footer):
            chunk[parts.VALUES] = count

    return change


def _delta(encoding: str, column: str, values: int) -> bytes:
    """A page in a delta encoding that says it has so many values."""
    content = parquet(use_dictionary=False, column_encoding={column: encoding})
    chunk = trips().column_names.index(column)
    return parts.with_page(content, chunk, _set(1, values, parts.PAGE))


def _flipped(seed: int, **options: Any) -> bytes:
    """Bits flipped anywhere."""
    content, draw = bytearray(parquet(trips(2_000), **options)), random.Random(seed)
    for _ in range(20):
        content[draw.randrange(4, len(content) - 4)] ^= 1 << draw.randrange(8)
    return bytes(content)


_GOOD = parquet()
_LONG = parquet(use_dictionary=False, compression="none")

FILES: dict[str, Bad] = {
    # --- cut
    "only its magic": refused(b"PAR1", _DAMAGED),
    "its magic twice": refused(b"PAR1PAR1", _DAMAGED),
    "cut in the middle": refused(_GOOD[: len(_GOOD) // 2], _DAMAGED),
    "cut by a byte": refused(_GOOD[:-1], _DAMAGED),
    "without its first page": refused(_GOOD[:4] + _GOOD[400:], _DAMAGED),
    "without its first magic": refused(b"XXXX" + _GOOD[4:], "raw"),
    "with another magic at its end": refused(_GOOD[:-4] + b"PARX", _DAMAGED),
    "encrypted": refused(_GOOD[:-4] + b"PARE", _DAMAGED),
    "with a megabyte of zeros before its footer": either(
        _GOOD[: -8 - int.from_bytes(_GOOD[-8:-4], "little")]
        + bytes(1 << 20)
        + _GOOD[-8 - int.from_bytes(_GOOD[-8:-4], "little") :],
        _DAMAGED,
    ),
    "two of them": either(_GOOD + _GOOD, _DAMAGED),
    "followed by a line end": refused(_GOOD + b"\n", _DAMAGED),
    "with zeros for pages": refused(
        b"PAR1"
        + bytes(len(_GOOD) - 4 - 8 - int.from_bytes(_GOOD[-8:-4], "little"))
        + _GOOD[-8 - int.from_bytes(_GOOD[-8:-4], "little") :],
        _DAMAGED,
    ),
    # --- the footer's length
    "a footer longer than the file": refused(_GOOD[:-8] + b"\xff\xff\xff\x7fPAR1", _DAMAGED),
    "a footer of a negative length": refused(_GOOD[:-8] + b"\xff\xff\xff\xffPAR1", _DAMAGED),
    "a footer of no length": refused(_GOOD[:-8] + b"\0\0\0\0PAR1", _DAMAGED),
    "a footer too short by a byte": refused(
        _GOOD[:-8] + (int.from_bytes(_GOOD[-8:-4], "little") - 1).to_bytes(4, "little") + b"PAR1",
        _DAMAGED,
    ),
    "a footer of 40 MB": refused(
        lambda: _footer(lambda footer: footer.__setitem__(parts.CREATED_BY, b"x" * 40_000_000)),
        "a footer of 40,",
    ),
    "a footer of noise": refused(
        b"PAR1" + random.Random(1).randbytes(900) + (880).to_bytes(4, "little") + b"PAR1", _DAMAGED
    ),
    # --- rows
    "more rows than it has": refused(_footer(_set(parts.ROWS, 21)), "rows"),
    "fewer rows than it has": refused(_footer(_set(parts.ROWS, 19)), "rows"),
    "a negative number of rows": refused(_footer(_set(parts.ROWS, -1)), "rows"),
    "9,223,372,036,854,775,807 rows": refused(_footer(_set(parts.ROWS, 2**63 - 1)), "rows"),
    "a row group with more rows than it has": refused(_group(parts.GROUP_ROWS, 21), "rows"),
    "a row group with fewer rows than it has": refused(_group(parts.GROUP_ROWS, 19), "rows"),
    "a row group with a negative number of rows": refused(_group(parts.GROUP_ROWS, -20), "rows"),
    "both with fewer rows than there are": either(
        _footer(_set(parts.ROWS, 10), _group(parts.GROUP_ROWS, 10)), "rows", 10
    ),
    "both with 2 billion rows": refused(
        _footer(_set(parts.ROWS, 2**31), _group(parts.GROUP_ROWS, 2**31)), "rows"
    ),
    "a column with fewer values than rows": either(_chunk(parts.VALUES, 10), "rows"),
    "a column with more values than rows": either(_chunk(parts.VALUES, 30), "rows"),
    "all with more rows than there are": refused(
        _footer(_all_rows(21)), "20 rows, and should have 21"
    ),
    "all with 2 billion rows": refused(_footer(_all_rows(2**31 - 1)), "rows"),
    "a column with a negative number of values": refused(_chunk(parts.VALUES, -1), "rows"),
    "no row groups": refused(_footer(_set(parts.ROW_GROUPS, [])), "rows"),
    "the same row group twice": either(
        _footer(lambda footer: footer[parts.ROW_GROUPS].append(footer[parts.ROW_GROUPS][0])), "rows"
    ),
    "the same row group 300 times": either(
        lambda: _footer(
            lambda footer: footer.__setitem__(parts.ROW_GROUPS, footer[parts.ROW_GROUPS] * 300)
        ),
        "rows",
    ),
    "a row group without columns": refused(_group(parts.CHUNKS, []), "raw"),
    "a row group with a column too few": refused(
        _footer(lambda footer: footer[parts.ROW_GROUPS][0][parts.CHUNKS].pop()), "raw"
    ),
    "a row group of 4 EB": refused(_group(parts.GROUP_BYTES, 2**62), "those are no trips"),
    "a row group of negative bytes": either(_group(parts.GROUP_BYTES, -1), "raw"),
    # --- offsets and sizes
    "a page that begins beyond the file": refused(
        _chunk(parts.DATA_PAGE, 1 << 40, _LONG), _DAMAGED
    ),
    "a page that begins before the file": refused(_chunk(parts.DATA_PAGE, -1, _LONG), _DAMAGED),
    "a page that begins in the footer": refused(
        _chunk(parts.DATA_PAGE, len(_LONG) - 20, _LONG), _DAMAGED
    ),
    "a page that begins in another column": either(_chunk(parts.DATA_PAGE, 4, _LONG, 8), _DAMAGED),
    "a dictionary that begins beyond the file": refused(
        _chunk(parts.DICTIONARY_PAGE, 1 << 40), _DAMAGED
    ),
    "a dictionary at 0": either(_chunk(parts.DICTIONARY_PAGE, 0), _DAMAGED),
    "a negative size": refused(_chunk(parts.COMPRESSED, -1), _DAMAGED),
    "a size beyond the file": refused(_chunk(parts.COMPRESSED, 1 << 50), _DAMAGED),
    "a size that is too small": refused(_chunk(parts.COMPRESSED, 5), _DAMAGED),
    "a column in another file": either(
        _footer(
            lambda footer: footer[parts.ROW_GROUPS][0][parts.CHUNKS][_PICKUP].values.update(
                {1: Value(BINARY, b"/etc/passwd")}
            )
        ),
        "raw",
    ),
    "another codec": refused(_chunk(parts.CODEC, 2), _DAMAGED),
    "a codec that there isn't": refused(_chunk(parts.CODEC, 99), _DAMAGED),
    # --- the schema
    "a schema without elements": refused(_footer(_set(parts.SCHEMA, [])), _DAMAGED),
    "a root with 2,147,483,647 children": refused(_element(0, _set(5, 2**31 - 1)), _DAMAGED),
    "a root with a negative number of children": refused(_element(0, _set(5, -1)), "raw"),
    "a root with fewer children": refused(_element(0, _set(5, 3)), "raw"),
    "a root that is in itself": refused(
        _footer(lambda f: f.__setitem__(parts.SCHEMA, [f[parts.SCHEMA][0]] * 300)), "raw"
    ),
    "a type that there isn't": refused(_element(2, _set(1, 99)), _DAMAGED),
    "a type of another size": either(_element(2, _set(1, 1)), _DAMAGED),
    "a repetition that there isn't": refused(_element(2, _set(3, 99)), _DAMAGED),
    "a repeated pickup": refused(_element(2, _set(3, 2)), "raw"),
    "a pickup that is required": refused(_element(2, _set(3, 0)), _DAMAGED),
    "a name that isn't UTF-8": refused(_element(2, _set(4, b"\xff\xfe")), "raw"),
    # --- pages
    "a page of more values than it has": refused(_page(_set(1, 1_000, parts.PAGE)), _DAMAGED),
    "a page of fewer values than it has": refused(_page(_set(1, 5, parts.PAGE)), _DAMAGED),
    "a page of a negative number of values": refused(_page(_set(1, -5, parts.PAGE)), _DAMAGED),
    "a page of 2,147,483,647 values": refused(_page(_set(1, 2**31 - 1, parts.PAGE)), _DAMAGED),
    "a page of an unknown encoding": refused(_page(_set(2, 99, parts.PAGE)), _DAMAGED),
    "a page of another encoding": refused(_page(_set(2, 5, parts.PAGE)), _DAMAGED),
    "a page of an unknown kind": refused(_page(_set(parts.PAGE_TYPE, 99)), "0 rows"),
    "a page of a negative size": refused(_page(_set(parts.PAGE_UNCOMPRESSED, -1)), _DAMAGED),
    "a page of 2 GB": refused(_page(_set(parts.PAGE_UNCOMPRESSED, 2**31 - 1)), _REFUSED),
    "a page of 2 GB packed": refused(_page(_set(parts.PAGE_COMPRESSED, 2**31 - 1)), _REFUSED),
    "a page of a negative size packed": refused(_page(_set(parts.PAGE_COMPRESSED, -1)), _DAMAGED),
    "a dictionary of a negative number of values": refused(
        _dictionary(_set(1, -1, parts.DICTIONARY)), _DAMAGED
    ),
    "a dictionary of 2,147,483,647 values": refused(
        _dictionary(_set(1, 2**31 - 1, parts.DICTIONARY)), _REFUSED
    ),
    "a dictionary of no values": refused(_dictionary(_set(1, 0, parts.DICTIONARY)), _DAMAGED),
    "a second kind of page, levels longer than it": refused(
        _page(_set(5, 10_000, parts.PAGE_V2), data_page_version="2.0"), _DAMAGED
    ),
    "a second kind of page, levels of a negative length": refused(
        _page(_set(5, -1, parts.PAGE_V2), data_page_version="2.0"), _DAMAGED
    ),
    "a second kind of page with more NULLs than values": either(
        _page(_set(2, 1_000, parts.PAGE_V2), data_page_version="2.0"), _DAMAGED
    ),
    "numbers as deltas, a billion of them": refused(
        lambda: _delta("DELTA_BINARY_PACKED", "vendor_id", 10**9), _DAMAGED
    ),
    "lengths as deltas, a billion of them": refused(
        lambda: _delta("DELTA_LENGTH_BYTE_ARRAY", "store_and_fwd_flag", 10**9), _DAMAGED
    ),
    "texts as deltas, a billion of them": refused(
        lambda: _delta("DELTA_BYTE_ARRAY", "store_and_fwd_flag", 10**9), _DAMAGED
    ),
    "a text that is longer than its page": refused(
        _LONG.replace(b"\1\0\0\0N", b"\xff\xff\xff\x7fN", 1), _DAMAGED
    ),
    "a text of a negative length": refused(
        _LONG.replace(b"\1\0\0\0N", b"\xff\xff\xff\xffN", 1), _DAMAGED
    ),
    **{
        f"bits flipped in zstd, {seed}": either(
            lambda seed=seed: _flipped(seed, compression="zstd"), "raw", 2_000
        )
        for seed in range(4)
    },
    **{
        f"bits flipped with checksums, {seed}": either(
            lambda seed=seed: _flipped(seed, write_page_checksum=True), "raw", 2_000
        )
        for seed in range(4)
    },
    **{
        f"bits flipped without packing, {seed}": either(
            lambda seed=seed: _flipped(seed, compression="none", use_dictionary=False), "raw", 2_000
        )
        for seed in range(4)
    },
}
