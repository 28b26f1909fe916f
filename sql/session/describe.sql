-- Describe sessions, without the text of their queries, which may hold secrets. A role without the
-- privilege to see another's sessions sees their process ids and users.
SELECT
    concat_ws(
        ', ',
        CASE
            WHEN wanted.pid = 0 THEN 'a prepared transaction (see pg_prepared_xacts)'
            ELSE 'session ' || wanted.pid
        END,
        nullif(activity.application_name, ''),
        'user ' || activity.usename,
        'from ' || host(activity.client_addr),
        activity.state || ' for ' || date_trunc('second', now() - activity.state_change)::text
    ) AS description
FROM unnest({{ pids | value }}::integer[]) AS wanted (pid)
LEFT JOIN pg_stat_activity AS activity ON wanted.pid = activity.pid
ORDER BY wanted.pid;
