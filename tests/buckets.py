"""A server that speaks S3, and a bucket on it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luigi_tasks import network


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        try:
            found = (re.search(r"http://127\S+:\d+", line) for line in server.stderr)
            yield next(filter(None, found))[0]
        finally:
            server.terminate()
            server.communicate()


@pytest.fixture
def s3(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file system of an empty bucket, trip-data."""
    for name, value in {
        "HOME": str(tmp_path),  # without ~/.aws
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(network, "_unreachable", {})
    import fsspec

    forget_settings()
    files = fsspec.filesystem("s3", use_listings_cache=False)
    files.mkdirs("trip-data", exist_ok=True)
    for each in files.find("trip-data"):
        files.rm(each)
    return files


def forget_settings() -> None:
    """What was made before keeps the endpoint and the credentials of its time."""
    import fsspec

    fsspec.get_filesystem_class("s3").clear_instance_cache()
