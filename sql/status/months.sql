-- Select the state of each month that is wanted of a service, or is merged, has failed, or is being
-- loaded. A failure is one by a fault of the month's own; an attempt that ended well counts if it
-- came to the merge. What the source said of a month counts until the next load of it. Without
-- services, as for the view load_status, those months are wanted that lie between merged ones, or
-- that the source said something of.
WITH wanted AS ( -- noqa: disable=LT02
    {% if taxi_types is none %}
    SELECT
        service.taxi_type,
        calendar.first_day::date AS month
    FROM (
        SELECT
            split_part(update_id, ' ', 2) AS taxi_type,
            min(to_date(split_part(update_id, ' ', 3), 'YYYY-MM')) AS first_month,
            max(to_date(split_part(update_id, ' ', 3), 'YYYY-MM')) AS last_month
        FROM {{ marker_table | identifier }}
        WHERE update_id ~ '^TaxiMerge [a-z]+ \d{4}-\d{2}$'
        GROUP BY split_part(update_id, ' ', 2)
    ) AS service
    CROSS JOIN LATERAL generate_series(
        service.first_month::timestamp,
        service.last_month::timestamp,
        interval '1 month'
    ) AS calendar (first_day)
    UNION
    SELECT
        seen.taxi_type,
        seen.month
    FROM {{ seen_table | identifier }} AS seen
    {% else %}
    SELECT
        service.taxi_type,
        calendar.first_day::date AS month
    FROM
        unnest(
            {{ taxi_types | value }}::text[],
            {{ firsts | value }}::date[],
            {{ lasts | value }}::date[]
        ) AS service (taxi_type, first_month, last_month)
    CROSS JOIN LATERAL generate_series(
        service.first_month::timestamp,
        service.last_month::timestamp,
        interval '1 month'
    ) AS calendar (first_day)
    {% endif %}
),

last_load AS (
    SELECT DISTINCT ON (loaded.taxi_type, loaded.month)
        loaded.taxi_type,
        loaded.month,
        loaded.load_id,
        loaded.finished_at,
        loaded.rows_rejected,
        loaded.rows_duplicate,
        loaded.bytes,
        loaded.quality,
        loaded.rows_staged - loaded.rows_duplicate AS rows_distinct,
        (loaded.month + interval '1 month')::date AS next_month,
        loaded.download_seconds
        + loaded.transform_seconds
        + loaded.stage_seconds
        + loaded.merge_seconds AS seconds
    FROM {{ ledger | identifier }} AS loaded
    ORDER BY loaded.taxi_type ASC, loaded.month ASC, loaded.load_id DESC
),

