-- Record a sign of life of a run and of the attempts that it has in hand.
UPDATE {{ runs_table | identifier }}
SET last_seen_at = now()
WHERE run_id = {{ run_id | value }};

UPDATE {{ attempts_table | identifier }}
SET last_seen_at = now()
WHERE
    run_id = {{ run_id | value }}
    AND ended_at IS NULL;
