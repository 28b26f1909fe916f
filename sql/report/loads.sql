-- Select what the ledger says of the loads that are in place.
SELECT
    taxi_type,
    month,
    rows_read,
    rows_rejected,
    rows_duplicate,
    rows_stray,
    quality,
    download_seconds,
    transform_seconds,
    stage_seconds,
    merge_seconds,
    finished_at,
    rows_staged - rows_duplicate AS rows_distinct
FROM {{ ledger | identifier }}
WHERE load_id = ANY({{ load_ids | value }}::bigint[])
ORDER BY taxi_type, month;
