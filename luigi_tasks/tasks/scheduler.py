"""The scheduler of a run that uses ``luigid``, which nothing depends on.

``luigid`` shows what runs, and lets workers share the work. If it can't be reached, or is killed in
the midst of a run, the run goes on with a scheduler of its own, and joins ``luigid`` again when
that answers. Runs that lose it at once don't do the same work twice: months are locked in
PostgreSQL.
"""

import logging
import math
import multiprocessing
import os
import re
import threading
import time
from functools import partial
from typing import Any

import luigi.interface
from luigi.rpc import RemoteScheduler, RPCError
from luigi.scheduler import RPC_METHODS, WORKER_STATE_DISABLED, Scheduler
from luigi.task_status import DONE, FAILED, PENDING, RUNNING
from requests import Timeout

from luigi_tasks.texts import shortened
from luigi_tasks.urls import redacted

logger = logging.getLogger("luigi-interface.scheduler")

#: The calls by which a worker describes itself and its tasks.
_REPEATED = ("add_task", "add_task_batcher", "add_worker")
#: Seconds between two attempts to reach a ``luigid`` that was lost, and for each.
RETRY_INTERVAL, RETRY_TIMEOUT = 10.0, 2.0


class LastingScheduler:
    """The scheduler of ``luigid`` while it answers, and a local one otherwise.

    It keeps what the worker has told of itself and its tasks, and tells it to a scheduler that
    doesn't know it: the local one, a ``luigid`` that was started anew or is back, or one for which
    the worker was gone, since its host was frozen.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._remote = RemoteScheduler(url)
        # the first failure decides, and nobody waits
        self._remote._rpc_retry_attempts = 1
        self._remote._rpc_log_retries = False
        self._local: Scheduler | None = None
        self._is_back, self._next_look = False, 0.0
        self._about_worker: list[tuple[str, dict[str, Any]]] = []
        self._tasks: dict[str, dict[str, Any]] = {}
        self._lock, self._pid = threading.RLock(), os.getpid()

    def __getattr__(self, name: str) -> Any:
        if name not in RPC_METHODS:
            raise AttributeError(name)
        return partial(self._call, name)

    def close(self) -> None:
        self._remote.close()

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "add_worker":
            kwargs, args = dict(zip(("worker", "info"), args, strict=False)) | kwargs, ()
        try:
            if self._local is not None and name == "ping":
                self._look_for_remote()
            if self._is_back and name == "get_work":
                self._rejoin()
            if self._local is None:
                answer = getattr(self._remote, name)(*args, **kwargs)
                if name == "get_work" and self._is_left_out(answer):
                    logger.info("luigid at %s doesn't know this run any more", redacted(self._url))
                    self._register(self._remote)
                    answer = self._remote.get_work(*args, **kwargs)  # type: ignore[attr-defined]
                self._note(name, kwargs, answer)
                if self._local is not None:  # another thread has found out meanwhile that it's gone
                    self._register(self._local)
                return answer
        except (RPCError, ValueError, LookupError) as error:
            self._fall_back(_reason(error))
        answer = getattr(self._local, name)(*args, **kwargs)
        self._note(name, kwargs, answer)
        return answer

    def _note(self, name: str, kwargs: dict[str, Any], answer: Any) -> None:
        """Note what another scheduler would have to know."""
        with self._own_lock():
            if name == "get_work":
                if task := self._tasks.get(answer["task_id"]):
                    task["status"] = RUNNING
            elif name == "add_task":
                task = self._tasks.setdefault(kwargs["task_id"], {})
                task |= {key: value for key, value in kwargs.items() if value is not None}
            elif name in _REPEATED:
                self._about_worker.append((name, kwargs))

    def _register(self, scheduler: Any) -> None:
        """Tell a scheduler of the worker and its tasks.

        Those that it knows as done are done. Nor is it told that one of those failed that it knows:
        it may be another worker's by now, and what cut this host off may be why it failed here.
        """
        known = scheduler.task_list(status="", upstream_status="", limit=False)
        with self._own_lock():
            for name, kwargs in self._about_worker:
                getattr(scheduler, name)(**kwargs)
            for name, task in self._tasks.items():
                if name in known and known[name]["status"] == DONE:
                    task["status"] = DONE
                elif name in known and task["status"] == FAILED:
                    continue
                else:
                    scheduler.add_task(**task | {"status": PENDING})
                if task["status"] != PENDING:
                    scheduler.add_task(**task)

    def _is_left_out(self, answer: Any) -> bool:
        """Whether a scheduler that has nothing left for the worker has forgotten it.

        A worker that was silent for long has none of its tasks left, though they are to be done.
        """
        if answer["task_id"] or answer["n_pending_tasks"] or answer["running_tasks"]:
            return False
        left = [name for name, task in self._tasks.items() if task["status"] == PENDING]
        if not left or answer.get("worker_state") == WORKER_STATE_DISABLED:
            return False
        remote: Any = self._remote
        return not remote.task_list(status=DONE, upstream_status="", limit=False).keys() >= {*left}

    def _fall_back(self, reason: str) -> None:
        with self._own_lock():
            if self._local is not None:
                return
            local = _local_scheduler()
            self._register(local)
            self._local, self._is_back = local, False
            self._next_look = time.monotonic() + RETRY_INTERVAL
        if multiprocessing.parent_process() is None:
            url = redacted(self._url)
            logger.warning("luigid at %s: %s; the run goes on without it", url, reason)

    def _look_for_remote(self) -> None:
        """Look whether ``luigid`` answers again, now and then; the thread that pings does."""
        if self._is_back or time.monotonic() < self._next_look:
            return
        asked: Any = RemoteScheduler(self._url, connect_timeout=RETRY_TIMEOUT)
        asked._rpc_retry_attempts, asked._rpc_log_retries = 1, False
        try:
            asked.is_paused()
            self._is_back = True
        except (RPCError, ValueError, LookupError):
            self._next_look = time.monotonic() + RETRY_INTERVAL
        finally:
            asked.close()

    def _rejoin(self) -> None:
        """Go on with ``luigid``, which answers again."""
        with self._own_lock():
            self._is_back, local, self._local = False, self._local, None
            try:
                self._register(self._remote)
            except BaseException:
                self._local = local
                self._next_look = time.monotonic() + RETRY_INTERVAL
                raise
        logger.info("luigid at %s answers again; the run goes on with it", redacted(self._url))

    def _own_lock(self) -> threading.RLock:
        """This process's lock: that of a fork's parent may be held by a thread of the parent."""
        if self._pid != os.getpid():
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock


def _local_scheduler(*_: Any) -> Scheduler:
    """Luigi's own, for which its only worker is never gone, though the machine was asleep."""
    return Scheduler(
        prune_on_get_work=True, record_task_history=False, worker_disconnect_delay=math.inf
    )


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
    """Have Luigi use these schedulers in place of its own."""

    def create(_: Any, url: str) -> LastingScheduler:
        return LastingScheduler(url)

    factory: Any = luigi.interface._WorkerSchedulerFactory
    factory.create_remote_scheduler = create
    factory.create_local_scheduler = _local_scheduler
