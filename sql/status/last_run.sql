-- Select the run that began last.
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
ORDER BY run_id DESC
LIMIT 1;
