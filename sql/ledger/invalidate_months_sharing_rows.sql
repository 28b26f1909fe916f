-- Delete the markers of months that shared rows with a removed file. A trip in two files is stored
-- once, under the name of the first. When that file's trips are removed, a month that counted some
-- of them lacks what its marker promises.
DELETE FROM {{ marker_table | identifier }}
WHERE update_id IN (
    SELECT {{ update_id_prefix | value }} || to_char(last_load.month, 'YYYY-MM')
    FROM (
        SELECT DISTINCT ON (month)
            month,
            pickup_months,
            coalesce(rows_shared, rows_present) AS rows_shared
        FROM {{ ledger | identifier }}
        WHERE
            taxi_type = {{ taxi_type | value }}
            AND trips_table = {{ trips | join('.') | value }}
        ORDER BY month ASC, load_id DESC
    ) AS last_load
    WHERE
        last_load.month <> {{ month | value }}
        AND last_load.rows_shared > 0
        AND EXISTS (
            SELECT
            FROM {{ ledger | identifier }} AS removed
            WHERE
                removed.taxi_type = {{ taxi_type | value }}
                AND removed.month = {{ month | value }}
                AND removed.pickup_months
                ?| ARRAY(SELECT jsonb_object_keys(last_load.pickup_months))
        )
);
