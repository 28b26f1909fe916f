-- Select what a byte of a published file has come to by the last loads of each service: rows
-- and seconds.
SELECT
    last_load.taxi_type,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY last_load.rows_per_byte) AS rows_per_byte,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY last_load.seconds_per_byte) AS seconds_per_byte
FROM (
    SELECT
        taxi_type,
        rows_read::double precision / greatest(bytes, 1) AS rows_per_byte,
        (download_seconds + transform_seconds + stage_seconds + merge_seconds)
        / greatest(bytes, 1) AS seconds_per_byte,
        row_number() OVER (PARTITION BY taxi_type ORDER BY load_id DESC) AS number
    FROM {{ ledger | identifier }}
) AS last_load
WHERE last_load.number <= {{ most | value }}
GROUP BY last_load.taxi_type;
