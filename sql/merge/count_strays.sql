-- Count the strays by month of pickup.
SELECT
    date_trunc('month', pickup_datetime)::date AS pickup_month,
    count(*) AS row_count
FROM pg_temp.strays
GROUP BY pickup_month
ORDER BY pickup_month;
