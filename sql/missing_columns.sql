-- Columns that a table should have and hasn't; all of them if it isn't a partitioned table.
SELECT wanted.name
FROM unnest({{ names | value }}::text []) AS wanted (name)
WHERE NOT EXISTS (
    SELECT
    FROM pg_attribute
    INNER JOIN pg_partitioned_table ON partrelid = attrelid
    WHERE
        attrelid = {{ trips | identifier | value }}::regclass
        AND attname = wanted.name
        AND NOT attisdropped
);
