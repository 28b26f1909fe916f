"""A ledger and tables for analysts of any size, made up by PostgreSQL: for tests of the report, and
for a look at it."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import psycopg2

from luigi_tasks.warehouse import features

#: The tables that the tables for analysts add up, and what else is filled here.
TABLES = (
    "daily_trips_by_file",
    "monthly_trips_by_file",
    "zone_pickups_by_file",
    "hourly_trips_by_file",
    "counted_loads",
    "zone_outlines",
    "load_history",
    "table_updates",
)
#: What services are larger than others by; fhv publishes no money.
SIZES = {"yellow": 100, "green": 10, "fhv": 30, "fhvhv": 300}


def query(url: str, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """Run a statement, commit, and return its rows."""
    session = psycopg2.connect(url)
    try:
        with session, session.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        session.close()


def empty(url: str) -> None:
    """Empty what is filled here."""
    query(url, f"TRUNCATE {', '.join(TABLES)}")


def fill(url: str, taxi_type: str, first: date, months: int, gaps: Sequence[int] = ()) -> None:
    """Load months into the ledger, and their trips into the tables for analysts.

    :param gaps: numbers of months that aren't loaded.
    """
    size = SIZES[taxi_type]
    query(
        url,
        """
        INSERT INTO load_history (taxi_type, month, trips_table, filename, url, sha256, bytes,
            rows_read, rows_rejected, rows_staged, rows_duplicate, rows_present, rows_inserted,
            rows_removed, rows_stray, pickup_months, unknown_columns, quality, download_seconds,
            transform_seconds, stage_seconds, merge_seconds, started_at, finished_at,
            package_version)
        SELECT %(taxi_type)s, month, format('public.%%s_trips', %(taxi_type)s), 'x', 'x', 'x',
            rows * 20, rows + n %% 7 + n %% 3, n %% 7,
            rows + n %% 3, n %% 3, 0, rows, 0, n %% 5, '{}', '{}',
            jsonb_build_object('stray', n %% 5, 'null_passenger_count',
                rows / CASE WHEN n BETWEEN 20 AND 40 THEN 3 ELSE 40 END,
                'negative_total', rows / (90 + n %% 10)),
            rows / 1e6, rows / 5e5, rows / 3e5 + n %% 4, rows / 2e6, now(), clock_timestamp(), '0'
        FROM (SELECT n, (%(first)s::date + n * interval '1 month')::date AS month,
            (%(size)s * 1000 * (2 + sin(n / 6.0)))::bigint AS rows
            FROM generate_series(0, %(months)s - 1) AS n WHERE n <> ALL(%(gaps)s)) AS numbered
        ORDER BY n
        """,
        taxi_type=taxi_type,
        first=first,
        months=months,
        size=size,
        gaps=list(gaps),
    )
    query(
        url,
        """
        INSERT INTO table_updates (update_id)
        SELECT format('TaxiMerge %%s %%s', taxi_type, to_char(month, 'YYYY-MM'))
        FROM load_history WHERE taxi_type = %(taxi_type)s
        """,
        taxi_type=taxi_type,
    )
    query(
        url,
        """
        INSERT INTO daily_trips_by_file
        SELECT format('public.%%s_trips', %(taxi_type)s), %(taxi_type)s, month, day, trips,
            trips * 3 / 2, trips * 327, CASE WHEN has_money THEN trips * 1431 END,
            CASE WHEN has_money THEN trips * 202 END, CASE WHEN has_money THEN trips * 1874 END
        FROM (SELECT month, day::date, %(taxi_type)s <> 'fhv' AS has_money,
            (%(size)s * (30 + 10 * sin(extract(doy FROM day) / 58.0)
            + extract(isodow FROM day)))::bigint AS trips
            FROM load_history, generate_series(month::timestamp,
                month + interval '1 month' - interval '1 day', interval '1 day') AS day
            WHERE taxi_type = %(taxi_type)s) AS days
        UNION ALL
        SELECT format('public.%%s_trips', %(taxi_type)s), %(taxi_type)s, date '2020-01-01', day,
            trips, 1, 1, 1, 1, 1
        FROM (VALUES (date '2041-08-17', 1), (date '2002-12-31', 2)) AS strays (day, trips)
        """,
        taxi_type=taxi_type,
        size=size,
    )
    query(
        url,
        """
        INSERT INTO monthly_trips_by_file
        SELECT trips_table, taxi_type, file_month, date_trunc('month', day), sum(trips),
            sum(passengers), sum(distance), sum(fares), sum(tips), sum(revenue)
        FROM daily_trips_by_file WHERE taxi_type = %(taxi_type)s GROUP BY 1, 2, 3, 4
        """,
        taxi_type=taxi_type,
    )
    query(
        url,
        """
        INSERT INTO hourly_trips_by_file
        SELECT trips_table, taxi_type, file_month, month, weekday, hour,
            1 + trips * (25 - abs(18 - hour)) * (5 + weekday) / 9999
        FROM monthly_trips_by_file, generate_series(1, 7) AS weekday, generate_series(0, 23) AS hour
        WHERE taxi_type = %(taxi_type)s
        """,
        taxi_type=taxi_type,
    )
    query(
        url,
        """
        INSERT INTO zone_pickups_by_file
        SELECT trips_table, taxi_type, file_month, month, CASE WHEN zone < 266 THEN zone END,
            trips * (1 + zone * 7919 %% 263) / 34000, revenue / 265
        FROM monthly_trips_by_file, generate_series(1, 266) AS zone WHERE taxi_type = %(taxi_type)s
        """,
        taxi_type=taxi_type,
    )
    query(
        url,
        """
        INSERT INTO counted_loads
        SELECT trips_table, taxi_type, month, load_id, %(definition)s
        FROM load_history WHERE taxi_type = %(taxi_type)s
        """,
        taxi_type=taxi_type,
        definition=features.definition(),
    )


def draw_zones(url: str, bytes_of_zone: int = 0) -> None:
    """Make up outlines: squares, side by side, or borders of so many bytes."""
    query(
        url,
        """
        INSERT INTO zone_outlines
        SELECT zone, format('M%%s %%sh50', zone %% 20 * 50, zone / 20 * 50)
            || repeat('l1 1l-1 1', greatest(0, %(size)s - 30) / 9) || 'v50h-50z', '0 0 1000 700'
        FROM generate_series(1, 263) AS zone
        """,
        size=bytes_of_zone,
    )
