"""New York taxi trips in PostgreSQL, month by month, each trip once.

    TaxiPublished   a month's file, for the TLC to publish
    TaxiDownload    -> data/raw/                       the file, with a record of its edition
    TaxiTransform   -> data/trips/, data/rejects/      one schema for all eras; in a
                                                       process or a container, or by a script
    TaxiStageLoad   -> public.green_trips_staging_…    binary COPY, fingerprints
    TaxiMerge       -> public.green_trips              each trip once; ledger; clean-up

    RangeMonthly --of TaxiMerge                        all of that for a range of months
    RangeMonthly --of TaxiMonth                        the same, each month as one task, for
                                                       several workers or hosts
    RangeMonthly --of TaxiLake      -> [lake] url      the same, and each month as Parquet
    TaxiSpark --of TaxiMonth                           the same, on a Spark cluster
    RangeMonthly --of TaxiRefresh                      months that were corrected since
    TaxiDue                                            whatever is due, of all services
    RangeMonthly --of TaxiVerify                       months that aren't as they were loaded
    TaxiReset                                          takes a month out
    TaxiZones       -> taxi_zones, zone_outlines       names and outlines of the zones
    TaxiReport      -> data/report.html                a page that shows what is loaded
    TaxiFeatures    -> daily_trips, …                  what an older version loaded, counted
    TaxiDerivedTable                                   tables of your own, by subclasses

``luigi --module luigi_tasks`` offers these. Settings are in ``luigi.cfg``.
"""

import atexit
import gc
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from luigi_tasks.errors import TaxiError

if TYPE_CHECKING:
    import pandas as pd
    from psycopg2.extensions import connection

    from luigi_tasks.tasks.chain import (
        TaxiDownload,
        TaxiMerge,
        TaxiMonth,
        TaxiPublished,
        TaxiStageLoad,
        TaxiTransform,
    )
    from luigi_tasks.tasks.derived import TaxiDerivedTable
    from luigi_tasks.tasks.due import TaxiDue
    from luigi_tasks.tasks.features import TaxiFeatures
    from luigi_tasks.tasks.lake import TaxiLake
    from luigi_tasks.tasks.ranges import RangeMonthly
    from luigi_tasks.tasks.report import TaxiReport
    from luigi_tasks.tasks.spark import TaxiSpark
    from luigi_tasks.tasks.upkeep import TaxiRefresh, TaxiReset, TaxiZones
    from luigi_tasks.tasks.verify import TaxiVerify

__all__ = [
    "RangeMonthly",
    "TaxiDerivedTable",
    "TaxiDownload",
    "TaxiDue",
    "TaxiError",
    "TaxiFeatures",
    "TaxiLake",
    "TaxiMerge",
    "TaxiMonth",
    "TaxiPublished",
    "TaxiRefresh",
    "TaxiReport",
    "TaxiReset",
    "TaxiSpark",
    "TaxiStageLoad",
    "TaxiTransform",
    "TaxiVerify",
    "TaxiZones",
    "connect",
    "query",
]


def connect() -> "connection":
    """Connect to the warehouse of the settings, by psycopg2.

    An embedded server is started, and runs until Python ends.

    :raises TaxiError: the embedded server doesn't start.
    """
    import psycopg2

    from luigi_tasks import config, warehouse

    return psycopg2.connect(warehouse.url(config.open_warehouse()))


def query(
    statement: str,
    values: "Sequence[Any] | Mapping[str, Any] | None" = None,
    *,
    read_only: bool = True,
) -> "pd.DataFrame":
    """Ask the warehouse of the settings, and return the rows as a pandas DataFrame.

    An embedded server is started, and runs until Python ends. Names without a schema are looked up
    in ``[warehouse] schema`` first. ``numeric`` becomes float, a date a datetime of midnight, and
    a time with a zone one in UTC.

    :param values: those of placeholders ``%s`` or ``%(name)s``, which psycopg2 fills in.
    :param read_only: whether PostgreSQL refuses to change anything.
    :raises TaxiError: pandas isn't installed, or the embedded server doesn't start.
    :raises psycopg2.Error: PostgreSQL refuses the statement.
    """
    from luigi_tasks import config, warehouse

    opened = config.open_warehouse()
    frame: pd.DataFrame = warehouse.read_frame(opened, statement, values, read_only=read_only)
    return frame


def __getattr__(name: str) -> Any:
    """Load the tasks when one is asked for.

    The transform runs without Luigi, whose import would take longer than a small month does.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from luigi_tasks import tasks

    return getattr(tasks, name)


if "luigi.cmdline" in sys.modules:  # the command luigi runs us, not a program with ways of its own
    from luigi_tasks import stopping

    stopping.install()
    atexit.register(gc.freeze)  # what ends needn't be looked through for garbage: that takes 0.2 s

if "luigi" in sys.modules:  # so that --module luigi_tasks registers them
    from luigi_tasks.tasks import due, spark  # noqa: F401

    if "luigi.cmdline" in sys.modules:
        from luigi_tasks.operations import logs
        from luigi_tasks.tasks import scheduler, worker

        logs.install()
        scheduler.install()
        worker.install()
