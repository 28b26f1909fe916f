-- Settings of a session that loads months. Every name in our statements has its schema, so no
-- function shadows PostgreSQL's own. No time limits apply but ours, as for a backup. The server
-- notices a broken connection within a minute, so that no lock outlives its host for long.
-- Read committed: whoever waited for a lock sees what was committed meanwhile.
SET search_path = pg_catalog, pg_temp;

SELECT pg_backend_pid() AS backend
FROM (
    SELECT set_config(wanted.name, wanted.setting, FALSE) AS setting
    FROM (
        VALUES
        ('default_transaction_isolation', 'read committed'),
        ('statement_timeout', {{ statement_timeout | value }}),
        ('lock_timeout', {{ lock_timeout | value }}),
        ('transaction_timeout', '0'),
        ('idle_session_timeout', '0'),
        ('idle_in_transaction_session_timeout', '0'),
        ('tcp_keepalives_idle', '15'),
        ('tcp_keepalives_interval', '5'),
        ('tcp_keepalives_count', '4'),
        ('tcp_user_timeout', '40000'),
        ('client_connection_check_interval', '10000')
    ) AS wanted (name, setting)
    INNER JOIN pg_settings ON wanted.name = pg_settings.name
    -- a server on Windows can't look for the end of a connection while it works
    WHERE
        wanted.name <> 'client_connection_check_interval'
        OR version() !~* 'mingw|visual|windows'
) AS applied
HAVING count(applied.setting) > 0;
