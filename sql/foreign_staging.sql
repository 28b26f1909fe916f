-- Whether somebody else's table has the name of a staging table: ours has a comment.
SELECT TRUE AS is_foreign
WHERE
    to_regclass({{ staging | identifier | value }}) IS NOT NULL
    AND obj_description(to_regclass({{ staging | identifier | value }}), 'pg_class') IS NULL;
