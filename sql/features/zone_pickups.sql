-- What a month's file adds to zone_pickups.
SELECT
    month,
    location_id,
    trips,
    revenue
FROM {{ by_zone | identifier }};
