"""Bytes that come in chunks, made ahead."""

import threading
from collections.abc import Iterator

import pytest

from luigi_tasks.chunks import Chunks, ahead


def chunks_of(*chunks: bytes) -> Chunks:
    return Chunks(iter(chunks))


def test_chunks_are_read_in_pieces_of_any_size() -> None:
    for size in (1, 2, 3, 100):
        file, read = chunks_of(b"abc", b"", b"defg"), b""
        while piece := file.read(size):
            assert len(piece) <= size
            read += piece
        assert read == b"abcdefg"
        assert file.read(size) == b""


def test_the_next_chunk_is_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(3)]

    def make() -> Iterator[bytes]:
        for number, event in enumerate(made):
            event.set()
            yield bytes([number])

    with ahead(make()) as chunks:
        assert next(chunks) == b"\0"
        assert made[1].wait(60)
        assert [*chunks] == [b"\1", b"\2"]


def test_an_error_comes_up_where_its_chunk_would_have() -> None:
    def fail() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("no more")

    with ahead(fail()) as chunks:
        assert next(chunks) == b"a"
        with pytest.raises(ValueError, match="no more"):
            next(chunks)


def test_what_is_made_ahead_may_be_left() -> None:
    for _ in range(2):
        with ahead(iter([b"a", b"b", b"c"])) as chunks:
            assert next(chunks) == b"a"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()], ids=repr)
def test_what_broke_off_a_read_is_kept(error: BaseException) -> None:
    def fail() -> Iterator[bytes]:
        yield b"a"
        raise error

    file = Chunks(fail())
    assert file.read(5) == b"a"
    assert file.error is None
    with pytest.raises(type(error)):
        file.read(5)
    assert file.error is error
