-- Return whether a table is nearly empty: less than a megabyte.
SELECT pg_relation_size({{ table | identifier | value }}::regclass) < 1048576 AS has_few_rows;
