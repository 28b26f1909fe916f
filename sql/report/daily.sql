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
        AND daily.day >= loaded.month
        AND daily.day < loaded.month + interval '1 month'
ORDER BY daily.taxi_type, daily.day;
