-- Select the durations of each service's last load, in seconds by step.
SELECT DISTINCT ON (taxi_type)
    taxi_type,
    download_seconds,
    transform_seconds,
    stage_seconds,
    merge_seconds
FROM {{ ledger | identifier }}
ORDER BY taxi_type ASC, load_id DESC;
