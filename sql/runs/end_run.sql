-- Record that a run ended, and with it the attempts that it left unfinished.
UPDATE {{ attempts_table | identifier }}
SET
    state = CASE WHEN {{ state | value }} = 'succeeded' THEN 'succeeded' ELSE 'cancelled' END,
    last_seen_at = now(),
    ended_at = now()
WHERE
    run_id = {{ run_id | value }}
    AND ended_at IS NULL;

UPDATE {{ runs_table | identifier }}
SET
    state = {{ state | value }},
    waiting_for = NULL,
    error = coalesce({{ error | value }}, error),
    exit_code = {{ exit_code | value }},
    corrections_checked = {{ corrections_checked | value }}::text[],
    last_seen_at = now(),
    ended_at = now()
WHERE run_id = {{ run_id | value }};
