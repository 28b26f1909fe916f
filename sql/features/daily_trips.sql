-- What a month's file adds to daily_trips.
SELECT
    pickup_hour::date AS day,
    sum(trips) AS trips,
    sum(passengers) AS passengers,
    sum(distance) AS distance,
    sum(fares) AS fares,
    sum(tips) AS tips,
    sum(revenue) AS revenue
FROM {{ by_hour | identifier }}
GROUP BY day;
