-- Return a row if a schema doesn't exist.
SELECT TRUE AS is_missing
WHERE to_regnamespace({{ schema | identifier | value }}) IS NULL;
