"""Measurements, what was promised of them, and how both are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.running import Took

MEGABYTE = 1_000_000


@dataclass
class Measurement:
    """One run of one alternative."""

    part: str
    what: str
    repeat: int
    seconds: float
    load_average: float
    client_user: float | None = None
    client_system: float | None = None
    server_user: float | None = None
    server_system: float | None = None
    details: dict[str, float] = field(default_factory=dict)

    def take(self, took: Took) -> None:
        """Note the processor time of a command."""
        self.client_user, self.client_system = took.client.user, took.client.system
        if took.server:
            self.server_user, self.server_system = took.server.user, took.server.system


@dataclass(frozen=True)
class Target:
    """A promise, and what was measured: at most, or at least, so much."""

    what: str
    measured: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        if self.at_most is not None:
            return self.measured <= self.at_most
        return self.at_least is not None and self.measured >= self.at_least

    @property
    def wanted(self) -> str:
        if self.at_most is not None:
            return f"at most {self.at_most:g}{self.unit}"
        return f"at least {self.at_least:g}{self.unit}"


@dataclass
class Table:
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [list(self.head), *map(list, self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.head))]
        shown = []
        for line in lines:
            cells = [
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            shown.append(f"| {' | '.join(cells)} |")
        rule = ["-" * width if not place else "-" * (width - 1) + ":" for place, width in
                enumerate(widths)]  # fmt: skip
        return "\n".join([shown[0], f"| {' | '.join(rule)} |", *shown[1:]])


@dataclass
class Section:
    """What a part found."""

    part: str
    title: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def __str__(self) -> str:
        blocks = [f"## {self.part}: {self.title}", *map(str, self.tables), *self.notes]
        if self.targets:
            table = Table(["target", "wanted", "measured", ""])
            for target in self.targets:
                verdict = "met" if target.is_met else "MISSED"
                measured = f"{target.measured:.3g}{target.unit}"
                table.rows.append([target.what, target.wanted, measured, verdict])
            blocks.append(str(table))
        return "\n\n".join(blocks) + "\n"


def comparison(measurements: Iterable[Measurement], base: str) -> Table:
    """Alternatives by their medians, and how many times as long as ``base`` each takes."""
    table = Table(
        ["", "seconds", "least to most", f"of {base}", "client user + system",
         "server user + system"]
    )  # fmt: skip
    by_name = grouped(measurements)
    for name, found in by_name.items():
        seconds = [each.seconds for each in found]
        ratio = median(seconds) / medians(by_name[base]) if base in by_name else None
        table.rows.append(
            [
                name,
                f"{median(seconds):.2f}",
                f"{min(seconds):.2f} to {max(seconds):.2f}" if len(seconds) > 1 else "once",
                f"{ratio:.2f}x" if ratio else "",
                _cpu(found, "client"),
                _cpu(found, "server"),
            ]
        )
    return table


def _cpu(found: list[Measurement], whose: str) -> str:
    parts = []
    for kind in ("user", "system"):
        taken = [getattr(each, f"{whose}_{kind}") for each in found]
        if None in taken:
            return ""
        parts.append(f"{median(taken):.2f}")
    return " + ".join(parts)


def grouped(measurements: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """Measurements of each alternative."""
    by_name: dict[str, list[Measurement]] = {}
    for each in measurements:
        by_name.setdefault(each.what, []).append(each)
    return by_name


def medians(found: Iterable[Measurement], detail: str | None = None) -> float:
    """The median of the seconds, or of a detail."""
    return median(each.details[detail] if detail else each.seconds for each in found)


def megabytes(size: float) -> str:
    return f"{size / MEGABYTE:,.1f} MB"
