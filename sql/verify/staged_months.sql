-- Count a staging table's rows by month of pickup.
SELECT
    date_trunc('month', pickup_datetime)::date AS pickup_month,
    count(*) AS trips
FROM {{ staging | identifier }}
GROUP BY pickup_month;
