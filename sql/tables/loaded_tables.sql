-- Select the trips tables that a ledger has loads of.
SELECT DISTINCT trips_table
FROM {{ ledger | identifier }}
WHERE trips_table = ANY({{ names | value }}::text[]);
