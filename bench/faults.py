"""Part ``faults``: a load that is killed, cut off or loses its server, and is then run again.

A database holds a month. The next one is loaded through a proxy, and disturbed at a moment drawn
from the time that this takes undisturbed. If it then ends with another exit code than 0, it is run
once more, as its user would. The table is compared with that of loads that nobody disturbed.
"""

import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from psycopg2.sql import SQL, Identifier

from bench import loaders, month
from bench.bench import Bench, scratch
from bench.inputs import Month, made_up
from bench.month import Loader, Loading
from bench.proxy import Far, far_away
from bench.report import Measurement, Section, Table, Target
from bench.running import CommandError, Watch, run_forked, unwatched
from bench.server import Database, Server, embedded_server, new_storage
from luigi_tasks.warehouse import embedded
from luigi_tasks.warehouse.embedded.server import start

#: Seconds after which a run that doesn't end is killed.
PATIENCE = 120
#: Undisturbed loads; moments are drawn from the time of the shortest.
UNDISTURBED = 3


class Load(NamedTuple):
    """The name by which it is chosen, what loads, and where the rows are in the end."""

    choice: str
    load: Loader
    table: str


def _forked(name: str, form: Callable[[Month], Path]) -> Loader:
    """A load by a library that this process has imported: that is most of a small load's time."""

    def load(it: Loading) -> None:
        work = partial(loaders.LOADERS[name], form(it.month))
        environment = loaders.environment(it.database.url, it.folder)
        took = run_forked(work, folder=it.folder, environment=environment, watch=it.watch)
        it.measurement.seconds = took.seconds

    return load


def _published(month: Month) -> Path:
    return month.parquet


#: What the libraries import when they are first used.
IMPORTED = (
    "dlt.destinations.impl.postgres.postgres",
    "dlt.extract.incremental",
    "luigi.contrib.postgres",
    "pandas.io.sql",
    "pandas.io.parquet",
    "pyarrow.parquet",
    "sqlalchemy.dialects.postgresql.psycopg2",
)
LOADS = {
    "TaxiMerge": Load("ours", month.LOADERS["ours"], "yellow_trips"),
    "TaxiMonth": Load("one_pass", month.LOADERS["one_pass"], "yellow_trips"),
    "the usual flow by psql": Load("usual", month.LOADERS["usual"], "trips"),
    "dlt, merge by primary key": Load("dlt", _forked("dlt", Month.keyed), "dlt.trips"),
    "pandas to_sql, append": Load("pandas", _forked("pandas", _published), "trips"),
    "pandas to_sql, ON CONFLICT DO NOTHING": Load(
        "pandas", _forked("pandas_on_conflict", Month.keyed), "trips"
    ),
    "Luigi's CopyToTable": Load("copy_to_table", _forked("copy_to_table", _published), "trips"),
}
OURS = ("ours", "one_pass")
NOTES = (
    "Run again: loads that ended with another exit code than 0. A part visible: readers saw some "
    "of the month's rows before that. Too late: the load had ended when it was to be disturbed.",
    "Lost, double: rows are missing, or there more than once; torn: both; fails again: the second "
    "run ended with another exit code than 0.",
)
_COLUMNS = """
SELECT attname
FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attname NOT LIKE '\\_dlt%%'
ORDER BY attnum
"""
_ROWS = SQL("SELECT md5(row({columns})::text), count(*) FROM {table} GROUP BY 1")


@dataclass
class Outcome:
    """How a disturbed load ended.

    :param run_again: whether it failed, so that it was run once more.
    :param is_part_visible: whether a part of the month was in the table before that.
    :param is_too_late: whether it had ended when it was to be disturbed.
    :param wrong: what is wrong in the end, "" if nothing is.
    """

    run_again: bool = False
    is_part_visible: bool = False
    is_too_late: bool = False
    wrong: str = ""


#: What may be wrong in the end: rows are missing; rows are there more than once; both; the second
#: run failed, too.
WRONG = ("lost", "double", "torn", "fails again")


