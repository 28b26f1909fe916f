"""Values as text for a message or the log, those of unknown content among them."""

from collections.abc import Iterable
from typing import Any

#: Characters that move a terminal's cursor or colour it, begin a line of the log, or change the
#: direction of writing; tabs are left alone.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))}
_CONTROL |= {
    code: f"\\u{code:04x}" for code in (*range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
}


def printable(value: Any) -> str:
    """Return a value as text for one line of the log, its control characters escaped."""
    return str(value).translate(_CONTROL).encode(errors="backslashreplace").decode()


def shortened(value: Any, most: int = 100) -> str:
    """Return a value as text for a message: ``printable``, and cut after ``most`` characters."""
    text = printable(str(value)[: most + 1]).replace("\t", "\\t")
    return text if len(text) <= most else f"{text[:most]}…"


def listed(names: Iterable[str], most: int = 30) -> str:
    """Return names as a list for a message: the first ``most`` of them, and how many more."""
    shown = [shortened(name) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts, such as ``1 month`` or ``1,200 months``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def sized(number: float) -> str:
    """Return a number of bytes as text, such as ``52 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"
