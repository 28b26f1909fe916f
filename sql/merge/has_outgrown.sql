-- Return a row if a trips table has grown by more than a tenth since it was analysed, by
-- the estimates for its partitions. Autovacuum analyses partitions, but never their parent.
SELECT TRUE AS has_outgrown
FROM pg_class AS parent
INNER JOIN pg_inherits ON parent.oid = pg_inherits.inhparent
INNER JOIN pg_class AS part ON pg_inherits.inhrelid = part.oid
WHERE parent.oid = {{ trips | identifier | value }}::regclass
GROUP BY parent.reltuples
HAVING sum(greatest(part.reltuples, 0)) > greatest(parent.reltuples, 0) * 1.1;
