-- Count what the default partition holds of a file, by month of pickup.
SELECT
    date_trunc('month', pickup_datetime)::date AS pickup_month,
    count(*) AS trips
FROM {{ other | identifier }}
WHERE filename = {{ filename | value }}
GROUP BY pickup_month;
