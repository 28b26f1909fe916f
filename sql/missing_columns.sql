-- Columns that tables should have and haven't; all of a table's if it isn't a table of this kind.
SELECT
    wanted.relation,
    wanted.name
FROM (
    {% for relation, kind, names in wanted %}
    {{ "UNION ALL" if not loop.first }}
    SELECT
        {{ relation | identifier | value }} AS relation,
        {{ kind | value }} AS kind,
        unnest({{ names | value }}::text[]) AS name
    {% endfor %}
) AS wanted
WHERE NOT EXISTS (
    SELECT
    FROM pg_class AS present_table
    INNER JOIN pg_attribute AS present ON present_table.oid = present.attrelid
    WHERE
        present_table.oid = wanted.relation::regclass
        AND present_table.relkind::text = wanted.kind
        AND present.attname = wanted.name
        AND NOT present.attisdropped
);
