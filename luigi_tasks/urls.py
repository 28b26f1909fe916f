"""URLs of sources: parsed once, and shown without their secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from luigi_tasks.errors import TaxiError

_HTTP = ("http", "https")
# Any other scheme belongs to a store, and fsspec has to know it.
_BUILT_IN = (*_HTTP, "file")

#: What the query of a warehouse's URL may have, and a message may show.
_NO_SECRETS = {
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "gssencmode",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "options",
    "passfile",
    "port",
    "service",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "user",
}

_UNREADABLE = (
    "the host or port of the source URL can't be read;"
    " write special characters in a user or password as %XX"
)


@dataclass(frozen=True, repr=False)
class Url:
    """Where a file is published.

    ``str()`` and ``repr()`` give the redacted form, so that a message can't leak a secret.
    """

    text: str  # all of it, secrets included
    scheme: str
    host: str  # with the port
    path: str  # with its %XX
    address: str  # without user and password
    credentials: tuple[str, str] | None  # user and password
    redacted: str

    @classmethod
    def parse(cls, text: str | Url) -> Url:
        """Parse a URL, and refuse one that nothing can be fetched from.

        :raises TaxiError: its host or port can't be read, its scheme isn't known, its host is
            missing, it has a fragment, or a store's URL has a password
        """
        if isinstance(text, Url):
            return text
        parts = _split(text)
        address = _without_user(text)
        return cls(
            text=str(text),
            scheme=parts.scheme,
            host=urlsplit(address).netloc,
            path=parts.path,
            address=address,
            credentials=None
            if parts.username is None
            else (unquote(parts.username), unquote(parts.password or "")),
            redacted=redacted(text),
        )

    def __str__(self) -> str:
        return self.redacted

    def __repr__(self) -> str:
        return f"Url({self.redacted!r})"

    @property
    def is_http(self) -> bool:
        return self.scheme in _HTTP

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as ``https://host:8080``."""
        return origin(self.address)

    @property
    def local_path(self) -> Path:
        """The path of a ``file://`` URL on this machine.

        :raises TaxiError: it has the name of another machine, is relative, or has a NUL in it
        """
        path = Path(unquote(self.path))
        if self.host not in ("", "localhost") or not path.is_absolute() or "\0" in str(path):
            raise TaxiError(f"{self}: not a path on this machine; write file:///folder/file")
        return path


def redacted(text: str) -> str:
    """Replace what may be secret in a URL: user and password go, and values in the query, which
    may be a signature, become dots. A value from the environment is shown by its variable's name.

    The text may be any: a message may quote a URL that can't be parsed.
    """
    written = _without_user(getattr(text, "written", text))
    return re.sub(r"(?<=[?&])([^=&#\s]+=)[^&#\s]+", r"\1...", written)


def without_password(text: str) -> str:
    """A warehouse's URL with its user and host, and what of its query is known to be no secret."""
    written: str = getattr(text, "written", text)
    start, slashes, rest = written.partition("//")
    user, at, rest = rest.rpartition("@")  # a password may have a / or an @, though it shouldn't
    rest, mark, query = rest.partition("?")
    shown = [each for each in query.split("&") if each.partition("=")[0] in _NO_SECRETS]
    return f"{start}{slashes}{user.partition(':')[0]}{at}{rest}{mark if shown else ''}" + "&".join(
        shown
    )


def origin(text: str) -> str:
    """Scheme, host and port of a URL, without user and password."""
    parts = urlsplit(_without_user(text))
    return f"{parts.scheme}://{parts.netloc}"


def _without_user(text: str) -> str:
    if text.startswith(("abfs://", "abfss://")):
        return text  # the part before the @ is Azure's container
    return re.sub(r"(?<=//)[^/?#]*@", "", text)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # The URL isn't shown: this is also where a password with a / in it ends up.
        raise TaxiError(_UNREADABLE) from None
    scheme = parts.scheme
    if scheme not in _BUILT_IN and not _is_scheme_of_store(scheme):
        raise TaxiError(
            f"{redacted(text)}: the scheme is {scheme or 'missing'};"
            " write an http://, https:// or file:// URL, or one of a store, such as s3://"
        )
    if scheme not in _BUILT_IN and parts.password is not None:
        raise TaxiError(
            f"{redacted(text)}: a store's password doesn't belong in its URL; its package takes it"
            " from variables of the environment"
        )
    if scheme in _BUILT_IN and parts.fragment and "@" in parts.fragment:
        raise TaxiError(_UNREADABLE)
    if (scheme in _BUILT_IN and "#" in text) or (scheme == "file" and "?" in text):
        raise TaxiError(
            f"{redacted(text)}: a # ends a URL, and a ? its path; write %23 for a # in a name, %3F"
            " for a ? in it (%%23 and %%3F in luigi.cfg)"
        )
    if scheme != "file" and not parts.hostname:
        raise TaxiError(f"{redacted(text)}: the host is missing; write {scheme}://host/path")
    return parts


def _is_scheme_of_store(scheme: str) -> bool:
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
