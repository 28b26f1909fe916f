-- Whether a schema is missing.
SELECT TRUE AS is_missing
WHERE to_regnamespace({{ schema | identifier | value }}) IS NULL;
