"""Files of file:// URLs."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from fetched import CONTENT, NAME, SIZE, left_in, parquet

from luigi_tasks import source
from luigi_tasks.errors import TaxiError
from luigi_tasks.source import edition_path, fetch, is_published, read_edition

pytestmark = pytest.mark.usefixtures("impatient")


def test_a_file_url_is_copied_like_a_download(month_file: Path, path: Path) -> None:
    odd = month_file.with_name("a month.parquet")
    month_file.rename(odd)
    os.utime(odd, (1679345211.75, 1679345211.75))
    edition = fetch(f"file://{month_file.parent}/a%20month.parquet", path)

    assert path.read_bytes() == CONTENT
    assert edition.etag is None
    assert edition.last_modified == "2023-03-20T20:46:51+00:00"
    assert edition.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert read_edition(path) == edition
    assert left_in(path.parent) == [NAME, edition_path(path).name]
    assert fetch(f"file://localhost{month_file.parent}/a%20month.parquet", path).bytes == SIZE


def test_a_file_that_changes_while_it_is_copied_is_copied_again(
    month_file: Path, path: Path
) -> None:
    other = parquet(2)
    calls = []

    def change(received: int, total: int | None) -> None:
        calls.append((received, total))
        if len(calls) == 2:  # its only piece has come
            month_file.write_bytes(other)
            os.utime(month_file, (1, 1))

    edition = fetch(f"file://{month_file}", path, report=change)
    assert path.read_bytes() == other
    assert edition.last_modified == "1970-01-01T00:00:01+00:00"
    assert calls == [(0, SIZE), (SIZE, SIZE), (0, len(other)), (len(other), len(other))]


@pytest.mark.parametrize("seconds", [-(10**11), 10**12, 2**62])
def test_a_file_of_an_absurd_time_is_fetched_without_it(
    seconds: int, month_file: Path, path: Path
) -> None:
    try:
        os.utime(month_file, (seconds, seconds))
    except OverflowError:
        pytest.skip("this file system has no such times")
    announced = source.stat(f"file://{month_file}")
    edition = fetch(f"file://{month_file}", path)
    assert announced is not None
    assert announced.last_modified == edition.last_modified
    assert path.read_bytes() == CONTENT


def test_a_name_with_a_number_sign_is_found_as_the_message_says(
    month_file: Path, path: Path
) -> None:
    odd = month_file.parent / "my #1?"
    odd.mkdir()
    month_file.rename(odd / NAME)
    assert is_published(f"file://{odd.parent}/my%20%231%3F/{NAME}")
    assert fetch(f"file://{odd.parent}/my%20%231%3F/{NAME}", path).bytes == SIZE


def test_a_local_path_that_cannot_be_is_one_line(path: Path) -> None:
    for attempt in (is_published, lambda url: fetch(url, path)):
        with pytest.raises(TaxiError, match=r"cannot read .*: File name too long"):
            attempt(f"file:///{'x' * 300}/{NAME}")


def test_a_folder_that_is_not_there_has_no_file(month_file: Path, path: Path) -> None:
    url = f"file://{month_file.parent}/wrong/{NAME}"
    assert not is_published(url)
    with pytest.raises(TaxiError, match="not published there; check the URL"):
        fetch(url, path)
