-- Columns that a table should have and hasn't; all of them if it isn't a partitioned table.
SELECT wanted.name
FROM unnest({{ names | value }}::text[]) AS wanted (name)
WHERE NOT EXISTS (
    SELECT
    FROM pg_partitioned_table AS parent
    INNER JOIN pg_attribute AS present ON parent.partrelid = present.attrelid
    WHERE
        parent.partrelid = {{ trips | identifier | value }}::regclass
        AND present.attname = wanted.name
        AND NOT present.attisdropped
);
