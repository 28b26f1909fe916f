-- Have this transaction's statements wait for others, and work, for seconds only.
SELECT
    set_config('lock_timeout', '5s', TRUE) AS lock_timeout,
    set_config('statement_timeout', '20s', TRUE) AS statement_timeout;
