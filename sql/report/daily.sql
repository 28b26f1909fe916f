-- Select the trips of each day, of the months that are loaded.
SELECT
    daily.taxi_type,
    daily.day,
    daily.trips
FROM {{ daily_table | identifier }} AS daily
INNER JOIN
    unnest({{ taxi_types | value }}::text[], {{ months | value }}::date[])
        AS loaded (taxi_type, month)
    ON
        daily.taxi_type = loaded.taxi_type
        AND date_trunc('month', daily.day::timestamp)::date = loaded.month
ORDER BY daily.taxi_type, daily.day;
