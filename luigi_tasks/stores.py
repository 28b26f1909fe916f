"""Stores such as S3, by fsspec: its file systems, and its errors on one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from luigi_tasks import network
from luigi_tasks.errors import TaxiError
from luigi_tasks.urls import Url

#: What the packages of stores raise if no connection is established.
_NO_CONNECTION = (
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ClientConnectorError",
    "ServiceRequestError",
)


def file_system(url: Url) -> tuple[Any, str]:
    """Return the file system of a store, and the path of the URL in it."""
    import fsspec

    files, path = fsspec.url_to_fs(url.text, use_listings_cache=False)
    return files, path


@contextmanager
def errors_on_one_line(url: Url) -> Iterator[None]:
    """Turn whatever the package of a store raises into a TaxiError of one line."""
    network.check_reached("", url.origin)
    try:
        yield
    except TaxiError:
        raise
    except Exception as error:  # noqa: BLE001 - each package has its own, such as NoCredentialsError
        why = network.reason(error)
        if type(error).__name__ in _NO_CONNECTION or why == "no answer in time":
            raise network.unreachable("", url.origin, why) from None
        if not isinstance(error, (ImportError, OSError, ValueError)):
            why = f"{type(error).__name__}: {why}"
        raise TaxiError(f"{url}: {why}") from None
