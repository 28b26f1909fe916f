"""Settings that were given by flags: a line that is shown gives them again, without a secret."""

import shlex
from datetime import date

import pytest
from luigi.cmdline_parser import CmdlineParser

from luigi_tasks import config
from luigi_tasks.months import Month
from luigi_tasks.operations import messages
from luigi_tasks.urls import without_password


def given(*flags: str) -> list[str]:
    with CmdlineParser.global_instance(["--module", "luigi_tasks", "TaxiDue", *flags]):
        return config.given_flags()


def test_what_decides_where_months_are_loaded_to_is_given_again() -> None:
    flags = ["--storage-root", "my data", "--warehouse-url", "postgresql://me@host/taxi"]
    flags += ["--lake-url", "s3://lake/taxi"]
    flags[4:4] = ["--trips-table", "{{ taxi_type }}", "--transform-max-reject-ratio", "0.5"]
    assert given(*flags) == flags
    assert given("--workers", "2", "--log-level", "WARNING", "--report-file", "x.html") == []


def test_a_line_to_run_has_them_as_a_shell_takes_them() -> None:
    flags = ["--storage-root", "my data", "--source-url", "file:///x/{{ month }}.parquet"]
    with CmdlineParser.global_instance(["TaxiDue", *flags]):
        words = shlex.split(messages.luigi("TaxiMerge --month 2024-01"))
        command = messages.command("TaxiMerge", Month("green", date(2024, 1, 1)))
    assert words[1:] == ["--module", "luigi_tasks", "TaxiMerge", "--month", "2024-01", *flags]
    assert shlex.split(command)[-len(flags) :] == flags


def test_no_secret_is_given_again() -> None:
    words = given(
        *("--warehouse-url", "postgresql://me:hidden@host/taxi?sslmode=require&password=hidden"),
        *("--source-url", "https://me:hidden@host/{{ month }}?sig=hidden"),
        *("--runner-environment", '{"KEY": "hidden"}'),
        *("--spark-conf", '{"key": "hidden"}'),
        *("--alarms-urls", "ntfy://hidden"),
        *("--alarms-ping-url", "https://host/hidden"),
    )
    assert "hidden" not in str(words)
    assert words[:2] == ["--warehouse-url", "postgresql://me@host/taxi?sslmode=require"]
    assert words[2:] == ["--source-url", "https://host/{{ month }}?sig=..."]


def test_that_a_password_is_left_out_is_known() -> None:
    for url, hides in ("postgresql://me@host/taxi", False), ("postgresql://me:pw@host/taxi", True):
        with CmdlineParser.global_instance(["TaxiDue", "--warehouse-url", url]):
            assert config.hides_password() is hides
    assert not config.hides_password()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("embedded", "embedded"),
        ("postgresql:///taxi?host=/run/pg&port=5433", "postgresql:///taxi?host=/run/pg&port=5433"),
        ("postgresql://h:5433/taxi", "postgresql://h:5433/taxi"),
        ("postgresql://u:p@h:5433/taxi", "postgresql://u@h:5433/taxi"),
        ("postgresql://u:p/w@p@h/taxi", "postgresql://u@h/taxi"),
        ("postgresql://u@h/taxi?pass%77ord=p&sslpassword=p", "postgresql://u@h/taxi"),
    ],
)
def test_a_warehouses_url_has_no_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
