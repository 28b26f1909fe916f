-- Select the first merged month of each service.
SELECT
    loaded.taxi_type,
    min(loaded.month) AS first_month
FROM {{ ledger | identifier }} AS loaded
INNER JOIN {{ marker_table | identifier }} AS marker
    ON
        marker.update_id
        = 'TaxiMerge ' || loaded.taxi_type || ' ' || to_char(loaded.month, 'YYYY-MM')
GROUP BY loaded.taxi_type
ORDER BY loaded.taxi_type;
