"""Settings of alarms and metrics that can't work are refused, and no message has one in it."""

from collections.abc import Callable

import pytest

from luigi_tasks import config
from luigi_tasks.errors import TaxiError

Settings = Callable[[str, str, str], None]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("urls", "json://host/ok\nsecret-token", "[alarms] urls: number 2 must be a URL"),
        ("urls", "json://", "[alarms] urls: number 1 must be a URL"),
        ("command", "notify 'secret", "[alarms] command: can't be read as words"),
        ("command", "'' x", "[alarms] command: has no words"),
        ("ping_url", "hc-ping.com/secret", "[alarms] ping_url: must be a URL of http or https"),
        ("ping_url", "https:///secret", "[alarms] ping_url: must be a URL of http or https"),
        ("ping_url", "https://host:secret/", "[alarms] ping_url: must be a URL of http or https"),
        ("ping_url", "ftp://host/secret", "[alarms] ping_url: must be a URL of http or https"),
        ("overdue_days", "-1", "[alarms] overdue_days: -1 must be 0 or more"),
    ],
)
def test_what_cannot_work_is_refused(settings: Settings, key: str, value: str, says: str) -> None:
    settings("alarms", key, value)
    with pytest.raises(TaxiError) as refused:
        config.check()
    assert str(refused.value).startswith(says)
    assert "secret" not in str(refused.value)


def test_a_textfile_that_nobody_would_read_is_refused(settings: Settings) -> None:
    settings("metrics", "textfile", "metrics.txt")
    with pytest.raises(TaxiError, match=r"\[metrics\] textfile: 'metrics.txt' must end with .prom"):
        config.check()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("alarms", "urls", "mailto://a:b@example.org\n  slack://T/B/X/#trips\n  tgram://1:x/2"),
        ("alarms", "command", "/usr/bin/logger -t 'taxi trips'"),
        ("alarms", "ping_url", "https://hc-ping.com/0a1b?create=1"),
        ("alarms", "ping_url", "${PING_URL}"),
        ("metrics", "textfile", "/var/lib/prometheus/node-exporter/luigi_tasks.prom"),
    ],
)
def test_what_can_work_is_accepted(
    settings: Settings, section: str, key: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PING_URL", "http://127.0.0.1:8000/ping/0a1b")
    settings(section, key, value)
    config.check()
