"""The promises of docs/guarantees.md against the tests that they name."""

import re
from pathlib import Path

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
#: A promise: its heading, and what stands below it.
PROMISES = re.findall(
    r"^### (.+?)$(.+?)(?=^##)", PAGE.partition("## What is promised")[2], re.MULTILINE | re.DOTALL
)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_the_page_promises_something() -> None:
    assert len(PROMISES) > 10


@pytest.mark.parametrize(("promise", "text"), PROMISES, ids=[name for name, _ in PROMISES])
def test_each_promise_has_its_tests(promise: str, text: str) -> None:
    assert NAMED.findall(text), f"nothing tests: {promise}"


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED.findall(PAGE))))
def test_each_named_test_exists(file: str, name: str) -> None:
    source = Path(ROOT, file).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"{file} has no {name}"
