"""The sections of ``luigi.cfg``, a ``luigi.Config`` class each; see there for what a key means."""

import os
from datetime import date

import luigi
from luigi.configuration import get_config
from luigi.execution_summary import execution_summary
from luigi.interface import core
from luigi.retcodes import retcode
from luigi.scheduler import scheduler
from luigi.worker import worker

from luigi_tasks.config.templates import FromEnvironment, Templated, fill_in, lines_of
from luigi_tasks.config.values import Bool, Choice, Dict, Float, Int, List, Text


class _NamedSources:
    """The keys of ``[source]`` that name a source; Luigi would warn of them."""

    def __contains__(self, key: str) -> bool:
        value = get_config().get("source", key, "", raw=True)
        return "://" in fill_in(str(value), os.environ)


class source(Templated, luigi.Config):
    ignore_unconsumed = _NamedSources()

    url = luigi.Parameter(
        description="where a month's file is published; http, https or file; several, a line each"
    )
    zones_url = luigi.Parameter(description="where the taxi zones' names are published")
    zone_shapes_url = luigi.Parameter(description="where their outlines are; empty: nowhere")
    timeout = Float(description="seconds without a byte until a connection is broken")
    retries = Int(description="how often a passing failure is tried again")
    time_limit = Float(description="minutes until fetching a file is given up; 0: no limit")

    def urls(self, taxi_type: str, month: date) -> list[str]:
        """Where a month's file may be, the first choice first."""
        rendered = self.render("url", taxi_type=taxi_type, month=month)
        urls = lines_of(rendered)
        if not isinstance(rendered, FromEnvironment):
            return urls
        written = lines_of(rendered.written)
        if len(written) != len(urls):  # a variable has several
            written = [rendered.written] * len(urls)
        return [FromEnvironment(*pair) for pair in zip(urls, written, strict=True)]


class storage(Templated, luigi.Config):
    root = luigi.Parameter(description="folder for files, rejects and the embedded warehouse")


class warehouse(Templated, luigi.Config):
    url = luigi.Parameter(description="'embedded', or postgresql://user@host/database")
    schema = luigi.Parameter(description="schema of ledger, markers, names of codes, and views")
    lock_timeout = luigi.FloatParameter(
        description="minutes to wait for other runs and for readers of a table; 0: no limit"
    )
    retries = luigi.IntParameter(
        description="how often it is tried again when it can't be reached or breaks off"
    )
    time_limit = luigi.FloatParameter(
        description="minutes until a statement is given up; 0: no limit"
    )


class trips(Templated, luigi.Config):
    table = luigi.Parameter(description="table of a taxi type's trips")
    staging_table = luigi.Parameter(description="table that holds a month until it is merged")


class transform(luigi.Config):
    columns = Text(description="the columns to keep, separated by commas; empty: all")
    max_reject_ratio = Float(description="share of unreadable rows that may pass")
    schema_contract = Choice(
        choices=["evolve", "discard", "freeze"],
        description="what is done with columns that the catalog doesn't know",
    )
    script = Text(description="a Python file or command that transforms a month's file")
    script_runs = Choice(choices=["instead", "after"], description="of the built-in transform")


class quality(luigi.Config):
    when_exceeded = Choice(
        choices=["warn", "fail"], description="what a month beyond the limits means"
    )
    least_rows = Float(description="fewest rows, as a share of the month before; 0: no limit")
    most = Dict(description="most rows of a kind, as shares of all, as JSON")


class runner(luigi.Config):
    kind = Choice(choices=["process", "docker"], description="where the transform runs")
    environment = Dict(description="more environment variables, as JSON")
    time_limit = Float(description="seconds until it is stopped; 0: no limit")
    stop_grace = Float(description="seconds between stopping and killing it")
    image = Text(description="image; empty: the transform's own")
    build = Text(description="Dockerfile of the image, to build it when it's missing")
    base_image = Text(description="what an image is built on")
    pull = Choice(
        choices=["if_not_present", "always", "never"], description="when to pull or build it"
    )
    engine = Text(description="the engine's URL; empty: DOCKER_HOST, or this machine's")
    files = Choice(
        choices=["mount", "copy"], description="how files get into a container and out of it"
    )
    memory = Text(description="limit, such as 512m or 2g; empty: none")
    cpus = Float(description="limit of processors; 0: none")
    pids = Int(description="limit of processes and threads; 0: none")
    network = Text(description="network of a container")
    user = Text(description="user in a container; empty: yours, or nobody for root")
    read_only = Bool("whether a container can write only in its working folder and /tmp")
    tmpfs = Text(description="size of a container's /tmp")
    cap_drop = List(description="capabilities to drop, as JSON")
    no_new_privileges = Bool("whether setuid programs give no rights")
    volumes = List(description="more volumes, as JSON")
    keep_failed = Bool("whether a container that failed stays")


class cleanup(luigi.Config):
    enabled = Bool("whether a month's files are removed once it is merged")


class schedule(luigi.Config):
    taxi_types = Text(description="services of TaxiDue, separated by commas; empty: those loaded")
    first_month = Text(description="first month of TaxiDue; empty: each service's first loaded")


class concurrency(luigi.Config):
    behavior = Choice(
        choices=["queue", "cancel", "fail"],
        description="what a run does when another has the month that it needs",
    )
    queue_timeout = Float(description="minutes to wait for another run; 0: no limit")


class run(luigi.Config):
    label = Text(description="recorded with the run, to find it again")


class log(luigi.Config):
    file = Text(description="log file; empty: none")


class alarms(luigi.Config):
    urls = Text(description="where alarms go, as Apprise writes it, a line each; empty: nowhere")
    command = Text(description="a command that gets each alarm on its standard input")
    ping_url = Text(description="URL that hears of each run's start and end")
    overdue_days = Int(
        description="days after a month's end until it is overdue; 0: as late as it used to be"
    )


class lake(Templated, luigi.Config):
    url = luigi.Parameter(description="folder or store for months as Parquet; empty: nowhere")


class metrics(luigi.Config):
    textfile = Text(description="file of metrics for Prometheus; empty: none")


class report(luigi.Config):
    file = luigi.Parameter(description="file of the page that TaxiReport writes")


class spark(luigi.Config):
    master = Text(description="where months run: local[*], or a cluster such as spark://host:7077")
    conf = Dict(description="Spark's own options, as JSON")
    python = Text(description="the executors' Python, which has this package; empty: this path")

    @property
    def is_local(self) -> bool:
        """Whether all months run on this machine."""
        return str(self.master).startswith("local")


SECTIONS = (
    source,
    storage,
    warehouse,
    trips,
    transform,
    quality,
    runner,
    cleanup,
    schedule,
    concurrency,
    run,
    log,
    alarms,
    lake,
    metrics,
    report,
    spark,
)
LUIGIS_SECTIONS = (core, retcode, execution_summary, scheduler, worker)
