-- Select the ledger's last lines.
SELECT
    load_id,
    finished_at,
    taxi_type,
    month,
    rows_read,
    rows_rejected,
    rows_duplicate,
    rows_inserted,
    rows_removed,
    package_version,
    download_seconds + transform_seconds + stage_seconds + merge_seconds AS seconds
FROM {{ ledger | identifier }}
ORDER BY load_id DESC
LIMIT {{ most | value }};
