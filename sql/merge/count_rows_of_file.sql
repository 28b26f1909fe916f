-- Count the trips of a month's own file, in one month of pickup.
SELECT count(*) AS row_count
FROM {{ trips | identifier }}
WHERE
    filename = {{ filename | value }}
    AND pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }};
