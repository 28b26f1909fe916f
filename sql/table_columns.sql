-- A table's columns and their types, in order.
SELECT
    attname AS name,
    format_type(atttypid, atttypmod) AS type
FROM pg_attribute
WHERE
    attrelid = {{ table | identifier | value }}::regclass
    AND attnum > 0
    AND NOT attisdropped
ORDER BY attnum;
