-- Select the attempts of a run that failed: why, and by what kind of fault, the first one first.
SELECT
    cause,
    error
FROM {{ attempts_table | identifier }}
WHERE
    run_id = {{ run_id | value }}
    AND state = 'failed'
ORDER BY attempt_id;
