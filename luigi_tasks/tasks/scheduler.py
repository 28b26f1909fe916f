"""The scheduler of a run that uses ``luigid``, which nothing depends on.

``luigid`` shows what runs, and lets workers share the work. If it can't be reached, or is killed in
the midst of a run, the run goes on with a scheduler of its own, which gets the same calls as
``luigid`` got from this run. Runs that lose it at once don't do the same work twice: months are
locked in PostgreSQL.
"""

import logging
import multiprocessing
import os
import re
import threading
from functools import partial
from typing import Any

import luigi.interface
from luigi.rpc import RemoteScheduler, RPCError
from luigi.scheduler import RPC_METHODS, Scheduler
from luigi.task_status import PENDING, RUNNING
from requests import Timeout

from luigi_tasks.texts import shortened
from luigi_tasks.urls import redacted

logger = logging.getLogger("luigi-interface.scheduler")

#: The calls by which a worker describes itself and its tasks.
_REPEATED = ("add_task", "add_task_batcher", "add_worker")


class LastingScheduler:
    """The scheduler of ``luigid`` as long as it answers, and a local one from then on."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._remote = RemoteScheduler(url)
        # the first failure decides: a scheduler that was away for a moment may have lost its state
        self._remote._rpc_retry_attempts = 1
        self._remote._rpc_log_retries = False
        self._local: Scheduler | None = None
        self._calls: list[tuple[str, dict[str, Any]]] = []
        self._tasks: dict[str, dict[str, Any]] = {}
        self._lock, self._pid = threading.RLock(), os.getpid()

    def __getattr__(self, name: str) -> Any:
        if name not in RPC_METHODS:
            raise AttributeError(name)
        return partial(self._call, name)

    def close(self) -> None:
        self._remote.close()

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self._local is None:
            try:
                answer = getattr(self._remote, name)(*args, **kwargs)
                if name != "get_work" or not self._has_forgotten(answer):
                    self._note(name, args, kwargs, answer)
                    return answer
                reason = "it was started anew"
            except (RPCError, ValueError, LookupError) as error:
                reason = _reason(error)
            self._fall_back(reason)
        return getattr(self._local, name)(*args, **kwargs)

    def _note(self, name: str, args: Any, kwargs: dict[str, Any], answer: Any) -> None:
        """Note what the local scheduler would have to know."""
        if name == "get_work":
            if task := self._tasks.get(answer["task_id"]):
                self._note("add_task", (), task | {"status": RUNNING}, None)
            return
        if name not in _REPEATED:
            return
        if name == "add_worker":
            kwargs = dict(zip(("worker", "info"), args, strict=False)) | kwargs
        with self._own_lock():
            if name == "add_task":
                self._tasks[kwargs["task_id"]] = self._tasks.get(kwargs["task_id"], {}) | kwargs
            self._calls.append((name, kwargs))
            if self._local is not None:  # another thread has found out meanwhile
                getattr(self._local, name)(**kwargs)

    def _has_forgotten(self, answer: Any) -> bool:
        """Whether a scheduler that has nothing left to do doesn't know what it was given."""
        if answer["task_id"] or answer["n_pending_tasks"] or answer["running_tasks"]:
            return False
        left = [name for name, task in self._tasks.items() if task["status"] == PENDING]
        return bool(left) and not self._remote.task_search(task_str=left[-1])  # type: ignore[attr-defined]

    def _fall_back(self, reason: str) -> None:
        with self._own_lock():
            if self._local is not None:
                return
            local = Scheduler(prune_on_get_work=True, record_task_history=False)
            for name, kwargs in self._calls:
                getattr(local, name)(**kwargs)
            self._local = local
        if multiprocessing.parent_process() is None:
            url = redacted(self._url)
            logger.warning("luigid at %s: %s; the run goes on without it", url, reason)

    def _own_lock(self) -> threading.RLock:
        """This process's lock: that of a fork's parent may be held by a thread of the parent."""
        if self._pid != os.getpid():
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock


def _reason(error: Exception) -> str:
    """Why a call failed, in a few words."""
    cause = getattr(error, "sub_exception", None)
    if cause is None:
        return "what answers there is no luigid"
    if isinstance(cause, Timeout):
        return "no answer in time"
    found = re.search(r"\[Errno -?\d+\] ([\w ,]+)", str(cause))
    return found[1] if found else shortened(redacted(str(cause)))


def install() -> None:
    """Have Luigi use this scheduler in place of its client for ``luigid``."""

    def create(_: Any, url: str) -> LastingScheduler:
        return LastingScheduler(url)

    factory: Any = luigi.interface._WorkerSchedulerFactory
    factory.create_remote_scheduler = create
