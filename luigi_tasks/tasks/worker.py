"""Luigi's worker, with a correct exit code where several workers share the work."""

import importlib
import logging
import multiprocessing
import os
import signal
from collections import Counter
from types import TracebackType
from typing import Any, Literal

import luigi
import luigi.worker
from luigi import execution_summary
from luigi.retcodes import retcode
from luigi.task_status import DONE, FAILED, PENDING, UNKNOWN

from luigi_tasks import config, stopping, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import logs, reporting, runs
from luigi_tasks.tasks import bar
from luigi_tasks.tasks.transform_job import TransformJob

logger = logging.getLogger("luigi-interface.worker")


#: What the message of a run ends with that gives way to another.
GIVES_WAY = "this run ends in its favour"


class Worker(luigi.worker.Worker):
    """Waits for what other workers have in hand, and asks once more at the end.

    Luigi's own leaves as soon as others do all that is left, and counts as not run whatever it
    didn't run itself. This one is what a run begins and ends with, too.
    """

    _gives_way = False
    #: Whether months failed that only others have tried.
    _has_failed_elsewhere = False

    def add(self, task: luigi.Task, *args: Any, **kwargs: Any) -> bool:
        if not getattr(task, "dry_run", False):
            reporting.begin(_shown(task))
            bar.start()
        return bool(super().add(task, *args, **kwargs))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        super().__exit__(kind, error, trace)
        bar.stop()
        if stopping.came() or isinstance(error, KeyboardInterrupt):
            code = error.code if isinstance(error, stopping.Stopped) else 130
            reporting.end("cancelled", code if isinstance(code, int) else None)
        elif error is not None:
            reporting.end("failed", retcode().unhandled_exception, runs.one_line(error))
        else:
            found = execution_summary._summary_dict(self)
            code = self._exit_code(found)
            gave_way = self._gives_way and code == retcode().not_run
            _analyze_trips({each.taxi_type for each in found["completed"] if _has_merged(each)})
            _show_loads()
            has_succeeded = code in (0, retcode().missing_data)
            state = "succeeded" if has_succeeded else "cancelled" if gave_way else "failed"
            has_worked = any(not isinstance(t, luigi.WrapperTask) for t in found["completed"])
            if run := runs.current():
                run.has_failed_elsewhere = self._has_failed_elsewhere
            reporting.end(state, code, unpublished=_unpublished(found), has_worked=has_worked)
        return False

    def _exit_code(self, found: dict[str, Any]) -> int:
        """What ``luigi`` will exit with, as ``luigi.retcodes`` has it.

        :param found: its tasks by their status.
        """
        codes = retcode()
        conditions = {
            "still_pending_ext": codes.missing_data,
            "failed": codes.task_failed,
            "run_by_other_worker": codes.already_running,
            "scheduling_error": codes.scheduling_error,
            "not_run": codes.not_run,
        }
        code = max((code for name, code in conditions.items() if found[name]), default=0)
        root = execution_summary._root_task(self)
        if code == 0 and root not in found["completed"] and root not in found["already_done"]:
            code = codes.not_run
        return int(code)

    def run(self) -> bool:
        if shown := bar.current():
            shown.begin_work()
        if self.worker_processes > 1:
            tasks = [task for task, status, _ in self._add_task_history if status == PENDING]
            _prepare_for_forks([task.taxi_month for task in tasks if hasattr(task, "taxi_month")])
        succeeded = bool(super().run())
        for response in self._get_work_response_history[:-1]:
            response["running_tasks"] = []  # what others were running then, and may have finished
        try:
            self._note_what_others_did()
            self._note_what_failed_elsewhere()
        except Exception as error:  # noqa: BLE001 - the run is over; this only adds to it
            logger.warning("what others have done meanwhile can't be asked: %s", error)
        return succeeded

    def _keep_alive(self, response: Any) -> bool:
        if response.running_tasks and not self._stop_requesting_work:
            return True
        return bool(super()._keep_alive(response))

    def _add_task(self, *args: Any, **kwargs: Any) -> None:
        if kwargs["status"] is None:  # its process alone was stopped
            kwargs["status"] = FAILED
        super()._add_task(*args, **kwargs)
        _note_in_bar(self._scheduled_tasks.get(kwargs["task_id"]), kwargs["status"])
        if kwargs["status"] == FAILED and GIVES_WAY in str(kwargs.get("expl")):
            self._gives_way = True
            self._add_task_history.pop()  # it wasn't run, but hasn't failed either
        elif kwargs["status"] == FAILED and self._stop_requesting_work:
            # by a fault of this host, most probably: let another one try it
            self._scheduler.forgive_failures(task_id=kwargs["task_id"])

    def _note_what_others_did(self) -> None:
        """Note as done what is complete, though this worker didn't complete it.

        Luigi makes its summary and exit code of a worker's own history.
        """
        root = self._scheduled_tasks.get(self._first_task)
        noted = [(task, status) for task, status, _ in self._add_task_history]
        if root is None or self._stop_requesting_work:
            return
        if (root, FAILED) in noted or (root, UNKNOWN) in noted:
            return
        done = {task.task_id for task, status in noted if status == DONE}
        if self._scheduled_tasks.keys() - done and self._is_done(root, done):
            if root.task_id not in done:  # so what it does at its end is still to be done here
                root.trigger_event(luigi.Event.DEPENDENCY_PRESENT, root)
            self._note(root, done)

    def _note_what_failed_elsewhere(self) -> None:
        """Note as failed what failed in the hands of another worker, and isn't done."""
        ended = {task.task_id for task, status, _ in self._add_task_history if status != PENDING}
        left = self._scheduled_tasks.keys() - ended
        if self._stop_requesting_work or not left:
            return
        failed = self._scheduler.task_list(status=FAILED, upstream_status="", limit=False)
        for name in sorted(left & failed.keys()):
            if GIVES_WAY in str(self._scheduler.fetch_error(name)["error"]):
                continue
            logger.warning("%s failed in another run's hands", failed[name]["display_name"])
            self._add_task_history.append((self._scheduled_tasks[name], FAILED, False))
            self._has_failed_elsewhere = True

    def _is_done(self, task: luigi.Task, done: set[str]) -> bool:
        """Whether a task is complete; of a range, note the months that are."""
        if task.task_id in done or not isinstance(task, luigi.WrapperTask):
            return task.task_id in done or bool(task.complete())
        parts = task.deps()
        complete = [part for part in parts if self._is_done(part, done)]
        for part in complete:
            self._note(part, done)
        return len(complete) == len(parts)

    def _note(self, task: luigi.Task, done: set[str]) -> None:
        """Note a task as done, and with it all that was scheduled for it."""
        if task.task_id not in self._scheduled_tasks:
            return
        if task.task_id not in done:
            done.add(task.task_id)
            self._add_task_history.append((task, DONE, False))
        for needed in task.deps():
            self._note(needed, done)


