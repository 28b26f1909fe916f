"""Published files of any era in; parquet with the catalog's columns and types, and rejects, out.

``python -m luigi_tasks.transform`` runs it in a process or a container of its own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luigi_tasks.transform.casting import arrow_schema
    from luigi_tasks.transform.files import Report, transform

__all__ = ["Report", "arrow_schema", "transform"]


def __getattr__(name: str) -> Any:
    """Load Arrow when it is asked for: ``__main__`` does so in a way of its own."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from luigi_tasks.transform import casting, files

    return casting.arrow_schema if name == "arrow_schema" else getattr(files, name)