class Victim:
    """A server of this part's own, which it restarts, and the proxy before it."""

    def __init__(self, server: Server, root: Path, far: Far) -> None:
        self.server, self.far = server, far
        self._folder = embedded.cluster_folder(root)

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[Database]:
        """A copy of a database."""
        with self.server.database(template) as database:
            yield database

    def through(self, database: Database) -> Database:
        """A database as it is seen through the proxy."""
        path = urlsplit(database.url).path
        return Database(urlsplit(self.far.url)._replace(path=path).geturl())

    def restart(self) -> None:
        """Have the server end at once, as ``pg_ctl -m immediate`` does, and start it."""
        postmaster = self.server.postmaster
        if not postmaster:
            raise CommandError("the server's process isn't known")
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait(PATIENCE)
        start(self._folder)
        self.server.__post_init__()  # its process is another one

    def disturbances(self) -> dict[str, Callable[[int], None]]:
        """What is done to the run of a process number, by name."""
        return {
            "kill -9": lambda number: os.kill(number, signal.SIGKILL),
            "connection cut": lambda number: self.far.cut(),
            "server restarted": lambda number: self.restart(),
        }


def measure(bench: Bench) -> list[Section]:
    """Disturb each chosen alternative at so many moments of each kind."""
    months = made_up(bench.data, bench.sizes.fault_rows, months=2)
    bench.note(months[0], 2)
    for each in months:  # before a clock starts
        each.csv()
        each.keyed()
    for module in IMPORTED:
        import_module(module)
    names = [name for name, load in LOADS.items() if load.choice in bench.alternatives]
    with ExitStack() as stack:
        root = stack.enter_context(new_storage())
        server = stack.enter_context(embedded_server(root))
        # no fault here takes the machine's memory away, so nothing has to be on its disk
        server.query("ALTER SYSTEM SET fsync = off")
        server.query("SELECT pg_reload_conf()")
        far = stack.enter_context(far_away(server.url, 0))
        victim = Victim(server, root, far)
        found = {name: _Trial(victim, name, months).outcomes(bench) for name in names}
    return [_section(bench, found)]


class _Trial:
    """The disturbed loads of an alternative."""

    def __init__(self, victim: Victim, name: str, months: Sequence[Month]) -> None:
        self._victim, self._name = victim, name
        self._before, self._month = months
        self._load_month, self._table = LOADS[name].load, LOADS[name].table

    def outcomes(self, bench: Bench) -> dict[str, list[Outcome]]:
        """How they ended, by what was done to them."""
        found: dict[str, list[Outcome]] = {}
        with self._victim.database() as holds_one, scratch() as folder:
            self._load(self._before, holds_one, folder)
            seconds, undisturbed = self._undisturbed(holds_one, folder)
            for what, disturb in self._victim.disturbances().items():
                # the same moments for all, as fractions of their times
                draws = random.Random(f"{bench.sizes.seed} {what}")  # noqa: S311
                moments = [draws.random() * seconds for _ in range(bench.sizes.moments)]
                with bench.measurement("faults", f"{self._name}, {what}", 0) as measurement:
                    began = time.monotonic()
                    found[what] = []
                    for moment in moments:
                        with self._copy(holds_one, folder) as (database, its_folder):
                            watch = _Disturbing(disturb, moment)
                            outcome = self._outcome(database, its_folder, watch, undisturbed)
                        found[what].append(outcome)
                    measurement.seconds = time.monotonic() - began
                    measurement.details = {"undisturbed": seconds, **_counts(found[what])}
                # shown at once: all of them take hours
                print(measurement.what, _counts(found[what]), file=sys.stderr, flush=True)
        return found

    def _undisturbed(self, holds_one: Database, folder: Path) -> tuple[float, Counter[str]]:
        """The seconds and the rows of a load that nobody disturbs."""
        seconds, rows = [], Counter[str]()
        for _ in range(UNDISTURBED):
            with self._copy(holds_one, folder) as (database, its_folder):
                seconds.append(self._load(self._month, database, its_folder))
                rows = self._rows(database)
        wanted = self._before.rows + self._month.rows
        if rows.total() != wanted:
            raise CommandError(f"{self._name} left {rows.total():,} of {wanted:,} rows")
        return min(seconds), rows

    @contextmanager
    def _copy(self, holds_one: Database, folder: Path) -> Iterator[tuple[Database, Path]]:
        """A copy of a database, and of what its loads have kept in their folder."""
        template = urlsplit(holds_one.url).path.lstrip("/")
        with self._victim.database(template) as database, scratch() as its_folder:
            shutil.copytree(folder, its_folder, dirs_exist_ok=True)
            yield database, its_folder

    def _outcome(
        self, database: Database, folder: Path, watch: "_Disturbing", undisturbed: Counter[str]
    ) -> Outcome:
        """Load a month, disturb that, and load it once more if that failed."""
        outcome = Outcome()
        try:
            self._load(self._month, database, folder, watch)
        except CommandError:
            outcome.run_again = True
            rows = self._rows(database).total()
            outcome.is_part_visible = rows not in (self._before.rows, undisturbed.total())
            try:
                self._load(self._month, database, folder)
            except CommandError as error:
                print(f"faults: {self._name}, run again: {error}", file=sys.stderr, flush=True)
                outcome.wrong = "fails again"
        outcome.is_too_late = not watch.is_done
        found = self._rows(database)
        missing, surplus = (undisturbed - found).total(), (found - undisturbed).total()
        if missing or surplus:
            outcome.wrong = outcome.wrong or (
                "torn" if missing and surplus else "lost" if missing else "double"
            )
        return outcome

    def _load(
        self, month: Month, database: Database, folder: Path, watch: Watch = unwatched
    ) -> float:
        """Load a month through the proxy; the seconds it took.

        :raises CommandError: it failed.
        """
        measurement = Measurement("faults", self._name, 0, 0, 0)
        through = self._victim.through(database)
        self._load_month(Loading(month, through, self._victim.server, folder, measurement, watch))
        return measurement.seconds

    def _rows(self, database: Database) -> Counter[str]:
        """How often each row is there; columns that dlt adds aside, which no two loads share."""
        columns = [Identifier(column) for (column,) in database.query(_COLUMNS, self._table)]
        table = Identifier(*self._table.split("."))
        rows = _ROWS.format(columns=SQL(", ").join(columns), table=table)
        return Counter(dict(database.query(rows)))


