"""The state of each month, for people and scripts: what is loaded, what isn't, and what mends it.

``overview`` asks the warehouse, ``grid`` draws on a terminal, ``document`` writes JSON.
"""

from luigi_tasks.status.overview import Overview, command_of, exit_code, read_overview

__all__ = ["Overview", "command_of", "exit_code", "read_overview"]
