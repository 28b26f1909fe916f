-- Generate the statements that give a table the constraints and indexes which somebody added to the
-- trips table. ATTACH finds them there, and neither checks nor builds anything while it blocks
-- readers.
SELECT -- noqa: disable=LT02
    format(
        'ALTER TABLE %s ADD %s%s',
        {{ partition | identifier | value }},
        CASE WHEN contype IN ('c', 'f') THEN format('CONSTRAINT %I ', conname) END,
        pg_get_constraintdef(oid)
    ) AS statement
FROM pg_constraint
WHERE
    conrelid = {{ trips | identifier | value }}::regclass
    AND conparentid = 0
    AND contype IN ('c', 'f', 'u', 'x')
UNION ALL
SELECT
    replace(
        pg_get_indexdef(present.indexrelid),
        format(
            ' INDEX %I ON ONLY %s USING ',
            index_class.relname,
            {{ trips | identifier | value }}::regclass
        ),
        format(' INDEX ON %s USING ', {{ partition | identifier | value }})
    ) AS statement
FROM pg_index AS present
INNER JOIN pg_class AS index_class ON present.indexrelid = index_class.oid
WHERE
    present.indrelid = {{ trips | identifier | value }}::regclass
    AND NOT EXISTS (
        SELECT
        FROM pg_constraint
        WHERE pg_constraint.conindid = present.indexrelid
    );
