-- Record that runs have died, and with them the attempts that they had in hand.
UPDATE {{ attempts_table | identifier }}
SET
    state = 'cancelled',
    error = 'its run died',
    ended_at = now()
WHERE
    run_id = ANY({{ run_ids | value }}::bigint[])
    AND ended_at IS NULL;

UPDATE {{ runs_table | identifier }}
SET
    state = 'cancelled',
    waiting_for = NULL,
    error = 'it died: killed, or its host went down',
    ended_at = now()
WHERE
    run_id = ANY({{ run_ids | value }}::bigint[])
    AND ended_at IS NULL;
