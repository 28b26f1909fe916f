"""Delivery of alarms: who gets what, in which order, and what a dead receiver costs."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from heard import Mails, Web, mail_server, web_server

from luigi_tasks.operations import delivery
from luigi_tasks.operations.delivery import Receiver
from luigi_tasks.operations.law import Change
from luigi_tasks.operations.messages import Message

MESSAGES = [
    (number, Message(change, f"green 2024-0{number} {change.value}", "why\nand the line"))
    for number, change in enumerate((Change.FAILED, Change.OVERDUE, Change.MENDED), 1)
]
TITLES = [message.title for _, message in MESSAGES]
Settings = Callable[[str, str, str], None]


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def mails() -> Iterator[Mails]:
    with mail_server() as server:
        yield server


def sent(messages: Any = MESSAGES) -> list[tuple[str, int]]:
    """Deliver messages to all receivers, and return what was taken, by label and key."""
    waiting = dict.fromkeys(delivery.receivers(), messages)
    return [(receiver.label, key) for receiver, key in delivery.deliver(waiting)]


def test_mail_and_webhook_get_each_message_once_and_in_order(
    settings: Settings, web: Web, mails: Mails
) -> None:
    mail = f"mailto://127.0.0.1:{mails.port}?from=a@example.org&to=b@example.org&mode=insecure"
    settings("alarms", "urls", f"json://127.0.0.1:{web.port}/hook\n  {mail}")
    assert len(sent()) == 6
    assert web.titles == TITLES
    assert mails.subjects == TITLES
    assert "why" in str(mails.mails[0])


def test_a_command_gets_title_and_body_on_its_standard_input(
    settings: Settings, tmp_path: Path
) -> None:
    """Its words aren't a shell's."""
    code = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    file = tmp_path / "heard $HOME; true"
    settings("alarms", "command", f'{sys.executable} -c "{code}" "{file}"')
    assert sent(MESSAGES[:1]) == [("[alarms] command", 1)]
    assert file.read_text() == f"{TITLES[0]}\n\nwhy\nand the line\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("false", "it ended with code 1"),
        ("/nonexistent/command", "it can't be run: No such file or directory"),
        ("sleep 30", "it was killed after 0.3 s"),
    ],
)
def test_a_command_that_fails_is_one_line(
    settings: Settings,
    command: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(delivery, "COMMAND_LIMIT", 0.3)
    settings("alarms", "command", command)
    assert sent() == []
    assert [reason in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("500", "it answered 500"),
        ("reset", "it can't be reached, or refused it"),
        ("hang", "no answer in time"),
    ],
)
def test_a_dead_receiver_keeps_nothing_from_the_others(
    *,
    settings: Settings,
    web: Web,
    mode: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It costs its patience once, however many messages wait, and gets none out of turn."""
    if mode == "hang":
        monkeypatch.setattr(delivery, "PATIENCE", 2.0)
    secret = "token-that-nobody-may-see"
    with web_server() as dead, caplog.at_level(logging.DEBUG):
        dead.mode = mode
        urls = [f"json://user:{secret}@127.0.0.1:{dead.port}/{secret}?+Key={secret}"]
        settings("alarms", "urls", "\n".join([*urls, f"json://127.0.0.1:{web.port}/"]))
        began = time.monotonic()
        assert sent() == [("[alarms] urls, number 2", number) for number in (1, 2, 3)]
        assert time.monotonic() - began < 30
        assert dead.posts == []
    assert web.titles == TITLES
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warnings == [
        f"[alarms] urls, number 1 didn't take an alarm: {reason}; the next run tries again"
    ]
    assert secret not in caplog.text


def test_a_message_that_is_not_taken_keeps_the_later_ones_back(
    settings: Settings,
) -> None:
    code = (
        "import sys; t = sys.stdin.read(); sys.exit(3 if 'overdue' in t.split(chr(10))[0] else 0)"
    )
    settings("alarms", "command", f'{sys.executable} -c "{code}"')
    assert sent() == [("[alarms] command", 1)]


@pytest.mark.parametrize("url", ["nosuchservice://secret-token", "json://"])
def test_a_url_that_apprise_cannot_read_is_one_line_without_it(
    settings: Settings, url: str, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    settings("alarms", "urls", url)
    assert sent() == []
    [record] = caplog.records
    assert "number 1 didn't take an alarm: Apprise can't read the URL" in record.getMessage()
    assert "secret-token" not in caplog.text + "".join(capfd.readouterr())


def test_a_missing_extra_is_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    settings("alarms", "urls", "json://127.0.0.1:1/")
    assert sent() == []
    [record] = caplog.records
    assert "pip install 'luigi-tasks[alarms]'" in record.getMessage()


def test_receivers_are_told_apart_by_digests_that_say_nothing(settings: Settings) -> None:
    settings("alarms", "urls", "json://one.example/\njson://two.example/\njson://one.example/")
    settings("alarms", "command", "cat")
    found = delivery.receivers()
    assert len({receiver.digest for receiver in found}) == 3
    assert [receiver.digest for receiver in found] == [r.digest for r in delivery.receivers()]
    assert all(len(receiver.digest) == 16 and isinstance(receiver, Receiver) for receiver in found)
