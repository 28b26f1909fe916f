"""The commands of ``luigi-tasks``, a module each; see ``luigi_tasks.__main__``."""
