-- How many trips of a month's own file are there, in one month of pickup.
SELECT count(*) AS row_count
FROM {{ trips | identifier }}
WHERE
    filename = {{ filename | value }}
    AND pickup_datetime >= {{ start | value }}
    AND pickup_datetime < {{ stop | value }};
