"""Ask for a file's metadata, or fetch the file, whatever the scheme of its URL.

A file appears under its name only when it is whole, and never without the record of its edition.
Metadata of a server that can't be true count as missing.

``requests``, ``urllib3`` and ``pyarrow`` are imported where they are used: a run that finds nothing
to do doesn't wait for them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from luigi_tasks import network
from luigi_tasks.errors import ContentError, PassingError, SystemicError
from luigi_tasks.records import Edition, RemoteMetadata
from luigi_tasks.source import local, stores
from luigi_tasks.source.part import Part
from luigi_tasks.source.scheme import (
    BrokenError,
    DamagedError,
    PartialMetadata,
    Scheme,
    UnreadableError,
)
from luigi_tasks.urls import Url

logger = logging.getLogger("luigi-interface.source")

REFETCHES = 2
"""How often a file that came damaged is fetched again from the beginning."""


CHECK_INTERVAL = 1.0
"""Seconds between two looks at whether it may still be written; a frozen process that is woken has
missed one."""
#: A clock that goes on while the machine sleeps, where there is one.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _no_report(received: int, total: int | None) -> None:
    pass


def _nothing() -> None:
    pass


class _Seldom:
    """Does something about once a second, and for at most a tenth of the time."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act, self._next = act, time.clock_gettime(_CLOCK) + CHECK_INTERVAL

    def __call__(self) -> None:
        began = time.clock_gettime(_CLOCK)
        if began >= self._next:
            self._act()
            ended = time.clock_gettime(_CLOCK)
            self._next = ended + max(CHECK_INTERVAL, 10 * (ended - began))


def is_published(url: str | Url, *, timeout: float = 60, retries: int = 5) -> bool:
    """Whether there is a file at ``url``, without fetching it; raises what ``stat`` does."""
    return stat(url, timeout=timeout, retries=retries) is not None


def stat(url: str | Url, *, timeout: float = 60, retries: int = 5) -> RemoteMetadata | None:
    """Ask for the metadata of the file at ``url``, without fetching it; None if there is no file.

    :param timeout: seconds without an answer after which a try is given up
    :param retries: how often a try that failed is repeated
    :raises TaxiError: the URL can't be used, the host can't be reached, or it answers with
        something other than yes (2xx) or no (403, 404, 410)
    """
    url = Url.parse(url)
    return scheme_of(url, timeout, retries).stat(url)


def fetch(
    url: str | Url,
    path: Path,
    *,
    timeout: float = 60,
    retries: int = 5,
    time_limit: float = 0,
    report: Callable[[int, int | None], None] = _no_report,
    must_be_read: bool = True,
    before_publishing: Callable[[], None] = _nothing,
    while_writing: Callable[[], None] = _nothing,
) -> Edition:
    """Fetch the file at ``url`` to ``path``, whole and verified or not at all.

    :param timeout: seconds without a byte after which a connection is given up
    :param retries: how many tries in a row may fail, or bring nothing new, before giving up
    :param time_limit: seconds after which it is given up, at the next bytes that come; 0 for no
        limit
    :param report: is called with the bytes on disk so far, and their total if the source says it
    :param must_be_read: whether the file must have a format that the transform reads without a
        script
    :param before_publishing: is called when the file is verified, and may raise an error to keep it
        from being published, or from being discarded
    :param while_writing: is called about once a second before something is written, and may raise
        an error to stop it
    :raises TaxiError: the file isn't published, can't be reached or written, or isn't what it must
        be
    """
    started = time.monotonic()
    url = Url.parse(url)

    def report_in_time(received: int, total: int | None) -> None:
        if time_limit and time.monotonic() > started + time_limit:
            raise PassingError(
                f"{url}: fetching it took longer than {time_limit / 60:g} minutes, [source] "
                "time_limit; run it again to go on from there"
            )
        report(received, total)

    scheme = scheme_of(url, timeout, retries)
    part, check = Part(path.with_name(path.name + ".part")), _Seldom(while_writing)
    damages = 0
    with _naming_the_file(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                metadata, sha256 = _complete(
                    url, part, scheme, retries, report=report_in_time, check=check
                )
                edition = Edition(
                    url=url.redacted,
                    etag=metadata.etag,
                    last_modified=metadata.last_modified,
                    bytes=part.size,
                    sha256=sha256,
                    seconds=round(time.monotonic() - started, 3),
                )
                before_publishing()
                part.verify(metadata, must_be_read=must_be_read)
            except ContentError as error:
                error.edition = edition
                raise
            except DamagedError as damage:
                before_publishing()
                part.discard()
                damages += 1
                if damages > REFETCHES:
                    message = f"{url}: {damage}, {damages} times in a row; try again later"
                    if not isinstance(damage, UnreadableError):
                        raise PassingError(message) from None
                    unreadable = ContentError(message)
                    unreadable.edition = edition
                    raise unreadable from None
                logger.warning("%s: %s; fetching it again from the beginning", url, damage)
                continue
            before_publishing()
            part.publish(path, edition)
            return edition


def scheme_of(url: Url, timeout: float, retries: int) -> Scheme:
    """How files of the scheme of a URL are asked for."""
    if url.scheme == "file":
        return local
    if not url.is_http:
        return stores
    from luigi_tasks.source.http import Http

    return Http(timeout, retries)


def _complete(
    url: Url,
    part: Part,
    scheme: Scheme,
    retries: int,
    *,
    report: Callable[[int, int | None], None],
    check: Callable[[], None],
) -> tuple[PartialMetadata, str]:
    """Fetch what ``part`` lacks, in as many transfers as it takes; return its sha256, too."""
    # Progress is more bytes than ever before, not more than at the last start: a server that can't
    # resume, and breaks off every transfer, would otherwise be asked forever.
    most = failures = 0
    while True:
        try:
            return _transfer(url, part, scheme, report=report, check=check)
        except BrokenError as broken:
            size = part.size
            failures = 0 if size > most else failures + 1
            most = max(most, size)
            if failures and failures >= retries:
                raise PassingError(
                    f"{url}: broke off {failures} times in a row after {most:,} bytes:"
                    f" {broken}; run it again to go on from there"
                ) from None
            # As text: a log that keeps its records would keep the connection open.
            logger.warning("%s: broke off after %s bytes: %s", url, f"{size:,}", str(broken))
            time.sleep(min(network.BACKOFF * 2**failures, network.BACKOFF_MAX))


def _transfer(
    url: Url,
    part: Part,
    scheme: Scheme,
    *,
    report: Callable[[int, int | None], None],
    check: Callable[[], None],
) -> tuple[PartialMetadata, str]:
    """Fetch what ``part`` lacks in one transfer."""
    with scheme.open_at(url, *part.resumable(url)) as transfer:
        metadata = transfer.metadata
        check()
        if not transfer.start:
            part.begin(metadata)
        sha256 = part.write(transfer, report, check)

    size, total = part.size, metadata.bytes
    if total is not None and size < total and metadata.validator:
        raise BrokenError("the answer was shorter than asked for")
    if total is not None and size != total:
        raise DamagedError(f"got {size:,} bytes, where {total:,} were announced")
    return metadata, sha256


@contextmanager
def _naming_the_file(path: Path) -> Iterator[None]:
    """Turn an error of the disk into a message that names the file being written."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename not in (None, str(path)) else ""
        raise SystemicError(f"cannot write {path}: {error.strerror or error}{where}") from error
