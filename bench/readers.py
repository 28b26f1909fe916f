"""Part ``readers``: how long somebody who asks for a trip waits while a month is loaded."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection

from bench import ours
from bench.bench import Bench, scratch
from bench.inputs import Month, made_up
from bench.report import Measurement, Section, Table, Target, grouped
from bench.running import run
from bench.server import Database

#: Seconds between two questions, and for which they are asked of a server at rest.
INTERVAL, AT_REST = 0.01, 5.0
#: Seconds for which the slow reader keeps a look at the whole table, and between two of these.
SLOW, PAUSE = 2.0, 0.2
MOST_SECONDS = 0.1
#: A trip by its key alone: every partition is asked, the default one too.
LOOKUP = "SELECT fare_amount FROM yellow_trips WHERE unique_row_id = %s"


def measure(bench: Bench) -> list[Section]:
    """Ask for a trip over and over: at rest, during loads, and during one with a slow reader."""
    [before] = made_up(bench.data, bench.sizes.growth_rows, start="2020-01")
    [month] = made_up(bench.data, bench.sizes.rows)
    bench.note(before)
    bench.note(month)
    for repeat in range(bench.sizes.repeat):
        with bench.server.database() as database, scratch() as folder:
            pipeline = ours.Pipeline(month.parquet.parent, folder / "storage", database.url)
            earlier = ours.Pipeline(before.parquet.parent, folder / "storage", database.url)
            run(earlier.merge(before), folder=folder)

            def load(pipeline: ours.Pipeline = pipeline, folder: Path = folder) -> None:
                run(pipeline.merge(month), folder=folder)

            _measure(bench, database, "at rest", repeat, lambda: time.sleep(AT_REST))
            _measure(bench, database, "first load", repeat, load)
            ours.forget(database, month)
            _measure(bench, database, "the same again", repeat, load)
            _take_out(database, month)
            _measure(bench, database, "first load, a slow reader", repeat, load, is_slow=True)
    return [_section(bench, month)]


def _measure(
    bench: Bench,
    database: Database,
    what: str,
    repeat: int,
    work: Callable[[], None],
    *,
    is_slow: bool = False,
) -> None:
    with bench.measurement("readers", what, repeat) as measurement, ExitStack() as stack:
        waited = stack.enter_context(_asking(database))
        if is_slow:
            stack.enter_context(_looking_slowly(database))
        began = time.monotonic()
        work()
        measurement.seconds = time.monotonic() - began
        stack.close()
        waited.sort()
        measurement.details = {
            "questions": len(waited),
            "median": waited[len(waited) // 2],
            "99 of 100": waited[len(waited) * 99 // 100],
            "longest": waited[-1],
        }


@contextmanager
def _asking(database: Database) -> Iterator[list[float]]:
    """Ask for a trip until the end of the block; how long each answer took."""
    waited: list[float] = []
    [(key,)] = database.query("SELECT unique_row_id FROM yellow_trips LIMIT 1")

    def ask(session: connection) -> None:
        began = time.monotonic()
        with session.cursor() as cursor:
            cursor.execute(LOOKUP, [key])
            cursor.fetchall()
        waited.append(time.monotonic() - began)

    with _repeated(database, ask, INTERVAL):
        yield waited


@contextmanager
def _looking_slowly(database: Database) -> Iterator[None]:
    """Look at the whole table, and keep its locks for a while, as a long report would."""

    def look(session: connection) -> None:
        with session.cursor() as cursor:
            cursor.execute(
                "BEGIN; SELECT count(*) FROM (SELECT FROM yellow_trips LIMIT 1) AS one; "
                "SELECT pg_sleep(%s); COMMIT",
                [SLOW],
            )

    with _repeated(database, look, PAUSE):
        yield


@contextmanager
def _repeated(
    database: Database, work: Callable[[connection], None], interval: float
) -> Iterator[None]:
    """Do something again and again, in a thread and a session of its own."""
    ended, errors = threading.Event(), []

    def repeat() -> None:
        session = psycopg2.connect(database.url)
        session.autocommit = True
        try:
            while not ended.is_set():
                work(session)
                ended.wait(interval)
        except psycopg2.Error as error:
            errors.append(error)
        finally:
            session.close()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]


def _take_out(database: Database, month: Month) -> None:
    """Remove a month with its partition, so that it is loaded as the first time."""
    partition = f"yellow_trips_{month.name.replace('-', '_')}"
    database.query(f"DROP TABLE {partition}")
    ours.forget(database, month)


def _section(bench: Bench, month: Month) -> Section:
    section = Section("readers", f"answers while {month.rows:,} rows are loaded, in milliseconds")
    found = grouped(bench.of("readers"))
    table = Table(["", "median", "99 of 100", "longest", "questions"])
    for what, each in found.items():
        worst = _worst(each)
        times = [f"{worst[name] * 1000:.1f}" for name in ("median", "99 of 100", "longest")]
        table.rows.append([what, *times, f"{sum(m.details['questions'] for m in each):,.0f}"])
    section.tables.append(table)
    section.targets = [
        Target(f"the longest, {what}", _worst(each)["longest"], " s", at_most=MOST_SECONDS)
        for what, each in found.items()
        if what != "at rest"
    ]
    return section


def _worst(measurements: list[Measurement]) -> dict[str, float]:
    """The highest of all repeats: a wait isn't made good by a run without."""
    names = ("median", "99 of 100", "longest")
    return {name: max(each.details[name] for each in measurements) for name in names}
