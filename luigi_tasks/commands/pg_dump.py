"""Back the warehouse up by pg_dump, the embedded one too."""

from luigi_tasks.commands.psql import pg_dump

__all__ = ["pg_dump"]
