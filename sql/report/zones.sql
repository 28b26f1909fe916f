-- Select the pickups in each zone, of the months that are loaded, most first, with the zone's name.
WITH pickups AS (
    SELECT
        by_month.taxi_type,
        by_month.location_id,
        sum(by_month.trips)::bigint AS trips
    FROM {{ pickups_table | identifier }} AS by_month
    INNER JOIN
        unnest({{ taxi_types | value }}::text[], {{ months | value }}::date[])
            AS loaded (taxi_type, month)
        ON
            by_month.taxi_type = loaded.taxi_type
            AND by_month.month = loaded.month
    GROUP BY by_month.taxi_type, by_month.location_id
)

SELECT
    pickups.taxi_type,
    pickups.location_id,
    named.zone,
    named.borough,
    pickups.trips
FROM pickups
LEFT JOIN {{ zones_table | identifier }} AS named
    ON pickups.location_id = named.location_id
ORDER BY pickups.trips DESC, pickups.location_id ASC;
