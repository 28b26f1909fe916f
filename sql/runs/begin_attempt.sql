-- Record that a run has come to a step of a month.
INSERT INTO {{ attempts_table | identifier }} (run_id, taxi_type, month, state, step)
VALUES (
    {{ run_id | value }},
    {{ taxi_type | value }},
    {{ month | value }},
    'running',
    {{ step | value }}
)
ON CONFLICT ON CONSTRAINT load_attempts_of_run DO UPDATE
    SET
        state = 'running',
        step = excluded.step,
        error = NULL,
        cause = NULL,
        last_seen_at = now(),
        ended_at = NULL;
