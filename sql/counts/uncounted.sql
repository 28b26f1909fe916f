-- Select the merged months that the tables for analysts lack, or count as they were before the last
-- load: a package from before these tables has loaded them, or a table is new.
SELECT -- noqa: disable=LT02
    last_load.taxi_type,
    last_load.month
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
WHERE
    last_load.trips_table = ANY({{ trips_tables | value }}::text[])
    {% if is_counted %}
    AND NOT EXISTS (
        SELECT
        FROM {{ counted_table | identifier }} AS counted
        WHERE
            counted.trips_table = last_load.trips_table
            AND counted.taxi_type = last_load.taxi_type
            AND counted.month = last_load.month
            AND counted.load_id = last_load.load_id
            AND counted.definition = {{ definition | value }}
    )
    {% endif %}
ORDER BY last_load.taxi_type, last_load.month;
