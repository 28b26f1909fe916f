"""Fetch a published file: know its edition, resume what broke, verify what came.

A file appears under its name only when it is whole, and never without its edition, the record
beside it that says what was fetched. While it is on its way it is called `<name>.part`;
`<name>.part.json` says of which edition, and `<name>.part.log` has checksums of what came, so that
the next fetch, in this process or in another, goes on where the last one stopped. What a server
says of a file is taken for unsaid where it can't be true.

`requests`, `urllib3` and `pyarrow` are imported where they are used: a run that finds nothing to
do doesn't wait for them.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from luigi_tasks import records
from luigi_tasks.errors import SystemicError, TaxiError
from luigi_tasks.texts import printable

if TYPE_CHECKING:
    import requests

logger = logging.getLogger("luigi-interface.source")

BACKOFF = 1.0
"""Seconds before the second try; doubled before each further one."""

BACKOFF_MAX = 60.0
"""Seconds, the longest wait between two tries."""

RETRY_AFTER_MAX = 600
"""Seconds, the longest `Retry-After` that is waited for."""

REFETCHES = 2
"""How often a file that came damaged is fetched again from nothing."""

UNREACHABLE_FOR = 60.0
"""Seconds for which a host that couldn't be reached isn't tried again."""

PIECE = 1024 * 1024
"""Bytes that are read and written at a time."""

LONGEST_ETAG = 1000
"""Characters; a server wouldn't take a longer one back."""

BLOCK = 16 * PIECE
"""Bytes that a store is asked for at a time; its package holds a few of such blocks."""

# Any other scheme is a store's, for fsspec.
_SCHEMES = ("http", "https", "file")

# The TLC answers 403, not 404, for a month that isn't out.
_NOT_PUBLISHED = (403, 404, 410)
# 501 is what a server says that doesn't know HEAD; waiting won't teach it.
_TRY_AGAIN = frozenset({429, *range(500, 600)} - {501})

_UNREADABLE = (
    "the host or port of the source URL can't be read;"
    " write special characters in a user or password as %XX"
)

# What the library raises for times that aren't any: of 5,000 digits, of zones beyond all others.
_UNREADABLE_DATE = (ValueError, TypeError, OverflowError, IndexError)

_unreachable: dict[tuple[str, str], tuple[float, str]] = {}


@dataclass(frozen=True)
class Edition:
    """One publication of a file, as it was fetched."""

    url: str  # without user and password
    etag: str | None  # as the server writes it, quotes included
    last_modified: str | None  # ISO 8601 in UTC, such as 2023-03-20T20:46:51+00:00
    bytes: int
    sha256: str  # in hex, of the whole file
    seconds: float  # what fetching took


class Known(Protocol):
    """What is known of an edition that came."""

    @property
    def etag(self) -> str | None: ...
    @property
    def last_modified(self) -> str | datetime | None: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class Announced:
    """What a source says of a file, without sending it; None where it says nothing."""

    etag: str | None
    last_modified: str | None  # ISO 8601 in UTC
    bytes: int | None

    def differs(self, known: Known) -> bool:
        """Whether it is another edition, as far as it says: by ETag, or by time and size."""
        if known.etag and self.etag:
            return known.etag != self.etag
        if self.bytes not in (None, known.bytes):
            return True
        if known.last_modified and self.last_modified:
            return datetime.fromisoformat(str(known.last_modified)) != datetime.fromisoformat(
                self.last_modified
            )
        return False


@dataclass(frozen=True)
class _Origin:
    """What the source said of the file it is sending. Kept beside a part, to resume it by."""

    url: str
    etag: str | None = None
    last_modified: str | None = None  # to the letter: If-Range wants it back like that
    total: int | None = None
    content_type: str = ""
    is_plain: bool = True  # not compressed on the way
    checksums: dict[str, str] = field(default_factory=dict)  # algorithm: hex

    @property
    def validator(self) -> str | None:
        """What tells this edition from another, for If-Range, which takes no weak ETag."""
        if not self.is_plain:
            return None
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


