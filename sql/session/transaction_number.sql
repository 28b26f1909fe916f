-- Return the number of this transaction; NULL if it has changed nothing so far.
SELECT pg_current_xact_id_if_assigned()::text AS transaction_number;
