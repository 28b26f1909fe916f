-- Delete an earlier edition's trips that this edition no longer has.
DELETE FROM {{ trips | identifier }} AS trip
WHERE
    trip.filename = {{ filename | value }}
    AND trip.pickup_datetime >= {{ start | value }}
    AND trip.pickup_datetime < {{ stop | value }}
    AND NOT EXISTS (
        SELECT
        FROM {{ staging | identifier }} AS staged
        WHERE
            staged.unique_row_id = trip.unique_row_id
            AND staged.pickup_datetime = trip.pickup_datetime
    );
