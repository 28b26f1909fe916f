"""Files of ``http://`` and ``https://`` URLs."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

import requests
import urllib3

from luigi_tasks import network
from luigi_tasks.errors import PassingError, TaxiError
from luigi_tasks.records import RemoteMetadata
from luigi_tasks.source.scheme import (
    PIECE,
    BrokenError,
    DamagedError,
    PartialMetadata,
    Transfer,
    iso,
    not_published,
    valid_etag,
)
from luigi_tasks.texts import printable
from luigi_tasks.urls import Url, origin

RETRY_AFTER_MAX = 600
"""Seconds, the longest `Retry-After` that is waited for."""

IDLE_MAX = 30.0
"""Seconds without a request after which a connection isn't used again: routers forget connections
without a word, and the next request would wait for its timeout."""

# The TLC answers 403, not 404, for a month that isn't out.
_NOT_PUBLISHED = (403, 404, 410)
# 501 means that the server doesn't know HEAD; another try wouldn't help.
_TRY_AGAIN = frozenset({429, *range(500, 600)} - {501})

# What Python raises for nonsense as a time: 5,000 digits, impossible time zones.
_UNREADABLE_DATE = (ValueError, TypeError, OverflowError, IndexError)


@dataclass(frozen=True)
class Http:
    """Both schemes, with the timeout in seconds and the number of retries of a request."""

    timeout: float
    retries: int

    def stat(self, url: Url) -> RemoteMetadata | None:
        """Ask by HEAD for a file's metadata, or by GET if the server doesn't know HEAD."""
        for method in ("HEAD", "GET"):
            with self._ask(method, url, {}) as response:
                if method == "HEAD":
                    response.raw.drain_conn()  # otherwise the connection would be closed
                    if response.status_code in (405, 501):
                        continue
                if response.status_code in _NOT_PUBLISHED:
                    return None
                if 200 <= response.status_code < 300:
                    return _metadata(url, response).remote
                break
        raise _unexpected(url, response)

    @contextmanager
    def open_at(self, url: Url, known: PartialMetadata | None, start: int) -> Iterator[Transfer]:
        """Ask for a file, or for the rest of it."""
        headers = {}
        if known:
            if known.bytes is not None:
                # If nothing is missing, the last byte is asked for, to hear whether this is still
                # the present edition: a range that begins at the end would be answered by 416.
                start = max(0, min(start, known.bytes - 1))
            headers = {"Range": f"bytes={start}-", "If-Range": known.validator or ""}
        with self._ask("GET", url, headers) as response:
            status = response.status_code
            if status in _NOT_PUBLISHED:
                raise not_published(url, f", the server answered {status}")
            if known and status == 416:
                raise DamagedError(
                    f"the server has nothing after byte {start}, where more was announced"
                )
            if known and status == 206:
                metadata = _resumed(url, known, start, response)
            elif status == 200:
                metadata, start = _metadata(url, response), 0
            else:
                raise _unexpected(url, response)
            yield Transfer(metadata, start, _body(response))

    def read_part(self, url: Url, known: RemoteMetadata, start: int, stop: int) -> bytes:
        """Ask for some bytes of a file."""
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        if known.etag and not known.etag.startswith("W/"):
            headers["If-Range"] = known.etag
        with self._ask("GET", url, headers) as response:
            if response.status_code in _NOT_PUBLISHED:
                raise not_published(url, f", the server answered {response.status_code}")
            if response.status_code == 200:
                raise TaxiError(
                    f"{url}: the server sends no parts of a file, or the file has just changed; "
                    "load it to see it"
                )
            if response.status_code != 206 or not _is_plain(response):
                raise _unexpected(url, response)
            content, most = bytearray(), stop - start
            try:
                for piece in _body(response):
                    content += piece
                    if len(content) > most:  # not what was asked for
                        break
            except BrokenError as broken:
                raise PassingError(f"{url}: broke off: {broken}; try again later") from None
            return bytes(content)

    @contextmanager
    def _ask(
        self, method: str, url: Url, headers: Mapping[str, str]
    ) -> Iterator[requests.Response]:
        """Send a request and yield the response, its body unread; network errors are retried."""
        network.check_reached(method, url.origin)
        try:
            response = _thread.session(self.retries).request(
                method,
                url.address,
                headers={"Accept-Encoding": "identity", **headers},
                # Apart from the URL, so that no library can log or raise it.
                auth=url.credentials,
                timeout=self.timeout,
                stream=True,
            )
        except requests.ConnectionError as error:
            cause = network.root_cause(error)
            if isinstance(cause, HTTPException) and not isinstance(cause, OSError):
                raise PassingError(
                    f"{url}: the server's answer can't be read: {network.reason(error)};"
                    " check the URL, or try again later"
                ) from None
            # After a redirect, another host may be the one that can't be reached.
            raise network.unreachable(
                method,
                origin(str(error.request.url)) if error.request else url.origin,
                network.reason(error),
                by_proxy=isinstance(error, requests.exceptions.ProxyError),
            ) from None
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            ValueError,  # from the URL of a redirect
        ) as error:
            raise TaxiError(f"{url}: {network.reason(error)}; check the URL") from None
        try:
            with response:
                yield response
        finally:
            _thread.used = time.monotonic()


class _Retry(urllib3.Retry):
    """Retries that ignore a ``Retry-After`` which can't be read."""

    def get_retry_after(self, response: Any) -> float | None:
        try:
            return super().get_retry_after(response)
        except (*_UNREADABLE_DATE, urllib3.exceptions.InvalidHeader):
            return None


