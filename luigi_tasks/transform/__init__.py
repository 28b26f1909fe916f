"""Published files of any era in; parquet with the catalog's columns and types, and rejects, out.

``python -m luigi_tasks.transform`` runs it in a process or a container of its own.
"""

from luigi_tasks.transform.casting import arrow_schema
from luigi_tasks.transform.command import main
from luigi_tasks.transform.files import Report, transform

__all__ = ["Report", "arrow_schema", "main", "transform"]
