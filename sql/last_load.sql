-- The months of pickup that a month's trips were last merged into, and what its script reported.
SELECT
    pickup_months,
    outputs
FROM load_history
WHERE
    taxi_type = {{ taxi_type | value }}
    AND month = {{ month | value }}
    AND trips_table = {{ trips | join('.') | value }}
ORDER BY load_id DESC
LIMIT 1;
