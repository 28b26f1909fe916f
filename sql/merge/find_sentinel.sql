-- One row of a month of pickup, by which a later run sees that they are still there.
SELECT
    unique_row_id,
    pickup_datetime
FROM {{ source | identifier }}
WHERE
    pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }}
LIMIT 1;