class _BrokenError(Exception):
    """The transfer ended before the file did; what came is good."""


class _DamagedError(Exception):
    """What came is not what was announced; it has to be fetched again from nothing."""


def _say_nothing(received: int, total: int | None) -> None:
    pass


def is_published(url: str, *, timeout: float = 60, retries: int = 5) -> bool:
    """Say whether there is a file at `url`, without fetching it; raises what `look` does."""
    return look(url, timeout=timeout, retries=retries) is not None


def look(url: str, *, timeout: float = 60, retries: int = 5) -> Announced | None:
    """Ask of which edition the file at `url` is, without fetching it; None if there is no file.

    :param timeout: seconds without an answer after which a try is given up
    :raises TaxiError: if that can't be known: the host can't be reached, or it answers with
        something else than yes (2xx) or no (403, 404, 410)
    """
    parts = _split(url)
    if parts.scheme not in _SCHEMES:
        return _stored(url)
    if parts.scheme == "file":
        file = _local_file(url, parts)
        try:
            if not file.is_file():
                return None
            found = file.stat()
        except OSError as error:
            raise TaxiError(f"cannot read {file}: {error.strerror or error}") from None
        return Announced(None, _iso(_http_date(found.st_mtime)), found.st_size)
    for method in ("HEAD", "GET"):
        with _ask(method, url, {}, timeout=timeout, retries=retries) as response:
            if method == "HEAD" and response.status_code in (405, 501):
                continue
            if response.status_code in _NOT_PUBLISHED:
                return None
            if 200 <= response.status_code < 300:
                origin = _announced(url, response)
                return Announced(origin.etag, _iso(origin.last_modified), origin.total)
            break
    raise _unexpected(url, response)


