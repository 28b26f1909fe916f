"""The warehouse: the only package that talks to PostgreSQL.

``ledger`` answers questions; ``staging``, ``merging`` and ``zones`` change what is loaded, and
``derived`` what users derive from it.
"""

from luigi_tasks.records import LastLoad, Load, Merged, MergedEdition
from luigi_tasks.tables import Tables, Warehouse
from luigi_tasks.warehouse.alarms import (
    GIVEN_UP_AFTER,
    Figures,
    KnownMonth,
    Pending,
    alarms_lock,
    failed_attempts,
    figures,
    insert_alarms,
    known_months,
    last_durations,
    last_success,
    pending_alarms,
    record_delivery,
)
from luigi_tasks.warehouse.attempts import (
    Failure,
    RunFacts,
    RunMonth,
    begin_attempt,
    end_attempt,
    end_dead_runs,
    end_run,
    ended_months,
    forget_failures,
    last_corrections,
    last_failures,
    record_wait,
    run_months,
    unfinished_runs,
)
from luigi_tasks.warehouse.balancing import LostRowsError
from luigi_tasks.warehouse.connection import Cursor, connect, password, url
from luigi_tasks.warehouse.derived import (
    DerivedTable,
    derive,
    derived_months,
    replace_derived_rows,
)
from luigi_tasks.warehouse.errors import TransientError, UnansweredCommitError
from luigi_tasks.warehouse.exporting import (
    Consumer,
    Exported,
    export_trips,
    merged_loads,
    sum_fingerprints,
)
from luigi_tasks.warehouse.frames import read_frame
from luigi_tasks.warehouse.heartbeat import Heartbeat
from luigi_tasks.warehouse.ledger import (
    first_months,
    is_empty,
    last_load,
    medians,
    merged_editions,
    merged_months,
    month_exists,
    outputs_of,
    publication_delays,
)
from luigi_tasks.warehouse.locks import Queue
from luigi_tasks.warehouse.markers import delete_markers, record_edition, set_marker
from luigi_tasks.warehouse.merging import merge, reset
from luigi_tasks.warehouse.recounting import recount, uncounted_months
from luigi_tasks.warehouse.report import (
    LoadFacts,
    Outline,
    ReportFigures,
    Sums,
    ZoneTrips,
    report_figures,
)
from luigi_tasks.warehouse.roles import Roles, apply_roles, role_statements
from luigi_tasks.warehouse.session import (
    check_locks,
    holders_of,
    month_lock,
    open_session,
    query,
    transaction,
    was_committed,
    with_retries,
)
from luigi_tasks.warehouse.sql import load_sql
from luigi_tasks.warehouse.staging import read_staged, stage, unstage
from luigi_tasks.warehouse.statistics import analyze_trips
from luigi_tasks.warehouse.status import (
    Asked,
    LastRun,
    MonthState,
    last_run,
    month_states,
    record_seen,
)
from luigi_tasks.warehouse.tables import prepare
from luigi_tasks.warehouse.zones import (
    ZONES_PREFIX,
    ZoneMarkers,
    has_zones,
    load_zones,
    set_reader,
    zone_outlines,
)

__all__ = [
    "GIVEN_UP_AFTER",
    "ZONES_PREFIX",
    "Asked",
    "Consumer",
    "Cursor",
    "DerivedTable",
    "Exported",
    "Failure",
    "Figures",
    "Heartbeat",
    "KnownMonth",
    "LastLoad",
    "LastRun",
    "Load",
    "LoadFacts",
    "LostRowsError",
    "Merged",
    "MergedEdition",
    "MonthState",
    "Outline",
    "Pending",
    "Queue",
    "ReportFigures",
    "Roles",
    "RunFacts",
    "RunMonth",
    "Sums",
    "Tables",
    "TransientError",
    "UnansweredCommitError",
    "Warehouse",
    "ZoneMarkers",
    "ZoneTrips",
    "alarms_lock",
    "analyze_trips",
    "apply_roles",
    "begin_attempt",
    "check_locks",
    "connect",
    "delete_markers",
    "derive",
    "derived_months",
    "end_attempt",
    "end_dead_runs",
    "end_run",
    "ended_months",
    "export_trips",
    "failed_attempts",
    "figures",
    "first_months",
    "forget_failures",
    "has_zones",
    "holders_of",
    "insert_alarms",
    "is_empty",
    "known_months",
    "last_corrections",
    "last_durations",
    "last_failures",
    "last_load",
    "last_run",
    "last_success",
    "load_sql",
    "load_zones",
    "medians",
    "merge",
    "merged_editions",
    "merged_loads",
    "merged_months",
    "month_exists",
    "month_lock",
    "month_states",
    "open_session",
    "outputs_of",
    "password",
    "pending_alarms",
    "prepare",
    "publication_delays",
    "query",
    "read_frame",
    "read_staged",
    "record_delivery",
    "record_edition",
    "record_seen",
    "record_wait",
    "recount",
    "replace_derived_rows",
    "report_figures",
    "reset",
    "role_statements",
    "run_months",
    "set_marker",
    "set_reader",
    "stage",
    "sum_fingerprints",
    "transaction",
    "uncounted_months",
    "unfinished_runs",
    "unstage",
    "url",
    "was_committed",
    "with_retries",
    "zone_outlines",
]
