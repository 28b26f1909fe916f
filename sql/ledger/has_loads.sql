-- Whether a month was ever loaded.
SELECT TRUE AS has_loads
FROM {{ ledger | identifier }}
LIMIT 1;
