-- Select the merged months that the tables for analysts lack, or count as they were: a package from
-- before these tables has loaded them, or a table is new.
SELECT
    last_load.taxi_type,
    last_load.month,
    last_load.trips_table,
    last_load.load_id
FROM (
    SELECT DISTINCT ON (loaded.taxi_type, loaded.month, loaded.trips_table)
        loaded.taxi_type,
        loaded.month,
        loaded.trips_table,
        loaded.load_id
    FROM {{ ledger | identifier }} AS loaded
    ORDER BY
        loaded.taxi_type ASC,
        loaded.month ASC,
        loaded.trips_table ASC,
        loaded.load_id DESC
) AS last_load
INNER JOIN {{ marker_table | identifier }} AS marker
    ON
        marker.update_id
        = 'TaxiMerge ' || last_load.taxi_type || ' ' || to_char(last_load.month, 'YYYY-MM')
LEFT JOIN {{ counted_table | identifier }} AS counted
    ON
        last_load.trips_table = counted.trips_table
        AND last_load.taxi_type = counted.taxi_type
        AND last_load.month = counted.month
        AND last_load.load_id = counted.load_id
        AND counted.definition = {{ definition | value }}
WHERE
    last_load.trips_table = ANY({{ trips_tables | value }}::text[])
    AND counted.load_id IS NULL
ORDER BY last_load.taxi_type, last_load.month;
