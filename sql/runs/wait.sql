-- Record what a run's attempt at a month waits for, or that it goes on.
UPDATE {{ attempts_table | identifier }}
SET
    state = CASE WHEN {{ waiting_for | value }}::text IS NULL THEN 'running' ELSE 'waiting' END,
    last_seen_at = now()
WHERE
    run_id = {{ run_id | value }}
    AND taxi_type = {{ taxi_type | value }}
    AND month = {{ month | value }}
    AND ended_at IS NULL;

UPDATE {{ runs_table | identifier }}
SET
    state = CASE WHEN {{ waiting_for | value }}::text IS NULL THEN 'running' ELSE 'waiting' END,
    waiting_for = {{ waiting_for | value }},
    last_seen_at = now()
WHERE
    run_id = {{ run_id | value }}
    AND ended_at IS NULL;
