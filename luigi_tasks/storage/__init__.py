"""Where a month's files are, under ``[storage] root``: created whole, removed when merged; and the
lake, which keeps them."""

from luigi_tasks.storage.files import MonthFiles, left_over, remove, zone_shapes_file, zones_file
from luigi_tasks.storage.lake import Lake

__all__ = ["Lake", "MonthFiles", "left_over", "remove", "zone_shapes_file", "zones_file"]
