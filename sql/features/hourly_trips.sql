-- What a month's file adds to hourly_trips.
SELECT
    date_trunc('month', pickup_hour)::date AS month,
    extract(ISODOW FROM pickup_hour)::integer AS weekday,
    extract(HOUR FROM pickup_hour)::integer AS hour,
    sum(trips) AS trips
FROM {{ by_hour | identifier }}
GROUP BY month, weekday, hour;
