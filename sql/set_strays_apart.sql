-- The rows whose pickup lies outside the month: a handful, to be merged month by month.
CREATE TEMPORARY TABLE pg_temp.strays ON COMMIT DROP AS
SELECT
    ctid AS place,
    *
FROM {{ staging | identifier }}
WHERE pickup_datetime < {{ start | value }} OR pickup_datetime >= {{ stop | value }};

ANALYZE pg_temp.strays;
