"""Pings for a dead man's switch: each run's start and end, and nothing that changes a run."""

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from heard import Web, web_server

from luigi_tasks.operations import pings
from luigi_tasks.operations.outcome import Outcome

Settings = Callable[[str, str, str], None]


@pytest.fixture
def web(settings: Settings) -> Iterator[Web]:
    with web_server() as server:
        settings("alarms", "ping_url", f"http://127.0.0.1:{server.port}/check-uuid?create=1")
        yield server


@pytest.mark.parametrize(
    ("state", "code", "path"),
    [
        ("succeeded", 0, "/check-uuid"),
        ("succeeded", 20, "/check-uuid"),
        ("cancelled", 25, "/check-uuid"),  # gave way to another run
        ("failed", 25, "/check-uuid/25"),
        ("failed", 30, "/check-uuid/30"),
        ("failed", 40, "/check-uuid/40"),
        ("cancelled", 143, "/check-uuid/143"),
        ("failed", None, "/check-uuid/fail"),
    ],
)
def test_a_run_pings_at_its_start_and_its_end(
    web: Web, state: str, code: int | None, path: str
) -> None:
    outcome = Outcome("TaxiDue", ping_id=str(uuid.uuid4()))
    pings.start(outcome)
    outcome.state, outcome.exit_code = state, code
    outcome.summary = "green: 2 months loaded"
    pings.end(outcome)
    assert web.paths == ["/check-uuid/start", path]
    queries = [query for _, query, _ in web.posts]
    assert queries[0] == queries[1] == {"create": ["1"], "rid": [outcome.ping_id]}
    assert web.posts[1][2] == "green: 2 months loaded"


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("500", "it answered 500"),
        ("404", "it answered 404"),
        ("reset", "it can't be reached"),
        ("hang", "no answer in time"),
    ],
)
def test_a_dead_receiver_costs_seconds_and_one_line(
    web: Web,
    mode: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(pings, "LONGEST", 1.0)
    monkeypatch.setattr(pings, "PAUSE", 0.05)
    web.mode = mode
    began = time.monotonic()
    with caplog.at_level("DEBUG"):
        pings.end(Outcome("TaxiDue", state="succeeded", exit_code=0))
    assert time.monotonic() - began < 3
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == [f"[alarms] ping_url didn't take the ping success: {reason}"]
    assert "check-uuid" not in caplog.text


def test_a_ping_that_fails_for_a_moment_is_sent_again(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pings, "PAUSE", 0.1)
    web.mode = "500"
    monkeypatch.setattr(time, "sleep", lambda _: setattr(web, "mode", "ok"))
    pings.start(Outcome("TaxiDue"))
    assert web.paths == ["/check-uuid/start"]


def test_the_body_has_no_secret(web: Web) -> None:
    error = "cannot reach https://user:password@example.org/?token=hidden (gone)"
    pings.end(Outcome("TaxiDue", state="failed", exit_code=35, error=error))
    [(_, _, body)] = web.posts
    assert body == "cannot reach https://example.org/?token=... (gone)"


def test_without_a_url_nothing_is_sent(settings: Settings) -> None:
    settings("alarms", "ping_url", "")
    pings.start(Outcome("TaxiDue"))
