-- Count the months of each service whose last attempt that ended by itself failed by a fault of the
-- month's own, and that haven't been loaded since.
SELECT
    last_attempt.taxi_type,
    count(*) AS months
FROM (
    SELECT DISTINCT ON (attempt.taxi_type, attempt.month) attempt.*
    FROM {{ attempts_table | identifier }} AS attempt
    WHERE
        (attempt.state = 'failed' AND attempt.cause IS DISTINCT FROM 'passing')
        OR (
            attempt.state = 'succeeded'
            AND attempt.step NOT IN (
                'TaxiPublished', 'TaxiDownload', 'TaxiTransform', 'TaxiStageLoad'
            )
        )
    ORDER BY
        attempt.taxi_type ASC,
        attempt.month ASC,
        attempt.ended_at DESC,
        attempt.attempt_id DESC
) AS last_attempt
WHERE
    last_attempt.state = 'failed'
    AND NOT last_attempt.is_forgotten
    AND NOT EXISTS (
        SELECT
        FROM {{ ledger | identifier }} AS loaded
        WHERE
            loaded.taxi_type = last_attempt.taxi_type
            AND loaded.month = last_attempt.month
            AND loaded.finished_at > last_attempt.ended_at
    )
GROUP BY last_attempt.taxi_type;
