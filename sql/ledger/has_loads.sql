-- Return a row if any month was ever loaded.
SELECT TRUE AS has_loads
FROM {{ ledger | identifier }}
LIMIT 1;
