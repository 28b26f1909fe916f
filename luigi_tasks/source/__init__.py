"""Fetch a published file: recognise its edition, resume what broke off, verify what came.

``stat`` returns what a source says about a file, ``fetch`` brings the file, and ``open_remote``
reads parts of it.
"""

from luigi_tasks.records import Edition, RemoteMetadata, edition_path, is_whole, read_edition
from luigi_tasks.source.fetching import fetch, is_published, stat
from luigi_tasks.source.remote import RemoteFile, TooMuchError, open_remote

__all__ = [
    "Edition",
    "RemoteFile",
    "RemoteMetadata",
    "TooMuchError",
    "edition_path",
    "fetch",
    "is_published",
    "is_whole",
    "open_remote",
    "read_edition",
    "stat",
]
