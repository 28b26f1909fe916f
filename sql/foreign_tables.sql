-- Tables that have the name of one of ours and another comment.
SELECT wanted.relation
FROM jsonb_each_text({{ comments | value }}::jsonb) AS wanted (relation, comment)
WHERE
    to_regclass(wanted.relation) IS NOT NULL
    AND obj_description(to_regclass(wanted.relation), 'pg_class') IS DISTINCT FROM wanted.comment;
