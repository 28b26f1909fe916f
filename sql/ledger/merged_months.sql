-- Select the months that have a marker, and whether their trips are in the table: one sentinel row
-- for each month of pickup is looked up by primary key, whatever the size of the table. LIMIT keeps
-- the planner from joining instead, which would read every partition. The table's comment, which
-- lists its selected columns, is returned for months that have trips.
SELECT
    asked.month,
    NOT EXISTS (
        SELECT
        FROM jsonb_each(last_load.pickup_months) AS merged (pickup_month, facts)
        LEFT JOIN LATERAL (
            SELECT TRUE AS is_there
            FROM {{ trips | identifier }} AS trip
            WHERE
                trip.unique_row_id = (merged.facts ->> 'unique_row_id')::uuid
                AND trip.pickup_datetime = (merged.facts ->> 'pickup_datetime')::timestamp
            LIMIT 1
        ) AS witness ON TRUE
        WHERE witness.is_there IS NULL
    ) AS is_there,
    CASE
        WHEN last_load.pickup_months <> '{}' THEN (
            SELECT
                coalesce(
                    obj_description({{ trips | identifier | value }}::regclass, 'pg_class'),
                    ''
                )
        )
    END AS comment_of_trips
FROM unnest({{ months | value }}::date[]) AS asked (month)
INNER JOIN {{ marker_table | identifier }} AS marker
    ON marker.update_id = {{ update_id_prefix | value }} || to_char(asked.month, 'YYYY-MM')
INNER JOIN LATERAL (
    SELECT loaded.pickup_months
    FROM {{ ledger | identifier }} AS loaded
    WHERE
        loaded.taxi_type = {{ taxi_type | value }}
        AND loaded.month = asked.month
        AND loaded.trips_table = {{ trips | join('.') | value }}
    ORDER BY loaded.load_id DESC
    LIMIT 1
) AS last_load ON TRUE;
