"""The page: its parts, and the file."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from luigi_tasks import config, warehouse
from luigi_tasks.errors import TaxiError
from luigi_tasks.months import Month
from luigi_tasks.operations import due, messages
from luigi_tasks.status import Overview, colours, read_overview
from luigi_tasks.status.needs import needs, news, shown_time
from luigi_tasks.status.report import loads, trips
from luigi_tasks.status.report.charts import ABOVE, HEIGHT, WIDTH, Months, compact
from luigi_tasks.status.report.places import places
from luigi_tasks.status.report.rejects import Rejects, read_rejects
from luigi_tasks.tables import Warehouse
from luigi_tasks.texts import counted, printable, shortened, sized
from luigi_tasks.warehouse import ReportFigures

#: Characters of a line to run.
LONGEST_COMMAND = 1_000


@dataclass(frozen=True)
class Need:
    """What needs somebody: a label, a text, and the lines to run."""

    label: str
    text: str
    commands: Sequence[str]


def write_report(opened: Warehouse, start: date) -> Path:
    """Write the report of a warehouse to the file of ``[report] file``, and return its path.

    The file appears whole, or not at all.

    :param start: the first month that is wanted of a service of which none is loaded.
    :raises TaxiError: the warehouse can't be read, or the file can't be written.
    """
    overview = read_overview(opened, start)
    merged = [each.load_id for each in overview.months if each.load_id is not None]
    figures = warehouse.report_figures(opened, merged)
    rejects = read_rejects(opened.root, figures.loads)
    path = config.report_file()
    try:
        _replace(path, render(overview, figures, rejects))
    except OSError as error:
        raise TaxiError(f"[report] file: {error}") from None
    return path


def render(overview: Overview, figures: ReportFigures, rejects: Rejects) -> str:
    """The page as HTML."""
    style = _templates().get_template("style.css").render(colours=colours, levels=trips.LEVELS)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    parts = _parts(overview, figures)
    page = _templates().get_template("report.html")
    return page.render(
        style=style,
        style_digest=digest,
        rejects=rejects,
        missing=_missing(figures, overview.uncounted),
        **_head(overview),
        **parts,
    )


def _head(overview: Overview) -> dict[str, Any]:
    months = overview.months
    merged = [each for each in months if each.is_merged]
    counts = Counter(each.state for each in months)
    newest = max((each.loaded_at for each in merged if each.loaded_at), default=None)
    return {
        "place": printable(overview.place),
        "host": shortened(socket.gethostname()),
        "folder": printable(Path.cwd()),
        "made_at": shown_time(overview.made_at),
        "version": version("luigi-tasks"),
        "months": len(merged),
        "known": len(months),
        "rows": sum(each.rows or 0 for each in merged),
        "size": sized(sum(each.bytes or 0 for each in merged)),
        "newest": shown_time(newest) if newest else "",
        "services": list(overview.by_service),
        "states": [
            (state, colours.STATES[state][0], counts[state])
            for state in colours.STATES
            if counts[state]
        ],
        "needing": loads.needing(overview),
        "needs": _needs(overview),
        "hides_password": config.hides_password(),
        "news": [(label, text) for label, text, _ in news(overview)],
    }


def _parts(overview: Overview, figures: ReportFigures) -> dict[str, Any]:
    """The sections; those of charts are left out where nothing is loaded."""
    first_days = [load.month.first_day for load in figures.loads]
    parts: dict[str, Any] = {
        "grids": loads.grids(overview, figures),
        "ledger": figures.last_loads,
        "counts": loads.counts_by_month(figures),
        "checks": loads.CHECKS,
        "daily": None,
        "monthly": None,
        "years": trips.years(figures),
        "weeks": trips.weeks(figures),
        "places": places(figures),
        "quality": [],
        "seconds": ("", []),
    }
    if first_days:
        axis = Months(min(first_days), max(first_days))
        parts |= {
            "axis": axis,
            "daily": trips.daily(figures, axis),
            "monthly": trips.monthly(figures, axis),
            "quality": loads.quality(figures, axis),
            "seconds": loads.seconds(figures, axis),
        }
    return parts


def _needs(overview: Overview) -> list[Need]:
    found: list[tuple[str, str, list[str]]] = []
    for label, text, is_command in needs(overview):
        if is_command:
            found[-1][2].append(shortened(text, LONGEST_COMMAND))
        else:
            found.append((label, text, []))
    return [Need(*each) for each in found]


def _missing(figures: ReportFigures, uncounted: Sequence[Month]) -> list[Need]:
    """What the page lacks, and the line that fills it."""
    found = []
    lacks_a_table = None in (figures.daily, figures.monthly, figures.hourly, figures.zones)
    if uncounted:
        text = "; ".join(
            f"{name} {due.in_ranges([each.first_day for each in months])}"
            for name, months in groupby(uncounted, key=lambda each: each.taxi_type)
        )
        text = f"{text}: these months aren't in the charts of trips yet"
        found.append(Need("not counted", text, [messages.luigi("TaxiFeatures")]))
    elif lacks_a_table and figures.loads:
        text = "the warehouse has no tables for analysts yet, which the charts of trips are of"
        found.append(Need("not counted", text, [messages.luigi("TaxiFeatures")]))
    if not figures.outlines and figures.loads:
        text = "the outlines of the zones aren't loaded, so there is no map"
        found.append(Need("no map", text, [messages.luigi("TaxiZones")]))
    return found


def _replace(path: Path, page: str) -> None:
    """Write the page beside its file, and put it there whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_usual_mode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _usual_mode() -> int:
    """The mode of a new file: mkstemp lets nobody else read."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@lru_cache
def _templates() -> Environment:
    files = Environment(
        loader=PackageLoader("luigi_tasks.status.report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files.filters |= {
        "thousands": lambda number: f"{number:,}",
        "whole": trips.whole,
        "tenths": lambda number: f"{number:,.1f}",
        "percent": lambda share: f"{share:.2%}".replace("%", "\u00a0%"),
        "money": trips.money,
        "time": shown_time,
        "counted": counted,
        "short": shortened,
        "compact": compact,
    }
    files.globals |= {
        "above": ABOVE,
        "width": WIDTH,
        "height": HEIGHT,
        "steps": list(colours.STEPS),
        "unpublished": due.UNPUBLISHED,
    }
    return files
