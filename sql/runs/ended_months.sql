-- Select the months that a run has ended well with a step.
SELECT
    taxi_type,
    month
FROM {{ attempts_table | identifier }}
WHERE
    run_id = {{ run_id | value }}
    AND step = {{ step | value }}
    AND state = 'succeeded'
ORDER BY taxi_type, month;
