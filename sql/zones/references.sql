-- List the columns of other tables whose foreign keys refer to the zones, one row a key.
SELECT
    referring_schema.nspname AS schema_name,
    referring.relname AS table_name,
    referring_column.attname AS column_name,
    zone_column.attname AS zone_column,
    has_schema_privilege(referring_schema.oid, 'USAGE')
    AND has_table_privilege(referring.oid, 'SELECT') AS is_readable
FROM pg_constraint AS foreign_key
INNER JOIN pg_class AS referring ON foreign_key.conrelid = referring.oid
INNER JOIN pg_namespace AS referring_schema ON referring.relnamespace = referring_schema.oid
INNER JOIN pg_attribute AS referring_column
    ON
        foreign_key.conrelid = referring_column.attrelid
        AND foreign_key.conkey[1] = referring_column.attnum
INNER JOIN pg_attribute AS zone_column
    ON
        foreign_key.confrelid = zone_column.attrelid
        AND foreign_key.confkey[1] = zone_column.attnum
WHERE
    foreign_key.contype = 'f'
    AND foreign_key.conparentid = 0
    AND foreign_key.confrelid = {{ zones_table | identifier | value }}::regclass
ORDER BY foreign_key.oid;
