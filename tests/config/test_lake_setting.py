"""[lake] url: a folder or a store; what can't be one is refused before anything runs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Luigi, Published

from luigi_tasks import config
from luigi_tasks.errors import TaxiError
from luigi_tasks.tasks import TaxiLake

Set = Callable[[str, str, str], None]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://host/lake", "[lake] url: https://host/lake: months can't be written to such a"),
        ("s3://bucket/a?b=secret", "[lake] url: s3://bucket/a?b=...: months can't be written"),
        ("s3://bucket/a#b", "[lake] url: s3://bucket/a#b: months can't be written to such a URL"),
        ("s3://key:secret@bucket/a", "[lake] url: s3://bucket/a: a store's password doesn't"),
        ("s4://bucket/a", "[lake] url: s4://bucket/a: the scheme is s4"),
        ("file://host/lake", "[lake] url: file://host/lake: not a path on this machine"),
        ("s3://${LAKE}", "[lake] url: s3://${LAKE}: with the variables' values it isn't a URL"),
        ("gs://bucket/a", "[lake] url: gs://bucket/a: its package is missing: "),
        ("~nobody-of-this-name/lake", "[lake] url: '~nobody-of-this-name/lake' begins with a user"),
        ("taken", "[lake] url: 'taken' is a file; name a folder"),
        ("${FOLDER}", "[lake] url: '${FOLDER}' is the folder of [storage] root, whose files are"),
        ("{{ x }}", "[lake] url: 'x' is not known here"),
    ],
)
def test_a_lake_that_cannot_be_is_refused_in_one_line(
    url: str, message: str, settings: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKE", "secret:secret@bucket:port")
    monkeypatch.setenv("FOLDER", "secret/")
    (tmp_path / "taken").touch()
    settings("storage", "root", "secret")
    settings("lake", "url", url)
    with pytest.raises(TaxiError) as refused:
        config.check()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value).replace("[storage] root", "")


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("", "None"),
        ("lake", "{}/lake"),
        ("file:///srv/a%%20lake", "/srv/a lake"),
        ("~/lake", "{}/home/lake"),
        ("s3://bucket/prefix/", "s3://bucket/prefix/"),
        ("s3://${BUCKET}/a", "s3://${BUCKET}/a"),
    ],
)
def test_a_lake_is_a_folder_or_a_store(
    url: str, location: str, settings: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BUCKET", "mine")
    settings("lake", "url", url)
    config.check()
    assert str(config.lake_location()) == location.replace("{}", str(tmp_path))


def test_the_task_needs_a_lake(settings: Set) -> None:
    settings("lake", "url", "")
    with pytest.raises(TaxiError, match=r"^\[lake\] url: names no lake; set it to a folder"):
        TaxiLake(month="2024-01", taxi_type="green")


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_nothing_runs_with_a_lake_that_cannot_be(
    luigi_command: Luigi, published: Published
) -> None:
    published.write("green", "2024-01", rows=10)
    luigi_command.settings["--source-url"] = published.url
    run = luigi_command("TaxiMerge", "--month=2024-01", "--lake-url=https://host/lake")
    assert run.code == 40
    assert run.output.startswith("ERROR: [lake] url: https://host/lake: months can't be written")
    assert run.output.count("\n") == 1
