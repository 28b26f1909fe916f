-- Select the last attempts that came to an end of their own, of months where that was a failure
-- which TaxiReset hasn't asked to forget.
SELECT
    last_attempt.month,
    last_attempt.step,
    last_attempt.error,
    last_attempt.cause,
    last_attempt.url,
    last_attempt.etag,
    last_attempt.last_modified,
    last_attempt.bytes,
    last_attempt.sha256,
    last_attempt.settings,
    last_attempt.ended_at
FROM (
    SELECT DISTINCT ON (month) *
    FROM {{ attempts_table | identifier }}
    WHERE
        taxi_type = {{ taxi_type | value }}
        {% if months is not none %}
        AND month = ANY({{ months | value }}::date[])
        {% endif %}
        AND state IN ('succeeded', 'failed')
    ORDER BY month ASC, attempt_id DESC
) AS last_attempt
WHERE
    last_attempt.state = 'failed'
    AND NOT last_attempt.is_forgotten
ORDER BY last_attempt.month;
