-- Find other schemas that have a ledger of ours, as far as this role may read them.
SELECT present_schema.nspname
FROM pg_class AS present
INNER JOIN pg_namespace AS present_schema ON present.relnamespace = present_schema.oid
WHERE
    present.relname = {{ ledger[1] | value }}
    AND present.relkind = 'r'
    AND present_schema.nspname <> {{ ledger[0] | value }}
    AND obj_description(present.oid, 'pg_class') = {{ comment | value }}
    AND has_schema_privilege(present_schema.oid, 'USAGE')
    AND has_table_privilege(present.oid, 'SELECT')
ORDER BY present_schema.nspname;
