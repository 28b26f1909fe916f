-- List the sessions that hold an advisory lock.
SELECT pid
FROM pg_locks
WHERE
    locktype = 'advisory'
    AND granted
    AND database = (
        SELECT pg_database.oid
        FROM pg_database
        WHERE pg_database.datname = current_database()
    )
    AND classid = {{ advisory_locks | value }}::oid
    AND objid = (hashtext({{ name | value }})::bigint & 4294967295)::oid
    AND objsubid = 2;
