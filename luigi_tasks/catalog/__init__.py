"""What the TLC publishes: every column, the names of codes, data quality, and the four services.

Everything else of the package that needs a column, a code or a service takes it from here.
"""

from luigi_tasks.catalog.columns import (
    ALWAYS_SELECTED,
    ARROW_TYPES,
    FINGERPRINT_VERSION,
    NEW_TYPES,
    RESERVED_NAMES,
    Column,
    fold,
)
from luigi_tasks.catalog.lookups import LOOKUPS, ZONES_COMMENT, Lookup, Outline, Zone, read_zones
from luigi_tasks.catalog.quality import QUALITY_CHECKS, ExceededError, check_quality
from luigi_tasks.catalog.services import (
    FHV,
    FHVHV,
    GREEN,
    TAXI_TYPES,
    YELLOW,
    Match,
    TaxiType,
    shared_columns,
)

__all__ = [
    "ALWAYS_SELECTED",
    "ARROW_TYPES",
    "FHV",
    "FHVHV",
    "FINGERPRINT_VERSION",
    "GREEN",
    "LOOKUPS",
    "NEW_TYPES",
    "QUALITY_CHECKS",
    "RESERVED_NAMES",
    "TAXI_TYPES",
    "YELLOW",
    "ZONES_COMMENT",
    "Column",
    "ExceededError",
    "Lookup",
    "Match",
    "Outline",
    "TaxiType",
    "Zone",
    "check_quality",
    "fold",
    "read_zones",
    "shared_columns",
]
