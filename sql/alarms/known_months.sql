-- Select what is known of the months that have failed by a fault of their own, or that somebody has
-- heard of and that weren't ok then. An attempt that ended well counts if it came to the merge; a
-- load that was recorded in the ledger counts as well.
WITH last_alarm AS (
    SELECT DISTINCT ON (alarm.taxi_type, alarm.month)
        alarm.taxi_type,
        alarm.month,
        alarm.state
    FROM {{ alarms_table | identifier }} AS alarm
    ORDER BY alarm.taxi_type ASC, alarm.month ASC, alarm.alarm_id DESC
),

last_attempt AS (
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
),

known AS (
    SELECT
        last_attempt.step,
        last_attempt.error,
        last_attempt.cause,
        last_attempt.run_id,
        last_attempt.ended_at,
        coalesce(last_alarm.taxi_type, last_attempt.taxi_type) AS taxi_type,
        coalesce(last_alarm.month, last_attempt.month) AS month,
        coalesce(last_alarm.state, 'ok') AS alarm_state,
        coalesce(last_attempt.state = 'failed', FALSE) AS was_failed,
        coalesce(last_attempt.is_forgotten, FALSE) AS is_forgotten
    FROM last_alarm
    FULL JOIN last_attempt
        ON
            last_alarm.taxi_type = last_attempt.taxi_type
            AND last_alarm.month = last_attempt.month
),

judged AS (
    SELECT
        known.*,
        known.was_failed AND NOT EXISTS (
            SELECT
            FROM {{ ledger | identifier }} AS loaded
            WHERE
                loaded.taxi_type = known.taxi_type
                AND loaded.month = known.month
                AND loaded.finished_at > known.ended_at
        ) AS is_failed
    FROM known
    WHERE known.alarm_state <> 'ok' OR known.was_failed
)

SELECT
    judged.taxi_type,
    judged.month,
    judged.alarm_state,
    judged.is_failed AND NOT judged.is_forgotten AS has_failed,
    NOT judged.is_failed AND EXISTS (
        SELECT
        FROM {{ marker_table | identifier }} AS marker
        WHERE
            marker.update_id
            = 'TaxiMerge ' || judged.taxi_type || ' ' || to_char(judged.month, 'YYYY-MM')
    ) AS is_merged,
    judged.step,
    judged.error,
    judged.cause,
    run.host,
    judged.run_id,
    judged.ended_at
FROM judged
LEFT JOIN {{ runs_table | identifier }} AS run
    ON judged.run_id = run.run_id
ORDER BY judged.month, judged.taxi_type;