def fetch(
    url: str,
    path: Path,
    *,
    timeout: float = 60,
    retries: int = 5,
    report: Callable[[int, int | None], None] = _say_nothing,
    must_be_read: bool = True,
    before_publishing: Callable[[], None] = lambda: None,
) -> Edition:
    """Fetch the file at `url` to `path`, whole and verified or not at all.

    :param timeout: seconds without a byte after which a connection is given up
    :param retries: how many tries in a row may fail, or bring nothing new, before giving up
    :param report: is told the bytes on disk so far and their total, if the source says it
    :param must_be_read: whether it must be of a form that the transform reads, not a script
    :param before_publishing: is called when all is there, and may refuse to have it published
    :raises TaxiError: if the file isn't published there, can't be reached or written, or isn't
        what it must be
    """
    started = time.monotonic()
    scheme = _split(url).scheme
    part = path.with_name(path.name + ".part")
    refetches = 0
    with _naming_the_file(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                if scheme not in _SCHEMES:
                    origin, digests = _copy_stored(url, part, report)
                elif scheme == "file":
                    origin, digests = _copy(url, part, report)
                else:
                    origin, digests = _download(url, part, timeout, retries, report)
                _verify(part, origin, digests)
                _verify_form(part, origin, must_be_read=must_be_read)
            except _DamagedError as damage:
                _discard(part)
                refetches += 1
                if refetches > REFETCHES:
                    raise TaxiError(
                        f"{shown(url)}: {damage}, {refetches} times in a row; try again later"
                    ) from None
                logger.warning("%s: %s; fetching it again from nothing", shown(url), damage)
                continue
            edition = Edition(
                url=shown(url),
                etag=origin.etag,
                last_modified=_iso(origin.last_modified),
                bytes=part.stat().st_size,
                sha256=digests["sha256"],
                seconds=round(time.monotonic() - started, 3),
            )
            before_publishing()
            _publish(part, path, edition)
            return edition


def edition_path(path: Path) -> Path:
    """Name the record beside a fetched file that says which edition it is."""
    return path.with_name(path.name + ".edition.json")


def read_edition(path: Path) -> Edition | None:
    """Say which edition the file at `path` is, or None if that isn't known for sure.

    It isn't when the file or its record is missing, when the record can't be read, and when it
    is about a file of another size.
    """
    try:
        edition = Edition(**records.read(edition_path(path)))
        return edition if edition.bytes == path.stat().st_size else None
    except (OSError, ValueError, TypeError):
        return None


def is_whole(path: Path, edition: Edition) -> bool:
    """Say whether the file at `path` still has the bytes of its edition, by reading it."""
    try:
        return records.digest(path) == edition.sha256
    except OSError:
        return False  # a disk that can't read it


# URLs


def check_url(url: str) -> None:
    """Refuse a URL that nothing can be fetched from.

    :raises TaxiError: its scheme isn't known, or its host is missing
    """
    _split(url)


def shown(url: str) -> str:
    """Leave out user and password, and what a query says, which may be a signature: this is the URL
    that messages and records show. What came from the environment is shown by its variable's name.
    """
    written = _without_user(getattr(url, "written", url))
    return re.sub(r"(?<=[?&])([^=&#\s]+=)[^&#\s]+", r"\1...", written)


def _without_user(url: str) -> str:
    if url.startswith(("abfs://", "abfss://")):
        return url  # Azure's container stands there
    return re.sub(r"(?<=//)[^/?#]*@", "", url)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # Not shown: a password with a / in it ends up here.
        raise TaxiError(_UNREADABLE) from None
    if parts.scheme not in _SCHEMES and not _is_stores(parts.scheme):
        raise TaxiError(
            f"{shown(url)}: the scheme is {parts.scheme or 'missing'};"
            " write an http://, https:// or file:// URL, or one of a store, such as s3://"
        )
    if parts.scheme not in _SCHEMES and parts.password is not None:
        raise TaxiError(
            f"{shown(url)}: a store's password doesn't belong in its URL; its package takes it from"
            " variables of the environment"
        )
    if parts.scheme in _SCHEMES and parts.fragment and "@" in parts.fragment:
        raise TaxiError(_UNREADABLE)
    if (parts.scheme in _SCHEMES and "#" in url) or (parts.scheme == "file" and "?" in url):
        raise TaxiError(
            f"{shown(url)}: a # ends a URL, and a ? its path; write %23 for a # in a name, %3F for"
            " a ? in it (%%23 and %%3F in luigi.cfg)"
        )
    if parts.scheme != "file" and not parts.hostname:
        raise TaxiError(f"{shown(url)}: the host is missing; write {parts.scheme}://host/path")
    return parts


def _host(url: str) -> str:
    parts = urlsplit(_without_user(url))
    return f"{parts.scheme}://{parts.netloc}"


def _local_file(url: str, parts: SplitResult) -> Path:
    file = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not file.is_absolute() or "\0" in str(file):
        raise TaxiError(f"{shown(url)}: not a path on this machine; write file:///folder/file")
    return file


# HTTP


@contextmanager
def _ask(
    method: str, url: str, headers: Mapping[str, str], *, timeout: float, retries: int
) -> Iterator[requests.Response]:
    """Send a request and yield the answer, its body unread; failures on the way are retried."""
    from http.client import HTTPException

    import requests
    import urllib3

    parts = _split(url)
    _check_reached(method, url)

    class Retry(urllib3.Retry):
        def get_retry_after(self, response: Any) -> float | None:
            try:
                return super().get_retry_after(response)
            except (*_UNREADABLE_DATE, urllib3.exceptions.InvalidHeader):
                return None

    adapter = requests.adapters.HTTPAdapter(
        max_retries=Retry(
            total=retries,
            allowed_methods=["GET", "HEAD"],
            status_forcelist=_TRY_AGAIN,
            raise_on_status=False,
            backoff_factor=BACKOFF,
            backoff_max=BACKOFF_MAX,
            retry_after_max=RETRY_AFTER_MAX,
        )
    )
    with requests.Session() as session:
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        # Handed over apart from the URL, so that no library can log or raise them with it.
        if parts.username is not None:
            session.auth = (unquote(parts.username), unquote(parts.password or ""))
        try:
            response = session.request(
                method,
                _without_user(url),
                headers={"Accept-Encoding": "identity", **headers},
                timeout=timeout,
                stream=True,
            )
        except requests.ConnectionError as error:
            if isinstance(_cause(error), HTTPException) and not isinstance(_cause(error), OSError):
                raise TaxiError(
                    f"{shown(url)}: the server's answer can't be read: {_reason(error)};"
                    " check the URL, or try again later"
                ) from None
            # After a redirect it is another host than was asked.
            host = _host(str(error.request.url) if error.request else url)
            through = " the proxy for" if isinstance(error, requests.exceptions.ProxyError) else ""
            why = f"cannot reach{through} {host}: {_reason(error)}; check the URL and the network"
            _unreachable[method, host] = (time.monotonic(), why)
            raise TaxiError(why) from None
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            ValueError,  # of where it is redirected to
        ) as error:
            raise TaxiError(f"{shown(url)}: {_reason(error)}; check the URL") from None
        with response:
            yield response


