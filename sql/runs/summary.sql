-- Select what a run did, by service: months loaded with their rows, and months that failed.
SELECT
    attempt.taxi_type,
    count(loaded.load_id) AS months_loaded,
    coalesce(sum(loaded.rows_inserted), 0)::bigint AS rows_inserted,
    count(*) FILTER (WHERE attempt.state = 'failed') AS months_failed
FROM {{ attempts_table | identifier }} AS attempt
LEFT JOIN LATERAL (
    SELECT
        history.load_id,
        history.rows_inserted
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
GROUP BY attempt.taxi_type
ORDER BY attempt.taxi_type;
