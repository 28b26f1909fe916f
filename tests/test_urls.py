"""URLs, which are parsed once and never show their secrets."""

import pickle

import pytest

from luigi_tasks.config.templates import FromEnvironment
from luigi_tasks.urls import Url

FULL = "https://me:s%3Acret@host:8080/a%20b/c.parquet?signature=secret&x"


def test_a_url_has_its_parts() -> None:
    url = Url.parse(FULL)
    assert (url.scheme, url.host, url.path) == ("https", "host:8080", "/a%20b/c.parquet")
    assert url.origin == "https://host:8080"
    assert url.address == "https://host:8080/a%20b/c.parquet?signature=secret&x"
    assert url.credentials == ("me", "s:cret")
    assert url.text == FULL
    assert Url.parse(url) is url
    assert Url.parse(FULL) == url == pickle.loads(pickle.dumps(url))


def test_a_url_without_a_user_has_no_credentials() -> None:
    url = Url.parse("http://host/a?b@c")
    assert url.credentials is None
    assert url.address == url.text == "http://host/a?b@c"


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format, lambda url: f"{[url]}"])
def test_what_is_shown_of_a_url_has_no_secrets(show: object) -> None:
    assert callable(show)
    shown = show(Url.parse(FULL))
    assert "https://host:8080/a%20b/c.parquet?signature=...&x" in shown
    assert "cret" not in shown
    assert "me" not in shown


def test_a_value_of_the_environment_is_shown_by_the_name_of_its_variable() -> None:
    url = Url.parse(FromEnvironment("https://u:sesame@host/sesame", "https://u:${PW}@host/${PW}"))
    assert url.redacted == str(url) == "https://host/${PW}"
    assert url.address == "https://host/sesame"
    assert url.credentials == ("u", "sesame")


def test_the_container_of_an_azure_url_is_no_user() -> None:
    url = Url.parse("abfs://trip-data@account.dfs.core.windows.net/a.csv")
    assert str(url) == url.address == url.text
    assert url.host == "trip-data@account.dfs.core.windows.net"
