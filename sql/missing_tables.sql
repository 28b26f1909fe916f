-- Those of our relations that aren't there.
SELECT wanted.relation
FROM unnest({{ relations | value }}::text[]) AS wanted (relation)
WHERE to_regclass(wanted.relation) IS NULL;