def _check_reached(method: str, url: str) -> None:
    """Raise a TaxiError if the host couldn't be reached a moment ago."""
    since, why = _unreachable.get((method, _host(url)), (0.0, ""))
    if why and time.monotonic() - since < UNREACHABLE_FOR:
        raise TaxiError(why)


def _cause(error: BaseException) -> BaseException:
    """Find what is at the bottom of an error of requests and urllib3."""
    seen = [error]
    while True:
        inner = [
            getattr(error, "reason", None),
            getattr(error, "original_error", None),
            *error.args,
            error.__cause__,
        ]
        causes = [cause for cause in inner if isinstance(cause, BaseException)]
        if not causes or causes[0] in seen:
            return error
        error = causes[0]
        seen.append(error)


def _reason(error: BaseException) -> str:
    """Say in a few words what is at the bottom of an error of requests and urllib3.

    Their own messages hold the reprs of connection objects, several levels of them.
    """
    error = _cause(error)
    kind = type(error).__name__
    if "Timeout" in kind:
        return "no answer in time"
    if kind == "IncompleteRead":
        return "the connection was closed early"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or kind
    return printable(shown(text.partition("\n")[0]))  # which may quote the URL of a proxy


def _unexpected(url: str, response: requests.Response) -> TaxiError:
    status = printable(f"{response.status_code} {response.reason or ''}".strip())
    hint = "check user and password" if response.status_code == 401 else "try again later"
    return TaxiError(f"{shown(url)}: the server answered {status}; {hint}")


def _download(
    url: str, part: Path, timeout: float, retries: int, report: Callable[[int, int | None], None]
) -> tuple[_Origin, dict[str, str]]:
    """Bring the file at `url` to `part`, over as many connections as it takes."""
    # Progress is more bytes than there ever were, not than at the last start: a server that
    # can't resume and breaks every transfer would otherwise be asked forever.
    most = failures = 0
    while True:
        try:
            return _transfer(url, part, timeout, retries, report)
        except _BrokenError as broken:
            size = part.stat().st_size
            failures = 0 if size > most else failures + 1
            most = max(most, size)
            if failures and failures >= retries:
                raise TaxiError(
                    f"{shown(url)}: broke off {failures} times in a row after {most} bytes:"
                    f" {broken}; run it again to go on from there"
                ) from None
            logger.warning("%s: broke off after %d bytes: %s", shown(url), size, broken)
            time.sleep(min(BACKOFF * 2**failures, BACKOFF_MAX))