class _Disturbing:
    """Disturbs a run after so many seconds, and kills it if it doesn't end."""

    def __init__(self, disturb: Callable[[int], None], moment: float) -> None:
        self._disturb, self._moment = disturb, moment
        self.is_done = False

    @contextmanager
    def __call__(self, number: int) -> Iterator[None]:
        errors: list[Exception] = []

        def act() -> None:
            self.is_done = True
            try:
                self._disturb(number)
            except Exception as error:  # noqa: BLE001 - raised below, where it is seen
                errors.append(error)

        acting = threading.Timer(self._moment, act)
        giving_up = threading.Timer(PATIENCE, os.kill, (number, signal.SIGKILL))
        for timer in (acting, giving_up):
            timer.start()
        try:
            yield
        finally:
            for timer in (acting, giving_up):
                timer.cancel()
                timer.join()
        if errors:
            raise errors[0]


def _counts(outcomes: list[Outcome]) -> dict[str, float]:
    wrong = Counter(each.wrong for each in outcomes if each.wrong)
    return {
        "wrong": wrong.total(),
        **{what: wrong[what] for what in WRONG},
        "run again": sum(each.run_again for each in outcomes),
        "a part visible": sum(each.is_part_visible for each in outcomes),
        "too late": sum(each.is_too_late for each in outcomes),
    }


def _section(bench: Bench, found: dict[str, dict[str, list[Outcome]]]) -> Section:
    rows, moments, seed = bench.sizes.fault_rows, bench.sizes.moments, bench.sizes.seed
    section = Section(
        "faults", f"{rows:,} rows, each fault at {moments} moments, seed {seed}; then run again"
    )
    for name, outcomes in found.items():
        counts = {what: _counts(each) for what, each in outcomes.items()}
        if not section.tables:
            head = ["", *(f"wrong after {what}" for what in counts), *WRONG]
            section.tables.append(Table([*head, "run again", "a part visible", "too late"]))
        total = Counter[str]()
        for each in counts.values():
            total.update({what: int(count) for what, count in each.items()})
        shown = [counts[what]["wrong"] for what in counts]
        others = [total[what] for what in (*WRONG, "run again", "a part visible", "too late")]
        section.tables[0].rows.append([name, *(f"{number:.0f}" for number in [*shown, *others])])
        if LOADS[name].choice in OURS:
            title = f"{name}: wrong in the end"
            section.targets.append(Target(title, total["wrong"], "", at_most=0))
    section.notes += NOTES
    return section