def _prepare_for_forks(months: list[Month]) -> None:
    """Import what each month would import anew, since it has a process of its own."""
    if not months:
        return
    TransformJob.prepare(months[0])
    for name in ("formats", "warehouse.encoding", "warehouse.counting"):
        importlib.import_module(f"luigi_tasks.{name}")
    warehouse.load_sql()


def _note_in_bar(task: Any, status: str) -> None:
    """Show that a month's task is to be done, or has ended."""
    shown = bar.current()
    if shown and hasattr(task, "taxi_month"):
        month = str(task.taxi_month)
        if status == PENDING:
            shown.add_task(month, task.task_id, can_run=not isinstance(task, luigi.ExternalTask))
        elif status in (DONE, FAILED):
            shown.end_task(month, task.task_id, has_failed=status == FAILED)


def _show_loads() -> None:
    """Show on a terminal what became of the run's months, if the log shows the run's last line."""
    run = runs.current()
    if run is None or run.run_id is None or not bar.is_terminal() or not logs.shows_info():
        return
    try:
        found = warehouse.run_months(run.warehouse, run.run_id)
    except TaxiError as error:
        logger.info("what became of the months can't be shown: %s", error)
        return
    loads = [each for each in found if each.is_loaded or each.error is not None]
    if len(loads) > 1:
        from rich.console import Console

        from luigi_tasks.status.loads import draw

        draw(loads, Console(stderr=True, highlight=False, markup=False, emoji=False))


def _has_merged(task: luigi.Task) -> bool:
    return getattr(task, "ends_attempt", None) == "succeeded"


def _analyze_trips(taxi_types: set[str]) -> None:
    """Gather statistics of the trips tables into which a run has merged months."""
    for taxi_type in sorted(taxi_types):
        try:
            opened = config.open_warehouse()
            warehouse.analyze_trips(opened, f"end of run {taxi_type}", opened.trips[taxi_type])
        except TaxiError as error:
            logger.warning("%s trips aren't analysed: %s", taxi_type, error)


def _unpublished(found: dict[str, Any]) -> dict[str, int]:
    """How many of the months asked for aren't published, by service."""
    missing = found["still_pending_ext"]
    return Counter(each.taxi_type for each in missing if each.task_family == "TaxiPublished")


def _shown(task: luigi.Task) -> str:
    """A task as it's recorded: its name and what was asked for."""
    values = [
        f"{name}={parameter.serialize(value)}"
        for name, parameter in task.get_params()
        if parameter.significant and (value := getattr(task, name)) not in (None, "")
    ]
    return " ".join([task.get_task_family(), *values])


@luigi.Task.event_handler(luigi.Event.BROKEN_TASK)
def note_broken_task(_: luigi.Task, error: BaseException) -> None:
    """Note why it couldn't be found out whether a task is complete, or what it requires."""
    if run := runs.current():
        run.broken.append(error)


_check_complete_cached = luigi.worker.check_complete_cached


def _check_complete(task: luigi.Task, *args: Any, **kwargs: Any) -> bool:
    """Luigi's own, which keeps only the traceback of an error, and has no event for it."""
    try:
        return bool(_check_complete_cached(task, *args, **kwargs))
    except Exception as error:
        note_broken_task(task, error)
        raise


def install() -> None:
    """Have Luigi make this worker."""
    luigi.worker.Worker = Worker  # type: ignore[misc]
    luigi.worker.check_complete_cached = _check_complete


def phase_out() -> None:
    """Have this process's worker, or that of the process it is a child of, begin no more tasks.

    That is what Luigi does at SIGUSR1.
    """
    process = multiprocessing.current_process()
    parent = multiprocessing.parent_process()
    if parent and isinstance(process, luigi.worker.TaskProcess):
        if not luigi.worker.worker().no_install_shutdown_handler:
            os.kill(parent.pid, signal.SIGUSR1)  # type: ignore[arg-type]
    elif callable(signal.getsignal(signal.SIGUSR1)):
        os.kill(os.getpid(), signal.SIGUSR1)


def _start_by_fork() -> None:
    """Have Luigi start its processes by fork wherever this runs; it was written for that.

    From Python 3.14 on, and on macOS, a process is no fork by default: it would know none of the
    flags, and load into another warehouse than the one asked for.
    """
    fork: Any = multiprocessing.get_context("fork")
    luigi.worker.multiprocessing = fork
    luigi.worker.TaskProcess._Popen = staticmethod(fork.Process._Popen)  # type: ignore[method-assign]


_start_by_fork()
