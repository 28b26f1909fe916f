-- What a month's file adds to monthly_trips.
SELECT
    date_trunc('month', pickup_hour)::date AS month,
    sum(trips) AS trips,
    sum(passengers) AS passengers,
    sum(distance) AS distance,
    sum(fares) AS fares,
    sum(tips) AS tips,
    sum(revenue) AS revenue
FROM {{ by_hour | identifier }}
GROUP BY month;
