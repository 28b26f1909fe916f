-- Columns that a table should have and hasn't; all of them if it isn't a table of this kind.
SELECT wanted.name
FROM unnest({{ names | value }}::text[]) AS wanted (name)
WHERE NOT EXISTS (
    SELECT
    FROM pg_class AS relation
    INNER JOIN pg_attribute AS present ON relation.oid = present.attrelid
    WHERE
        relation.oid = {{ table | identifier | value }}::regclass
        AND relation.relkind = {{ kind | value }}
        AND present.attname = wanted.name
        AND NOT present.attisdropped
);
