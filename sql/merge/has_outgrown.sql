-- Whether a trips table has grown by more than a part since it was analysed, as far as is known of
-- its partitions. PostgreSQL analyses these by itself, but never the table.
SELECT TRUE AS has_outgrown
FROM pg_class AS parent
INNER JOIN pg_inherits ON parent.oid = pg_inherits.inhparent
INNER JOIN pg_class AS part ON pg_inherits.inhrelid = part.oid
WHERE parent.oid = {{ trips | identifier | value }}::regclass
GROUP BY parent.reltuples
HAVING sum(greatest(part.reltuples, 0)) > greatest(parent.reltuples, 0) * (1 + {{ growth }});