def _transfer(
    url: str, part: Path, timeout: float, retries: int, report: Callable[[int, int | None], None]
) -> tuple[_Origin, dict[str, str]]:
    """Bring what `part` lacks over one connection."""
    known = _read_origin(part, url)
    start = _sound_bytes(part) if known else 0
    headers = {}
    if not start:
        known = None
    if known:
        if known.total is not None:
            # A part that lacks nothing asks for its last byte, to hear whether it is still the
            # present edition: a range that begins at the end would be answered with 416.
            start = max(0, min(start, known.total - 1))
        headers = {"Range": f"bytes={start}-", "If-Range": known.validator or ""}

    with _ask("GET", url, headers, timeout=timeout, retries=retries) as response:
        if response.status_code in _NOT_PUBLISHED:
            raise TaxiError(
                f"{shown(url)}: not published there, the server answered {response.status_code};"
                " check the URL, or wait until it is"
            )
        if known and response.status_code == 416:
            raise _DamagedError(
                f"the server has nothing after byte {start}, where more was announced"
            )
        if known and response.status_code == 206:
            origin = _resumed(known, start, response)
        elif response.status_code == 200:
            origin, start = _announced(url, response), 0
            _begin(part, origin)
        else:
            raise _unexpected(url, response)
        digests = _write(part, start, _body(response), origin, report)

    size = part.stat().st_size
    if origin.total is not None and size < origin.total:
        raise _BrokenError("the answer was shorter than asked for")
    if origin.total is not None and size > origin.total:
        raise _DamagedError(f"got {size} bytes, where {origin.total} were announced")
    return origin, digests


def _announced(url: str, response: requests.Response) -> _Origin:
    headers = response.headers
    # What is compressed on the way, though that wasn't asked for, has neither the length nor the
    # checksums of the file, and can't be resumed.
    is_plain = headers.get("Content-Encoding", "identity").strip().lower() == "identity"
    modified = headers.get("Last-Modified")
    return _Origin(
        url=shown(url),
        etag=_etag(headers.get("ETag")),
        last_modified=modified if _iso(modified) else None,
        total=_length(response) if is_plain else None,
        content_type=headers.get("Content-Type", "").lower(),
        is_plain=is_plain,
        checksums=_checksums(headers) if is_plain else {},
    )


def _resumed(known: _Origin, start: int, response: requests.Response) -> _Origin:
    """Make sure that a partial answer goes on where the part ends, with the same edition."""
    found = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
    )
    total = found and _number(found[2])
    total = known.total if total is None else total
    now = _announced(known.url, response)
    if not found or _number(found[1]) != start or not now.is_plain:
        raise _DamagedError(f"asked for the bytes from {start} on, the server sent others")
    if known.total not in (None, total) or any(
        before and after and before != after
        for before, after in ((known.etag, now.etag), (known.last_modified, now.last_modified))
    ):
        raise _DamagedError("another edition was published in the middle of it")
    return _Origin(**{**asdict(known), "total": total})


def _length(response: requests.Response) -> int | None:
    """How many bytes an answer has, as far as it says so in a way that can be true."""
    if "Transfer-Encoding" in response.headers:
        return None  # what is chunked says it by its end
    said = set(map(str.strip, response.headers.get("Content-Length", "").split(",")))
    return _number(said.pop()) if len(said) == 1 else None


