-- List a table's columns in order, each with the definition by which CREATE TABLE makes another one
-- like it. An identity column of the other table takes its numbers from the same sequence.
SELECT -- noqa: disable=ST06
    present.attname AS name,
    format_type(present.atttypid, present.atttypmod) AS type,
    concat_ws(
        ' ',
        format_type(present.atttypid, present.atttypmod),
        CASE
            WHEN present.attcollation <> present_type.typcollation
                THEN 'COLLATE ' || present.attcollation::regcollation
        END,
        CASE
            WHEN present.attidentity <> ''
                THEN format(
                    'DEFAULT nextval(%L::regclass)',
                    pg_get_serial_sequence(
                        present.attrelid::regclass::text, present.attname
                    )::regclass
                )
            WHEN present.attgenerated = 's'
                THEN format(
                    'GENERATED ALWAYS AS (%s) STORED', pg_get_expr(filled.adbin, filled.adrelid)
                )
            WHEN present.attgenerated <> ''
                THEN format(
                    'GENERATED ALWAYS AS (%s) VIRTUAL', pg_get_expr(filled.adbin, filled.adrelid)
                )
            ELSE 'DEFAULT ' || pg_get_expr(filled.adbin, filled.adrelid)
        END,
        CASE WHEN present.attnotnull THEN 'NOT NULL' END
    ) AS definition,
    present.attnum AS number,
    present.attgenerated <> '' AS is_generated,
    present.attidentity <> '' AS is_identity,
    present.attnotnull
    AND filled.adbin IS NULL
    AND present.attidentity = '' AS needs_value
FROM pg_attribute AS present
INNER JOIN pg_type AS present_type ON present.atttypid = present_type.oid
LEFT JOIN pg_attrdef AS filled
    ON present.attrelid = filled.adrelid AND present.attnum = filled.adnum
WHERE
    present.attrelid = to_regclass({{ table | identifier | value }})
    AND present.attnum > 0
    AND NOT present.attisdropped
ORDER BY present.attnum;
