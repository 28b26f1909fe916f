-- How many staged rows each month of pickup has.
SELECT
    date_trunc('month', pickup_datetime)::date AS pickup_month,
    count(*) AS row_count
FROM {{ staging | identifier }}
GROUP BY pickup_month
ORDER BY pickup_month;
