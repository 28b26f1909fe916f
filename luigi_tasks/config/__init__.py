"""The settings: sections of ``luigi.cfg``, what they mean, and which are refused.

Only tasks and commands read them; everything below is handed what it needs.
"""

from luigi_tasks.config import defaults
from luigi_tasks.config.checks import check
from luigi_tasks.config.flags import given_flags, hides_password, override
from luigi_tasks.config.handover import Handover, hand_over, take_over
from luigi_tasks.config.parameters import (
    MonthParameter,
    OptionalMonthParameter,
    ParametersParameter,
    TaxiTypeParameter,
)
from luigi_tasks.config.resolved import (
    digest,
    lake_location,
    log_file,
    month_tables,
    open_warehouse,
    report_file,
    schema,
    schema_contract,
    selected,
    shared_luigid,
    storage_root,
    variables,
)
from luigi_tasks.config.sections import (
    alarms,
    cleanup,
    concurrency,
    lake,
    log,
    metrics,
    quality,
    report,
    run,
    runner,
    schedule,
    source,
    spark,
    storage,
    transform,
    trips,
    warehouse,
)

__all__ = [
    "Handover",
    "MonthParameter",
    "OptionalMonthParameter",
    "ParametersParameter",
    "TaxiTypeParameter",
    "alarms",
    "check",
    "cleanup",
    "concurrency",
    "digest",
    "given_flags",
    "hand_over",
    "hides_password",
    "lake",
    "lake_location",
    "log",
    "log_file",
    "metrics",
    "month_tables",
    "open_warehouse",
    "override",
    "quality",
    "report",
    "report_file",
    "run",
    "runner",
    "schedule",
    "schema",
    "schema_contract",
    "selected",
    "shared_luigid",
    "source",
    "spark",
    "storage",
    "storage_root",
    "take_over",
    "transform",
    "trips",
    "variables",
    "warehouse",
]

defaults.use_packaged_defaults()
defaults.leave_ours_as_written()
defaults.set_unreadable_aside()
