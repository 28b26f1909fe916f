"""The names of the taxi zones: see ``luigi_tasks.catalog``."""

from luigi_tasks.catalog import ZONES_COMMENT, Zone, read_zones

__all__ = ["ZONES_COMMENT", "Zone", "read_zones"]
