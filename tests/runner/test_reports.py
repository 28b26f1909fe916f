"""What a command reports arrives, what is broken harms nothing, and all of it can be stored."""

import json
import logging
import random
import sys
import threading
from typing import Any

import pytest
from conftest import Database

from luigi_tasks.runner.reports import LONGEST_LINE, SHOWN_LINES, Lines, Reports

LABEL = "green 2024-01"


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "luigi-interface.runner")


def reported(*lines: str) -> Reports:
    """What comes of these lines."""
    reports = Reports(LABEL)
    for line in lines:
        reports.add_line(line)
    return reports


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Level and text of each record, which all begin with the label."""
    messages = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert all(message.startswith(f"{LABEL}: ") for _, message in messages)
    return [(level, message.removeprefix(f"{LABEL}: ")) for level, message in messages]


def line(**report: Any) -> str:
    return f"::{json.dumps(report)}::"


def metric(name: str, kind: str, value: Any, **tags: Any) -> str:
    return line(metrics=[{"name": name, "type": kind, "value": value, "tags": tags}])


def strings(value: Any) -> list[str]:
    """Every string in a JSON value, names included."""
    if isinstance(value, dict):
        return [*value, *strings(list(value.values()))]
    if isinstance(value, list):
        return [each for part in value for each in strings(part)]
    return [value] if isinstance(value, str) else []


def assert_storable(reports: Reports) -> None:
    """That PostgreSQL's jsonb takes the outputs and metrics."""
    stored = [reports.outputs, reports.metrics]
    json.dumps(stored, allow_nan=False)
    for each in strings(stored):
        assert "\0" not in each
        each.encode()


# reports


def test_outputs_have_the_last_value_of_each_name() -> None:
    reports = reported(
        line(outputs={"rows": 3, "names": ["a", "é"]}),
        line(outputs={"more": None, "rows": {"deep": [1.5, True]}}),
        line(outputs={}),
        "::{}::",
    )
    assert reports.outputs == {"rows": {"deep": [1.5, True]}, "names": ["a", "é"], "more": None}
    assert list(reports.last_lines) == []


def test_counters_and_timers_add_up_and_a_gauge_keeps_its_last_value() -> None:
    lines = [metric("n", kind, value) for kind in ("counter", "timer", "gauge") for value in (5, 2)]
    for _ in range(2):
        assert reported(*lines).metrics == [
            {"name": "n", "type": "counter", "value": 7, "tags": {}},
            {"name": "n", "type": "timer", "value": 7, "tags": {}},
            {"name": "n", "type": "gauge", "value": 2, "tags": {}},
        ]


def test_metrics_are_kept_apart_by_name_type_and_tags() -> None:
    reports = reported(
        metric("a", "counter", 1, x=1, y="é"),
        metric("b", "counter", 2, x=1, y="é"),
        metric("a", "timer", 3, x=1, y="é"),
        metric("a", "counter", 4, x=2, y="é"),
        metric("a", "counter", 5),
        metric("a", "counter", 10, y="é", x=1),
    )
    assert [each["value"] for each in reports.metrics] == [11, 2, 3, 4, 5]
    assert reports.metrics[0]["tags"] == {"x": 1, "y": "é"}


def test_a_metric_needs_no_tags() -> None:
    bare = {"name": "n", "type": "counter", "value": 1}
    reports = reported(line(metrics=[bare, {**bare, "tags": None}, {**bare, "tags": {}}]))
    assert reports.metrics == [{**bare, "value": 3, "tags": {}}]


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("TRACE", logging.DEBUG),
        ("DEBUG", logging.DEBUG),
        ("INFO", logging.INFO),
        ("WARN", logging.WARNING),
        ("WARNING", logging.WARNING),
        ("warn", logging.WARNING),
        ("ERROR", logging.ERROR),
        ("CRITICAL", logging.CRITICAL),
    ],
)
def test_a_log_report_keeps_its_level(
    caplog: pytest.LogCaptureFixture, said: str, level: int
) -> None:
    reports = reported(line(logs=[{"level": said, "message": "100 %s\nof é"}]))
    assert logged(caplog) == [(level, "100 %s"), (level, "of é")]
    assert list(reports.last_lines) == ["100 %s", "of é"]


