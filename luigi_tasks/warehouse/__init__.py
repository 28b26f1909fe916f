"""The warehouse: the only package that talks to PostgreSQL.

``ledger`` answers questions; ``staging``, ``merging`` and ``zones`` change what is loaded, and
``derived`` what users derive from it.
"""

from luigi_tasks.records import LastLoad, Load, Merged, MergedEdition
from luigi_tasks.tables import Tables, Warehouse
from luigi_tasks.warehouse.connection import Cursor, connect, url
from luigi_tasks.warehouse.derived import (
    DerivedTable,
    derive,
    derived_months,
    replace_derived_rows,
)
from luigi_tasks.warehouse.errors import TransientError
from luigi_tasks.warehouse.ledger import (
    is_empty,
    last_load,
    merged_editions,
    merged_months,
    month_exists,
    outputs_of,
)
from luigi_tasks.warehouse.markers import delete_markers, record_edition, set_marker
from luigi_tasks.warehouse.merging import analyze_trips, merge, reset
from luigi_tasks.warehouse.session import (
    check_locks,
    month_lock,
    open_session,
    query,
    transaction,
    with_retries,
)
from luigi_tasks.warehouse.staging import read_staged, stage, unstage
from luigi_tasks.warehouse.tables import prepare
from luigi_tasks.warehouse.zones import ZONES_PREFIX, has_zones, load_zones, set_reader

__all__ = [
    "ZONES_PREFIX",
    "Cursor",
    "DerivedTable",
    "LastLoad",
    "Load",
    "Merged",
    "MergedEdition",
    "Tables",
    "TransientError",
    "Warehouse",
    "analyze_trips",
    "check_locks",
    "connect",
    "delete_markers",
    "derive",
    "derived_months",
    "has_zones",
    "is_empty",
    "last_load",
    "load_zones",
    "merge",
    "merged_editions",
    "merged_months",
    "month_exists",
    "month_lock",
    "open_session",
    "outputs_of",
    "prepare",
    "query",
    "read_staged",
    "record_edition",
    "replace_derived_rows",
    "reset",
    "set_marker",
    "set_reader",
    "stage",
    "transaction",
    "unstage",
    "url",
    "with_retries",
]
