"""Run a command in a process or a container, and get its files and reports.

A :class:`Job` goes in, a :class:`JobResult` comes out; no process and no container outlives it.
"""

from luigi_tasks.runner.job import CommandError, Job, JobResult, NoRoomError
from luigi_tasks.runner.process import prepare
from luigi_tasks.runner.run import Streaming, run, stream

__all__ = [
    "CommandError",
    "Job",
    "JobResult",
    "NoRoomError",
    "Streaming",
    "prepare",
    "run",
    "stream",
]
