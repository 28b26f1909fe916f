"""The source: a mirror that spoils one of its answers."""

from __future__ import annotations

from pathlib import Path

from mirror import Cut, Fault, Garbage, Hangup, Mirror, Nonsense, Page, Silence, Stall, Status


class Source(Mirror):
    """Publishes the folders of all scenarios."""

    def begin(self, call: str = "", how: str = "") -> None:
        """Number the requests anew, for another run, and spoil one of them.

        :param call: its number and method, such as ``3GET``.
        """
        self.released.set()
        self.requests.clear()
        self.faults = []
        self.at = 0
        if call:
            method = call.lstrip("0123456789")
            self.at = int(call.removesuffix(method))
            self.faults = [_fault(how, method)]

    @property
    def has_spoiled(self) -> bool:
        return bool(self.at) and not self.faults

    def template(self, folder: Path) -> str:
        """``[source] url`` for a folder below the mirror's."""
        name = folder.relative_to(self.folder).as_posix()
        template = f"{name}/{{{{ taxi_type }}}}_tripdata_{{{{ month }}}}.parquet"
        return str(self.url(template))


def _fault(how: str, method: str) -> Fault:
    half = 9_000  # of a month's some 18,000 bytes
    if how.isdigit():
        return Status(int(how), method=method)
    faults = {
        "hangup": Hangup(method=method),
        "reset": Hangup(reset=True, method=method),
        "half-head": Hangup(half_a_head=True, method=method),
        "stall": Silence(method=method),
        "not-http": Nonsense(method=method),
        "cut": Cut(half, method=method),
        "cut-reset": Cut(half, reset=True, method=method),
        "stall-body": Stall(half, method=method),
        "garbage": Garbage(method=method),
        "page": Page(method=method),
    }
    return faults[how]
