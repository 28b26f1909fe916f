"""Runs of the real command, heard by receivers on this machine: exactly what is promised."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Database, Luigi, Published
from heard import Mails, Web, mail_server, web_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]
FAILED, MENDED = "green 2024-01 failed", "green 2024-01 is loaded after all"


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def pinged() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def mails() -> Iterator[Mails]:
    with mail_server() as server:
        yield server


@pytest.fixture
def heard(luigi_command: Luigi, published: Published, web: Web, pinged: Web, mails: Mails) -> Luigi:
    """The command, with a mail server, a webhook, pings and metrics."""
    mail = f"mailto://127.0.0.1:{mails.port}?from=a@example.org&to=b@example.org&mode=insecure"
    luigi_command.settings |= {
        "--source-url": published.url,
        "--alarms-urls": f"{mail}\njson://user:secret-password@127.0.0.1:{web.port}/",
        "--alarms-ping-url": f"http://127.0.0.1:{pinged.port}/secret-uuid",
        "--metrics-textfile": "luigi_tasks.prom",
    }
    published.write("green", "2024-02", rows=20)
    return luigi_command


def break_month(published: Published, number: int) -> None:
    """Publish another edition of green 2024-01 that is no file of trips."""
    file = published.folder / "green_tripdata_2024-01.parquet"
    file.write_bytes(b"PAR1 broken " + b"x" * number)


def run_range(heard: Luigi) -> int:
    run = heard.merge_range("green", "2024-01", "2024-03")
    assert "secret" not in run.output
    return run.code


def test_a_month_that_is_broken_for_three_runs_and_mended_gives_two_messages(
    heard: Luigi, published: Published, web: Web, pinged: Web, mails: Mails
) -> None:
    codes = []
    for number in range(3):
        break_month(published, number)
        codes.append(run_range(heard))
    published.write("green", "2024-01", rows=20)
    codes += [run_range(heard), run_range(heard)]
    assert codes == [30, 30, 30, 0, 0]
    assert web.titles == mails.subjects == [FAILED, MENDED]
    ends = ["/30", "/30", "/30", "", ""]
    assert pinged.paths == [f"/secret-uuid{each}" for end in ends for each in ("/start", end)]
    rids = [query["rid"][0] for _, query, _ in pinged.posts]
    assert rids[::2] == rids[1::2]
    assert len(set(rids)) == 5
    text = web.posts[0][2] + str(mails.mails[0])
    assert "TaxiMerge --month 2024-01 --taxi-type green" in text
    assert "secret" not in text
    assert pinged.posts[7][2].startswith("green: 1 month loaded, 20 rows")
    metrics = (heard.folder / "luigi_tasks.prom").read_text()
    assert re.search(r'^luigi_tasks_months\{taxi_type="green"\} 2\.0$', metrics, re.MULTILINE)
    assert "\nluigi_tasks_last_run_exit_code 0.0\n" in metrics


def test_by_another_task_it_is_the_same(
    heard: Luigi, published: Published, web: Web, mails: Mails
) -> None:
    break_month(published, 0)
    month = ["--month=2024-01", "--taxi-type=green"]
    assert heard("TaxiMerge", *month).code == 30
    due = ["--schedule-taxi-types=green", "--schedule-first-month=2024-01"]
    heard("TaxiDue", *due)
    published.write("green", "2024-01", rows=20)
    heard("TaxiDue", *due)
    assert [title for title in web.titles if "2024-01" in title] == [FAILED, MENDED]
    assert web.titles == mails.subjects
    late = [title for title in web.titles if title.endswith("is late")]
    assert len(set(late)) == len(late) > 0  # those from 2024-03 on
    assert len(late) + 2 == len(web.titles)


def test_a_source_that_is_down_is_one_message_and_so_is_its_return(
    heard: Luigi, published: Published, web: Web, pinged: Web
) -> None:
    published.write("green", "2024-01", rows=20)
    good = heard.settings["--source-url"]
    heard.settings["--source-url"] = "http://127.0.0.1:9/{{ taxi_type }}_{{ month }}.parquet"
    heard.settings["--source-retries"] = "0"
    codes = [run_range(heard), run_range(heard)]
    assert len(web.titles) == 1
    assert re.fullmatch(r"runs on \S+ fail", web.titles[0])
    assert "cannot reach http://127.0.0.1:9" in web.posts[0][2]
    heard.settings["--source-url"] = good
    codes.append(run_range(heard))
    assert codes[-1] == 0
    assert 0 not in codes[:2]
    assert re.fullmatch(r"runs on \S+ work again", web.titles[1])
    assert len(web.titles) == 2
    assert pinged.paths[1] == f"/secret-uuid/{codes[0]}"


def test_a_warehouse_that_is_down_is_one_message(heard: Luigi, web: Web, tmp_path: Path) -> None:
    heard.settings["--warehouse-url"] = f"postgresql://user@/nothing?host={tmp_path}"
    heard.settings["--warehouse-retries"] = "0"
    assert [run_range(heard) != 0 for _ in range(2)] == [True, True]
    assert len(web.titles) == 1
    assert "can't be reached" in web.posts[0][2]
    assert "\nluigi_tasks_last_run_failed 1.0\n" in (heard.folder / "luigi_tasks.prom").read_text()


def test_dead_receivers_change_no_result(
    heard: Luigi, published: Published, web: Web, pinged: Web, database: Database
) -> None:
    web.mode, pinged.mode = "500", "reset"
    published.write("green", "2024-01", rows=20)
    assert run_range(heard) == 0
    break_month(published, 0)
    assert heard("TaxiRefresh", "--month=2024-01", "--taxi-type=green").code == 30
    assert database.value("SELECT count(*) FROM green_trips") == 40
    assert database.value("SELECT cardinality(receivers) FROM alarms") == 1
    web.mode = pinged.mode = "ok"
    run_range(heard)
    assert web.titles == [FAILED]
