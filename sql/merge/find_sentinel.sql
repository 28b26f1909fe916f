-- Select one row of a month of pickup: a later run looks for it to see that they are all there.
SELECT
    unique_row_id,
    pickup_datetime
FROM {{ source | identifier }}
WHERE
    pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }}
LIMIT 1;
