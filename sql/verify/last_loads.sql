-- Select the last load of each file that a trips table has: what it should hold of it.
SELECT DISTINCT ON (loaded.month) -- noqa: disable=ST06
    loaded.month,
    loaded.filename,
    marker.update_id IS NOT NULL AS is_merged,
    loaded.pickup_months,
    loaded.rows_shared,
    loaded.new_columns,
    loaded.sha256,
    loaded.sums,
    loaded.stray_ids::text[] AS stray_ids
FROM {{ ledger | identifier }} AS loaded
LEFT JOIN {{ marker_table | identifier }} AS marker
    ON marker.update_id = {{ update_id_prefix | value }} || to_char(loaded.month, 'YYYY-MM')
WHERE
    loaded.taxi_type = {{ taxi_type | value }}
    AND loaded.trips_table = {{ trips | join('.') | value }}
ORDER BY loaded.month ASC, loaded.load_id DESC;
