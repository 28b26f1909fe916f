-- Count the strays by month of pickup, and sum up their fingerprints.
SELECT
    date_trunc('month', pickup_datetime)::date AS pickup_month,
    count(*) AS trips,
    sum(uuid_hash_extended(unique_row_id, 0)) AS upper_half,
    sum(uuid_hash_extended(unique_row_id, 1)) AS lower_half
FROM pg_temp.strays
GROUP BY pickup_month
ORDER BY pickup_month;
