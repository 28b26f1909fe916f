"""Months in a store, such as S3, by a real server of this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Database, Luigi, Published

from luigi_tasks import source
from luigi_tasks.errors import TaxiError

pytest.importorskip("moto", reason="the package moto isn't there")
on_one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
URL = "s3://trip-data/{{ taxi_type }}_tripdata_{{ month }}.parquet"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket, ``trip-data``."""
    import boto3
    import s3fs

    for name, value in {**KEYS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    made = boto3.resource("s3").Bucket("trip-data")
    made.create()
    yield made
    made.objects.all().delete()
    made.delete()


def test_a_file_is_fetched_with_its_edition(bucket: Any, tmp_path: Path) -> None:
    url, content = "s3://trip-data/a.csv", b"VendorID\n" * 300_000
    assert source.look(url) is None
    assert not source.is_published(url)
    bucket.put_object(Key="a.csv", Body=content)
    for _ in range(2):
        announced = source.look(url)
        edition = source.fetch(url, tmp_path / "a.csv")
        assert (tmp_path / "a.csv").read_bytes() == content
        assert announced is not None
        assert (announced.etag, announced.bytes) == (edition.etag, edition.bytes)
        assert announced.last_modified == edition.last_modified
        assert edition.url == url
    bucket.put_object(Key="a.csv", Body=content + b"1")
    assert source.look(url) != announced


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://trip-data/a.csv", "not published there"),
        ("s3://no-such-bucket/a.csv", "not published there"),
        ("s3:///a.csv", "the host is missing"),
        ("nope://trip-data/a.csv", "the scheme is nope"),
    ],
)
def test_what_is_not_there_is_told(bucket: Any, tmp_path: Path, url: str, told: str) -> None:
    for _ in range(2):
        with pytest.raises(TaxiError, match=told):
            source.fetch(url, tmp_path / "a.csv")
        assert list(tmp_path.iterdir()) == []


def test_a_store_that_does_not_answer_is_told(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(TaxiError) as failed:
        source.fetch("s3://trip-data/a.csv", tmp_path / "a.csv")
    assert str(failed.value).startswith("s3://trip-data/a.csv: ")
    assert "\n" not in str(failed.value)


def test_without_its_packages_a_store_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(TaxiError, match=r"pip install 'luigi-tasks\[stores\]'"):
        source.check_url("s3://trip-data/a.csv")


@on_one_server
def test_months_come_from_a_bucket(
    luigi_command: Luigi, database: Database, endpoint: str, publish: Callable[[str], None]
) -> None:
    for month in ("2024-01", "2024-02"):
        publish(month)
    luigi_command.environment |= {**KEYS, "AWS_ENDPOINT_URL": endpoint}
    for _ in range(2):
        run = luigi_command.merge_range("green", "2024-01", "2024-04", f"--source-url={URL}")
        assert run.code == 20, run.output
        assert database.ledger("filename", "rows_staged") == [
            ("green_tripdata_2024-01.parquet", 100),
            ("green_tripdata_2024-02.parquet", 100),
        ]
    words = luigi_command.range_flags("green", "2024-01", "2024-03")
    publish("2024-02")
    run = luigi_command("RangeMonthly", "--of=TaxiRefresh", *words[1:], f"--source-url={URL}")
    assert run.code == 0, run.output


@pytest.fixture
def publish(published: Published, bucket: Any) -> Callable[[str], None]:
    """Puts a month into the bucket."""

    def put(month: str) -> None:
        file = published.write("green", month)
        bucket.upload_file(str(file), file.name)

    return put
