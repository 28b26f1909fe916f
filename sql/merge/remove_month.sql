-- Delete a file's trips, in one month of pickup.
DELETE FROM {{ trips | identifier }}
WHERE
    filename = {{ filename | value }}
    AND pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }};
