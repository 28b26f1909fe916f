-- List the sessions that block another one.
SELECT DISTINCT unnest(pg_blocking_pids({{ pid | value }})) AS pid;
