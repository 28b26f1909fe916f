-- Select the run that began last, but for one that only looked.
SELECT
    run_id,
    host,
    command,
    state,
    exit_code,
    error,
    began_at,
    ended_at
FROM {{ runs_table | identifier }}
WHERE command NOT LIKE 'TaxiReport%'
ORDER BY run_id DESC
LIMIT 1;
