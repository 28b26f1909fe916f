-- Return a row if a partition's table exists, and whether it is attached to the trips table.
SELECT
    EXISTS(
        SELECT
        FROM pg_inherits
        WHERE
            inhrelid = to_regclass({{ partition | identifier | value }})
            AND inhparent = to_regclass({{ trips | identifier | value }})
    ) AS is_attached
WHERE to_regclass({{ partition | identifier | value }}) IS NOT NULL;
