-- Return a row if the warehouse has the tables for analysts, be they empty.
SELECT TRUE AS is_there
WHERE to_regclass({{ counted_table | identifier | value }}) IS NOT NULL;
