"""Questions to the ledger and the markers: what is loaded, and from which edition.

Nothing here changes anything.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import psycopg2.errors

from luigi_tasks.months import Month
from luigi_tasks.records import LastLoad, MergedEdition
from luigi_tasks.tables import TripsTable, Warehouse
from luigi_tasks.warehouse.connection import Cursor
from luigi_tasks.warehouse.session import labelled_cursor, query, with_retries
from luigi_tasks.warehouse.sql import rows
from luigi_tasks.warehouse.tables import look_for_ledger, refuse_other_columns


def is_empty(warehouse: Warehouse) -> bool:
    """Whether no month was ever loaded."""
    return not query(warehouse, "is_empty", "ledger/has_loads.sql")


def merged_months(warehouse: Warehouse, taxi_type: str, months: Sequence[date]) -> set[date]:
    """Which of the months are merged, with their trips in the table, by one query.

    Months with a marker and no trips are queried a second time. A query that waited while a
    partition was attached was planned without it, and didn't see the rows that moved into it.

    :raises TaxiError: all are, with other columns than are selected now. (Otherwise a load
        refuses.)
    """
    asked, found, comments = set(months), set[date](), set[str | None]()
    for _ in range(2):
        answers = query(
            warehouse,
            f"merged months of {taxi_type}",
            "ledger/merged_months.sql",
            months=list(months),
            **of_taxi_type(warehouse, taxi_type),
        )
        found |= {month for month, is_loaded, _ in answers if is_loaded}
        months = [month for month, is_loaded, _ in answers if not is_loaded]
        comments |= {comment for _, is_loaded, comment in answers if is_loaded}
        if not months:
            break
    if found == asked:
        refuse_other_columns(warehouse.trips[taxi_type], comments)
    if not found:
        look_for_ledger(warehouse, taxi_type)
    return found


def merged_editions(
    warehouse: Warehouse, taxi_type: str, months: Sequence[date]
) -> dict[date, MergedEdition]:
    """The editions of those of the months that are merged."""
    answers = query(
        warehouse,
        f"editions of {taxi_type}",
        "ledger/merged_editions.sql",
        months=list(months),
        **of_taxi_type(warehouse, taxi_type),
    )
    if not answers:
        look_for_ledger(warehouse, taxi_type)
    refuse_other_columns(warehouse.trips[taxi_type], {comment for *_, comment in answers})
    return {month: MergedEdition(*facts) for month, *facts, _ in answers}


def outputs_of(warehouse: Warehouse, month: Month) -> dict[str, Any]:
    """The values that the transform's script reported when the month was last loaded."""

    def ask() -> dict[str, Any]:
        with labelled_cursor(warehouse, f"outputs of {month}") as cursor:
            try:
                last = last_load(cursor, warehouse.trips[month.taxi_type], month)
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn):
                return {}  # nothing is loaded; or by an earlier version, until the next load
        return last.outputs if last else {}

    return with_retries(warehouse, ask)


def first_months(warehouse: Warehouse) -> dict[str, date]:
    """The first merged month of each service that the warehouse holds."""
    return dict(query(warehouse, "first months", "ledger/first_months.sql"))


def publication_delays(
    warehouse: Warehouse, taxi_type: str, *, longest: int, most: int
) -> list[float]:
    """How many days after the end of each of a service's last months its file was published.

    :param longest: days; a file that is younger was published anew.
    :param most: how many months.
    """
    names = {"taxi_type": taxi_type, "longest": longest, "most": most}
    found = query(warehouse, f"delays of {taxi_type}", "ledger/delays.sql", **names)
    return [float(days) for (days,) in found]


def medians(warehouse: Warehouse, *, most: int) -> dict[str, tuple[float, float]]:
    """Rows and seconds that a byte of a published file came to, by the last loads of each service.

    :param most: how many loads.
    """
    found = query(warehouse, "medians", "ledger/medians.sql", most=most)
    return {taxi_type: (rows, seconds) for taxi_type, rows, seconds in found}


def last_load(cursor: Cursor, trips: TripsTable, month: Month) -> LastLoad | None:
    """A month's last load."""
    names = {"taxi_type": month.taxi_type, "month": month.first_day, "trips": trips.name}
    found = rows(cursor, "ledger/last_load.sql", **names)
    return LastLoad(*found[0]) if found else None


def month_exists(warehouse: Warehouse, month: Month) -> bool:
    """Whether a month has trips in its partition, a staging table or a marker."""
    return bool(
        query(
            warehouse,
            f"TaxiReset {month}",
            "ledger/month_exists.sql",
            trips=warehouse.trips[month.taxi_type].name,
            filename=month.filename,
            update_ids=[month.staged_id, month.merged_id],
            **month.bounds,
        )
    )


def of_taxi_type(warehouse: Warehouse, taxi_type: str) -> dict[str, Any]:
    """What the queries about all months of a taxi type name."""
    return {
        "taxi_type": taxi_type,
        "trips": warehouse.trips[taxi_type].name,
        "update_id_prefix": f"TaxiMerge {taxi_type} ",
    }
