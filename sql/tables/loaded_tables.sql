-- Those of the trips tables that a ledger knows.
SELECT DISTINCT trips_table
FROM {{ ledger | identifier }}
WHERE trips_table = ANY({{ names | value }}::text[]);
