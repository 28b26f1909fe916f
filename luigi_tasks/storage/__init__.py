"""Where a month's files are, under ``[storage] root``: created whole, removed when merged."""

from luigi_tasks.storage.files import MonthFiles, left_over, remove, zone_shapes_file, zones_file

__all__ = ["MonthFiles", "left_over", "remove", "zone_shapes_file", "zones_file"]