def _number(text: str) -> int | None:
    """A number of bytes; None where it is none, or one that no file has."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _etag(text: Any) -> str | None:
    """An ETag, if it is one that can be sent back and be kept."""
    is_one = isinstance(text, str) and re.fullmatch(rf"[ -~]{{1,{LONGEST_ETAG}}}", text)
    return text if is_one else None


def _body(response: requests.Response) -> Iterator[bytes]:
    import urllib3

    if _length(response) is None:  # nor may urllib3 believe it
        response.raw.enforce_content_length = False
    while True:
        try:
            # read1, as read and iter_content lose what had come of a piece that breaks off.
            piece = response.raw.read1(PIECE, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise _BrokenError(_reason(error)) from None
        if not piece:
            return
        yield piece


def _checksums(headers: Mapping[str, str]) -> dict[str, str]:
    """Read the checksums of a whole file from the headers that servers announce them in.

    `Repr-Digest` is RFC 9530 (`sha-256=:…:`), `Digest` its forerunner RFC 3230 (`sha-256=…`),
    `x-goog-hash` Google's (`md5=…`). An ETag is none, even where it looks like one. Amazon's
    ends in -1, -2, … where it is the checksum of checksums of parts: that isn't base64.
    """
    named = [
        ("md5", headers.get("Content-MD5", "")),
        ("sha256", headers.get("x-amz-checksum-sha256", "")),
    ]
    for header in ("Repr-Digest", "Digest", "x-goog-hash"):
        for item in headers.get(header, "").split(","):
            algorithm, _, value = item.strip().partition("=")
            named.append((algorithm.lower().replace("-", ""), value.strip(":")))
    checksums = {}
    for algorithm, value in named:
        try:
            digest = base64.b64decode(value.strip(), validate=True)
        except ValueError:
            continue
        if len(digest) == {"md5": 16, "sha256": 32}.get(algorithm):
            checksums[algorithm] = digest.hex()
    return checksums


# Local files


def _copy(
    url: str, part: Path, report: Callable[[int, int | None], None]
) -> tuple[_Origin, dict[str, str]]:
    """Copy the file at a file:// URL to `part`."""
    file = _local_file(url, _split(url))
    if not is_published(url):
        raise TaxiError(f"{shown(url)}: not published there; check the URL, or wait until it is")
    before = file.stat()
    origin = _Origin(
        url=shown(url),
        last_modified=_http_date(before.st_mtime),
        total=before.st_size,
    )
    _begin(part)
    digests = _write(part, 0, _pieces(file), origin, report)
    after = file.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _DamagedError("it changed while it was copied")
    return origin, digests


