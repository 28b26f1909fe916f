-- Have a month's file tried again, though it has failed by its content.
UPDATE {{ attempts_table | identifier }}
SET is_forgotten = TRUE
WHERE
    taxi_type = {{ taxi_type | value }}
    AND month = {{ month | value }}
    AND state = 'failed'
    AND NOT is_forgotten;