class _Thread(threading.local):
    """The session of each thread, whose connections its requests share."""

    used = 0.0
    _session: requests.Session | None = None
    _adapter: requests.adapters.HTTPAdapter

    def session(self, retries: int) -> requests.Session:
        """Return the thread's session, set up for the next request."""
        # Without retries nothing would make up for a connection that the server is about to close.
        if self._session and (not retries or time.monotonic() - self.used > IDLE_MAX):
            self._session.close()
        if self._session is None:
            self._session, self._adapter = requests.Session(), requests.adapters.HTTPAdapter()
            self._session.mount("http://", self._adapter)
            self._session.mount("https://", self._adapter)
        self._session.cookies.clear()
        self._adapter.max_retries = _Retry(
            total=retries,
            allowed_methods=["GET", "HEAD"],
            status_forcelist=_TRY_AGAIN,
            raise_on_status=False,
            backoff_factor=network.BACKOFF,
            backoff_max=network.BACKOFF_MAX,
            retry_after_max=RETRY_AFTER_MAX,
        )
        return self._session


_thread = _Thread()
# A forked process must not talk on its parent's connections.
os.register_at_fork(after_in_child=lambda: vars(_thread).clear())


def _unexpected(url: Url, response: requests.Response) -> TaxiError:
    status = printable(f"{response.status_code} {response.reason or ''}".strip())
    hint = "check user and password" if response.status_code == 401 else "try again later"
    error_class = TaxiError if response.status_code == 401 else PassingError
    return error_class(f"{url}: the server answered {status}; {hint}")


def _metadata(url: Url, response: requests.Response) -> PartialMetadata:
    headers = response.headers
    etag, modified = valid_etag(headers.get("ETag")), headers.get("Last-Modified")
    last_modified = _iso(modified)
    # A response that is compressed on the way, though that wasn't asked for, doesn't have the
    # length of the file, and can't be resumed. If-Range takes no weak ETag.
    is_plain = _is_plain(response)
    strong = None if etag is None or etag.startswith("W/") else etag
    validator = strong or (modified if last_modified else None)
    return PartialMetadata(
        url=url.redacted,
        etag=etag,
        last_modified=last_modified,
        bytes=_length(response) if is_plain else None,
        content_type=headers.get("Content-Type", "").lower(),
        validator=validator if is_plain else None,
    )


def _resumed(
    url: Url, known: PartialMetadata, start: int, response: requests.Response
) -> PartialMetadata:
    """Make sure that a partial response goes on at byte ``start`` of the same edition."""
    found = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
    )
    if not found or _bytes(found[1]) != start or not _is_plain(response):
        raise DamagedError(f"asked for the bytes from {start} on, the server sent others")
    total = _bytes(found[2])
    total = known.bytes if total is None else total
    now = _metadata(url, response)
    if known.bytes not in (None, total) or any(
        before and after and before != after
        for before, after in ((known.etag, now.etag), (known.last_modified, now.last_modified))
    ):
        raise DamagedError("another edition was published in the middle of it")
    return replace(known, bytes=total)


def _is_plain(response: requests.Response) -> bool:
    return response.headers.get("Content-Encoding", "identity").strip().lower() == "identity"


def _length(response: requests.Response) -> int | None:
    """Return the bytes of a response, if its headers say so in a way that can be true."""
    if "Transfer-Encoding" in response.headers:
        return None  # a chunked response has its length at its end
    lengths = set(map(str.strip, response.headers.get("Content-Length", "").split(",")))
    return _bytes(lengths.pop()) if len(lengths) == 1 else None


def _bytes(text: str) -> int | None:
    """Parse a number of bytes; None if it is no number, or larger than any file."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _body(response: requests.Response) -> Iterator[bytes]:
    if _length(response) is None:  # nor may urllib3 trust it
        response.raw.enforce_content_length = False
    while True:
        try:
            # read1, since read and iter_content lose the bytes of a piece that breaks off.
            piece = response.raw.read1(PIECE, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise BrokenError(network.reason(error)) from None
        if not piece:
            return
        yield piece


def _iso(http_date: str | None) -> str | None:
    try:
        return iso(parsedate_to_datetime(http_date or ""))
    except _UNREADABLE_DATE:
        return None
