"""The unfinished file: links in its way, and what is verified before it is published."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fetched import CONTENT, NAME, SIZE, half_fetched, left_in, ranges, refused
from mirror import Garbage, Mirror, Page

from luigi_tasks.errors import TaxiError
from luigi_tasks.source import edition_path, fetch, read_edition

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.mark.parametrize(
    "record", [None, "", "{", "[]", "{}", '{"bytes": 1}', "\udcff", "of another size"]
)
def test_an_edition_is_only_read_from_a_record_that_fits(
    record: str | None, mirror: Mirror, path: Path
) -> None:
    assert read_edition(path) is None
    edition = fetch(mirror.url(NAME), path)
    assert read_edition(path) == edition
    if record is None:
        edition_path(path).unlink()
    elif record == "of another size":
        with path.open("ab") as file:
            file.write(b"PAR1")
    else:
        edition_path(path).write_bytes(record.encode(errors="surrogateescape"))
    assert read_edition(path) is None


LINKED = [".part", ".part.json", ".part.json.tmp", ".part.log", "", ".edition.json"]
LINKED += [".edition.json.tmp"]


@pytest.mark.parametrize("kind", ["symlink", "hard link"])
@pytest.mark.parametrize("ending", LINKED)
@pytest.mark.parametrize("is_begun", [False, True])
def test_nothing_is_written_through_a_link(
    ending: str, kind: str, is_begun: bool, mirror: Mirror, path: Path
) -> None:
    """A link to somebody's file, left where one of ours is expected."""
    theirs = path.parent.with_name("theirs")
    link = path.with_name(NAME + ending)
    for _ in range(2):
        path.parent.mkdir(exist_ok=True)
        if is_begun:
            half_fetched(mirror, path)
        content = link.read_bytes() if link.exists() else b"theirs"
        theirs.unlink(missing_ok=True)
        theirs.write_bytes(content)
        link.unlink(missing_ok=True)
        if kind == "symlink":
            link.symlink_to(theirs)
        else:
            link.hardlink_to(theirs)
        fetch(mirror.url(NAME), path)
        assert theirs.read_bytes() == content
        assert path.read_bytes() == CONTENT
        assert read_edition(path) is not None
        assert not path.is_symlink()
        assert left_in(path.parent) == [NAME, edition_path(path).name]


@pytest.mark.parametrize("ending", LINKED)
def test_a_pipe_in_the_way_keeps_nobody_waiting(ending: str, mirror: Mirror, path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path.with_name(NAME + ending))
    assert read_edition(path) is None
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT


def test_a_folder_that_is_a_link_is_followed(mirror: Mirror, path: Path) -> None:
    elsewhere = path.parent.with_name("elsewhere")
    elsewhere.mkdir()
    path.parent.symlink_to(elsewhere)
    for _ in range(2):
        half_fetched(mirror, path)
        edition = fetch(mirror.url(NAME), path)
        assert ranges(mirror) != [None]
        assert read_edition(elsewhere / NAME) == edition
    assert path.parent.is_symlink()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<!DOCTYPE html>", "binary/octet-stream"),
        (b"\xef\xbb\xbf\r\n <html>", "binary/octet-stream"),
        (b"Sorry", "text/html; charset=utf-8"),
    ],
)
def test_an_html_page_is_called_one(
    body: bytes, content_type: str, mirror: Mirror, path: Path
) -> None:
    mirror.faults = [Page(body, content_type)]
    refused(mirror, path, "got an HTML page, wanted parquet, CSV or JSON")
    assert len(mirror.requests) == 1


def test_what_is_no_months_file_is_named_by_its_first_bytes(
    mirror: Mirror, month_file: Path, path: Path
) -> None:
    month_file.write_bytes(b"\x00ELF and so on")
    refused(mirror, path, r"got 14 bytes that begin with b'\\x00ELF and so on', wanted parquet, C")
    assert len(mirror.asked("GET")) == 3
    month_file.write_bytes(b"")
    refused(mirror, path, "got an empty file, wanted parquet, CSV or JSON")


def test_other_bytes_in_place_of_the_file_are_fetched_again(mirror: Mirror, path: Path) -> None:
    """Their ETag is that of the file, which would count as failed until another is published."""
    mirror.faults = [Garbage()]
    fetch(mirror.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert ranges(mirror) == [None, None]


@pytest.mark.parametrize("size", [4, 8, 100_000, SIZE - 1])
def test_a_truncated_file_is_called_truncated(
    size: int, mirror: Mirror, month_file: Path, path: Path
) -> None:
    month_file.write_bytes(CONTENT[:size])
    refused(mirror, path, f"truncated: {size:,} bytes without the footer")
    with pytest.raises(TaxiError, match="truncated"):
        fetch(f"file://{month_file}", path)
    assert left_in(path.parent) == []


def test_a_footer_that_cannot_be_read_is_refused(
    mirror: Mirror, month_file: Path, path: Path
) -> None:
    month_file.write_bytes(CONTENT[:-200] + bytes(190) + CONTENT[-10:])
    refused(mirror, path, "parquet footer can't be read")
