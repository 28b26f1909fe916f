-- Select the editions of merged months, by their last loads.
SELECT DISTINCT ON (last_load.month)
    last_load.month,
    last_load.load_id,
    last_load.etag,
    last_load.last_modified,
    last_load.bytes,
    last_load.sha256,
    CASE
        WHEN last_load.pickup_months <> '{}' THEN (
            SELECT
                coalesce(
                    obj_description({{ trips | identifier | value }}::regclass, 'pg_class'),
                    ''
                )
        )
    END AS comment_of_trips
FROM {{ ledger | identifier }} AS last_load
INNER JOIN {{ marker_table | identifier }} AS marker
    ON marker.update_id = {{ update_id_prefix | value }} || to_char(last_load.month, 'YYYY-MM')
WHERE
    last_load.taxi_type = {{ taxi_type | value }}
    AND last_load.trips_table = {{ trips | join('.') | value }}
    AND last_load.month = ANY({{ months | value }}::date[])
ORDER BY last_load.month ASC, last_load.load_id DESC;
