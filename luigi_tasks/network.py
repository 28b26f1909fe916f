"""Failures of the network: their reasons in a few words, and hosts that can't be reached."""

from __future__ import annotations

import time

from luigi_tasks.errors import PassingError
from luigi_tasks.texts import printable
from luigi_tasks.urls import redacted

BACKOFF = 1.0
"""Seconds before the second try; doubled before each further one."""

BACKOFF_MAX = 60.0
"""Seconds, the longest wait between two tries."""

UNREACHABLE_FOR = 60.0
"""Seconds for which a host that couldn't be reached isn't tried again."""

# by method and host, when it couldn't be reached, and the message
_unreachable: dict[tuple[str, str], tuple[float, str]] = {}


def check_reached(method: str, host: str) -> None:
    """Raise a PassingError if the host couldn't be reached a moment ago."""
    since, message = _unreachable.get((method, host), (0.0, ""))
    if message and time.monotonic() - since < UNREACHABLE_FOR:
        raise PassingError(message)


def unreachable(method: str, host: str, why: str, *, by_proxy: bool = False) -> PassingError:
    """Make the error for a host that can't be reached, and remember it for a while."""
    through = " the proxy for" if by_proxy else ""
    message = f"cannot reach{through} {host}: {why}; check the URL and the network"
    _unreachable[method, host] = (time.monotonic(), message)
    return PassingError(message)


def root_cause(error: BaseException) -> BaseException:
    """Find the innermost error that an error of requests or urllib3 wraps."""
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


def reason(error: BaseException) -> str:
    """Say in a few words why a request failed.

    The messages of requests and urllib3 contain the reprs of connections, several levels deep.
    """
    error = root_cause(error)
    name = type(error).__name__
    if "Timeout" in name:
        return "no answer in time"
    if name == "IncompleteRead":
        return "the connection was closed early"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or name
    return printable(redacted(text.partition("\n")[0]))  # it may quote the URL of a proxy
