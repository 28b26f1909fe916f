-- Whether a partition's table is there, and is one of the trips table.
SELECT
    EXISTS(
        SELECT
        FROM pg_inherits
        WHERE
            inhrelid = to_regclass({{ partition | identifier | value }})
            AND inhparent = to_regclass({{ trips | identifier | value }})
    ) AS is_attached
WHERE to_regclass({{ partition | identifier | value }}) IS NOT NULL;
