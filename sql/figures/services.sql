-- Select figures of each service: its merged months, by their last loads, and the holes between
-- them.
WITH last_load AS (
    SELECT DISTINCT ON (loaded.taxi_type, loaded.month) loaded.*
    FROM {{ ledger | identifier }} AS loaded
    INNER JOIN {{ marker_table | identifier }} AS marker
        ON
            marker.update_id
            = 'TaxiMerge ' || loaded.taxi_type || ' ' || to_char(loaded.month, 'YYYY-MM')
    ORDER BY loaded.taxi_type ASC, loaded.month ASC, loaded.load_id DESC
)

SELECT
    taxi_type,
    count(*) AS months,
    sum(rows_staged - rows_duplicate)::bigint AS trips,
    sum(rows_rejected)::bigint AS rejects,
    sum(rows_duplicate)::bigint AS duplicates,
    sum(bytes)::bigint AS bytes_published,
    max(month) AS newest_month,
    (
        extract(YEAR FROM age(max(month), min(month))) * 12
        + extract(MONTH FROM age(max(month), min(month)))
        + 1
        - count(*)
    )::bigint AS missing
FROM last_load
GROUP BY taxi_type
ORDER BY taxi_type;
