"""The real ``luigi`` command."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.inputs import Month, after
from bench.server import Database


@dataclass(frozen=True)
class Pipeline:
    """How the command is called for months of one folder.

    Without ``url`` it runs the embedded server of its storage folder.
    """

    published: Path
    storage: Path
    url: str | None

    def merge(self, month: Month, task: str = "TaxiMerge") -> list[str]:
        """One month."""
        return self._command(task, f"--month={month.name}", f"--taxi-type={month.taxi_type}")

    def merge_range(self, months: list[Month], task: str = "TaxiMerge") -> list[str]:
        """Months that follow each other."""
        of_params = json.dumps({"taxi_type": months[0].taxi_type})
        return self._command(
            "RangeMonthly",
            f"--of={task}",
            f"--of-params={of_params}",
            f"--start={months[0].name}",
            f"--stop={after(months[-1])}",
        )

    def _command(self, *words: str) -> list[str]:
        source = f"file://{self.published}/{{{{ taxi_type }}}}_tripdata_{{{{ month }}}}.parquet"
        return [
            str(Path(sys.executable).with_name("luigi")),
            "--module=luigi_tasks",
            *words,
            f"--source-url={source}",
            f"--storage-root={self.storage}",
            *([f"--warehouse-url={self.url}"] if self.url else []),
        ]


def steps(database: Database, month: Month) -> dict[str, float]:
    """The seconds of each step of the month's last load, by the ledger."""
    rows = database.query(
        "SELECT download_seconds, transform_seconds, stage_seconds, merge_seconds "
        "FROM load_history WHERE taxi_type = %s AND month = %s ORDER BY load_id DESC LIMIT 1",
        month.taxi_type,
        month.first_day,
    )
    return dict(zip(("download", "transform", "stage", "merge"), rows[0], strict=True))


def forget(database: Database, month: Month) -> None:
    """Remove a month's marker, so that the next run loads the same rows again."""
    marker = f"TaxiMerge {month.taxi_type} {month.name}"
    database.query("DELETE FROM table_updates WHERE update_id = %s", marker)
