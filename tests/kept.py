"""A warehouse whose ledger is made up, for tests of what is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from conftest import Database
from dateutil.relativedelta import relativedelta
from months import close_sessions

from luigi_tasks import config, warehouse
from luigi_tasks.months import Month
from luigi_tasks.status import Overview, read_overview
from luigi_tasks.tables import Warehouse
from luigi_tasks.warehouse import features

LAST = date.today().replace(day=1) - relativedelta(months=1)


def ago(months: int) -> date:
    """The first day of a month, counted back from the last one that is over."""
    return LAST - relativedelta(months=months)


@contextmanager
def kept_in(
    database: Database, settings: Callable[[str, str, str], None], folder: Path
) -> Iterator[Kept]:
    """A database as the warehouse of the settings, with its tables; its sessions end with it."""
    settings("warehouse", "url", database.url)
    settings("storage", "root", str(folder))
    opened = config.open_warehouse()
    warehouse.prepare(opened, "test")
    yield Kept(database, opened)
    close_sessions()


@dataclass
class Kept:
    """A warehouse whose ledger is made up: its months have no trips to look for."""

    database: Database
    opened: Warehouse

    def load(self, month: date, rows: int = 100, taxi_type: str = "green", **facts: Any) -> None:
        values = {
            "taxi_type": taxi_type,
            "month": month,
            "trips_table": f"public.{taxi_type}_trips",
            "quality": "{}",
            "rows_rejected": 0,
            "rows_duplicate": 0,
            **facts,
        }
        values |= {
            "rows_staged": rows + values["rows_duplicate"],
            "rows_read": rows + values["rows_duplicate"] + values["rows_rejected"],
            "rows_inserted": rows,
            **dict.fromkeys(("rows_present", "rows_removed", "rows_stray"), 0),
            **dict.fromkeys(("filename", "url", "sha256", "package_version"), "x"),
            **dict.fromkeys(("pickup_months", "unknown_columns"), "{}"),
            "bytes": 10 * rows,
            "download_seconds": 1.0,
            "transform_seconds": 2.0,
            "stage_seconds": 3.0,
            "merge_seconds": 4.5,
        }
        self.database.query(
            f"INSERT INTO load_history ({', '.join(values)}, started_at, finished_at) "
            f"VALUES ({', '.join(['%s'] * len(values))}, now(), clock_timestamp())",
            *values.values(),
        )
        self.database.query(
            "INSERT INTO table_updates (update_id) VALUES (%s) ON CONFLICT DO NOTHING",
            Month(taxi_type, month).merged_id,
        )
        self.database.query(
            "INSERT INTO counted_loads SELECT %s, %s, %s, max(load_id), %s FROM load_history "
            "ON CONFLICT ON CONSTRAINT counted_loads_pkey DO UPDATE SET load_id = excluded.load_id",
            *(values[name] for name in ("trips_table", "taxi_type", "month")),
            features.definition(),
        )

    def attempt(self, month: date, state: str, cause: str | None = None) -> None:
        ended = "NULL" if state == "running" else "clock_timestamp()"
        self.database.query(
            "WITH run AS (INSERT INTO runs (host, pid, started_by, command, state, "
            "package_version, ended_at) VALUES "
            f"('somewhere', 1, 'x', 'TaxiDue', %s, '0', {ended}) RETURNING run_id) "
            "INSERT INTO load_attempts (run_id, taxi_type, month, state, step, error, cause, "
            f"ended_at) SELECT run_id, 'green', %s, %s, 'TaxiTransform', %s, %s, {ended} FROM run",
            state,
            month,
            state,
            cause and "it is broken",
            cause,
        )

    def see(self, month: date, reason: str, deadline: date | None = None) -> None:
        warehouse.record_seen(
            self.opened, "green", [(month, reason, deadline)], reasons=[reason], months=[month]
        )

    def overview(self) -> Overview:
        return read_overview(self.opened, ago(5))

    def states(self) -> dict[date, str]:
        return {each.month.first_day: each.state for each in self.overview().months}
