-- Return what became of a transaction: committed or aborted; NULL if that is too long ago.
SELECT pg_xact_status({{ transaction | value }}::xid8) AS transaction_state;
