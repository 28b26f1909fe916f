"""Files in gzip and zip: damaged, endless, or with something else inside."""

import gzip
import io
import json
from collections.abc import Callable

import pytest
from raw_files import (
    HEADER,
    ROW,
    Folder,
    as_objects,
    fixture_folder,  # noqa: F401
    green,
    zipped,
)

from luigi_tasks.catalog import GREEN


@pytest.mark.parametrize("size", [3, 20, 200, -9, -4])
def test_a_gzip_that_ends_early_is_refused(folder: Folder, size: int) -> None:
    folder.raw.write_bytes(gzip.compress(green(*[ROW] * 30))[:size])
    assert "can't be unpacked" in folder.refusal()
    assert not folder.trips.exists()


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped(content, "a.csv")])
def test_a_compressed_file_that_is_damaged_is_refused(
    folder: Folder, pack: Callable[[bytes], bytes]
) -> None:
    content = bytearray(pack(green(*[ROW.replace("50.5", f"{n}") for n in range(3000)])))
    content[len(content) // 2] ^= 0xFF
    folder.raw.write_bytes(bytes(content))
    told = folder.refusal(GREEN, 1.0)
    assert "can't be unpacked" in told


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped(content, "a.csv")])
def test_a_compressed_file_that_is_too_large_is_refused(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    folder.raw.write_bytes(pack(green(*[ROW] * 1_000)))
    folder.transform()
    monkeypatch.setattr("luigi_tasks.formats.compressed.LARGEST_UNCOMPRESSED", 50_000)
    assert "it has more than 50,000 bytes" in folder.refusal()


def repeated(head: str, unit: bytes, size: int) -> bytes:
    """A gzip of a unit again and again."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="w") as packed:
        packed.write(head.encode())
        for _ in range(size >> 20):
            packed.write(unit * ((1 << 20) // len(unit)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "unit", "told"),
    [
        (f"{HEADER}\n", b"\n", "blank lines in a row"),
        (f"{HEADER}\n{ROW}\n", b"\r\n", "blank lines in a row"),
        ("", b"\n", "isn't parquet, CSV or JSON"),
        ("", b" ", "isn't parquet, CSV or JSON"),
        (f"{HEADER}\n", b" " * 99 + b"\n", "unpacks to more than 100 times its size"),
        (f"{HEADER}\n{ROW}\n", b" ", "a line has more than"),
        ("[", b" ", "blanks in a row"),
        (f"[{json.dumps(as_objects(green(ROW))[0])}", b"\n", "blanks in a row"),
    ],
)
def test_a_small_file_that_unpacks_to_nothing_is_refused_early(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, head: str, unit: bytes, told: str
) -> None:
    monkeypatch.setattr("luigi_tasks.formats.compressed.CHECKED_FROM", 5 << 20)
    monkeypatch.setattr("luigi_tasks.formats.compressed.LARGEST_UNCOMPRESSED", 15 << 20)
    folder.raw.write_bytes(repeated(head, unit, 16 << 20))
    assert told in folder.refusal(GREEN, 1.0)
