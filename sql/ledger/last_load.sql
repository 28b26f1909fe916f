-- Select a month's last load: where its trips are, what its script reported, what it was made of.
SELECT
    pickup_months,
    outputs,
    sha256,
    script,
    new_columns,
    package_version,
    rows_staged,
    rows_duplicate,
    load_id
FROM {{ ledger | identifier }}
WHERE
    taxi_type = {{ taxi_type | value }}
    AND month = {{ month | value }}
    AND trips_table = {{ trips | join('.') | value }}
ORDER BY load_id DESC
LIMIT 1;
