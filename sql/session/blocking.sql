-- The sessions that keep another one waiting for a lock.
SELECT DISTINCT unnest(pg_blocking_pids({{ pid | value }})) AS pid;
