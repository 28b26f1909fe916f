-- Select the trips of each hour of the week, of the months that are loaded.
SELECT
    hourly.taxi_type,
    hourly.weekday::integer AS weekday,
    hourly.hour::integer AS hour,
    sum(hourly.trips)::bigint AS trips
FROM {{ hourly_table | identifier }} AS hourly
INNER JOIN
    unnest({{ taxi_types | value }}::text[], {{ months | value }}::date[])
        AS loaded (taxi_type, month)
    ON
        hourly.taxi_type = loaded.taxi_type
        AND hourly.month = loaded.month
GROUP BY hourly.taxi_type, hourly.weekday, hourly.hour;
