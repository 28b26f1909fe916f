-- Select the sums of each month of pickup, and whether that month is loaded.
SELECT
    monthly.taxi_type,
    monthly.month,
    monthly.trips,
    monthly.passengers,
    monthly.distance,
    monthly.fares,
    monthly.tips,
    monthly.revenue,
    loaded.month IS NOT NULL AS is_loaded
FROM {{ monthly_table | identifier }} AS monthly
LEFT JOIN
    unnest({{ taxi_types | value }}::text[], {{ months | value }}::date[])
        AS loaded (taxi_type, month)
    ON
        monthly.taxi_type = loaded.taxi_type
        AND monthly.month = loaded.month
ORDER BY monthly.taxi_type, monthly.month;
