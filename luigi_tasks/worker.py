"""Luigi's worker, with an exit code that tells what is true."""

import logging
import multiprocessing
import os
import signal
from typing import Any

import luigi
import luigi.worker
from luigi.task_status import DONE, FAILED

logger = logging.getLogger("luigi-interface.worker")


class Worker(luigi.worker.Worker):
    """Waits for what other workers have in hand, and asks once more at the end.

    Luigi's own leaves as soon as others do all that is left, and counts as not run whatever it
    didn't run itself.
    """

    def run(self) -> bool:
        succeeded = bool(super().run())
        try:
            self._note_what_others_did()
        except Exception:
            logger.exception("it can't be told what other runs have done")
        return succeeded

    def _keep_alive(self, response: Any) -> bool:
        if response.running_tasks and not self._stop_requesting_work:
            return True
        return bool(super()._keep_alive(response))

    def _add_task(self, *args: Any, **kwargs: Any) -> None:
        if kwargs["status"] is None:  # its process alone was stopped
            kwargs["status"] = FAILED
        super()._add_task(*args, **kwargs)

    def _note_what_others_did(self) -> None:
        """Note the tasks as done that are complete, though this worker didn't complete them.

        Luigi makes its summary and exit code of a worker's own history.
        """
        noted = [(task, status) for task, status, _ in self._add_task_history]
        root = self._scheduled_tasks.get(self._first_task)
        if root is None or (root, DONE) in noted or (root, FAILED) in noted:
            return
        done = {task.task_id for task, status in noted if status == DONE}
        self._note(root, done, is_complete=False)

    def _note(self, task: luigi.Task, done: set[str], *, is_complete: bool) -> None:
        """Note a task if it's complete, with all that it needs, and otherwise what of that is."""
        if task.task_id in done or task.task_id not in self._scheduled_tasks:
            return
        is_external = isinstance(task, luigi.ExternalTask)  # it was asked for a moment ago
        is_complete = is_complete or (not is_external and task.complete())
        if is_complete:
            done.add(task.task_id)
            self._add_task_history.append((task, DONE, False))
        for needed in task.deps():
            self._note(needed, done, is_complete=is_complete)


def install() -> None:
    """Have Luigi make this worker."""
    luigi.worker.Worker = Worker  # type: ignore[misc]


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
