-- Select the staged trips of one month of pickup that the trips table doesn't have.
CREATE TEMPORARY TABLE pg_temp.missing ON COMMIT DROP AS
SELECT staged.*
FROM {{ staging | identifier }} AS staged
WHERE
    staged.pickup_datetime >= {{ start | value }}
    AND staged.pickup_datetime < {{ stop | value }}
    AND NOT EXISTS (
        SELECT
        FROM {{ trips | identifier }} AS trip
        WHERE
            trip.unique_row_id = staged.unique_row_id
            AND trip.pickup_datetime = staged.pickup_datetime
            AND trip.pickup_datetime >= {{ start | value }}
            AND trip.pickup_datetime < {{ stop | value }}
    );

ANALYZE pg_temp.missing;
