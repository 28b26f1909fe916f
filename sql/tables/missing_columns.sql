-- List the columns that tables should have and don't.
SELECT
    wanted.relation,
    wanted.name
FROM (
    {% for relation, names in wanted %}
    {{ "UNION ALL" if not loop.first }}
    SELECT
        {{ relation | identifier | value }} AS relation,
        unnest({{ names | value }}::text[]) AS name
    {% endfor %}
) AS wanted
WHERE NOT EXISTS (
    SELECT
    FROM pg_attribute AS present
    WHERE
        present.attrelid = wanted.relation::regclass
        AND present.attname = wanted.name
        AND NOT present.attisdropped
);