merged AS (
    SELECT
        split_part(marker.update_id, ' ', 2) AS taxi_type,
        to_date(split_part(marker.update_id, ' ', 3), 'YYYY-MM') AS month
    FROM {{ marker_table | identifier }} AS marker
    WHERE marker.update_id ~ '^TaxiMerge [a-z]+ \d{4}-\d{2}$'
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

at_work AS (
    SELECT DISTINCT ON (attempt.taxi_type, attempt.month)
        attempt.taxi_type,
        attempt.month,
        attempt.step,
        attempt.began_at,
        run.host
    FROM {{ attempts_table | identifier }} AS attempt
    INNER JOIN {{ runs_table | identifier }} AS run
        ON attempt.run_id = run.run_id
    WHERE
        attempt.ended_at IS NULL
        AND run.ended_at IS NULL
        AND NOT run.run_id = ANY({{ dead_runs | value }}::bigint[])
    ORDER BY
        attempt.taxi_type ASC,
        attempt.month ASC,
        attempt.state ASC, -- who works comes before who waits
        attempt.attempt_id DESC
),

known AS (
    SELECT
        wanted.taxi_type,
        wanted.month
    FROM wanted
    UNION
    SELECT
        merged.taxi_type,
        merged.month
    FROM merged
    UNION
    SELECT
        last_attempt.taxi_type,
        last_attempt.month
    FROM last_attempt
    WHERE last_attempt.state = 'failed'
    UNION
    SELECT
        at_work.taxi_type,
        at_work.month
    FROM at_work
),

facts AS (
    SELECT
        known.taxi_type,
        known.month,
        in_place.load_id,
        in_place.finished_at,
        in_place.rows_distinct,
        in_place.rows_rejected,
        in_place.rows_duplicate,
        in_place.bytes,
        in_place.seconds,
        in_place.quality,
        month_before.rows_distinct AS rows_before,
        last_attempt.step,
        last_attempt.error,
        last_attempt.cause,
        last_attempt.run_id,
        last_attempt.ended_at,
        at_work.host AS host_at_work,
        at_work.step AS step_at_work,
        at_work.began_at,
        seen.reason,
        seen.deadline,
        seen.seen_at,
        wanted.month IS NOT NULL AS is_wanted,
        merged.month IS NOT NULL AS is_merged,
        coalesce(
            last_attempt.state = 'failed'
            AND NOT last_attempt.is_forgotten
            AND coalesce(last_load.finished_at <= last_attempt.ended_at, TRUE),
            FALSE
        ) AS has_failed
    FROM known
    LEFT JOIN wanted
        ON
            known.taxi_type = wanted.taxi_type
            AND known.month = wanted.month
    LEFT JOIN merged
        ON
            known.taxi_type = merged.taxi_type
            AND known.month = merged.month
    LEFT JOIN last_load
        ON
            known.taxi_type = last_load.taxi_type
            AND known.month = last_load.month
    LEFT JOIN last_load AS in_place
        ON
            merged.taxi_type = in_place.taxi_type
            AND merged.month = in_place.month
    LEFT JOIN last_load AS month_before
        ON
            known.taxi_type = month_before.taxi_type
            AND known.month = month_before.next_month
    LEFT JOIN last_attempt
        ON
            known.taxi_type = last_attempt.taxi_type
            AND known.month = last_attempt.month
    LEFT JOIN at_work
        ON
            known.taxi_type = at_work.taxi_type
            AND known.month = at_work.month
    LEFT JOIN {{ seen_table | identifier }} AS seen
        ON
            known.taxi_type = seen.taxi_type
            AND known.month = seen.month
            AND coalesce(last_load.finished_at, '-infinity') < seen.seen_at
            AND (
                last_attempt.state IS DISTINCT FROM 'succeeded'
                OR last_attempt.ended_at < seen.seen_at
            )
),

judged AS MATERIALIZED (
    SELECT
        facts.*,
        CASE
            WHEN facts.load_id IS NULL THEN '{}'
            ELSE ARRAY(
                SELECT 'no_rows'
                WHERE facts.rows_distinct = 0
                UNION ALL
                SELECT 'least_rows'
                WHERE
                    facts.rows_before > 0
                    AND facts.rows_distinct
                    < {{ least_rows | value }}::double precision * facts.rows_before
                UNION ALL
                SELECT ceiling.name
                FROM jsonb_each_text({{ most | value }}::jsonb) AS ceiling (name, share)
                WHERE
                    coalesce((facts.quality ->> ceiling.name)::bigint, 0)
                    > ceiling.share::double precision * facts.rows_distinct
            )
        END AS exceeded
    FROM facts
)

SELECT
    judged.taxi_type,
    judged.month,
    judged.is_wanted,
    judged.is_merged,
    judged.has_failed,
    judged.load_id,
    judged.finished_at AS loaded_at,
    judged.rows_distinct,
    judged.rows_rejected,
    judged.rows_duplicate,
    judged.bytes,
    judged.seconds,
    judged.exceeded,
    judged.host_at_work,
    judged.step_at_work,
    judged.began_at,
    judged.deadline,
    judged.seen_at,
    judged.quality,
    judged.rows_before,
    failure.step,
    failure.error,
    failure.cause,
    failure.host,
    failure.run_id,
    failure.ended_at AS failed_at,
    CASE
        WHEN judged.host_at_work IS NOT NULL THEN 'running'
        WHEN judged.has_failed THEN 'failed'
        WHEN judged.is_merged AND judged.reason = 'corrected since' THEN 'corrected since'
        WHEN judged.is_merged AND judged.exceeded <> '{}' THEN 'suspicious'
        WHEN judged.is_merged THEN 'merged'
        WHEN
            judged.reason = 'overdue'
            OR (judged.reason = 'not yet published' AND judged.deadline < current_date)
            THEN 'overdue'
        WHEN judged.reason = 'not yet published' THEN 'not yet published'
        ELSE 'missing'
    END AS state
FROM judged
LEFT JOIN LATERAL (
    SELECT
        judged.step,
        judged.error,
        judged.cause,
        run.host,
        judged.run_id,
        judged.ended_at
    FROM {{ runs_table | identifier }} AS run
    WHERE
        run.run_id = judged.run_id
        AND judged.has_failed
) AS failure ON TRUE
ORDER BY judged.taxi_type, judged.month;
