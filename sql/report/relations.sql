-- Select those of the relations that exist.
SELECT wanted.relation
FROM unnest({{ relations | value }}::text[]) AS wanted (relation)
WHERE to_regclass(wanted.relation) IS NOT NULL;
