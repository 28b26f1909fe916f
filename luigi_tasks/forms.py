"""The older names of ``luigi_tasks.formats``."""

from luigi_tasks.formats import HEAD
from luigi_tasks.formats import detect_format as form_of
from luigi_tasks.formats import open_parquet as parquet
from luigi_tasks.formats import read_batches as batches

__all__ = ["HEAD", "batches", "form_of", "parquet"]
