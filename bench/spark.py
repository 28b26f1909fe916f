"""Part ``spark``: real months on a Spark cluster of two workers, and what a killed executor does.

Beside it ``DataFrame.write.jdbc``, whose rows are counted after the same kill.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil

from bench import ours
from bench.bench import Bench, scratch
from bench.cluster import EXECUTOR, MONTH, Cluster, cluster
from bench.inputs import Month, real_green
from bench.report import Section, Target
from bench.running import CommandError, run
from bench.server import Database

#: Debian's libpostgresql-jdbc-java.
DRIVER = Path("/usr/share/java/postgresql.jar")
PARTITIONS = 4
#: What happens to it: also a standby that answers late while an executor dies, and a run that is
#: killed and started again.
DISTURBANCES = (
    "undisturbed",
    *["an executor killed"] * 3,
    "an executor killed in its COMMIT",
    "killed and run again",
)
CREATE_TABLE = (
    "CREATE TABLE trips (vendorid bigint, lpep_pickup_datetime timestamp, "
    "lpep_dropoff_datetime timestamp, passenger_count double precision, "
    "trip_distance double precision, pulocationid bigint, dolocationid bigint, "
    "fare_amount double precision, total_amount double precision)"
)
#: Months of the two runs that are compared, and of those with a killed executor.
FEW, MANY, KILLED = 12, 24, 6


def measure(bench: Bench) -> list[Section]:
    """Load real green months by TaxiSpark, undisturbed and with an executor killed."""
    most = min(MANY, bench.sizes.real_months or MANY)
    months = real_green(bench.real, bench.data, most)
    if not months:
        raise CommandError(f"no green_tripdata_*.parquet in {bench.real}/parquet")
    section = Section("spark", "real months on two one-core workers of Spark")
    with scratch() as folder, cluster(folder) as found:
        for count in sorted({min(FEW, most), most}):
            _note(section, _undisturbed(bench, found, months[:count]))
        _note(section, _beside(bench, months))
        killed = months[: min(KILLED, most)]
        section.targets.append(_killed(bench, found, killed))
        if DRIVER.exists() and urlsplit(bench.server.url).hostname:
            for what in DISTURBANCES:
                _note(section, _by_jdbc(bench, found, killed, what))
        else:
            section.notes.append(
                f"DataFrame.write.jdbc wasn't tried: it needs {DRIVER} and --server with a host."
            )
    return [section]


def _note(section: Section, text: str) -> None:
    """Add a finding, and show it at once: the next ones take minutes."""
    section.notes.append(text)
    print(text, file=sys.stderr, flush=True)


def _command(found: Cluster, months: list[Month], folder: Path, url: str) -> list[str]:
    """The command of a range on the cluster."""
    words = ours.Pipeline(months[0].parquet.parent, folder / "storage", url)
    command = words.merge_range(months, "TaxiMonth")
    command[command.index("RangeMonthly")] = "TaxiSpark"
    conf = {key: value for key, value in found.conf.items() if value}
    return [*command, f"--spark-master={found.master}", f"--spark-conf={json.dumps(conf)}"]


def _undisturbed(bench: Bench, found: Cluster, months: list[Month]) -> str:
    with bench.server.database() as database, scratch() as folder:
        what = f"{len(months)} months by TaxiSpark"
        with bench.measurement("spark", what, 0) as measurement:
            before = _cpu(found)
            took = run(_command(found, months, folder, database.url), bench.server, folder=folder)
            measurement.seconds = took.seconds
            measurement.take(took)
            cpu = took.client.total + _cpu(found) - before
        _check(database, months)
    each = [float(text) for text in re.findall(r", ([\d.]+) s\)$", took.output, re.MULTILINE)]
    rest = took.seconds - sum(each) / 2
    return (
        f"{what}: {took.seconds:.1f} s; a month {median(each):.2f} s on its executor (median), all "
        f"else {rest:.1f} s; processors {cpu:.1f} s for driver, executors and months"
    )


def _beside(bench: Bench, months: list[Month]) -> str:
    with bench.server.database() as database, scratch() as folder:
        what = f"{len(months)} months by RangeMonthly --workers 2"
        pipeline = ours.Pipeline(months[0].parquet.parent, folder / "storage", database.url)
        with bench.measurement("spark", what, 0) as measurement:
            command = [*pipeline.merge_range(months, "TaxiMonth"), "--workers=2"]
            took = run(command, bench.server, folder=folder)
            measurement.seconds = took.seconds
            measurement.take(took)
        _check(database, months)
    return f"{what}: {took.seconds:.1f} s; processors {took.client.total:.1f} s"


def _killed(bench: Bench, found: Cluster, months: list[Month]) -> Target:
    """Rows too many or too few by TaxiSpark after an executor was killed with a month in hand."""
    with bench.server.database() as database, scratch() as folder:
        with _started(_command(found, months, folder, database.url), folder) as process:
            _kill_executor(found, process, MONTH)
            if process.wait():
                raise CommandError(f"TaxiSpark exited with {process.returncode}")
        _check(database, months)
        rows = database.value("SELECT count(*) FROM green_trips")
    wanted = sum(month.rows for month in months)
    return Target("TaxiSpark, an executor killed: rows wrong", abs(rows - wanted), "", at_most=0)


def _by_jdbc(bench: Bench, found: Cluster, months: list[Month], what: str) -> str:
    """What DataFrame.write.jdbc makes of it when it is disturbed, one of ``DISTURBANCES``."""
    wanted = sum(month.rows for month in months)
    parts = urlsplit(bench.server.url)
    with bench.server.database() as database, scratch() as folder:
        path = urlsplit(database.url).path
        database.query(CREATE_TABLE)
        given = {
            "master": found.master,
            "conf": {k: v for k, v in {**found.conf, "spark.jars": str(DRIVER)}.items() if v},
            "url": f"jdbc:postgresql://{parts.hostname}:{parts.port or 5432}{path}",
            "user": parts.username or "postgres",
            "table": "trips",
            "partitions": PARTITIONS,
            "files": [str(month.parquet) for month in months],
        }
        code = _write(database, found, given, folder, what)
        rows = database.value("SELECT count(*) FROM trips")
    return f"DataFrame.write.jdbc, {what}: {rows - wanted:+,} rows of {wanted:,}, exit {code}"


def _write(
    database: Database, found: Cluster, given: dict[str, object], folder: Path, what: str
) -> int:
    """Write by jdbc, disturbed as ``what`` says; the exit code."""
    command, text = [sys.executable, "-m", "bench.jdbc"], json.dumps(given)
    if what == "killed and run again":
        with _started(command, folder, text) as process:
            _wait_for_rows(database, process)
        _wait_for_end(found)
    with _started(command, folder, text) as process:
        if what == "an executor killed":
            _wait_for_rows(database, process)
            _kill_executor(found, process, EXECUTOR)
        elif what == "an executor killed in its COMMIT":
            # as when a standby answers late: PostgreSQL has committed, and the client isn't told
            database.query("ALTER SYSTEM SET synchronous_standby_names = 'absent'")
            database.query("SELECT pg_reload_conf()")
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            while not database.value(waiting) and process.poll() is None:
                time.sleep(0.05)
            _kill_executor(found, process, EXECUTOR)
            database.query("ALTER SYSTEM RESET synchronous_standby_names")
            database.query("SELECT pg_reload_conf()")
        return process.wait()


def _wait_for_rows(database: Database, process: "subprocess.Popen[str]") -> None:
    """Wait until the first partition is committed."""
    while not database.value("SELECT count(*) FROM trips"):
        if process.poll() is not None:
            raise CommandError(f"DataFrame.write.jdbc exited with {process.returncode}")
        time.sleep(0.05)


@contextmanager
def _started(command: list[str], folder: Path, text: str = "") -> Iterator["subprocess.Popen[str]"]:
    """A command under way; it is killed at the end, if it still runs."""
    from bench.running import ROOT

    with (folder / "log").open("a") as log:
        process: subprocess.Popen[str] = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdin  # noqa: S101 - for mypy
            process.stdin.write(text)
            process.stdin.close()
            yield process
        finally:
            process.kill()
            process.wait()


def _kill_executor(found: Cluster, process: "subprocess.Popen[str]", at_work: str) -> None:
    """Kill an executor that has something at work."""
    while process.poll() is None:
        for each in found.processes(at_work):
            with suppress(psutil.Error):
                executors = [
                    p for p in [each, *each.parents()] if EXECUTOR in " ".join(p.cmdline())
                ]
                if executors:
                    executors[0].kill()
                    return
        time.sleep(0.1)
    raise CommandError("it ended before an executor was killed")


def _wait_for_end(found: Cluster) -> None:
    while found.processes(EXECUTOR):
        time.sleep(0.2)


def _cpu(found: Cluster) -> float:
    """Seconds of processor time of the workers' executors that have ended, months included."""
    total = 0.0
    for pid in found.pids:
        times = psutil.Process(pid).cpu_times()
        total += times.children_user + times.children_system
    return total


def _check(database: Database, months: list[Month]) -> None:
    loaded = database.value("SELECT count(*) FROM load_history")
    if loaded != len(months):
        raise CommandError(f"{loaded} of {len(months)} months are loaded")
