-- A row if there is a table or view of this name.
SELECT
WHERE to_regclass({{ derived | identifier | value }}) IS NOT NULL;
