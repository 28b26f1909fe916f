"""Fetch a published file: recognise its edition, resume what broke off, verify what came.

``stat`` returns what a source says about a file, and ``fetch`` brings the file.
"""

from luigi_tasks.records import Edition, RemoteMetadata, edition_path, is_whole, read_edition
from luigi_tasks.source.fetching import fetch, is_published, stat

__all__ = [
    "Edition",
    "RemoteMetadata",
    "edition_path",
    "fetch",
    "is_published",
    "is_whole",
    "read_edition",
    "stat",
]
