-- List the runs that haven't ended as far as the tables say, and whether a session is behind each.
SELECT
    run.run_id,
    run.host,
    run.pid,
    run.last_seen_at < now() - make_interval(secs => {{ silence | value }}) AS is_silent
FROM {{ runs_table | identifier }} AS run
WHERE
    run.ended_at IS NULL
    AND NOT EXISTS (
        SELECT
        FROM pg_locks
        WHERE
            pg_locks.locktype = 'advisory'
            AND pg_locks.database = (
                SELECT pg_database.oid
                FROM pg_database
                WHERE pg_database.datname = current_database()
            )
            AND pg_locks.classid = {{ advisory_locks | value }}::oid
            AND pg_locks.objid = (hashtext('run ' || run.run_id)::bigint & 4294967295)::oid
            AND pg_locks.objsubid = 2
    );
