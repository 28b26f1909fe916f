"""The overview as JSON; ``docs/status.schema.json`` describes it."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from luigi_tasks.operations import messages
from luigi_tasks.status.overview import Overview, command_of, exit_code
from luigi_tasks.warehouse import LastRun, MonthState


def as_json(overview: Overview) -> str:
    """The overview as JSON: times in ISO 8601 with their zone, months as ``2024-01``."""
    months = overview.months
    awaited = overview.next_published
    content = {
        "made_at": overview.made_at,
        "warehouse": overview.place,
        "exit_code": exit_code(months),
        "totals": {
            "months": sum(each.is_merged for each in months),
            "rows": sum(each.rows or 0 for each in months),
            "bytes": sum(each.bytes or 0 for each in months),
            "rejects": sum(each.rejects or 0 for each in months),
        },
        "uncounted": len(overview.uncounted),
        "last_run": _run(overview.last_run) if overview.last_run else None,
        "next": _month(awaited) if awaited else None,
        "months": [_month(each) for each in months],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, default=_text)


def _text(value: date | datetime) -> str:
    return value.isoformat()


def _run(run: LastRun) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "host": run.host,
        "command": run.command,
        "state": run.state,
        "exit_code": run.exit_code,
        "error": run.error,
        "began_at": run.began_at,
        "ended_at": run.ended_at,
    }


def _month(month: MonthState) -> dict[str, Any]:
    is_running = month.state == "running"
    command = command_of(month)
    return {
        "taxi_type": month.month.taxi_type,
        "month": month.month.text,
        "state": month.state,
        "is_wanted": month.is_wanted,
        "is_merged": month.is_merged,
        "load_id": month.load_id,
        "loaded_at": month.loaded_at,
        "rows": month.rows,
        "rejects": month.rejects,
        "duplicates": month.duplicates,
        "bytes": month.bytes,
        "seconds": month.seconds,
        "exceeded": list(month.exceeded),
        "host": month.host_at_work if is_running else month.host,
        "step": month.step_at_work if is_running else month.step,
        "since": month.began_at if is_running else month.failed_at,
        "error": month.error,
        "deadline": month.deadline,
        "seen_at": month.seen_at,
        "command": messages.from_here() + command if command else None,
    }
