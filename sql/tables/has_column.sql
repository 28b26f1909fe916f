-- Return a row if a table or view has a column.
SELECT TRUE AS is_there
FROM pg_attribute
WHERE
    attrelid = to_regclass({{ relation | value }})
    AND attname = {{ column | value }}
    AND NOT attisdropped;
