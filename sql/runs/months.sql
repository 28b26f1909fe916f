-- Select what became of each month of a run: whether it was loaded, or why that failed.
SELECT
    attempt.taxi_type,
    attempt.month,
    loaded.load_id IS NOT NULL AS is_loaded,
    coalesce(loaded.rows_inserted, 0)::bigint AS rows_inserted,
    coalesce(loaded.rows_rejected, 0)::bigint AS rows_rejected,
    coalesce(loaded.seconds, 0) AS seconds,
    CASE
        WHEN attempt.state = 'failed' THEN coalesce(attempt.error, 'the reason is unknown')
    END AS error
FROM {{ attempts_table | identifier }} AS attempt
LEFT JOIN LATERAL (
    SELECT
        history.load_id,
        history.rows_inserted,
        history.rows_rejected,
        history.download_seconds
        + history.transform_seconds
        + history.stage_seconds
        + history.merge_seconds AS seconds
    FROM {{ ledger | identifier }} AS history
    WHERE
        history.taxi_type = attempt.taxi_type
        AND history.month = attempt.month
        AND history.finished_at >= attempt.began_at
        AND attempt.state = 'succeeded'
    ORDER BY history.load_id DESC
    LIMIT 1
) AS loaded ON TRUE
WHERE attempt.run_id = {{ run_id | value }}
ORDER BY attempt.taxi_type, attempt.month;
