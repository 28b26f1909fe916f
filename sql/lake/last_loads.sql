-- Select the last load of each month: what the lake's record names, and where its trips are.
SELECT DISTINCT ON (month)
    month,
    load_id,
    finished_at,
    url,
    etag,
    last_modified,
    bytes,
    sha256,
    pickup_months
FROM {{ ledger | identifier }}
WHERE
    taxi_type = {{ taxi_type | value }}
    AND trips_table = {{ trips | join('.') | value }}
    AND month = ANY({{ months | value }}::date[])
ORDER BY month ASC, load_id DESC;