def test_one_report_may_have_all_parts(caplog: pytest.LogCaptureFixture) -> None:
    entry = {"name": "n", "type": "gauge", "value": 1.5, "tags": {}}
    log = {"level": "ERROR", "message": "m"}
    reports = reported(line(outputs={"a": 1}, metrics=[entry, entry], logs=[log, log]))
    assert (reports.outputs, reports.metrics) == ({"a": 1}, [entry])
    assert logged(caplog) == [(logging.ERROR, "m")] * 2


def test_a_line_that_is_no_report_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    lines = ["a", "", "  ", "100 %s of it", "  ::{}::", "x ::{}::", "::{}:: x", "::[]::", "::::"]
    reports = reported(*lines)
    expected = [each for each in lines if each.strip()]
    assert logged(caplog) == [(logging.INFO, each) for each in expected]
    telling = [each for each in expected if any(map(str.isalnum, each))]
    assert list(reports.last_lines) == telling[-SHOWN_LINES:]


def test_a_report_after_a_progress_bar_is_found(caplog: pytest.LogCaptureFixture) -> None:
    reports = reported("10 %\r50 %\r" + line(outputs={"a": 1}))
    assert reports.outputs == {"a": 1}
    assert logged(caplog) == [(logging.INFO, "10 %"), (logging.INFO, "50 %")]


def test_what_would_change_a_terminal_is_escaped(caplog: pytest.LogCaptureFixture) -> None:
    bell = "\x1b[31mred\a \0 \x7f \x9b \t."
    reported(bell, line(logs=[{"level": "INFO", "message": "up\x1b[A"}]), "::{\x1b}::")
    escaped = r"\x1b[31mred\x07 \x00 \x7f \x9b" + " \t."
    assert logged(caplog)[0] == (logging.INFO, escaped)
    assert logged(caplog)[1] == (logging.INFO, r"up\x1b[A")
    assert logged(caplog)[2][1].endswith(r"::{\x1b}::")


def test_every_control_character_but_the_tab_is_escaped(caplog: pytest.LogCaptureFixture) -> None:
    codes = [c for c in (*range(32), *range(127, 160)) if c != 13]
    reported(*(f"a{chr(code)}b" for code in codes))
    shown = ["\t" if code == 9 else f"\\x{code:02x}" for code in codes]
    assert [text for _, text in logged(caplog)] == [f"a{each}b" for each in shown]


