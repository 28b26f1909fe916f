-- How many rows outside the month each month of pickup has.
SELECT
    date_trunc('month', pickup_datetime)::date AS pickup_month,
    count(*) AS row_count
FROM pg_temp.strays
GROUP BY pickup_month
ORDER BY pickup_month;
