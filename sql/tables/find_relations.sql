-- Find what exists under the names that we need: a table, a view or anything else, with its
-- comment.
SELECT
    wanted.relation,
    present.relkind::text AS kind,
    obj_description(present.oid, 'pg_class') AS comment
FROM unnest({{ relations | value }}::text[]) AS wanted (relation)
INNER JOIN pg_class AS present ON present.oid = to_regclass(wanted.relation);