def test_streams_that_report_at_once_lose_nothing() -> None:
    reports = Reports(LABEL)
    count = metric("n", "counter", 1)

    def stream() -> None:
        for _ in range(2_000):
            reports.add_line(count)

    threads = [threading.Thread(target=stream) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert reports.metrics[0]["value"] == 8_000


# what is broken


BROKEN = {
    "no JSON": "{broken}",
    "half": '{"outputs": {"a": 1}',
    "two": "{} {}",
    "control character": '{"outputs": {"a": "\t"}}',
    "unknown part": '{"assets": {"id": "a"}}',
    "outputs a number": '{"outputs": 5}',
    "outputs null": '{"outputs": null}',
    "outputs a list": '{"outputs": ["a"]}',
    "metrics an object": '{"metrics": {"name": "n", "type": "counter", "value": 1}}',
    "metrics null": '{"metrics": null}',
    "metric a number": '{"metrics": [1]}',
    "metric without a name": '{"metrics": [{"type": "counter", "value": 1}]}',
    "metric's name a list": '{"metrics": [{"name": ["n"], "type": "counter", "value": 1}]}',
    "metric without a type": '{"metrics": [{"name": "n", "value": 1}]}',
    "metric of another type": '{"metrics": [{"name": "n", "type": "other", "value": 1}]}',
    "metric's type a list": '{"metrics": [{"name": "n", "type": ["gauge"], "value": 1}]}',
    "metric without a value": '{"metrics": [{"name": "n", "type": "gauge"}]}',
    "metric's value a text": '{"metrics": [{"name": "n", "type": "gauge", "value": "1"}]}',
    "metric's value a boolean": '{"metrics": [{"name": "n", "type": "gauge", "value": true}]}',
    "metric's value NaN": '{"metrics": [{"name": "n", "type": "gauge", "value": NaN}]}',
    "metric's value infinite": '{"metrics": [{"name": "n", "type": "gauge", "value": 1e400}]}',
    "metric's value huge": '{"metrics": [{"name": "n", "type": "gauge", "value": %s}]}'
    % ("9" * 400),
    "logs an object": '{"logs": {"level": "INFO", "message": "m"}}',
    "log a text": '{"logs": ["m"]}',
    "log without a level": '{"logs": [{"message": "m"}]}',
    "log of another level": '{"logs": [{"level": "LOUD", "message": "m"}]}',
    "log's level a list": '{"logs": [{"level": [[]], "message": "m"}]}',
    "log without a message": '{"logs": [{"level": "INFO"}]}',
    "log's message a number": '{"logs": [{"level": "INFO", "message": 5}]}',
    "integer of too many digits": f'{{"outputs": {{"a": {"9" * 50_000}}}}}',
    "deep object": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "deep outputs": '{"outputs": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}",
    "endless object": '{"a":' * 100_000 + "}",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_report_is_a_warning_and_harms_nothing(
    caplog: pytest.LogCaptureFixture, text: str
) -> None:
    for _ in range(2):
        caplog.clear()
        reports = reported(f"::{text}::", line(outputs={"a": 1}), metric("b", "counter", 2))
        ((level, said),) = logged(caplog)
        assert level == logging.WARNING
        assert said.startswith("unreadable report: ::{")
        assert reports.outputs == {"a": 1}
        assert [each["value"] for each in reports.metrics] == [2]


def test_the_good_parts_of_a_report_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    good = {"name": "n", "type": "gauge", "value": 1, "tags": {}}
    reports = reported(
        line(outputs={"a": 1}, other=2),
        line(metrics=[{"name": "n"}, good, "n"], logs=[{"level": "INFO", "message": "m"}]),
    )
    assert (reports.outputs, reports.metrics) == ({"a": 1}, [good])
    levels = [level for level, _ in logged(caplog)]
    assert levels == [logging.WARNING, logging.INFO, logging.WARNING]


@pytest.mark.parametrize("kind", ["counter", "timer"])
@pytest.mark.parametrize(
    ("first", "second"),
    [("1.7e308", "1.7e308"), ("1" + "0" * 308, "9" * 308), ("1.5", "9" * 400), ("9" * 400, "1.5")],
)
def test_a_sum_that_is_too_large_is_a_warning(
    caplog: pytest.LogCaptureFixture, kind: str, first: str, second: str
) -> None:
    report = '::{"metrics": [{"name": "n", "type": "%s", "value": %s}]}::'
    reports = reported(report % (kind, first), report % (kind, second))
    assert len(reports.metrics) == 1
    assert logging.WARNING in [level for level, _ in logged(caplog)]
    assert_storable(reports)


# what comes out can be stored


ODD = {
    "infinite": '{"a": [NaN, Infinity, -Infinity, 1e400, -1e400]}',
    "small and large": '{"a": [1e308, 5e-324, 1e-400, -0.0, 12345678901234567890]}',
    "many digits": f'{{"a": {"9" * 4000}, "b": -{"9" * 4000}}}',
    "NUL": r'{"a\u0000": "\u0000", "b": ["x\u0000y", {"\u0000": "\u0000"}]}',
    "backslash": r'{"a": "\\u0000", "\\u0000": "\\"}',
    "lone surrogates": r'{"a": "\ud800", "\udfff": ["\udc00\ud800"], "b": "\ud83d\ude00"}',
    "no characters": r'{"a": "\uffff\ufffe\u2028\u2029\u001b", "": "\u007f"}',
    "twice": '{"a": 1, "a": 2}',
    "long": json.dumps({"a" * 100_000: "b" * 100_000}),
}


def odd(value: str) -> list[str]:
    """Reports that have a JSON object wherever one may be."""
    return [
        f'::{{"outputs": {value}}}::',
        f'::{{"outputs": {{"in it": {value}}}}}::',
        f'::{{"metrics": [{{"name": "n", "type": "gauge", "value": 1, "tags": {value}}}]}}::',
    ]


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_odd_values_are_kept_so_that_they_can_be_stored(value: str) -> None:
    reports = reported(*odd(value), metric("a\0\ud800", "counter", 1))
    assert len(reports.outputs) >= 2
    assert len(reports.metrics) == 2
    assert_storable(reports)


def test_a_number_that_json_lacks_becomes_its_text() -> None:
    reports = reported('::{"outputs": {"a": [NaN, Infinity, -Infinity, 1e400]}}::')
    assert reports.outputs == {"a": ["nan", "inf", "-inf", "inf"]}


@pytest.mark.parametrize("opening", ["[", '{"a": '])
@pytest.mark.parametrize("depth", [50, 300, 500, 700, 900, 950, 980, 1_000, 5_000])
def test_a_deep_value_can_be_stored_or_is_a_warning(
    caplog: pytest.LogCaptureFixture, opening: str, depth: int
) -> None:
    inner = "[]" if opening == "[" else "{}"
    closing = "]" if opening == "[" else "}"
    value = '{"a": ' + opening * depth + inner + closing * depth + "}"
    reports = reported(*odd(value), *(f'::{{"logs": [{{"level": {value}}}]}}::' for _ in "ab"))
    assert {level for level, _ in logged(caplog)} <= {logging.WARNING}
    assert reports.outputs or caplog.records
    assert_storable_from_deep_down(reports)


def assert_storable_from_deep_down(reports: Reports, calls: int = 100) -> None:
    """That it can be stored by whoever has many calls on the stack, as Luigi has."""
    if calls:
        assert_storable_from_deep_down(reports, calls - 1)
    else:
        json.dumps([reports.outputs, reports.metrics], allow_nan=False)


@pytest.mark.parametrize("seed", range(20))
def test_no_line_whatsoever_breaks_it(seed: int) -> None:
    chance = random.Random(seed)
    whole = [*BROKEN.values(), *ODD.values(), *(text[2:-2] for text in odd('{"a": "\\u0000"}'))]
    short = [text.encode() for text in whole if len(text) < 1_000]
    reports = Reports(LABEL)
    lines = Lines(reports.add_line)
    for _ in range(200):
        text = bytearray(chance.choice(short))
        for _ in range(chance.randrange(4)):
            cut = chance.randrange(len(text) + 1)
            text[cut : cut + chance.randrange(5)] = chance.choice(
                [b"", chance.randbytes(3), b"null", b"[]", b"{}", b"1e999", b'"\\u0000\\ud800"']
            )
        lines.feed(b"::%s::%s" % (text, chance.choice([b"\n", b"\r\n", b"\0\n", b""])))
    lines.end()
    assert_storable(reports)
    reports.add_line(line(outputs={"the last": seed}))
    assert reports.outputs["the last"] == seed


def test_postgresql_stores_whatever_is_reported(database: Database) -> None:
    for value in ODD.values():
        reports = reported(*odd(value), metric("a\0\ud800", "counter", 1.5e300))
        sent = json.dumps([reports.outputs, reports.metrics])
        for _ in range(2):
            kept = database.value("SELECT %s::jsonb::text", sent)
            # 1e300 comes back with all of its digits
            assert json.loads(kept, parse_int=float) == json.loads(sent, parse_int=float)


# lines


SAMPLE = (
    b"first\r\n\n::{}:: of\x00 \xff\xfe\n"
    + '::{"outputs": {"é": "😀"}}::\r\n'.encode()
    + b"x" * 70_000
    + b"\nlast"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096, 1 << 16, 1 << 20])
def test_lines_are_the_same_in_whatever_pieces_they_come(size: int) -> None:
    taken: list[str] = []
    lines = Lines(taken.append)
    for start in range(0, len(SAMPLE), size):
        lines.feed(SAMPLE[start : start + size])
    lines.end()
    assert [each.rstrip() for each in taken] == [
        "first",
        "",
        "::{}:: of\0 \ufffd\ufffd",
        '::{"outputs": {"é": "😀"}}::',
        "x" * 70_000,
        "last",
    ]


def test_a_line_without_an_end_is_taken_in_parts_and_wholly() -> None:
    taken: list[str] = []
    lines = Lines(taken.append)
    for _ in range(5 * LONGEST_LINE // 1000):
        lines.feed(b"x" * 1000)
    assert len(taken) > 3
    lines.feed(b"\nnext\n")
    lines.end()
    assert taken[-2:] == ["next", ""]
    assert "".join(taken[:-2]) == "x" * (5 * LONGEST_LINE // 1000 * 1000)
    assert max(map(len, taken)) < 2 * LONGEST_LINE