def _pieces(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            while piece := opened.read(PIECE):
                yield piece
    except OSError as error:
        raise TaxiError(f"cannot read {file}: {error.strerror or error}") from error


# Stores, by fsspec


#: What s3fs, adlfs, gcsfs and fsspec's own call the moment of a file's last change.
_MODIFIED = ("LastModified", "last_modified", "mtime", "created")
#: What their packages raise when no connection comes about.
_NO_CONNECTION = (
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ClientConnectorError",
    "ServiceRequestError",
)


def _is_stores(scheme: str) -> bool:
    if not scheme:
        return False
    try:
        import fsspec
    except ImportError:
        raise TaxiError(
            f"{scheme}:// isn't http, https or file; a store, such as s3://, needs more packages: "
            "pip install 'luigi-tasks[stores]'"
        ) from None
    return scheme in fsspec.available_protocols()


def _stored(url: str) -> Announced | None:
    """Ask a store of which edition the file at `url` is; None if there is no file."""
    with _telling(url):
        files, path = _store(url)
        try:
            found = files.info(path)
        except FileNotFoundError:
            return None
    if found["type"] != "file":
        return None
    moments = [found.get(key) for key in _MODIFIED]
    moment = next((each for each in moments if isinstance(each, datetime)), None)
    return Announced(
        etag=_etag(found.get("ETag") or found.get("etag")),
        last_modified=_iso_of(moment) if moment else None,
        bytes=found.get("size"),
    )


def _copy_stored(
    url: str, part: Path, report: Callable[[int, int | None], None]
) -> tuple[_Origin, dict[str, str]]:
    """Copy the file at a store's URL to `part`."""
    before = _stored(url)
    if before is None:
        raise TaxiError(f"{shown(url)}: not published there; check the URL, or wait until it is")
    modified = before.last_modified and _http_date(
        datetime.fromisoformat(before.last_modified).timestamp()
    )
    origin = _Origin(url=shown(url), etag=before.etag, last_modified=modified, total=before.bytes)
    _begin(part)
    try:
        digests = _write(part, 0, _stored_pieces(url), origin, report)
    except TaxiError:
        if _stored(url) != before:  # s3fs doesn't read on from another edition
            raise _DamagedError("it changed while it was copied") from None
        raise
    if _stored(url) != before or before.bytes not in (None, part.stat().st_size):
        raise _DamagedError("it changed while it was copied")
    return origin, digests


def _stored_pieces(url: str) -> Iterator[bytes]:
    with _telling(url):
        files, path = _store(url)
        with files.open(path, "rb", block_size=BLOCK) as opened:
            while piece := opened.read(PIECE):
                yield piece


def _store(url: str) -> tuple[Any, str]:
    """The file system of a store, and the path of `url` in it."""
    import fsspec

    files, path = fsspec.url_to_fs(url, use_listings_cache=False)
    return files, path


@contextmanager
def _telling(url: str) -> Iterator[None]:
    """Turn what a store or its package says into one line."""
    _check_reached("", url)
    try:
        yield
    except Exception as error:  # noqa: BLE001 - each package has its own, such as NoCredentialsError
        reason = _reason(error)
        if type(error).__name__ in _NO_CONNECTION or reason == "no answer in time":
            why = f"cannot reach {_host(url)}: {reason}; check the URL and the network"
            _unreachable["", _host(url)] = (time.monotonic(), why)
            raise TaxiError(why) from None
        if not isinstance(error, (ImportError, OSError, ValueError)):
            reason = f"{type(error).__name__}: {reason}"
        raise TaxiError(f"{shown(url)}: {reason}") from None


# The part and what becomes of it


def _write(
    part: Path,
    start: int,
    pieces: Iterator[bytes],
    origin: _Origin,
    report: Callable[[int, int | None], None],
) -> dict[str, str]:
    """Write `pieces` to `part` from byte `start` on; give the hex digests of all of it.

    The log gets a line for each piece, with the sha256 up to there.
    """
    hashes = {"sha256": hashlib.sha256()}
    if "md5" in origin.checksums:
        hashes["md5"] = hashlib.md5(usedforsecurity=False)
    # Without a buffer it is known how much of a piece went to a disk that is full.
    with part.open("r+b", buffering=0) as file, _log_path(part).open("ab", buffering=0) as log:
        while file.tell() < start:
            piece = file.read(min(PIECE, start - file.tell()))
            if not piece:
                raise _DamagedError("what had come of it is gone")
            for each in hashes.values():
                each.update(piece)
        file.truncate()
        report(start, origin.total)
        size = start
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                written, rest = rest[: (taken := file.write(rest))], rest[taken:]
                for each in hashes.values():
                    each.update(written)
                size += taken
                log.write(f"{size} {hashes['sha256'].hexdigest()}\n".encode())
            report(size, origin.total)
        os.fsync(file.fileno())
    return {algorithm: each.hexdigest() for algorithm, each in hashes.items()}


def _verify(part: Path, origin: _Origin, digests: Mapping[str, str]) -> None:
    """Make sure that `part` is the file that was announced."""
    for algorithm, wanted in origin.checksums.items():
        if digests[algorithm] != wanted:
            raise _DamagedError(
                f"its {algorithm} is {digests[algorithm]}, not {wanted} as announced"
            )


def _verify_form(part: Path, origin: _Origin, *, must_be_read: bool) -> None:
    """Make sure that `part` isn't an error page and, if it must be read, that it can be."""
    from luigi_tasks import forms

    size, wanted = (
        part.stat().st_size,
        "parquet, CSV or JSON" if must_be_read else "a month's trips",
    )
    with part.open("rb") as file:
        head = file.read(forms.HEAD)
    form = forms.form_of(head)
    is_page = re.match(rb"[\xef\xbb\xbf\s]*<(!doctype )?html", head, re.IGNORECASE)
    if not size:
        got = "an empty file"
    elif is_page or "html" in origin.content_type:
        got = "an HTML page"
    elif must_be_read and form is None:
        got = f"{size} bytes that begin with {head[:16]!r}"
    else:
        got = ""
    if got:
        _discard(part)
        raise TaxiError(f"{origin.url}: got {got}, wanted {wanted}; check the URL")
    if must_be_read and form == "parquet":
        _verify_parquet(part, size)


def _verify_parquet(part: Path, size: int) -> None:
    with part.open("rb") as file:
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if size < 12 or tail != b"PAR1":
        raise _DamagedError(
            f"the file is truncated: {size} bytes without the footer of a parquet file"
        )

    import pyarrow.parquet

    try:
        with part.open("rb") as file:
            pyarrow.parquet.read_metadata(file)
    except (pyarrow.ArrowException, OSError) as error:
        why = str(error).partition("\n")[0]
        raise _DamagedError(f"its parquet footer can't be read ({why})") from None


def _publish(part: Path, path: Path, edition: Edition) -> None:
    """Give a verified part its name, the record first."""
    # An older edition goes before the record of the new one comes: no file beside a record
    # that isn't its own, wherever this stops.
    path.unlink(missing_ok=True)
    records.write(edition_path(path), asdict(edition))
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    _discard(part)


def _origin_path(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _log_path(part: Path) -> Path:
    return part.with_name(part.name + ".log")


def _begin(part: Path, origin: _Origin | None = None) -> None:
    """Begin a part with nothing in it, which can be resumed by what is known of its origin."""
    _discard(part)
    for path in (part, _log_path(part)):
        records.create(path).close()
    if origin:
        records.write(_origin_path(part), asdict(origin))


def _read_origin(part: Path, url: str) -> _Origin | None:
    """Say what `part` is a part of, or None if it can't be resumed from `url`."""
    try:
        origin = _Origin(**records.read(_origin_path(part)))
        is_ours = all(map(_is_ours, (part, _log_path(part))))
    except (OSError, ValueError, TypeError):
        return None
    return origin if origin.validator and origin.url == shown(url) and is_ours else None


def _is_ours(path: Path) -> bool:
    """Whether a file is no link, through which somebody else's would be written to."""
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _sound_bytes(part: Path) -> int:
    """Count the bytes at the beginning of `part` that are still the ones that came, by its log."""
    try:
        lines = _log_path(part).read_text(errors="replace").splitlines()
    except OSError:
        return 0
    sums = {_number(size): digest for size, _, digest in (line.partition(" ") for line in lines)}
    sound = 0
    digest = hashlib.sha256()
    with part.open("rb") as file:
        for size in sorted(filter(None, sums)):
            while piece := file.read(min(PIECE, size - file.tell())):
                digest.update(piece)
            if file.tell() < size or digest.hexdigest() != sums[size]:
                break
            sound = size
    return sound


def _discard(part: Path) -> None:
    # The record first: what is left of a part without one is never taken for a beginning.
    records.remove(_origin_path(part))
    for path in (part, _log_path(part)):
        path.unlink(missing_ok=True)


def _iso(http_date: str | None) -> str | None:
    try:
        return _iso_of(parsedate_to_datetime(http_date or ""))
    except _UNREADABLE_DATE:
        return None


def _iso_of(moment: datetime) -> str | None:
    """A moment as editions have it; None for one that isn't in the calendar of every zone."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    try:
        moment = moment.astimezone(timezone.utc)
    except OverflowError:
        return None
    return moment.isoformat(timespec="seconds") if 1 < moment.year < 9999 else None


def _http_date(seconds: float) -> str | None:
    """A moment since 1970 as HTTP has it; None if that is in no calendar."""
    try:
        return formatdate(seconds, usegmt=True)
    except (*_UNREADABLE_DATE, OSError):
        return None


@contextmanager
def _naming_the_file(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into a message that names the file it was for."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename not in (None, str(path)) else ""
        raise SystemicError(f"cannot write {path}: {error.strerror or error}{where}") from error
