"""Watch processes and folders while a command runs."""

import stat
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

#: Seconds between looks at the processes' memory, for processes that are new, and at folders.
MEMORY_INTERVAL = 0.02
_NEW_PROCESSES = 0.2
FOLDER_INTERVAL = 0.05


class _Sampler(ABC):
    """Takes a sample every so often, in a thread of its own."""

    interval: float

    def __init__(self) -> None:
        self._ended = threading.Event()

    @abstractmethod
    def sample(self) -> None: ...

    @contextmanager
    def watch(self, number: int) -> Iterator[None]:
        """Take samples while the command, by its process number, runs."""
        self.number = number
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            with suppress(psutil.NoSuchProcess):
                self.sample()
            self._ended.wait(max(0, began + self.interval - time.monotonic()))


class Memory(_Sampler):
    """The peaks of a command's processes and of the server's, by what they are, in bytes.

    Resident memory for the command's; for the server's what is resident and not shared, since
    each of its processes has the same shared buffers.
    """

    interval = MEMORY_INTERVAL

    def __init__(self, server: Callable[[], list[psutil.Process]] = list) -> None:
        super().__init__()
        self.peaks: dict[str, int] = {}
        self.peak_of_all = 0
        self._server = server
        self._watched: dict[int, tuple[str, psutil.Process]] = {}
        self._looked = 0.0

    def sample(self) -> None:
        if time.monotonic() - self._looked > _NEW_PROCESSES:
            self._look()
        total = 0
        for number, (kind, process) in list(self._watched.items()):
            try:
                held = process.memory_info()
            except psutil.Error:
                del self._watched[number]
                continue
            size = held.rss - (held.shared if kind.startswith("PostgreSQL") else 0)
            self.peaks[kind] = max(self.peaks.get(kind, 0), size)
            total += size
        self.peak_of_all = max(self.peak_of_all, total)

    def _look(self) -> None:
        self._looked = time.monotonic()
        command = psutil.Process(self.number)
        for process in [command, *command.children(recursive=True)]:
            self._keep(process, "luigi")
        for process in self._server():
            self._keep(process, "PostgreSQL")

    def _keep(self, process: psutil.Process, owner: str) -> None:
        with suppress(psutil.Error):
            words = process.cmdline()
            kind = owner
            if owner == "PostgreSQL":
                # "postgres: user database [local] COPY"; those of its own have other titles
                title = " ".join(words)
                session = "[local]" in title or "(" in title
                parallel = "parallel worker" in title
                kind += " session" if session else " parallel worker" if parallel else " itself"
            elif "luigi_tasks.transform" in words:
                kind = "transform"
            elif process.pid != self.number:
                kind = f"{process.name()} beside it"
            self._watched[process.pid] = (kind, process)


class Disk(_Sampler):
    """The most that folders take while a command runs, in bytes."""

    interval = FOLDER_INTERVAL

    def __init__(self, folders: dict[str, Path]) -> None:
        super().__init__()
        self.folders = folders
        self.peaks = dict.fromkeys(folders, 0)
        self.peak_of_all = 0

    def sample(self) -> None:
        sizes = self.sizes()
        self.peaks = {name: max(size, self.peaks[name]) for name, size in sizes.items()}
        self.peak_of_all = max(self.peak_of_all, sum(sizes.values()))

    def sizes(self) -> dict[str, int]:
        """What the folders take now."""
        return {name: size_of(folder) for name, folder in self.folders.items()}


def size_of(folder: Path) -> int:
    """Bytes that the files below a folder take on disk."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            found = path.lstat()  # a link takes no room
            if stat.S_ISREG(found.st_mode):
                total += found.st_blocks * 512
    return total
